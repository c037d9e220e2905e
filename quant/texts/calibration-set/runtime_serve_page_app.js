// Puts the page together: two tabs, the figures below, and what went wrong.

import { Chat } from "./chat.js";
import { Editor } from "./ghost.js";
import { ask, useKey } from "./server.js";

const EXAMPLE = `import json
from pathlib import Path


def read_settings(path: Path) -> dict[str, str]:
    """Return the settings in a JSON file, or none where there is no file."""
    `;

const byId = (id) => document.getElementById(id);
const number = (value) => Math.round(value).toLocaleString("en");

function failed(error) {
  const problem = byId("problem");
  problem.textContent = error.message;
  problem.hidden = false;
  byId("unlock").hidden = error.status !== 401;
}

function fine() {
  byId("problem").hidden = true;
  byId("unlock").hidden = true;
}

function tell({ first_ms, speed, read, reused }) {
  fine();
  byId("first").textContent = `${number(first_ms)} ms`;
  byId("speed").textContent = speed ? speed.toFixed(1) : "–";
  byId("read").textContent = `${number(read)} tokens`;
  byId("reused").textContent = read ? `${number((100 * reused) / read)}%` : "–";
  totals();
}

/** Read the sums since the server's start from its Prometheus page. */
async function totals() {
  try {
    const text = await (await ask("metrics")).text();
    const sum = (name) =>
      [...text.matchAll(new RegExp(`^${name}.* ([0-9.e+]+)$`, "gm"))]
        .map((found) => Number(found[1]))
        .reduce((a, b) => a + b, 0);
    byId("requests").textContent = number(sum("refact_edge_request_seconds_count"));
    byId("written").textContent = number(sum('refact_edge_tokens_total{kind="new"}'));
  } catch (error) {
    failed(error);
  }
}

function showTab(name) {
  for (const tab of document.querySelectorAll("[role=tab]")) {
    const chosen = tab.id === `tab-${name}`;
    tab.setAttribute("aria-selected", chosen);
    tab.tabIndex = chosen ? 0 : -1;
    byId(tab.getAttribute("aria-controls")).hidden = !chosen;
  }
  byId(name === "chat" ? "question" : "text").focus();
}

for (const tab of document.querySelectorAll("[role=tab]")) {
  tab.addEventListener("click", () => showTab(tab.getAttribute("aria-controls")));
  tab.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const other = tab.id === "tab-chat" ? "editor" : "chat";
    showTab(other);
    byId(`tab-${other}`).focus();
  });
}

byId("unlock").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(byId("key").value.trim());
  fine();
  begin();
});

async function begin() {
  try {
    const [card] = (await (await ask("v1/models")).json()).data;
    byId("model").textContent = `${card.id}, ${card.meta.variant} on ${card.meta.device}`;
    await totals();
  } catch (error) {
    failed(error);
  }
}

byId("text").value = EXAMPLE;
new Editor(
  byId("text"),
  byId("mirror"),
  () => ({
    n_predict: Number(byId("tokens").value) || 48,
    temperature: Number(byId("temperature").value) || 0,
  }),
  (timings) =>
    tell({
      first_ms: timings.prompt_ms,
      speed: timings.predicted_per_second,
      read: timings.prompt_n + timings.cache_n,
      reused: timings.cache_n,
    }),
  failed,
);
new Chat(
  {
    turns: byId("turns"),
    form: byId("ask"),
    question: byId("question"),
    send: byId("send"),
    stop: byId("stop"),
    clear: byId("clear"),
  },
  (usage, first_ms, rest_ms) =>
    tell({
      first_ms,
      speed: (1000 * usage.completion_tokens) / Math.max(1, rest_ms),
      read: usage.prompt_tokens,
      reused: usage.prompt_tokens_details.cached_tokens,
    }),
  failed,
);
byId("text").setSelectionRange(EXAMPLE.length, EXAMPLE.length);
showTab("editor");
begin();
