// The first view: send recordings, and the list of those that were sent.

import { el } from "./dom.js";
import { jobList } from "./jobs.js";
import { sender } from "./sender.js";

export function showHome(main, signal) {
  const list = jobList(signal);
  // The sender stays the same one: what is being sent goes on while other views are shown.
  main.append(el("h1", { class: "unseen" }, "Longhand"), sender(list.refresh, signal), list.node);
}
