// The editor: grey text at the cursor while one types.

import { ask, events } from "./server.js";

const PAUSE_MS = 120;

export class Editor {
  /** `told` gets the timings of each completion, `failed` what went wrong. */
  constructor(text, mirror, options, told, failed) {
    Object.assign(this, { text, mirror, options, told, failed });
    this.ghost = "";
    this.running = null;
    this.timer = 0;
    text.addEventListener("input", () => this.typed());
    text.addEventListener("keydown", (event) => this.pressed(event));
    text.addEventListener("scroll", () => this.follow());
    for (const name of ["click", "blur", "keyup"]) {
      text.addEventListener(name, (event) => this.moved(event));
    }
    this.at = 0;
    this.draw();
  }

  get cursor() {
    return this.text.selectionStart;
  }

  typed() {
    const typed = this.text.value.slice(this.at, this.cursor);
    // Who types what is shown keeps the rest of it.
    if (this.ghost && typed && this.cursor > this.at && this.ghost.startsWith(typed)) {
      this.ghost = this.ghost.slice(typed.length);
    } else {
      this.ghost = "";
    }
    this.at = this.cursor;
    this.draw();
    this.ask();
  }

  moved(event) {
    if (event.type === "blur" || this.cursor !== this.at) this.drop();
  }

  pressed(event) {
    if (event.key === "Escape") return this.drop();
    if (event.key === "Tab" && !event.shiftKey && !event.ctrlKey && !event.altKey) {
      event.preventDefault();
      this.insert(this.ghost || "    ");
    } else if (event.key === "ArrowRight" && event.ctrlKey && this.ghost) {
      event.preventDefault();
      this.insert(this.ghost.match(/^\s*(\w+|\W)/)?.[0] ?? this.ghost, this.ghost);
    }
  }

  insert(text, from = "") {
    this.stop();
    const rest = from.slice(text.length);
    this.text.setRangeText(text, this.cursor, this.text.selectionEnd, "end");
    this.at = this.cursor;
    this.ghost = rest;
    this.draw();
    if (!rest) this.ask();
  }

  drop() {
    this.stop();
    this.ghost = "";
    this.at = this.cursor;
    this.draw();
  }

  stop() {
    clearTimeout(this.timer);
    this.running?.abort();
    this.running = null;
  }

  ask() {
    this.stop();
    this.timer = setTimeout(() => this.complete(), PAUSE_MS);
  }

  async complete() {
    const running = (this.running = new AbortController());
    const value = this.text.value;
    const asked = {
      input_prefix: value.slice(0, this.cursor),
      input_suffix: value.slice(this.cursor),
      ...this.options(),
      stop: ["\n\n"],
      stream: true,
    };
    let ghost = "";
    try {
      const reply = await ask("infill", asked, running.signal);
      for await (const told of events(reply)) {
        if (running !== this.running) return;
        ghost += told.content;
        // What was typed meanwhile belongs to an older place: a new request is on its way.
        this.ghost = ghost;
        this.draw();
        if (told.stop) this.told(told.timings);
      }
    } catch (error) {
      if (error.name !== "AbortError" && running === this.running) this.failed(error);
    } finally {
      if (running === this.running) this.running = null;
    }
  }

  draw() {
    const value = this.text.value;
    const ghost = document.createElement("span");
    ghost.className = "ghost";
    ghost.textContent = this.ghost;
    // A last line without text has no height of its own.
    const after = `${value.slice(this.at)}\n`;
    this.mirror.replaceChildren(value.slice(0, this.at), ghost, after);
    this.text.title = this.ghost ? "Tab takes the grey text" : "";
    this.follow();
  }

  follow() {
    this.mirror.scrollTop = this.text.scrollTop;
    this.mirror.scrollLeft = this.text.scrollLeft;
  }
}
