// The text, which may have a hundred thousand words: words become elements only near what is seen.
// Rows stand in blocks, because what is watched and left out of drawing costs something each.

import { el, reducedMotion } from "./dom.js";
import { colour } from "./speakers.js";
import { clock } from "./words.js";

const UNSURE = 0.5;
const BLOCK = 40;
const BATCH = 10 * BLOCK;
/** How long people who scroll themselves are left alone, in ms. */
const LEAVE_ALONE = 5000;
/** How many people speak at the same time at most: each has a channel. */
const AT_ONCE = 16;

export class TranscriptView {
  /** seek(seconds): called when a word or a time is chosen. */
  constructor({ seek = null }) {
    this.seek = seek;
    this.onspeaker = () => {};
    this.changed = () => {}; // for the search: a row's text was drawn anew
    this.rows = [];
    this.names = (id) => id;
    this.places = []; // ids of the speakers, in order
    this.now = { row: null, word: null };
    this.alone = 0;
    this.blocks = [];
    this.list = el("div", { class: "transcript", onclick: (event) => this.clicked(event) });
    this.node = el("section", { "aria-label": "Transcript" }, this.list);
    const follow = el("input", { type: "checkbox", checked: true, onchange: () => (this.following = follow.checked) });
    this.following = true;
    this.controls = el("label", { class: "toggle" }, follow, "Follow along");
    this.seen = new IntersectionObserver((entries) => entries.forEach((one) => this.near(one.target, one.isIntersecting)), { rootMargin: "600px" });
    for (const kind of ["wheel", "touchmove"]) this.list.addEventListener(kind, () => (this.alone = Date.now() + LEAVE_ALONE), { passive: true });
  }

  /** Show a whole transcript. */
  async set(transcript, names) {
    this.names = names;
    this.places = transcript.speakers.map((one) => one.id);
    this.language = transcript.language;
    for (let n = 0; n < transcript.segments.length; n += BATCH) {
      this.add(transcript.segments.slice(n, n + BATCH));
      if (n + BATCH < transcript.segments.length) await new Promise((next) => setTimeout(next));
    }
  }

  /** Add segments at the end; those that are there already are left out. */
  add(segments) {
    for (const segment of segments) {
      if (segment.id < this.rows.length) continue;
      if (this.rows.length % BLOCK === 0) this.begin();
      const row = this.make(segment);
      this.blocks.at(-1).node.append(row.node);
      if (this.blocks.at(-1).near) this.draw(row);
    }
  }

  begin() {
    const node = el("ol", { "data-block": this.blocks.length, start: this.rows.length + 1 });
    this.blocks.push({ node, near: false });
    this.list.append(node);
    this.seen.observe(node);
  }

  make(segment) {
    const before = this.rows.at(-1)?.segment;
    const row = { segment, n: this.rows.length, drawn: false, text: text(segment) };
    const time = clock(segment.start);
    row.body = el("p", { dir: "auto", lang: segment.language ?? this.language ?? null }, row.text);
    row.speaker = segment.speaker && segment.speaker !== before?.speaker ? this.label(segment.speaker) : null;
    row.node = el("li", { "data-row": row.n, class: this.colour(segment.speaker) }, row.speaker,
      this.seek ? el("button", { type: "button", class: "time", "aria-label": `Play from ${time}` }, time) : el("span", { class: "time" }, time), row.body);
    this.rows.push(row);
    return row;
  }

  /** Who speaks from here on; with a name that can be changed once the job is done. */
  label(id) {
    const attributes = this.seek ? { type: "button", title: "Rename" } : {};
    return el(this.seek ? "button" : "span", { ...attributes, class: "speaker" }, this.names(id));
  }

  colour(id) {
    if (id && !this.places.includes(id)) this.places.push(id); // under way, nobody knows yet how many will come
    return colour(this.places.indexOf(id));
  }

  near(node, is) {
    const n = Number(node.dataset.block);
    this.blocks[n].near = is;
    for (const row of this.rows.slice(n * BLOCK, (n + 1) * BLOCK)) {
      if (is) this.draw(row);
      else if (row.drawn && this.now.row !== row) this.undraw(row);
    }
  }

