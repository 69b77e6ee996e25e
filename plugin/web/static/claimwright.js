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

// One decision is sent once, however often its button is pressed.
for (const form of document.querySelectorAll("form[method=post]")) {
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
