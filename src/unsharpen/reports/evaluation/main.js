/* The page: data in, curves, problems and samples out. */
"use strict";

(() => {
  const { get } = dom;
  const data = JSON.parse(get("data").textContent);
  document.documentElement.classList.add("scripted");
  curves.create(data.models, data.curves);
  let ready = false;
  const list = problems.create(data, (p) => {
    samples.show(data, p, (by) => list.step(by));
    if (ready) get("samples").focus();
  });
  get("browser").addEventListener("keydown", (event) => { if (event.key === "Escape") list.focus(); });
  list.pick(list.telling());
  ready = true;
  addEventListener("beforeprint", () => { // paper has no folds
    for (const each of document.querySelectorAll("[aria-labelledby='settings'] details")) each.open = true;
  });
  globalThis.report = { data, pick: list.pick };
})();
