// Where everything begins: which view is shown, and the key.

import { Refusal } from "./api.js";
import { notice } from "./dom.js";
import { showHome } from "./home.js";
import { showJob } from "./job.js";
import { forget, show as showKey } from "./key.js";

let left = null;

function route() {
  const hash = location.hash;
  // Other anchors are places on the page.
  if (left !== null && hash !== "" && !hash.startsWith("#/")) return;
  left?.abort();
  left = new AbortController();
  const main = document.getElementById("main");
  main.replaceChildren();
  notice(null);
  const id = /^#\/jobs\/([0-9a-f]{32})$/.exec(hash)?.[1];
  document.title = "Longhand";
  if (id) showJob(main, id, left.signal);
  else showHome(main, left.signal);
  scrollTo(0, 0);
}

// What nobody caught is told rather than lost; what was stopped on purpose is not worth a word.
addEventListener("unhandledrejection", (event) => {
  if (event.reason?.name === "AbortError") event.preventDefault();
  else if (event.reason instanceof Refusal) {
    event.preventDefault();
    notice(event.reason);
  }
});
document.getElementById("forget").addEventListener("click", () => {
  forget();
  // Nothing that was shown with the key stays on the screen.
  location.hash = "#/";
  location.reload();
});
addEventListener("hashchange", () => {
  const was = document.activeElement === document.body;
  route();
  if (!was) document.getElementById("main").focus({ preventScroll: true });
});
showKey();
route();
