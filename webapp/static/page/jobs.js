// The list of the caller's jobs.

import { json, pause, Refusal, request } from "./api.js";
import { announce, button, confirmed, el, notice, setText } from "./dom.js";
import { ACTIVE, day, doing, percent, size, span, STATUS } from "./words.js";

const PAGE = 25;
const MOST = 200;
const QUICK = 2.5;
const SLOW = 15;

/** The list, kept up to date until the signal. */
export function jobList(signal) {
  const list = new List(signal);
  list.watch();
  return { node: list.node, refresh: () => list.load() };
}

class List {
  constructor(signal) {
    this.signal = signal;
    this.rows = new Map();
    this.further = new Set(); // ids beyond what one question can ask for; they are shown as they were
    this.wanted = PAGE;
    this.cursor = null;
    this.turn = 0;
    const states = [["", "All"], ...Object.entries(STATUS)];
    this.filter = el("select", { id: "status", onchange: () => this.anew() }, states.map(([value, text]) => el("option", { value }, text)));
    this.list = el("ul", { class: "jobs" });
    this.empty = el("p", { class: "hint", hidden: true });
    this.older = button("Show older", () => this.more(), { hidden: true });
    this.node = el("section", { "aria-labelledby": "jobs-title" },
      el("div", { class: "title-row" }, el("h2", { id: "jobs-title" }, "Recordings"), el("label", { for: "status", class: "unseen" }, "Show only"), this.filter),
      this.list, this.empty, this.older);
  }

  async watch() {
    await this.load(false);
    for (;;) {
      const active = [...this.rows.values()].some((row) => ACTIVE.has(row.job.status));
      await pause(active ? QUICK : SLOW, this.signal);
      if (!document.hidden) await this.load(true);
    }
  }

  /** Ask for all that is shown. */
  async load(quiet = false) {
    const turn = ++this.turn;
    const query = new URLSearchParams({ limit: Math.min(this.wanted, MOST) });
    if (this.filter.value) query.set("status", this.filter.value);
    try {
      const page = await json(`v1/jobs?${query}`, { quiet, signal: this.signal });
      if (turn !== this.turn) return; // a later question was asked meanwhile
      this.draw(page);
      if (this.troubled) notice(null);
      this.troubled = false;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.troubled = true;
      notice(error);
      if (error.retryAfter) await pause(error.retryAfter, this.signal);
    }
  }

  /** Another question altogether. */
  anew() {
    this.rows.clear();
    this.further.clear();
    this.list.replaceChildren();
    this.wanted = PAGE;
    this.load();
  }

  draw(page) {
    const ids = new Set(page.jobs.map((job) => job.id));
    for (const id of ids) this.further.delete(id);
    for (const [id, row] of this.rows) {
      if (ids.has(id) || this.further.has(id)) continue;
      row.node.remove();
      this.rows.delete(id);
    }
    page.jobs.forEach((job, n) => {
      const row = this.row(job);
      if (this.list.children[n] !== row.node) this.list.insertBefore(row.node, this.list.children[n] ?? null);
    });
    if (!this.further.size) this.cursor = page.next_cursor;
    this.finish();
  }

  async more() {
    if (this.wanted < MOST) {
      this.wanted = Math.min(this.wanted + PAGE, MOST);
      await this.load();
      return;
    }
    const query = new URLSearchParams({ limit: PAGE, cursor: this.cursor });
    if (this.filter.value) query.set("status", this.filter.value);
    const page = await json(`v1/jobs?${query}`, { signal: this.signal });
    for (const job of page.jobs) {
      this.further.add(job.id);
      this.list.append(this.row(job).node);
    }
    this.cursor = page.next_cursor;
    this.finish();
  }

  finish() {
    this.older.hidden = this.cursor === null;
    this.empty.hidden = this.rows.size > 0;
    setText(this.empty, this.filter.value ? "There are none in this state." : "Nothing yet. What you send appears here, and nobody else's key sees it.");
  }

  row(job) {
    const row = this.rows.get(job.id) ?? new Row(job, () => this.load());
    this.rows.set(job.id, row);
    row.update(job);
    return row;
  }
}

class Row {
  constructor(job, changed) {
    this.changed = changed;
    this.name = el("a", { class: "name", href: `#/jobs/${job.id}`, dir: "auto" });
    this.badge = el("span");
    this.facts = el("span", { class: "hint facts" });
    this.bar = el("progress", { max: 1, value: 0, "aria-label": `Progress of ${job.source.name}` });
    this.state = el("span", { class: "hint" });
    this.live = el("div", { class: "live" }, this.bar, this.state);
    this.error = el("p", { class: "error" });
    this.actions = el("div", { class: "buttons" });
    this.node = el("li", { class: "card job" }, el("div", { class: "line" }, this.name, this.badge), this.facts, this.live, this.error, this.actions);
  }

  update(job) {
    const before = this.job?.status;
    this.job = job;
    const { name, bytes, duration } = job.source;
    setText(this.name, name);
    setText(this.facts, [duration === null ? null : span(duration), bytes ? size(bytes) : null, day(job.created_at)].filter(Boolean).join(" · "));
    const active = ACTIVE.has(job.status);
    this.live.hidden = !active;
    if (active) {
      this.bar.value = job.progress;
      setText(this.state, job.status === "running" ? `${percent(job.progress)} · ${doing(job)}` : doing(job));
    }
    this.error.hidden = job.error === null;
    setText(this.error, job.error?.detail ?? "");
    if (before === job.status) return;
    this.badge.className = `badge ${job.status}`;
    setText(this.badge, STATUS[job.status]);
    this.actions.replaceChildren(...actions(job, this.changed));
    if (before !== undefined && !active) announce(`${name}: ${STATUS[job.status]}`);
  }
}

/** What can be done with a job as it is: buttons. changed: called when something was done. */
export function actions(job, changed, deleted = changed) {
  const name = job.source.name;
  const act = (path, options) => async (event) => {
    const pressed = event.currentTarget;
    pressed.disabled = true;
    try {
      await request(`v1/jobs/${job.id}${path}`, options);
      await changed();
    } catch (error) {
      notice(error);
    } finally {
      pressed.disabled = false;
    }
  };
  const remove = async () => {
    const running = ACTIVE.has(job.status) ? " It is stopped first." : "";
    if (!(await confirmed(`Delete ${name}, its transcript and its files for good?${running}`, "Delete"))) return;
    try {
      await request(`v1/jobs/${job.id}`, { method: "DELETE" });
      announce(`${name} was deleted`);
      await deleted();
    } catch (error) {
      notice(error);
    }
  };
  const post = { method: "POST" };
  const made = [];
  if (ACTIVE.has(job.status)) made.push(button("Cancel", act("/cancel", post), { "aria-label": `Cancel ${name}` }));
  if (job.status === "failed" || job.status === "cancelled") made.push(button("Try again", act("/retry", post), { "aria-label": `Try ${name} again` }));
  made.push(button("Delete", remove, { class: "plain", "aria-label": `Delete ${name}` }));
  return made;
}
