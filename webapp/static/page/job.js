// One job: how far it is, and what came out of it.

import { json, Refusal } from "./api.js";
import { announce, el, notice, setText } from "./dom.js";
import { copyButton, downloads } from "./downloads.js";
import { follow } from "./events.js";
import { actions } from "./jobs.js";
import { Player } from "./player.js";
import { searchBar } from "./search.js";
import { speakerList } from "./speakers.js";
import { TranscriptView } from "./transcript.js";
import { ACTIVE, day, doing, languageName, percent, size, span, stageName, STATUS } from "./words.js";

/** Show a job in main until the signal. */
export async function showJob(main, id, signal) {
  const back = el("p", { class: "back" }, el("a", { href: "#/" }, "← All recordings"));
  main.append(back);
  try {
    const job = await json(`v1/jobs/${id}`, { signal });
    const view = new JobView(job, signal);
    main.append(view.node);
    await view.run();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    main.append(el("p", { class: "error" }, error.message));
  }
}

class JobView {
  constructor(job, signal) {
    this.signal = signal;
    this.badge = el("span");
    this.facts = el("p", { class: "hint facts" });
    this.bar = el("progress", { max: 1, "aria-label": "Progress" });
    this.state = el("p", { class: "state" });
    this.steps = el("ol", { class: "steps", "aria-label": "Stages" });
    this.live = el("div", { class: "live card" }, this.bar, this.state, this.steps);
    this.error = el("p", { class: "error card" });
    this.warnings = el("ul", { class: "warnings" });
    this.actions = el("div", { class: "buttons" });
    this.result = el("div", { class: "result" });
    this.node = el("article", { class: "job-page" },
      el("div", { class: "title-row" }, el("h1", { dir: "auto" }, job.source.name), this.badge),
      el("div", { class: "title-row" }, this.facts, this.actions), this.error, this.warnings, this.live, this.result);
    this.update(job);
  }

  /** Follow the job to its end, however often it is tried again. */
  async run() {
    this.running = true;
    try {
      await this.watch();
    } finally {
      this.running = false;
    }
    if (this.job.status === "done") await this.showResult();
  }

  async watch() {
    while (ACTIVE.has(this.job.status)) {
      const text = new TranscriptView({});
      this.result.replaceChildren(text.node);
      await follow(this.job.id, {
        job: (job) => this.update(job),
        progress: (part) => this.update({ ...this.job, ...part }),
        segment: (segment) => text.add([segment]),
        trouble: (refusal) => notice(refusal),
      }, this.signal);
      if (ACTIVE.has(this.job.status)) return; // the message says why nothing more comes
      this.result.replaceChildren();
    }
  }

  async reload() {
    this.update(await json(`v1/jobs/${this.job.id}`, { signal: this.signal }));
    if (!this.running && ACTIVE.has(this.job.status)) await this.run();
  }

  update(job) {
    const before = this.job;
    this.job = job;
    const { bytes, duration, name } = job.source;
    const language = job.options.language && job.options.language !== "auto" ? languageName(job.options.language) : null;
    setText(this.facts, [duration === null ? null : span(duration), bytes ? size(bytes) : null, job.options.model, language, day(job.created_at)].filter(Boolean).join(" · "));
    const active = ACTIVE.has(job.status);
    this.live.hidden = !active;
    this.bar.value = job.progress;
    setText(this.state, job.status === "running" ? `${percent(job.progress)} · ${doing(job)}` : doing(job));
    if (active) this.drawSteps(job.steps);
    this.error.hidden = job.error === null;
    setText(this.error, job.error?.detail ?? "");
    this.warnings.replaceChildren(...job.warnings.map((one) => el("li", {}, one.detail)));
    document.title = active ? `${percent(job.progress)} ${name}` : `${name} · Longhand`;
    this.tell(before, job);
    if (before?.status === job.status) return;
    this.badge.className = `badge ${job.status}`;
    setText(this.badge, STATUS[job.status]);
    this.actions.replaceChildren(...actions(job, () => this.reload(), () => (location.hash = "#/")));
  }

  drawSteps(steps) {
    const rows = steps.map((step) => {
      const parts = step.total > 1 ? ` ${step.done} of ${step.total}` : "";
      const again = step.attempts > 1 ? `, attempt ${step.attempts}` : "";
      return el("li", { class: step.status, "aria-current": step.status === "running" ? "step" : null },
        el("span", {}, stageName(step.stage)), el("span", { class: "hint" }, `${parts}${again}`),
        el("span", { class: "unseen" }, `: ${step.status}`));
    });
    this.steps.replaceChildren(...rows);
  }

  /** Say aloud when something has really changed: not every percent. */
  tell(before, job) {
    if (!before) return;
    const quarter = (one) => Math.floor(one.progress * 4);
    if (before.status !== job.status) announce(`${STATUS[job.status]}${job.error ? `: ${job.error.detail}` : ""}`);
    else if (ACTIVE.has(job.status) && quarter(before) !== quarter(job)) announce(`${percent(job.progress)}: ${doing(job)}`);
  }

  async showResult() {
    this.result.replaceChildren(el("p", { class: "hint" }, "Loading the transcript …"));
    const transcript = await json(`v1/jobs/${this.job.id}/transcript`, { signal: this.signal });
    const player = new Player(this.job, this.signal);
    const text = new TranscriptView({ seek: (time) => player.seek(time) });
    const speakers = speakerList(this.job, transcript, (names) => text.rename(names));
    text.onspeaker = speakers.edit;
    player.onmove = (time) => text.follow(time);
    const search = searchBar(text);
    const facts = [languageName(transcript.language ?? ""), `${transcript.segments.length} paragraphs`].filter(Boolean);
    const parts = [
      player.node,
      el("div", { class: "tools" }, await downloads(this.job), copyButton(transcript, speakers.name)),
      speakers.node,
      el("div", { class: "tools" }, search.node, text.controls),
      el("p", { class: "hint" }, facts.join(" · "), text.legend(transcript)),
      text.node,
    ];
    this.result.replaceChildren(...parts.filter(Boolean));
    if (!transcript.segments.length) text.node.append(el("p", { class: "hint" }, "Nobody speaks in this recording."));
    await text.set(transcript, speakers.name);
  }
}
