// The API key: asked for once, kept for this tab only.

import { button, el } from "./dom.js";

const NAME = "longhand-key";
let asking = null;
let dismissed = -1;

export function key() {
  return sessionStorage.getItem(NAME);
}

export function forget() {
  sessionStorage.removeItem(NAME);
  show();
}

/** Show the way to forget the key only while there is one. */
export function show() {
  document.getElementById("forget").hidden = key() === null;
}

/**
 * Ask for the key. Everybody who wants it meanwhile waits for the same answer.
 * Resolves to whether there is a key now that was not there before.
 * since: when the request was made that needs it (performance.now()). Who said "not now" after that is not asked again.
 */
export async function ask(reason, since) {
  if (asking === null && since < dismissed) return false;
  asking ??= prompt(reason).finally(() => (asking = null));
  const given = await asking;
  if (!given) dismissed = performance.now();
  return given;
}

function prompt(reason) {
  return new Promise((resolve) => {
    const input = el("input", {
      id: "api-key", type: "password", required: true, autocomplete: "off", autocapitalize: "off", spellcheck: "false",
      "aria-describedby": "key-reason key-note",
    });
    const wrong = el("p", { class: "error", role: "alert" });
    const form = el(
      "form",
      { onsubmit: (event) => (event.preventDefault(), accept()) },
      el("h2", {}, "API key"),
      el("p", { id: "key-reason" }, reason),
      el("label", { for: "api-key" }, "Key"),
      input,
      wrong,
      el("p", { id: "key-note", class: "hint" }, "Whoever runs this server has it. It is kept for this tab only, until you close or forget it."),
      el("div", { class: "buttons" }, button("Not now", () => dialog.close()), el("button", { class: "main" }, "Use this key")),
    );
    const dialog = el("dialog", { class: "key", onclose: () => (dialog.remove(), resolve(dialog.returnValue === "ok")) }, form);
    const accept = () => {
      const text = input.value.trim();
      // What else cannot stand in a header, and a browser would say so in its own words.
      if (!/^[!-~\u00a1-\u00ff]+$/.test(text)) {
        wrong.textContent = "A key has no spaces or special characters; copy it again.";
        return;
      }
      sessionStorage.setItem(NAME, text);
      show();
      dialog.close("ok");
    };
    document.body.append(dialog);
    dialog.showModal();
    input.focus();
  });
}
