// The options of a job, as form fields made from the API's own description, so that they are those there are.

import { address, description, formats, json, Refusal } from "./api.js";
import { el } from "./dom.js";
import { languageName, sentence } from "./words.js";

const FIRST = ["language", "model", "task", "diarise"];
// The recording itself, and what programs rather than people send.
const NOT_HERE = new Set([...FIRST, "file", "url", "upload", "webhook_url", "metadata"]);
// Names that programs made for another service bring along; here they all mean the usual model.
const FOREIGN = /^(whisper-1$|gpt-)/;
const KEPT = "longhand-options";
const LABELS = {
  language: "Language", model: "Model", task: "Result", diarise: "Tell speakers apart", channels: "Channels", num_speakers: "Number of speakers",
  min_speakers: "Speakers, at least", max_speakers: "Speakers, at most",
  max_cps: "Columns per second", max_line_width: "Line width", max_lines: "Lines", min_cue_seconds: "Shortest subtitle (s)",
  max_cue_seconds: "Longest subtitle (s)", prompt: "Prompt", hotwords: "Names and words to expect", formats: "Files made ahead",
  languages: "Languages to choose from", vad_filter: "Leave silence out", word_timestamps: "Times of words",
  chunk_seconds: "Length of a part (s)", subtitle_preset: "Subtitle style",
};
const GROUPS = [
  ["Wording", ["prompt", "hotwords", "languages"]],
  ["Speakers", ["num_speakers", "min_speakers", "max_speakers", "channels"]],
  ["Subtitles", ["subtitle_preset", "max_line_width", "max_lines", "max_cps", "min_cue_seconds", "max_cue_seconds", "formats"]],
];
// Of no use where speakers cannot be told apart.
const APART = ["diarise", "num_speakers", "min_speakers", "max_speakers"];
const HINTS = {
  num_speakers: "If you know it, with “Tell speakers apart”.", min_speakers: "If you know only that.", max_speakers: "If you know only that.",
  channels: "For calls, and recorders with a microphone for each person.",
};
const CHANNELS = { mix: "All as one", split: "Each is a speaker" };
const TASKS = { transcribe: "Text as spoken", translate: "Translation to English" };

/** The fields, and `values()`: what differs from what the server does anyway, by name. */
export async function options() {
  const [document, names, there, apart] = await Promise.all([description(), models(), formats(), tellsApart()]);
  const schema = { ...document.components.schemas.JobForm.properties };
  if (!apart) for (const name of APART) delete schema[name];
  const controls = new Map();
  const add = (name, control) => (controls.set(name, control), control.node);
  const first = [add("language", language(schema.language))];
  const choices = names ?? schema.model?.enum ?? [];
  if (schema.model && choices.length) first.push(add("model", select("model", choices.map((n, at) => (at ? [n, n] : ["", `${n} (usual)`])))));
  if (schema.task) first.push(add("task", select("task", schema.task.enum.map((n) => [n, TASKS[n] ?? n]), schema.task)));
  if (isThere(schema.diarise)) first.push(add("diarise", toggle("diarise", schema.diarise)));
  const more = grouped(schema).map(([title, fields]) =>
    el("fieldset", {}, el("legend", {}, title), ...fields.map((name) => add(name, control(name, schema[name], there)))),
  );
  restore(controls);
  couple(controls);
  return {
    node: el("div", { class: "options" }, el("div", { class: "first" }, first), el("details", {}, el("summary", {}, "More options"), el("div", { class: "more" }, more))),
    values() {
      remember(controls);
      return Object.fromEntries([...controls].map(([name, one]) => [name, one.value()]).filter(([, value]) => value !== null));
    },
  };
}

/** Keep out of reach what the other choices leave no meaning. */
function couple(controls) {
  const [apart, exactly, least, most] = APART.map((name) => controls.get(name)?.field);
  const channels = controls.get("channels")?.field;
  if (!apart || !exactly) return;
  const update = () => {
    exactly.disabled = !apart.checked;
    least.disabled = most.disabled = !apart.checked || exactly.value.trim() !== "";
    if (!channels) return;
    channels.disabled = apart.checked;
    apart.disabled = !apart.checked && channels.value === "split";
  };
  for (const field of [apart, exactly, channels]) field?.addEventListener("input", update);
  update();
}

/** Names of the models that may be chosen; null where the server does not tell. */
async function models() {
  try {
    return (await json("v1/models")).data.map((one) => one.id).filter((id) => !FOREIGN.test(id));
  } catch (error) {
    if (error instanceof Refusal) return null;
    throw error;
  }
}

/** Whether speakers can be told apart; an installation that is not well says that too. */
async function tellsApart() {
  try {
    return (await (await fetch(address("health"))).json()).diarisation.status !== "unavailable";
  } catch {
    return true;
  }
}