  draw(row) {
    if (row.drawn || !row.segment.words?.length) return;
    row.drawn = true;
    row.words = row.segment.words.map((word, n) => {
      const unsure = word.probability < UNSURE;
      return el("span", { class: unsure ? "word unsure" : "word", "data-word": n, title: unsure ? `Sure to ${Math.round(word.probability * 100)} %` : null }, word.word.trim());
    });
    // The spaces between words are nobody's.
    row.body.replaceChildren(...row.words.flatMap((node, n) => {
      const { word } = row.segment.words[n];
      return [n ? /^\s*/.exec(word)[0] : "", node, /\S(\s*)$/.exec(word)?.[1] ?? ""];
    }));
    this.changed(row);
  }

  undraw(row) {
    row.drawn = false;
    row.words = null;
    row.body.replaceChildren(row.text);
    this.changed(row);
  }

  clicked(event) {
    const row = this.rows[Number(event.target.closest("[data-row]")?.dataset.row)];
    if (!row) return;
    if (event.target.closest(".speaker")) this.onspeaker(row.segment.speaker, row.speaker);
    else if (!this.seek || !getSelection().isCollapsed) return; // somebody marks text to copy it
    else if (event.target.dataset.word) this.seek(row.segment.words[Number(event.target.dataset.word)].start);
    else if (event.target.closest(".time")) this.seek(row.segment.start);
  }

  /** The row of what is being said; of several people at once, of the one who began last. */
  at(time) {
    const begun = last(this.rows, (one) => one.segment.start <= time);
    for (let n = begun; n >= 0 && n > begun - AT_ONCE; n--) if (this.rows[n].segment.end >= time) return this.rows[n];
    return this.rows[begun] ?? null;
  }

  /** Mark what is being said at a time. */
  follow(time) {
    const row = this.at(time);
    if (row !== this.now.row) this.moveTo(row);
    if (!row?.segment.words?.length) return;
    this.draw(row);
    const word = row.words[last(row.segment.words, (one) => one.start <= time)] ?? null;
    if (word === this.now.word) return;
    this.now.word?.classList.remove("now");
    word?.classList.add("now");
    this.now.word = word;
  }

  moveTo(row) {
    this.now.row?.node.classList.remove("now");
    this.now.row?.node.removeAttribute("aria-current");
    this.now.word?.classList.remove("now");
    this.now = { row, word: null };
    row?.node.classList.add("now");
    row?.node.setAttribute("aria-current", "true");
    if (row && this.following && Date.now() > this.alone) this.show(row);
  }

  /** Bring a row into sight unless it is there. */
  show(row) {
    const { top, bottom } = row.node.getBoundingClientRect();
    if (top > innerHeight * 0.25 && bottom < innerHeight * 0.8) return;
    const far = Math.abs(top) > 2 * innerHeight;
    row.node.scrollIntoView({ block: "center", behavior: far || reducedMotion() ? "auto" : "smooth" });
    // Rows that were never drawn have guessed heights; once they are drawn, it may be elsewhere.
    if (far) requestAnimationFrame(() => row.node.scrollIntoView({ block: "center" }));
  }

  /** Speakers have other names now. */
  rename(names) {
    this.names = names;
    for (const row of this.rows) if (row.speaker) row.speaker.textContent = names(row.segment.speaker);
  }

  /** What the marks mean, if there are any. */
  legend(transcript) {
    if (!transcript.segments.some((one) => one.words?.some((word) => word.probability < UNSURE))) return null;
    return el("span", {}, " · ", el("span", { class: "word unsure" }, "dotted"), ": not sure");
  }
}

/** A segment's text as its words spell it. */
function text(segment) {
  return segment.words?.length ? segment.words.map((one) => one.word).join("").trimStart() : segment.text;
}

/** Index of the last item that the test holds for; items begin with those it holds for. */
function last(items, test) {
  let [low, high] = [0, items.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (test(items[middle])) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
