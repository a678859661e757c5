// Numbers, times and states as people read them.

export const STATUS = { queued: "Waiting", running: "Running", done: "Done", failed: "Failed", cancelled: "Cancelled" };
export const ACTIVE = new Set(["queued", "running"]);

const STAGES = {
  fetch: "Fetching the recording",
  normalise: "Reading the recording",
  chunk: "Finding the speech",
  detect_language: "Detecting the language",
  transcribe: "Transcribing",
  merge: "Joining the parts",
  diarise: "Telling speakers apart",
  export: "Writing the files",
};

export function stageName(stage) {
  return STAGES[stage] ?? sentence(stage.replaceAll("_", " "));
}

export function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1).toLowerCase();
}

/** 3723 -> 1:02:03 */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n) => String(n).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** 3723 -> 1 h 2 min */
export function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.round(whole / 60);
  if (minutes < 60) return `${minutes} min`;
  return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
}

export function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let [value, unit] = [bytes, 0];
  while (value >= 1000 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${value < 10 && unit > 0 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

export function percent(fraction) {
  // Not 100 before it is done.
  return `${Math.floor(fraction * 100)} %`;
}

export function day(iso) {
  return new Date(iso).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

export function languageName(code, fallback = code) {
  try {
    return sentence(new Intl.DisplayNames(undefined, { type: "language", fallback: "none" }).of(code) ?? fallback);
  } catch {
    return sentence(fallback);
  }
}

/** What a job that is under way is doing, in a few words. */
export function doing(job) {
  if (job.status === "queued") return job.queue_position ? `Waiting, number ${job.queue_position} in the queue` : "Waiting";
  const step = job.steps.find((one) => one.status === "running") ?? job.steps.find((one) => one.status === "pending");
  const what = step ? stageName(step.stage) : "Running";
  return job.eta_seconds === null ? what : `${what}, about ${span(job.eta_seconds)} left`;
}
