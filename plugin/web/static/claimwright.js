// What the pages do beyond links and forms. Everything works without it.
"use strict";

// A line's evidence lights up while the line is looked at, and "Show it in the note" goes there.
const light = (key) => {
  for (const mark of document.querySelectorAll("mark")) {
    mark.classList.toggle("on", key !== null && mark.dataset.keys.split(" ").includes(key));
  }
};
for (const line of document.querySelectorAll(".line")) {
  line.addEventListener("focusin", () => light(line.dataset.key));
  line.addEventListener("mouseenter", () => light(line.dataset.key));
}
document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-show]");
  if (!link) return;
  const first = document.getElementById("e-" + link.dataset.show);
  light(link.dataset.show);
  if (first) {
    event.preventDefault();
    const mark = first.closest("mark");
    mark.focus({ preventScroll: true });
    mark.scrollIntoView({ block: "center" });
  }
});

// What the person must read first.
const first = document.querySelector("[data-focus]");
if (first) first.focus();

// One decision is sent once, however often its button is pressed. A file may be downloaded again: the page stays.
for (const form of document.querySelectorAll("form[method=post]:not([data-download])")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "1";
  });
}
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// While a visit is being looked at: the step, then the page.
const waiting = document.querySelector("[data-progress]");
if (waiting) {
  const step = document.getElementById("step");
  const look = async () => {
    try {
      const answer = await fetch(waiting.dataset.progress);
      const now = answer.ok ? await answer.json() : { done: true };
      if (now.done) return location.replace(waiting.dataset.then);
      if (step.textContent !== now.step) step.textContent = now.step;
    } catch {
      // the network is away for a moment: look again
    }
    setTimeout(look, 400);
  };
  setTimeout(look, 200);
}

// Keys of the queue: never while somebody types, never with another key held, once a press: a key that is held down must
// not decide on the next item, which nobody has read. Each does what a button or link does.
const typing = (element) => element.closest("input:not([type=checkbox], [type=radio]), select, textarea, [contenteditable]");
const help = document.getElementById("help");
const rows = [...document.querySelectorAll("tr[data-item]")];
const go = (by) => {
  const at = rows.findIndex((row) => row.contains(document.activeElement));
  const row = rows[Math.min(rows.length - 1, Math.max(0, at + by))];
  const link = row && row.querySelector("a");
  if (link) link.focus();
};
document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || (help && help.open)) return;
  const key = event.key.toLowerCase();
  if (key === "?" && help) return help.showModal();
  if (rows.length && (key === "j" || key === "k")) return go(key === "j" ? 1 : -1);
  if (rows.length && key === "x") {
    const row = rows.find((each) => each.contains(document.activeElement));
    const box = row && row.querySelector("input[type=checkbox]");
    if (box) box.checked = !box.checked;
    return;
  }
  const target = document.querySelector(`[data-hotkey="${CSS.escape(key)}"]`);
  if (!target) return;
  event.preventDefault();
  if (target.tagName === "DETAILS") {
    target.open = true;
    target.querySelector("select, input:not([type=hidden])").focus();
  } else if (target.tagName === "INPUT") target.focus();
  else target.click();
});
for (const button of document.querySelectorAll("[data-help]")) button.addEventListener("click", () => help.showModal());

// The next item is read while this one is looked at.
if (document.body.dataset.ahead) fetch(document.body.dataset.ahead).catch(() => {});
