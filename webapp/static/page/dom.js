// Building the page. Whatever is shown becomes text here, never markup.

/** An element. Attributes: `class`, `onclick` and the like (functions), true/false, or text. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export function button(text, onclick, attributes = {}) {
  return el("button", { type: "button", onclick, ...attributes }, text);
}

/** Set the text of a node only if it differs, so that nothing flickers and nothing is read aloud twice. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Tell people who listen to the page. */
export function announce(text) {
  setText(document.getElementById("live"), text);
}

/** Show a message at the top until it is closed or the next one comes; an error, or null for none. */
export function notice(message) {
  const place = document.getElementById("notice");
  if (!message) {
    place.replaceChildren();
    return;
  }
  const text = message instanceof Error ? message.message : message;
  place.replaceChildren(
    el("p", {}, text, button("Close", () => place.replaceChildren(), { class: "plain", "aria-label": "Close message" })),
  );
}

/** Ask before something that cannot be undone; resolves to whether it shall be done. */
export function confirmed(question, action) {
  return new Promise((resolve) => {
    const dialog = el(
      "dialog",
      { "aria-labelledby": "question", onclose: () => (dialog.remove(), resolve(dialog.returnValue === "yes")) },
      el("p", { id: "question" }, question),
      el(
        "div",
        { class: "buttons" },
        button("Keep it", () => dialog.close("no"), { autofocus: true }),
        button(action, () => dialog.close("yes"), { class: "danger" }),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}

export function reducedMotion() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}
