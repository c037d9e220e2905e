// The chat: questions, answers as they come, and a way to stop them.

import { ask, events } from "./server.js";

export class Chat {
  constructor({ turns, form, question, send, stop, clear }, told, failed) {
    Object.assign(this, { turns, question, send, stop, told, failed });
    this.history = [];
    this.running = null;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.say();
    });
    question.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.say();
    });
    stop.addEventListener("click", () => this.running?.abort());
    clear.addEventListener("click", () => {
      this.running?.abort();
      this.history = [];
      this.turns.replaceChildren();
    });
  }

  async say() {
    const content = this.question.value.trim();
    if (!content || this.running) return;
    this.question.value = "";
    const asked = [...this.history, { role: "user", content }];
    const shown = this.show("user", content);
    const answer = this.show("assistant", "");
    this.busy(new AbortController());
    const start = performance.now();
    let first = 0;
    let usage = null;
    try {
      const body = { messages: asked, stream: true, stream_options: { include_usage: true } };
      const reply = await ask("v1/chat/completions", body, this.running.signal);
      for await (const told of events(reply)) {
        usage = told.usage ?? usage;
        first ||= performance.now();
        answer.textContent += told.choices[0]?.delta.content ?? "";
        this.turns.scrollTop = this.turns.scrollHeight;
      }
      if (usage) this.told(usage, first - start, performance.now() - first);
    } catch (error) {
      if (error.name !== "AbortError") {
        shown.remove();
        answer.remove();
        this.question.value = content;
        this.failed(error);
        return;
      }
    } finally {
      this.busy(null);
    }
    const said = answer.textContent;
    // An answer that was stopped before it began is no part of the conversation.
    if (said) this.history = [...asked, { role: "assistant", content: said }];
    else answer.remove();
  }

  busy(running) {
    this.running = running;
    this.send.disabled = running !== null;
    this.stop.disabled = running === null;
  }

  show(role, content) {
    const turn = document.createElement("p");
    turn.className = `turn ${role}`;
    turn.textContent = content;
    this.turns.append(turn);
    return turn;
  }
}
