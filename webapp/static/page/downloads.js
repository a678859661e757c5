// Taking the results along.

import { address, description, formats, request } from "./api.js";
import { announce, button, el, notice } from "./dom.js";

/** Buttons for every format, and the recording. */
export async function downloads(job) {
  const [there, document] = await Promise.all([formats(), description()]);
  const presets = document.components.schemas.JobForm.properties.subtitle_preset?.enum ?? [];
  const style = el("select", { "aria-label": "Subtitle style" }, el("option", { value: "" }, "as sent"), presets.map((name) => el("option", { value: name }, name)));
  const get = (format) => async (event) => {
    const pressed = event.currentTarget;
    pressed.disabled = true;
    try {
      const look = style.value ? `&subtitle_preset=${encodeURIComponent(style.value)}` : "";
      const answer = await request(`v1/jobs/${job.id}/transcript?format=${encodeURIComponent(format)}&download=1${look}`);
      save(await answer.blob(), fileName(answer, `transcript.${format}`));
    } catch (error) {
      notice(error);
    } finally {
      pressed.disabled = false;
    }
  };
  return el("div", { class: "downloads", role: "group", "aria-label": "Downloads" },
    el("span", { class: "label" }, "Download"),
    ordered(there).map((format) => button(format.toUpperCase(), get(format), { "data-format": format })),
    el("label", { class: "style" }, "Subtitles ", style),
    // The player's ticket opens this too; the browser writes it to the disk as it comes.
    el("a", { class: "button", href: address(`v1/jobs/${job.id}/audio?download=1`), download: "" }, "Recording"));
}

/** Those that people take most often first. */
function ordered(there) {
  const first = ["srt", "vtt", "txt"].filter((name) => there.includes(name));
  return [...first, ...there.filter((name) => !first.includes(name))];
}

/** A button that copies the text, with the speakers' names if there are several. */
export function copyButton(transcript, name) {
  return button("Copy text", async () => {
    try {
      await copy(plain(transcript, name));
      announce("Copied");
    } catch {
      notice("The browser does not let the text be copied; download it as TXT.");
    }
  });
}

function plain(transcript, name) {
  const parts = [];
  let speaker = null;
  for (const one of transcript.segments) {
    if (one.speaker && one.speaker !== speaker) parts.push(`${parts.length ? "\n" : ""}${name(one.speaker)}:`);
    speaker = one.speaker ?? speaker;
    parts.push(one.text);
  }
  return parts.join("\n");
}

async function copy(text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  // Without https there is no clipboard but this one.
  const field = el("textarea", { class: "unseen", readonly: true });
  field.value = text;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  if (!done) throw new Error("refused");
}

function save(blob, name) {
  const link = el("a", { href: URL.createObjectURL(blob), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function fileName(answer, fallback) {
  const header = answer.headers.get("Content-Disposition") ?? "";
  const found = /filename\*=UTF-8''([^;]+)/i.exec(header)?.[1];
  try {
    return found ? decodeURIComponent(found) : fallback;
  } catch {
    return fallback;
  }
}
