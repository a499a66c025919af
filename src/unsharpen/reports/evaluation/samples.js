/* The samples of one problem, grouped by solution, one column a model. */
"use strict";

const samples = (() => {
  const { el, get, count } = dom;

  function group(g) {
    const name = g.name === null ? el("em", {}, "no readable answer") : el("code", {}, g.name);
    const summary = el("summary", {}, el("span", { class: `tag ${g.correct ? "correct" : "wrong"}` },
      `${g.correct ? "✓ correct" : "✗ wrong"} × ${g.count.toLocaleString("en")}`), " ", name);
    const reasons = g.reasons.filter(([reason]) => reason && reason !== "correct");
    const details = el("details", { class: "group" }, summary);
    if (reasons.length) {
      details.append(el("p", { class: "quiet" }, `Reason: ${reasons.map(([r, n]) => `${r} (${n})`).join(", ")}`));
    }
    if (!g.texts.length) details.append(el("p", { class: "quiet" }, "The texts were not kept."));
    for (const text of g.texts) details.append(el("pre", { class: "text", tabindex: "0" }, text));
    if (g.texts.length && g.texts.length < g.count) {
      details.append(el("p", { class: "quiet" }, `${count(g.texts.length, "text", "texts")} of ${count(g.count, "sample", "samples")}`));
    }
    return details;
  }

  function column(m, i, p, found) {
    const box = el("div", { class: `card ${curves.style(i)}` }, el("h4", {}, m.label));
    if (m.n[p] === null) {
      box.append(el("p", {}, "This model was not asked this problem."));
      return box;
    }
    const distinct = m.distinct ? `, ${count(m.distinct[p], "distinct solution", "distinct solutions")}` : "";
    const effective = m.effective && m.effective[p] !== null ? ` (effective ${m.effective[p]})` : "";
    box.append(el("p", {}, `${m.c[p]} of ${count(m.n[p], "sample", "samples")} correct${distinct}${effective}.`));
    if (!found) {
      box.append(el("p", { class: "quiet" }, "The samples of this problem are not in this page."));
      return box;
    }
    box.append(...found.groups.map(group));
    const [groups, rest] = found.rest;
    if (groups) {
      box.append(el("p", { class: "quiet" }, `Left out: ${count(groups, "further answer", "further answers")} with ` +
        `${count(rest, "sample", "samples")}.`));
    }
    return box;
  }

  function show(data, p, step) {
    const { models, ids, texts, multiplicity } = data, found = data.samples[p];
    const move = (label, by) => {
      const button = el("button", { type: "button" }, label);
      button.addEventListener("click", () => {
        step(by);
        [...get("browser").querySelectorAll("button")].find((other) => other.textContent === label).focus();
      });
      return button;
    };
    const columns = el("div", { class: "columns" }, ...models.map((m, i) => column(m, i, p, found?.[i])));
    for (const box of columns.children) { // the most frequent correct solution is open
      const first = box.querySelector("details");
      if (first) first.open = true;
    }
    get("browser").replaceChildren(
      el("div", { class: "card" }, el("h3", {}, `Problem ${ids[p]}`),
        texts?.[p] ? el("pre", { class: "text" }, texts[p]) : null,
        multiplicity?.[p] ? el("p", { class: "quiet" }, count(multiplicity[p], "distinct solution exists.", "distinct solutions exist.")) : null,
        el("p", { class: "controls" }, move("Previous problem", -1), move("Next problem", 1))),
      columns);
  }

  return { show };
})();
