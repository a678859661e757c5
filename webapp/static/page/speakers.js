// Who speaks: names, shown and changed in place.

import { request } from "./api.js";
import { announce, button, el, notice } from "./dom.js";
import { span } from "./words.js";

const LONGEST = 100;
const COLOURS = 6;

/** Class for the colour of a speaker, by the place among all; the name says the same. */
export function colour(place) {
  return place < 0 ? null : `voice-${place % COLOURS}`;
}

/**
 * The speakers of a transcript.
 * renamed(name): called with the new way to name a speaker by id.
 */
export function speakerList(job, transcript, renamed) {
  const speakers = new Map(transcript.speakers.map((one) => [one.id, one]));
  const name = (id) => speakers.get(id)?.name ?? id;
  const labels = new Map();
  const list = el("ul", { class: "speakers", "aria-label": "Speakers" }, [...speakers.values()].map((one, place) => {
    const label = button("", () => edit(one.id, label), { class: "speaker", title: "Rename" });
    labels.set(one.id, label);
    return el("li", { class: colour(place) }, label, el("span", { class: "hint" }, ` ${span(one.seconds)}`));
  }));
  const draw = () => labels.forEach((label, id) => {
    label.textContent = name(id);
    label.setAttribute("aria-label", `Rename ${name(id)}`);
  });
  const edit = (id, label) => rename(label, name(id), async (text) => {
    const answer = await request(`v1/jobs/${job.id}/speakers`, {
      method: "PATCH", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ [id]: text || null }),
    });
    for (const one of (await answer.json()).speakers) speakers.set(one.id, one);
    draw();
    renamed(name);
    announce(`Renamed to ${name(id)}`);
  });
  draw();
  return { node: speakers.size ? list : null, name, edit };
}

/** Put a field where a name stands until there is another, or Escape. */
function rename(label, before, save) {
  const field = el("input", { class: "rename", value: before, maxlength: LONGEST, "aria-label": `New name for ${before}; empty for the usual one` });
  let over = false;
  const end = () => {
    over = true;
    field.replaceWith(label);
    label.focus();
  };
  const accept = async () => {
    if (over) return;
    const text = field.value.trim();
    end();
    if (text === before) return;
    try {
      await save(text);
    } catch (error) {
      notice(error);
    }
  };
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== "Escape") return;
    event.preventDefault(); // else the key presses the name, which has the focus from here on, and asks anew
    if (event.key === "Enter") accept();
    else end();
  });
  field.addEventListener("blur", accept);
  label.replaceWith(field);
  field.select();
}
