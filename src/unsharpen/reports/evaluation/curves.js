/* Pass@k, or another measure, over k on a log2 axis, with bands; one k is looked at. */
"use strict";

const curves = (() => {
  const { el, svg, get, share, points } = dom;
  const PAD = { left: 44, right: 16, top: 10, bottom: 40 }, HEIGHT = 320;
  const MARKS = [ // told apart without colour
    "M-4.5,0a4.5,4.5 0 1,0 9,0a4.5,4.5 0 1,0 -9,0", "M-4.5,-4.5h9v9h-9z", "M0,-6L5.5,4.2H-5.5z",
    "M0,-6L6,0L0,6L-6,0z", "M0,6L5.5,-4.2H-5.5z", "M-2,-6h4v4h4v4h-4v4h-4v-4h-4v-4h4z",
  ];
  const style = (i) => `s${i % 6}`;

  const key = (i) => svg("svg", { width: 28, height: 16, viewBox: "-14 -8 28 16", "aria-hidden": "true", class: style(i) },
    svg("path", { class: `line${i ? "" : " reference"}`, d: "M-14,0H14" }),
    svg("path", { class: "mark", d: MARKS[i % 6] }));

  function create(models, meanings) {
    const names = Object.keys(meanings).filter((name) => models.some((m) => m.curves[name]));
    const ks = [...new Set(models.flatMap((m) => m.ks))].sort((a, b) => a - b);
    const hidden = new Set();
    let at = ks.length - 1, seen = 0, name = names[0];
    const shown = () => models.map((m, i) => [m, i]).filter(([, i]) => !hidden.has(i));
    const drawn = () => shown().filter(([m]) => m.curves[name]);
    const value = (m, k) => (m.curves[name] && m.ks.includes(k) ? m.curves[name][m.ks.indexOf(k)] : null);

    function frame(width, place) {
      const lows = drawn().flatMap(([m]) => m.curves[name].map((c) => c[1]));
      const low = Math.min(0.9, ...lows), step = low >= 0.6 ? 0.1 : 0.2;
      const bottom = Math.max(0, Math.floor(low / step + 1e-9) * step);
      const y = (v) => HEIGHT - PAD.bottom - (HEIGHT - PAD.bottom - PAD.top) * (v - bottom) / (1 - bottom);
      const parts = [];
      for (let i = 0; bottom + i * step <= 1 + 1e-9; i++) {
        const v = bottom + i * step;
        parts.push(svg("line", { class: "tick", x1: PAD.left, x2: width - PAD.right, y1: y(v), y2: y(v) }),
          svg("text", { x: PAD.left - 6, y: y(v) + 4, "text-anchor": "end" }, v.toFixed(1)));
      }
      const every = Math.max(1, Math.ceil(ks.length * 34 / (width - PAD.left - PAD.right)));
      ks.forEach((k, i) => {
        if (i % every === 0 || i === ks.length - 1) {
          parts.push(svg("text", { x: place(k), y: HEIGHT - PAD.bottom + 17, "text-anchor": "middle" }, String(k)));
        }
      });
      parts.push(svg("line", { class: "axis", x1: PAD.left, x2: width - PAD.right, y1: y(bottom), y2: y(bottom) }),
        svg("text", { x: (PAD.left + width - PAD.right) / 2, y: HEIGHT - 5, "text-anchor": "middle" },
          "k, samples per problem (log scale)"),
        svg("text", { transform: `translate(11,${HEIGHT / 2 - 15}) rotate(-90)`, "text-anchor": "middle" }, name));
      return { y, parts };
    }

    function line(m, i, place, y) {
      const d = (points_) => points_.map(([a, b], j) => `${j ? "L" : "M"}${a.toFixed(1)},${b.toFixed(1)}`).join("");
      const along = (end) => m.ks.map((k, j) => [place(k), y(m.curves[name][j][end])]);
      const group = svg("g", { class: style(i) },
        svg("path", { class: "band", d: `${d([...along(2), ...along(1).reverse()])}Z` }),
        svg("path", { class: `line${i ? "" : " reference"}`, d: d(along(0)) }));
      m.ks.forEach((k, j) => group.append(svg("path", {
        class: "mark", d: MARKS[i % 6],
        transform: `translate(${place(k).toFixed(1)},${y(m.curves[name][j][0]).toFixed(1)})${k === ks[at] ? " scale(1.5)" : ""}`,
      })));
      return group;
    }

    function draw() {
      const box = get("curves"), width = Math.max(260, Math.floor(box.clientWidth));
      seen = box.clientWidth;
      const span = Math.log2(ks[ks.length - 1]) || 1;
      const place = (k) => PAD.left + 8 + (width - PAD.left - PAD.right - 16) * Math.log2(k) / span;
      const { y, parts } = frame(width, place);
      const ends = ({ label, ks: own, curves: { [name]: curve } }) => `${label}: from ${share(curve[0][0])} at ` +
        `k = ${own[0]} to ${share(curve[curve.length - 1][0])} at k = ${own[own.length - 1]}`;
      const alt = `${name} over k. ${drawn().map(([m]) => ends(m)).join("; ")}.`;
      const image = svg("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": alt },
        ...parts, svg("line", { class: "cursor", x1: place(ks[at]), x2: place(ks[at]), y1: PAD.top, y2: HEIGHT - PAD.bottom }),
        ...drawn().map(([m, i]) => line(m, i, place, y)));
      image.addEventListener("pointermove", (event) => {
        const x = event.clientX - image.getBoundingClientRect().left;
        const near = ks.reduce((best, k, i) => (Math.abs(place(k) - x) < Math.abs(place(ks[best]) - x) ? i : best), 0);
        if (near !== at) look(near);
      });
      box.replaceChildren(image);
    }

    function readout() {
      const k = ks[at], reference = value(models[0], k), texts = [];
      const rows = shown().map(([m, i]) => {
        const found = value(m, k);
        const number = found ? share(found[0]) : m.curves[name] ? "no more samples" : "no answers known";
        const bounds = found ? ` [${share(found[1])}, ${share(found[2])}]` : "";
        const change = i && found && reference ? points(found[0] - reference[0]) : "";
        texts.push(`${m.label} ${number}`);
        return el("tr", {}, el("th", { scope: "row" }, m.label), el("td", {}, number, el("small", {}, bounds.trim())),
          models.length > 1 ? el("td", {}, change) : null);
      });
      get("readout").replaceChildren(
        el("thead", {}, el("tr", {}, el("th", { scope: "col" }, `At k = ${k}`), el("th", { scope: "col" }, name),
          models.length > 1 ? el("th", { scope: "col" }, `points more than ${models[0].label}`) : null)),
        el("tbody", {}, ...rows));
      get("at-k-value").textContent = String(k);
      get("at-k").value = at;
      get("at-k").setAttribute("aria-valuetext", `k = ${k}: ${texts.join(", ")}`);
    }

    function look(index) {
      at = index;
      draw();
      readout();
    }

    function choose() {
      name = get("measure").value;
      get("meaning").textContent = `${name}: ${meanings[name]}`;
      look(at);
    }

    function build() {
      get("measure").append(...names.map((each) => el("option", {}, each)));
      get("measure").addEventListener("change", choose);
      get("at-k").max = ks.length - 1;
      get("at-k").addEventListener("input", () => look(get("at-k").valueAsNumber));
      get("legend").append(...models.map((m, i) => {
        const box = el("input", { type: "checkbox", checked: "" });
        box.addEventListener("change", () => {
          if (box.checked) hidden.delete(i); else hidden.add(i);
          look(at);
        });
        return el("label", {}, box, key(i), el("span", {}, m.label));
      }));
      choose();
      addEventListener("resize", () => { if (get("curves").clientWidth !== seen) draw(); });
    }

    build();
  }

  return { create, key, style };
})();
