// Following a job. EventSource cannot send the key, so the stream is read by hand; where there is none, by asking.

import { json, pause, Refusal, request } from "./api.js";
import { ACTIVE } from "./words.js";

const HIDDEN = 10;

/**
 * Follow a job until it is over or the signal.
 * on.job(job): the whole job; on.progress(part): what changed of it; on.segment(segment); on.trouble(refusal or null).
 */
export async function follow(id, on, signal) {
  let [last, streams, troubles] = ["", true, 0];
  while (!signal.aborted) {
    try {
      if (document.hidden || !streams) {
        // A hidden tab must not hold one of the few connections that a browser makes to one server.
        const wait = document.hidden ? "" : "?wait=20";
        const job = await json(`v1/jobs/${id}${wait}`, { quiet: true, signal });
        on.job(job);
        if (!ACTIVE.has(job.status)) return;
        await pause(document.hidden ? HIDDEN : 0.5, wakeOnShow(signal)).catch(() => signal.throwIfAborted());
      } else {
        last = await stream(id, last, on, signal);
        if (last === null) return;
        await pause(1, signal);
      }
      if (troubles) on.trouble((troubles = 0) || null);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof Refusal)) throw error;
      if (error.status === 404 && streams) {
        streams = false; // an older server; should the job be gone, asking for it says so
        continue;
      }
      on.trouble(error);
      if (!error.passing) return;
      await pause(Math.max(error.retryAfter ?? 0, Math.min(2 ** troubles++, 15)), signal);
    }
  }
}

/** Ends early when the tab is shown again. */
function wakeOnShow(signal) {
  const woken = new AbortController();
  document.addEventListener("visibilitychange", () => woken.abort(), { once: true });
  signal.addEventListener("abort", () => woken.abort(), { once: true });
  return woken.signal;
}

/** Read events until the stream ends; the last id that was seen, or null when the job is over. */
async function stream(id, last, on, signal) {
  const stop = new AbortController();
  const hide = () => document.hidden && stop.abort();
  const end = () => stop.abort();
  document.addEventListener("visibilitychange", hide);
  signal.addEventListener("abort", end, { once: true });
  try {
    const headers = { Accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) };
    const answer = await request(`v1/jobs/${id}/events`, { quiet: true, headers, signal: stop.signal });
    if (answer.status === 204) return null;
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    const parser = new Parser();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return last;
      for (const event of parser.take(value)) {
        if (event.id !== "") last = event.id;
        if (told(event, on)) return null;
      }
    }
  } catch (error) {
    signal.throwIfAborted();
    // It broke off, or was let go because the tab was hidden: go on from there.
    if (error instanceof Refusal) throw error;
    return last;
  } finally {
    stop.abort();
    document.removeEventListener("visibilitychange", hide);
    signal.removeEventListener("abort", end);
  }
}

/** Pass an event on; whether it was the last. */
function told({ name, data }, on) {
  const value = JSON.parse(data);
  if (name === "segment") on.segment(value);
  else if (name === "progress") on.progress(value);
  else on.job(value);
  return name === "done" || name === "failed" || name === "cancelled";
}

class Parser {
  rest = "";

  /** The events that are complete with this text. */
  *take(text) {
    this.rest += text;
    for (let end; (end = this.rest.indexOf("\n\n")) >= 0; ) {
      const block = this.rest.slice(0, end);
      this.rest = this.rest.slice(end + 2);
      const event = { id: "", name: "message", data: "" };
      for (const line of block.split("\n")) {
        if (line.startsWith("id: ")) event.id = line.slice(4);
        else if (line.startsWith("event: ")) event.name = line.slice(7);
        else if (line.startsWith("data: ")) event.data += line.slice(6);
      }
      if (event.data) yield event;
    }
  }
}
