// Finding words in a transcript.

import { button, el, setText } from "./dom.js";

const marks = typeof Highlight === "function" && CSS.highlights;

/** A field that searches a TranscriptView. */
export function searchBar(view) {
  const search = new Search(view);
  return { node: search.node };
}

class Search {
  constructor(view) {
    this.view = view;
    this.found = [];
    this.byRow = new Map();
    this.at = -1;
    this.pattern = null;
    this.field = el("input", { type: "search", id: "search", placeholder: "Search", autocomplete: "off", oninput: () => this.search(), onkeydown: (event) => this.key(event) });
    this.count = el("span", { class: "hint", role: "status" });
    const step = (by, text, name) => button(text, () => this.go(by), { class: "plain", "aria-label": name, disabled: true });
    this.steps = [step(-1, "↑", "Previous find"), step(1, "↓", "Next find")];
    this.node = el("div", { class: "search", role: "search" }, el("label", { for: "search", class: "unseen" }, "Search in the transcript"), this.field, this.steps, this.count);
    if (marks) {
      this.all = new Highlight();
      this.current = new Highlight();
      CSS.highlights.set("found", this.all);
      CSS.highlights.set("current", this.current);
      this.current.priority = 1;
      view.changed = (row) => this.mark(row);
    }
  }

  key(event) {
    if (event.key !== "Enter") return;
    event.preventDefault();
    this.go(event.shiftKey ? -1 : 1);
  }

  search() {
    const words = this.field.value.trim().split(/\s+/).filter(Boolean);
    const escaped = words.map((word) => word.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&"));
    this.pattern = words.length ? new RegExp(escaped.join("\\s+"), "giu") : null;
    this.found = this.pattern ? this.view.rows.flatMap((row) => [...row.text.matchAll(this.pattern)].map((one) => ({ row, index: one.index, length: one[0].length }))) : [];
    this.at = -1;
    this.byRow = grouped(this.found);
    this.redraw();
    if (this.found.length) this.go(1, this.nearest());
    this.tell();
  }

  /** The first find from what is seen on. */
  nearest() {
    return Math.max(0, this.found.findIndex(({ row }) => row.node.getBoundingClientRect().bottom > 0));
  }

  go(by, to = null) {
    if (!this.found.length) return;
    this.at = to ?? (this.at + by + this.found.length) % this.found.length;
    const { row } = this.found[this.at];
    this.view.draw(row);
    this.view.alone = Date.now() + 10_000;
    this.view.show(row);
    this.redraw();
    this.tell();
  }

  tell() {
    for (const one of this.steps) one.disabled = !this.found.length;
    setText(this.count, !this.pattern ? "" : this.found.length ? `${this.at + 1} of ${this.found.length}` : "Not found");
  }

  redraw() {
    const here = this.found[this.at]?.row;
    if (!marks) {
      for (const row of this.view.rows) row.node.classList.toggle("found", this.byRow.has(row));
      return;
    }
    this.all.clear();
    this.current.clear();
    for (const row of this.byRow.keys()) if (row.drawn || row === here) this.mark(row);
  }

  /** Mark the finds of a row whose text was drawn anew. */
  mark(row) {
    // Ranges of text that is gone stand at nothing and mark nothing.
    for (const one of this.byRow.get(row) ?? []) {
      (one === this.found[this.at] ? this.current : this.all).add(range(row.body, one.index, one.index + one.length));
    }
  }
}

function grouped(found) {
  const byRow = new Map();
  for (const one of found) {
    if (!byRow.has(one.row)) byRow.set(one.row, []);
    byRow.get(one.row).push(one);
  }
  return byRow;
}

/** The stretch of text between two offsets. */
function range(node, start, end) {
  const made = document.createRange();
  const walker = document.createTreeWalker(node, NodeFilter.SHOW_TEXT);
  for (let offset = 0, text; (text = walker.nextNode()); offset += text.length) {
    if (offset <= start && start < offset + text.length) made.setStart(text, start - offset);
    if (offset < end && end <= offset + text.length) {
      made.setEnd(text, end - offset);
      break;
    }
  }
  return made;
}
