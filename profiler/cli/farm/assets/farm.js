// Puts the newest state into the page; what has the focus and where one reads stay as they are.
"use strict";
const pause = document.getElementById("pause");
const every = 1000 * Number(document.body.dataset.every);
let halted = false;
pause.hidden = false;
pause.addEventListener("click", () => {
  halted = !halted;
  pause.setAttribute("aria-pressed", String(halted));
  pause.textContent = halted ? "Go on" : "Pause";
});

function show(text) {
  const fresh = new DOMParser().parseFromString(text, "text/html");
  for (const id of ["when", "problem", "state"]) {
    const old = document.getElementById(id);
    const now = fresh.getElementById(id);
    if (old.innerHTML !== now.innerHTML) old.innerHTML = now.innerHTML;
  }
}

async function look() {
  if (!halted && !document.hidden) {
    try {
      const answer = await fetch("/", { cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      show(await answer.text());
    } catch {
      document.getElementById("problem").innerHTML =
        '<p class="problem">This page is not served any more: its farm watch has ended.</p>';
    }
  }
  setTimeout(look, every);
}
setTimeout(look, every);
