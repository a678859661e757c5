// Choosing recordings and sending them, one after the other.

import { announce, button, el, notice, setText } from "./dom.js";
import { options } from "./options.js";
import { giveUp, send, sendAddress } from "./upload.js";
import { percent, size, span } from "./words.js";

let made = null;

/** The part of the page that sends. There is one only; it works on while another view is shown. */
export function sender(refresh, signal) {
  made ??= new Sender();
  made.show(refresh, signal);
  return made.node;
}

class Sender {
  constructor() {
    this.chosen = [];
    this.waiting = [];
    this.busy = false;
    this.options = null;
    this.input = el("input", { type: "file", multiple: true, id: "files", class: "unseen", onchange: () => this.choose(this.input.files) });
    this.drop = el("label", { class: "drop", for: "files" }, this.input, el("strong", {}, "Drop recordings here"), el("span", {}, "or choose files: sound or video, any format"));
    this.list = el("ul", { class: "chosen" });
    this.url = el("input", { type: "url", id: "url", placeholder: "https://…", pattern: "https?://.+", autocomplete: "off", spellcheck: "false", oninput: () => this.draw() });
    this.go = el("button", { class: "main", disabled: true }, "Transcribe");
    this.place = el("div", { class: "options-place" }, el("p", { class: "hint" }, "Loading the options …"));
    this.queue = el("ul", { class: "sending", "aria-label": "Being sent" });
    const form = el("form", { class: "card", "aria-label": "Transcribe a recording", onsubmit: (event) => (event.preventDefault(), this.submit()) },
      this.drop, this.list,
      el("div", { class: "field url" }, el("label", { for: "url" }, "or an address"), this.url), this.place, el("div", { class: "buttons" }, this.go));
    this.node = el("section", { "aria-label": "Send" }, form, this.queue);
    this.takeDrops();
    addEventListener("beforeunload", (event) => {
      if (this.busy) event.preventDefault();
    });
  }

  async show(refresh, signal) {
    this.refresh = refresh;
    this.shown = true;
    signal.addEventListener("abort", () => (this.shown = false));
    if (this.options) return;
    try {
      this.options = await options();
      this.place.replaceChildren(this.options.node);
    } catch (error) {
      // Recordings can be sent all the same, as the server likes best.
      this.place.replaceChildren(el("p", { class: "error" }, `The options could not be loaded: ${error.message}`));
    }
  }

  takeDrops() {
    let depth = 0;
    const mark = (change) => this.drop.classList.toggle("over", (depth = Math.max(0, depth + change)) > 0);
    const files = (event) => event.dataTransfer?.types.includes("Files");
    addEventListener("dragenter", (event) => files(event) && mark(1));
    addEventListener("dragleave", (event) => files(event) && mark(-1));
    // Anywhere on the page, or the browser would open a file that misses.
    addEventListener("dragover", (event) => files(event) && event.preventDefault());
    addEventListener("drop", (event) => {
      if (!files(event)) return;
      event.preventDefault();
      depth = 0;
      mark(0);
      this.choose(event.dataTransfer.files);
    });
  }

  choose(files) {
    this.chosen.push(...files);
    this.input.value = "";
    this.draw();
    if (this.chosen.length) announce(`${this.chosen.length} chosen`);
  }

  draw() {
    this.list.replaceChildren(...this.chosen.map((file, n) => el("li", {},
      el("span", { class: "name" }, file.name), el("span", { class: "hint" }, size(file.size)),
      button("Remove", () => (this.chosen.splice(n, 1), this.draw(), this.input.focus()), { class: "plain", "aria-label": `Remove ${file.name}` }))));
    const count = this.chosen.length + (this.url.value.trim() ? 1 : 0);
    this.go.disabled = count === 0;
    setText(this.go, count > 1 ? `Transcribe ${count} recordings` : "Transcribe");
  }

  submit() {
    notice(null);
    const fields = this.options?.values() ?? {};
    const url = this.url.value.trim();
    const entries = [...this.chosen.map((file) => ({ file })), ...(url ? [{ url }] : [])];
    const alone = entries.length === 1 && this.waiting.length === 0 && !this.busy;
    for (const entry of entries) this.enqueue({ ...entry, fields, alone });
    this.chosen = [];
    this.url.value = "";
    this.draw();
    this.work();
  }

  enqueue(entry) {
    entry.name = entry.file?.name ?? entry.url;
    entry.bar = el("progress", { max: 1, value: 0, "aria-label": `Sending ${entry.name}` });
    entry.state = el("span", { class: "hint" }, "Waiting to be sent");
    entry.stop = new AbortController();
    entry.end = button("Cancel", () => this.cancel(entry), { "aria-label": `Cancel sending ${entry.name}` });
    entry.row = el("li", { class: "card" }, el("span", { class: "name" }, entry.name), entry.bar, entry.state, entry.end);
    this.queue.append(entry.row);
    this.waiting.push(entry);
  }

  cancel(entry) {
    entry.stop.abort();
    this.waiting = this.waiting.filter((one) => one !== entry);
    entry.row.remove();
    if (entry.file) giveUp(entry.file);
  }

  async work() {
    if (this.busy) return;
    this.busy = true;
    for (let entry; (entry = this.waiting.shift()); ) await this.one(entry);
    this.busy = false;
  }

  async one(entry) {
    const { file, fields } = entry;
    const signal = entry.stop.signal;
    const told = (news) => this.told(entry, news);
    setText(entry.state, "Sending");
    if (entry.url) entry.bar.removeAttribute("value");
    try {
      const job = entry.url ? await sendAddress(entry.url, fields, { signal }) : await send(file, fields, { told, signal });
      entry.row.remove();
      announce(`${entry.name} was sent`);
      if (entry.alone && this.shown) location.hash = `#/jobs/${job.id}`;
      else if (this.shown) this.refresh();
    } catch (error) {
      if (error.name !== "AbortError") this.failed(entry, error);
    }
  }

  told(entry, { sent, total, waiting, lost }) {
    entry.bar.value = total ? sent / total : 1;
    if (waiting) setText(entry.state, `${lost ? "Not connected" : "The server is busy"}; trying again in ${span(Math.ceil(waiting))}`);
    else if (sent >= total) setText(entry.state, "Arriving");
    else setText(entry.state, `${percent(sent / total)} of ${size(total)}`);
  }

  failed(entry, error) {
    entry.bar.remove();
    entry.state.replaceWith(el("p", { class: "error", role: "alert" }, error.message));
    entry.end.remove();
    entry.row.append(el("div", { class: "buttons" },
      button("Try again", () => (entry.row.remove(), this.enqueue({ file: entry.file, url: entry.url, fields: entry.fields, alone: false }), this.work())),
      button("Dismiss", () => this.cancel(entry), { class: "plain" })));
  }
}