function isThere(property) {
  return property !== undefined && !("const" in property) && !/not available/i.test(property.description ?? "");
}

function grouped(schema) {
  const rest = Object.keys(schema).filter((name) => !NOT_HERE.has(name) && isThere(schema[name]) && kind(schema[name]) !== "object");
  const taken = new Set(GROUPS.flatMap(([, names]) => names));
  const groups = GROUPS.map(([title, names]) => [title, names.filter((name) => rest.includes(name))]);
  return [...groups, ["Engine", rest.filter((name) => !taken.has(name))]].filter(([, names]) => names.length);
}

/** A property's schema without the "or null" around it. */
function inner(property) {
  const given = property.anyOf?.find((one) => one.type !== "null");
  return given ? { ...property, ...given } : property;
}

function kind(property) {
  return inner(property).type;
}

function control(name, property, there) {
  const found = inner(property);
  if (name === "formats") return checkboxes(name, there, property);
  const called = name === "channels" ? CHANNELS : {};
  if (found.enum) return select(name, found.enum.map((value) => [value, called[value] ?? sentence(String(value))]), property);
  if (found.type === "boolean") return select(name, [["", "As usual"], ["true", "Yes"], ["false", "No"]], property);
  return written(name, found, property);
}

function labelled(name, property, field) {
  const hint = property && (HINTS[name] ?? property.description);
  if (hint) field.setAttribute("aria-describedby", `hint-${name}`);
  return el(
    "div",
    { class: "field" },
    el("label", { for: `option-${name}` }, LABELS[name] ?? sentence(property?.title ?? name)),
    field,
    hint && el("p", { class: "hint", id: `hint-${name}` }, hint),
  );
}

function select(name, choices, property) {
  const usual = property?.default ?? "";
  const field = el("select", { id: `option-${name}` }, choices.map(([value, text]) => el("option", { value, selected: value === usual }, text)));
  return {
    node: FIRST.includes(name) ? labelled(name, null, field) : labelled(name, property, field),
    field,
    value: () => (field.disabled || field.value === "" || field.value === usual ? null : field.value),
  };
}

function language(property) {
  const known = Object.entries(property["x-languages"] ?? {}).map(([code, name]) => [code, languageName(code, name)]);
  known.sort((a, b) => a[1].localeCompare(b[1]));
  // The operator may have set a language for all: to be detected then has to be said.
  return select("language", [["auto", "Detect"], ...known]);
}

function toggle(name, property) {
  const field = el("input", { type: "checkbox", id: `option-${name}`, checked: property.default === true });
  return {
    node: el("div", { class: "field" }, el("label", { class: "toggle" }, field, LABELS[name])),
    field,
    value: () => (field.checked === (property.default === true) ? null : String(field.checked)),
  };
}

function written(name, found, property) {
  const long = found.maxLength > 500;
  const number = found.type === "integer" || found.type === "number";
  const field = el(long ? "textarea" : "input", {
    id: `option-${name}`, rows: long ? 2 : null, type: long ? null : number ? "number" : "text", maxlength: found.maxLength,
    min: found.minimum, max: found.maximum, step: number ? (found.type === "integer" ? 1 : "any") : null,
    placeholder: property.default === null || typeof property.default === "object" ? null : property.default,
  });
  return { node: labelled(name, property, field), field, value: () => (field.disabled ? null : field.value.trim() || null) };
}

function checkboxes(name, choices, property) {
  const usual = property.default.join();
  const boxes = choices.map((value) => el("input", { type: "checkbox", value, checked: property.default.includes(value) }));
  const value = () => boxes.filter((box) => box.checked).map((box) => box.value).join();
  return {
    node: el("div", { class: "field", role: "group", "aria-label": LABELS[name] }, el("span", { class: "label" }, LABELS[name]),
      el("div", { class: "boxes" }, boxes.map((box) => el("label", { class: "toggle" }, box, box.value.toUpperCase())))),
    value: () => (value() === usual ? null : value() || "none"),
  };
}

/** The first row is kept for the next visit; prompts and names are nobody else's business. */
function remember(controls) {
  const kept = FIRST.filter((name) => controls.has(name)).map((name) => {
    const { field } = controls.get(name);
    return [name, field.type === "checkbox" ? field.checked : field.value];
  });
  localStorage.setItem(KEPT, JSON.stringify(Object.fromEntries(kept)));
}

function restore(controls) {
  let kept = {};
  try {
    kept = JSON.parse(localStorage.getItem(KEPT) ?? "{}") ?? {};
  } catch {
    // Somebody else's; it is written anew with the next recording.
  }
  for (const name of FIRST) {
    const field = controls.get(name)?.field;
    if (!field || !(name in kept)) continue;
    if (field.type === "checkbox") field.checked = kept[name] === true;
    else if ([...field.options].some((option) => option.value === kept[name])) field.value = kept[name];
  }
}
