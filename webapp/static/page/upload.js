// Sending recordings: small ones in one request, large ones in pieces that survive a lost connection (tus 1.0.0).

import { address, anotherKey, json, pause, Refusal, refusalOf, request, unreachable, withKey } from "./api.js";
import { key } from "./key.js";

export const LARGE = 16 * 1024 * 1024;
const PIECE = 16 * 1024 * 1024;
const TRIES = 8;
const TUS = { "Tus-Resumable": "1.0.0" };
const KEPT = "longhand-upload:";

/**
 * Send a file; resolves to its job.
 * told({ sent, total, waiting, lost }): bytes that have arrived; for how many seconds it waits before it tries again, and
 * whether that is because the server cannot be reached.
 */
export async function send(file, fields, { told, signal }) {
  const limit = await resumable();
  if (limit !== null && file.size > limit) throw new Refusal(413, `The file is too large: at most ${Math.floor(limit / 1048576)} MB here.`);
  if (limit === null || file.size <= LARGE) return whole(file, fields, { told, signal });
  const id = await inPieces(file, { told, signal });
  const { upload, name } = await taken(id);
  if (!upload) return json(`v1/jobs/${id}`);
  const job = await post(fields, [["upload", id]], { signal });
  localStorage.removeItem(name ?? keptAs(file));
  return job;
}

/** Send an address from which the server fetches the recording. */
export function sendAddress(url, fields, { signal }) {
  return post(fields, [["url", url]], { signal });
}

function post(fields, extra, { signal }) {
  return patiently(
    (headers) => request("v1/jobs", { method: "POST", headers, body: form(fields, extra), signal }).then((answer) => answer.json()),
    { signal },
  );
}

function whole(file, fields, { told, signal }) {
  return patiently(
    async (headers) => JSON.parse((await xhr("POST", "v1/jobs", form(fields, [["file", file, file.name]]), {
      headers, signal, sent: (bytes) => told({ sent: Math.min(bytes, file.size), total: file.size }),
    })).text),
    { signal, told: (news) => told({ sent: 0, total: file.size, ...news }) },
  );
}

function form(fields, extra) {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) data.append(name, value);
  for (const part of extra) data.append(...part);
  return data;
}

/** Try until it works or waiting does not help; the same Idempotency-Key makes that one job. */
async function patiently(work, { signal, told = () => {} }) {
  const headers = { "Idempotency-Key": random() };
  for (let tries = 1; ; tries++) {
    try {
      return await work(headers);
    } catch (error) {
      if (!(error instanceof Refusal && error.passing) || tries >= TRIES || error.retryAfter > 120) throw error;
      const seconds = error.retryAfter ?? Math.min(2 ** tries, 30);
      told({ waiting: seconds, lost: error.status === 0 });
      await rest(seconds, signal);
    }
  }
}

/** How large a resumable upload may be; null: the server has none. */
let asked = null;
function resumable() {
  asked ??= fetch(address("v1/uploads"), { method: "OPTIONS", cache: "no-store" }).then(
    (answer) => (answer.ok && answer.headers.has("Tus-Version") ? Number(answer.headers.get("Tus-Max-Size")) || Infinity : null),
    () => ((asked = null), null),
  );
  return asked;
}

function keptAs(file) {
  return `${KEPT}${[file.name, file.size, file.lastModified].join("/")}`;
}

/** Send a file in pieces, going on where an earlier attempt stopped; resolves to the upload's id. */
async function inPieces(file, { told, signal }) {
  const name = keptAs(file);
  let id = localStorage.getItem(name);
  let offset = null;
  for (let tries = 0; ; ) {
    const before = offset ?? 0;
    try {
      if (id === null) [id, offset] = [await begin(file, signal), 0];
      localStorage.setItem(name, id);
      offset ??= await arrived(id, file, signal);
      told({ sent: offset, total: file.size });
      while (offset < file.size) {
        offset = await piece(id, file, offset, { told, signal });
        tries = 0;
      }
      return id;
    } catch (error) {
      if (error.name === "AbortError") throw error;
      if (!(error instanceof Refusal)) throw error;
      if (error.status === 404 || error.status === 410) {
        // It expired, or was another key's: from the beginning.
        localStorage.removeItem(name);
        if (tries++ >= TRIES) throw error;
        [id, offset] = [null, null];
        continue;
      }
      if (!(error.passing || error.status === 409) || tries++ >= TRIES) throw error;
      const seconds = Math.max(error.retryAfter ?? 0, error.status === 409 ? 0.2 : Math.min(2 ** tries / 2, 30));
      told({ sent: before, total: file.size, waiting: seconds, lost: error.status === 0 });
      await rest(seconds, signal);
      offset = null; // what arrived, the server knows
    }
  }
}

