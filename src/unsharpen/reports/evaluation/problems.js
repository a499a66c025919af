/* The problems: a strip of all of them, and a grid of one page of them with a keyboard. */
"use strict";

const problems = (() => {
  const { el, svg, get, count } = dom;
  const PAGE = 25, BINS = 120;

  function create(data, choose) {
    const { models, ids, texts, multiplicity } = data;
    const rate = (m, p) => (m.n[p] ? m.c[p] / m.n[p] : null);
    const most = models.flatMap((m) => m.distinct || []).reduce((a, b) => Math.max(a, b ?? 0), 1); // too many to spread
    const many = models.some((m) => m.distinct);
    let order = [], page = 0, active = [0, 0], chosen = null;

    const ORDERS = {
      "hardest first": (p) => rate(models[0], p) ?? 2,
      "easiest first": (p) => -(rate(models[0], p) ?? -2),
      "as in the data": (p) => p,
    };
    models.slice(1).forEach((m) => {
      const gain = (p) => (rate(m, p) === null || rate(models[0], p) === null ? 0 : rate(m, p) - rate(models[0], p));
      ORDERS[`${m.label} lost most`] = gain;
      ORDERS[`${m.label} gained most`] = (p) => -gain(p);
    });
    if (multiplicity) {
      ORDERS["fewest solutions first"] = (p) => multiplicity[p] ?? 1e9;
      ORDERS["most solutions first"] = (p) => -(multiplicity[p] ?? -1);
    }
    const COLOURS = { "how often solved": (m, p) => rate(m, p) };
    if (many) COLOURS["distinct correct solutions"] = (m, p) => (m.distinct?.[p] ?? null) && m.distinct[p] / most;

    const colour = () => COLOURS[get("colour").value];
    const pages = () => Math.max(1, Math.ceil(ids.length / PAGE));
    const onPage = () => order.slice(page * PAGE, (page + 1) * PAGE);

    function sort() {
      const by = ORDERS[get("order").value], keys = ids.map((_, p) => by(p));
      order = ids.map((_, p) => p).sort((a, b) => keys[a] - keys[b] || a - b);
    }

    function spread() {
      const parts = models.map((m) => {
        const known = ids.map((_, p) => rate(m, p)).filter((r) => r !== null);
        const never = known.filter((r) => r === 0).length, always = known.filter((r) => r === 1).length;
        return `${m.label} solves ${never.toLocaleString("en")} of ${count(known.length, "problem", "problems")} never and ` +
          `${always.toLocaleString("en")} every time`;
      });
      get("spread").textContent = `${parts.join("; ")}.`;
    }

    function strip() {
      const box = get("strip"), width = Math.max(240, Math.floor(box.clientWidth)), tall = 18, gap = 22;
      const bins = Math.min(BINS, ids.length), wide = width / bins, of = colour();
      const height = models.length * (tall + gap);
      const image = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img",
        "aria-label": `All problems, ${get("order").value}, darker for more (${get("colour").value}). ${get("spread").textContent}` });
      models.forEach((m, row) => {
        const y = row * (tall + gap) + gap - 5;
        image.append(svg("text", { x: 0, y: y - 5 }, m.label));
        for (let bin = 0; bin < bins; bin++) {
          const from = Math.floor(bin * ids.length / bins), to = Math.floor((bin + 1) * ids.length / bins);
          const values = order.slice(from, to).map((p) => of(m, p)).filter((v) => v !== null);
          const mean = values.reduce((a, b) => a + b, 0) / values.length;
          const cell = svg("rect", { x: (bin * wide).toFixed(2), y, width: (wide + 0.3).toFixed(2), height: tall,
            class: values.length ? "heat" : "none" });
          if (values.length) cell.style.setProperty("--v", mean.toFixed(3));
          cell.addEventListener("click", () => turn(Math.floor(from / PAGE)));
          image.append(cell);
        }
        image.append(svg("rect", { class: "frame", x: 0.5, y: y + 0.5, width: width - 1, height: tall - 1 }));
      });
      box.replaceChildren(image);
    }

    function cell(m, p, row, column) {
      const n = m.n[p];
      if (n === null) return el("td", { role: "gridcell", tabindex: "-1" }, "not asked");
      const td = el("td", { role: "gridcell", tabindex: "-1", class: "heat" }, `${m.c[p]}/${n}`);
      if (m.distinct) {
        const effective = m.effective[p] === null ? "" : `, effective ${m.effective[p]}`;
        td.append(el("small", { title: `${count(m.distinct[p], "solution", "solutions")}${effective}` },
          `${m.distinct[p]} distinct`));
      }
      td.style.setProperty("--v", String(colour()(m, p) || 0));
      return td;
    }

    function label(p) {
      const text = texts?.[p] ?? null;
      const short = text === null ? ids[p] : text.length > 90 ? `${text.slice(0, 90)}…` : text;
      const exist = multiplicity?.[p] ? count(multiplicity[p], "solution exists", "solutions exist") : null;
      return el("th", { scope: "row", role: "rowheader", tabindex: "-1" }, el("span", { class: "clamp" }, short),
        exist && el("small", { class: "quiet" }, exist));
    }

    function grid() {
      const head = ["problem", ...models.map((m) => m.label)];
      const body = onPage().map((p) => {
        const row = el("tr", { role: "row", class: p === chosen ? "chosen" : null,
          "aria-selected": p === chosen ? "true" : "false" }, label(p), ...models.map((m) => cell(m, p)));
        row.addEventListener("click", () => pick(p));
        return row;
      });
      get("grid").setAttribute("aria-rowcount", ids.length + 1);
      get("grid").replaceChildren(
        el("thead", { role: "rowgroup" }, el("tr", { role: "row", "aria-rowindex": 1 },
          ...head.map((text) => el("th", { scope: "col", role: "columnheader" }, text)))),
        el("tbody", { role: "rowgroup" }, ...body));
      body.forEach((row, i) => row.setAttribute("aria-rowindex", page * PAGE + i + 2));
      get("where").textContent = `Problems ${(page * PAGE + 1).toLocaleString("en")} to ` +
        `${Math.min(ids.length, (page + 1) * PAGE).toLocaleString("en")} of ${ids.length.toLocaleString("en")}`;
      get("back").disabled = page === 0;
      get("on").disabled = page >= pages() - 1;
      focusable();
    }

    const cellAt = ([row, column]) => get("grid").tBodies[0].rows[row].cells[column];

    function focusable(focus) {
      active = [Math.min(active[0], onPage().length - 1), Math.min(active[1], models.length)];
      for (const td of get("grid").querySelectorAll("tbody [tabindex='0']")) td.tabIndex = -1;
      cellAt(active).tabIndex = 0;
      if (focus) cellAt(active).focus();
    }

    function turn(to, row = 0) {
      page = Math.min(Math.max(to, 0), pages() - 1);
      active = [row, active[1]];
      grid();
    }

    function pick(p) {
      chosen = p;
      grid();
      choose(p);
    }

    function keydown(event) {
      const [row, column] = active, last = onPage().length - 1;
      const go = (r, c) => { active = [r, c]; focusable(true); };
      const over = (to, r) => { if (to >= 0 && to < pages()) { turn(to, r); focusable(true); } };
      const keys = {
        ArrowDown: () => (row < last ? go(row + 1, column) : over(page + 1, 0)),
        ArrowUp: () => (row > 0 ? go(row - 1, column) : over(page - 1, PAGE - 1)),
        ArrowRight: () => go(row, Math.min(column + 1, models.length)),
        ArrowLeft: () => go(row, Math.max(column - 1, 0)),
        PageDown: () => over(page + 1, row),
        PageUp: () => over(page - 1, row),
        Home: () => (event.ctrlKey ? over(0, 0) : go(row, 0)),
        End: () => (event.ctrlKey ? over(pages() - 1, PAGE - 1) : go(row, models.length)),
        Enter: () => pick(onPage()[row]),
        " ": () => pick(onPage()[row]),
      };
      if (!(event.key in keys)) return;
      event.preventDefault();
      keys[event.key]();
    }

    function step(by) { // the neighbour in the present order
      const to = order.indexOf(chosen) + by;
      if (to < 0 || to >= order.length) return;
      page = Math.floor(to / PAGE);
      active = [to % PAGE, active[1]];
      pick(order[to]);
    }

    function build() {
      get("order").append(...Object.keys(ORDERS).map((name) => el("option", {}, name)));
      get("colour").append(...Object.keys(COLOURS).map((name) => el("option", {}, name)));
      const again = () => { sort(); strip(); turn(0); };
      get("order").addEventListener("change", again);
      get("colour").addEventListener("change", again);
      get("back").addEventListener("click", () => turn(page - 1));
      get("on").addEventListener("click", () => turn(page + 1));
      get("grid").addEventListener("keydown", keydown);
      get("grid").addEventListener("focusin", (event) => {
        const td = event.target.closest("tbody :is(td, th)");
        if (td) active = [td.parentElement.sectionRowIndex, td.cellIndex];
      });
      spread();
      again();
      let seen = innerWidth;
      addEventListener("resize", () => { if (innerWidth !== seen) { seen = innerWidth; strip(); } });
    }

    /* To begin with: of the problems with samples in the page the one that the reference solves in most ways. */
    function telling() {
      const ways = (p) => models[0].distinct?.[p] ?? models[0].c[p] ?? -1;
      return order.filter((p) => data.samples[p]).reduce((best, p) => (ways(p) > ways(best) ? p : best));
    }

    build();
    return { step, pick, focus: () => focusable(true), telling };
  }

  return { create };
})();
