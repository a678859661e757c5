// Asking the server, with the key, and its refusals as sentences.

import { ask, key } from "./key.js";

/** The server said no, or could not be reached (status 0). */
export class Refusal extends Error {
  constructor(status, detail, { code = "", retryAfter = null } = {}) {
    super(detail);
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }

  /** Whether the same may well work later. */
  get passing() {
    return [0, 408, 423, 429, 502, 503, 504].includes(this.status) || (this.status === 409 && this.retryAfter !== null);
  }
}

/** The address of a path of the API, wherever the page itself is. */
export function address(path) {
  return new URL(path, document.baseURI).href;
}

export function withKey(headers = {}) {
  return key() === null ? headers : { ...headers, Authorization: `Bearer ${key()}` };
}

/**
 * Ask the server; resolves to a good answer (2xx).
 * quiet: never ask a person for a key, as when nobody did anything just now.
 */
export async function request(path, { quiet = false, headers = {}, ...options } = {}) {
  for (;;) {
    const [used, since] = [key(), performance.now()];
    let answer;
    try {
      answer = await fetch(address(path), { ...options, headers: withKey(headers), cache: "no-store", credentials: "same-origin" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw unreachable();
    }
    if (answer.ok) return answer;
    const refusal = await refusalOf(answer.status, () => answer.text(), (name) => answer.headers.get(name));
    if (quiet || !(await anotherKey(refusal, used, since))) throw refusal;
  }
}

export async function json(path, options) {
  return (await request(path, options)).json();
}

/** Whether it is worth asking again, because there is another key by now. */
export async function anotherKey(refusal, used, since) {
  if (refusal.status !== 401 && refusal.status !== 403) return false;
  // Without a key the server tells programs which header it wants.
  if (key() !== used) return true;
  return ask(used === null ? "This server wants to know who sends recordings." : refusal.message, since);
}

export function unreachable() {
  return new Refusal(0, "The server cannot be reached; check the connection, then try again.");
}

/** What an answer that is no good says. */
export async function refusalOf(status, text, header) {
  const seconds = Number.parseInt(header("Retry-After") ?? "", 10);
  const retryAfter = Number.isFinite(seconds) ? seconds : null;
  let [detail, code] = ["", ""];
  try {
    const body = JSON.parse(await text());
    detail = body.detail ?? body.error?.message ?? "";
    code = body.code ?? body.error?.code ?? "";
  } catch {
    // A proxy's own page; the status has to do.
  }
  if (typeof detail !== "string" || detail === "") detail = `The server answered ${status}; try again later, or tell its operator.`;
  if (retryAfter !== null && (status === 429 || status === 503)) detail += ` (In ${retryAfter} s.)`;
  return new Refusal(status, detail, { code, retryAfter });
}

let described = null;

/** The API's own description; asked for once. */
export function description() {
  described ??= json("openapi.json", { quiet: true }).catch((error) => {
    described = null;
    throw error;
  });
  return described;
}

/** The formats a transcript can be had in. */
export async function formats() {
  const operation = (await description()).paths["/v1/jobs/{job_id}/transcript"].get;
  return operation.parameters.find((one) => one.name === "format").schema.enum;
}

export function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => (clearTimeout(timer), reject(new DOMException("stopped", "AbortError")));
    const timer = setTimeout(() => (signal?.removeEventListener("abort", stop), resolve()), seconds * 1000);
    if (signal?.aborted) stop();
    else signal?.addEventListener("abort", stop, { once: true });
  });
}