async function begin(file, signal) {
  const headers = { ...TUS, "Upload-Length": String(file.size), "Upload-Metadata": `filename ${base64(file.name || "recording")}` };
  const answer = await request("v1/uploads", { method: "POST", headers, signal });
  return new URL(answer.headers.get("Location"), address("")).pathname.split("/").pop();
}

async function arrived(id, file, signal) {
  const answer = await request(`v1/uploads/${id}`, { method: "HEAD", headers: TUS, signal });
  // Should another file of the same name and age have been meant, nobody may get a mixture of the two.
  if (Number(answer.headers.get("Upload-Length")) !== file.size) throw new Refusal(410, "The earlier upload was of another file; send it again.");
  return Number(answer.headers.get("Upload-Offset"));
}

async function piece(id, file, offset, { told, signal }) {
  const headers = { ...TUS, "Upload-Offset": String(offset), "Content-Type": "application/offset+octet-stream" };
  const sent = (bytes) => told({ sent: offset + bytes, total: file.size });
  const answer = await xhr("PATCH", `v1/uploads/${id}`, file.slice(offset, offset + PIECE), { headers, signal, sent });
  return Number(answer.header("Upload-Offset"));
}

/** Whether the upload can still be made a job: its job may be there already. */
async function taken(id) {
  const upload = await json(`v1/uploads/${id}`);
  const name = Object.keys(localStorage).find((one) => one.startsWith(KEPT) && localStorage.getItem(one) === id);
  return { upload: upload.job === null, name };
}

/** Give up what has arrived of a file. */
export async function giveUp(file) {
  const id = localStorage.getItem(keptAs(file));
  if (id === null) return;
  localStorage.removeItem(keptAs(file));
  await request(`v1/uploads/${id}`, { method: "DELETE", headers: TUS, quiet: true }).catch(() => {}); // it expires by itself
}

/** What fetch cannot: tell how much of the body is under way. */
async function xhr(method, path, body, { headers, signal, sent }) {
  for (;;) {
    const [used, since] = [key(), performance.now()];
    const answer = await once(method, path, body, { headers: withKey(headers), signal, sent });
    if (answer.status >= 200 && answer.status < 300) return answer;
    const refusal = await refusalOf(answer.status, async () => answer.text, answer.header);
    if (!(await anotherKey(refusal, used, since))) throw refusal;
  }
}

function once(method, path, body, { headers, signal, sent }) {
  return new Promise((resolve, reject) => {
    const call = new XMLHttpRequest();
    const stop = () => call.abort();
    const stopped = () => reject(new DOMException("stopped", "AbortError"));
    if (signal?.aborted) return stopped();
    call.open(method, address(path));
    for (const [name, value] of Object.entries(headers)) call.setRequestHeader(name, value);
    call.upload.onprogress = (event) => sent(event.loaded);
    call.onload = () => resolve({ status: call.status, text: call.responseText, header: (name) => call.getResponseHeader(name) });
    call.onerror = () => reject(unreachable());
    call.onabort = stopped;
    call.onloadend = () => signal?.removeEventListener("abort", stop);
    signal?.addEventListener("abort", stop, { once: true });
    call.send(body);
  });
}

/** Wait, but not longer than until the connection is back. */
async function rest(seconds, signal) {
  const back = new AbortController();
  const wake = () => back.abort();
  addEventListener("online", wake, { once: true });
  const either = AbortSignal.any ? AbortSignal.any([signal, back.signal].filter(Boolean)) : signal;
  try {
    await pause(seconds, either);
  } catch (error) {
    if (signal?.aborted) throw error;
  } finally {
    removeEventListener("online", wake);
  }
}

function random() {
  // randomUUID is there on https only.
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function base64(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}
