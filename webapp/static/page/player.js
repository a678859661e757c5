// Listening to the recording. The player gets a ticket for this one recording, because it cannot send the key.

import { address, Refusal, request } from "./api.js";
import { button, el } from "./dom.js";

const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 2];
const BACK = 5;
const RETRIES = 3;

export class Player {
  /** A player for a job's recording, silenced by the signal. `onmove(seconds)` is called while it plays and when it jumps. */
  constructor(job, signal) {
    this.job = job;
    this.signal = signal;
    this.path = `v1/jobs/${job.id}/audio`;
    this.onmove = () => {};
    this.tries = 0;
    this.message = el("p", { class: "hint", role: "status" });
    this.frame = el("div", { class: "media" });
    const speed = el("select", { "aria-label": "Speed", onchange: () => this.media && (this.media.playbackRate = Number(speed.value)) },
      SPEEDS.map((one) => el("option", { value: one, selected: one === 1 }, `${one}×`)));
    this.controls = el("div", { class: "buttons", hidden: true }, button(`Back ${BACK} s`, () => this.seek(Math.max(0, this.media.currentTime - BACK), false)), speed);
    this.node = el("section", { class: "player card", "aria-label": "Player" }, this.frame, this.controls, this.message);
    signal.addEventListener("abort", () => this.close());
    this.open();
  }

  async open() {
    try {
      const head = await request(this.path, { method: "HEAD", signal: this.signal });
      const video = head.headers.get("Content-Type")?.startsWith("video/");
      await this.ticket();
      this.make(video);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.message.textContent = error.status === 404 ? "The recording is not kept any more; the transcript is." : error.message;
    }
  }

  ticket() {
    return request(`${this.path}/ticket`, { method: "POST", signal: this.signal });
  }

  make(video) {
    this.media = el(video ? "video" : "audio", {
      controls: true, preload: "metadata", playsinline: true, "aria-label": `Recording: ${this.job.source.name}`,
      onplay: () => this.run(), onseeked: () => this.onmove(this.media.currentTime), onerror: () => this.mend(),
      onloadedmetadata: () => this.loaded(),
    });
    this.media.src = address(this.path);
    this.frame.replaceChildren(this.media);
    this.controls.hidden = false;
  }

  loaded() {
    this.message.textContent = "";
    // Sound in a container for video shows no picture.
    if (this.media.videoWidth === 0) this.media.classList.add("sound-only");
    this.wanted?.();
    this.wanted = null;
  }

  /** The ticket may have run out, or the connection broken: go on from there, a few times. */
  async mend() {
    const { error, currentTime, paused } = this.media;
    if (this.signal.aborted || error === null) return;
    if (error.code === MediaError.MEDIA_ERR_DECODE || this.tries++ >= RETRIES) {
      this.message.textContent = "This browser cannot play the recording; download it to listen to it elsewhere.";
      return;
    }
    try {
      await this.ticket();
    } catch (refusal) {
      if (!(refusal instanceof Refusal)) throw refusal;
      this.message.textContent = refusal.message;
      return;
    }
    this.wanted = () => ((this.media.currentTime = currentTime), paused || this.media.play());
    this.media.load();
  }

  /** Go to a time, and play from there. */
  seek(time, play = true) {
    if (!this.media) return;
    const go = () => {
      this.media.currentTime = time;
      // Refused only where the browser wants a click on the player first.
      if (play) this.media.play().catch(() => {});
    };
    if (this.media.readyState >= HTMLMediaElement.HAVE_METADATA) go();
    else this.wanted = go;
  }

  run() {
    const step = () => {
      if (!this.media || this.media.paused) return;
      this.tries = 0;
      this.onmove(this.media.currentTime);
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  close() {
    this.media?.pause();
    this.media?.removeAttribute("src");
    this.media?.load();
    this.media = null;
  }
}
