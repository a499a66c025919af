/* SVG charts as text, drawn at the width that they will have, so that letters keep their size on a phone. */
"use strict";

const charts = (() => {
  const PAD = { left: 46, right: 14, top: 10, bottom: 38 }, BARS_BOTTOM = 24; // bars have no numbers below
  const MARKS = { // told apart without colour
    base: "M-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0",
    vanilla: "M-5,-5h10v10h-10z",
    bonus: "M0,-6.5L6,4.5H-6z",
    smoothed: "M0,-7L7,0L0,7L-7,0z",
    grpo: "M-5,-5h10v10h-10z",
  };

  const ENTITIES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
  const escaped = (text) => String(text).replace(/[&<>"]/g, (c) => ENTITIES[c]);
  const tidy = (x) => String(Number(x.toPrecision(6)));
  const at = (x) => x.toFixed(1);

  /* Round numbers that cover [low, high], about `count` of them. */
  function ticks(low, high, count = 4) {
    const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((m) => m * power >= rough * 0.7);
    const out = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) out.push(i * step);
    return out;
  }

  const linear = (low, high, from, to) => (x) => from + (to - from) * (x - low) / (high - low);

  function frame(width, height, x, y, labels, body) {
    const right = width - PAD.right, bottom = height - (labels.x ? PAD.bottom : BARS_BOTTOM), parts = [];
    for (const t of y.ticks) {
      parts.push(rule("tick", PAD.left, right, y.scale(t), y.scale(t)),
        `<text x="${PAD.left - 6}" y="${at(y.scale(t) + 4)}" text-anchor="end">${tidy(t)}</text>`);
    }
    for (const t of x.ticks) {
      parts.push(`<text x="${at(x.scale(t))}" y="${bottom + 16}" text-anchor="middle">${tidy(t)}</text>`);
    }
    parts.push(rule("axis", PAD.left, right, bottom, bottom),
      `<text x="${(PAD.left + right) / 2}" y="${height - 5}" text-anchor="middle">${escaped(labels.x)}</text>`,
      `<text transform="translate(11,${(PAD.top + bottom) / 2}) rotate(-90)" text-anchor="middle">` +
      `${escaped(labels.y)}</text>`);
    return svg(width, height, labels.alt, parts.join("") + body);
  }

  const svg = (width, height, alt, body) =>
    `<svg width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" ` +
    `aria-label="${escaped(alt)}">${body}</svg>`;

  const path = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${at(x)},${at(y)}`).join("");
  const mark = (name, x, y, hollow) => `<path class="mark ${name}${hollow ? " hollow" : ""}" ` +
    `transform="translate(${at(x)},${at(y)})" d="${MARKS[name]}"/>`;
  const rule = (kind, x1, x2, y1, y2) =>
    `<line class="${kind}" x1="${at(x1)}" x2="${at(x2)}" y1="${at(y1)}" y2="${at(y2)}"/>`;

  /* Probabilities of all completions as bars; what they were before as a dashed line on each. */
  function bars(width, { name, after, before, flags, top, alt }) {
    const height = 156, bottom = height - BARS_BOTTOM, n = after.length;
    const y = { ticks: ticks(0, top, 3), scale: linear(0, top, bottom, PAD.top) };
    const room = (width - PAD.left - PAD.right) / n, parts = [];
    after.forEach((p, i) => {
      const x = PAD.left + i * room + room * 0.12, wide = room * 0.76, high = y.scale(p), was = y.scale(before[i]);
      parts.push(`<rect class="${flags[i] ? name : "wrong"}" x="${at(x)}" y="${at(high)}" width="${at(wide)}" ` +
        `height="${at(bottom - high)}"><title>${flags[i] ? "correct" : "wrong"}: ${before[i].toPrecision(3)} before, ` +
        `${p.toPrecision(3)} after</title></rect>`,
      rule("before", x - room * 0.08, x + wide + room * 0.08, was, was));
    });
    const split = flags.filter(Boolean).length;
    for (const [label, from, to] of [["correct", 0, split], ["wrong", split, n]]) {
      const a = PAD.left + from * room + 3, b = PAD.left + to * room - 3;
      parts.push(`<path class="axis" d="M${at(a)},${bottom + 5}H${at(b)}"/>`);
      const middle = Math.min(Math.max((a + b) / 2, 70), width - 30);
      parts.push(`<text x="${at(middle)}" y="${bottom + 19}" text-anchor="middle">${label}</text>`);
    }
    return frame(width, height, { ticks: [] }, y, { x: "", y: "probability", alt }, parts.join(""));
  }

  /* Lines over k or over steps; `cursor` is a place on the x axis. */
  function lines(width, { series, x: xs, low, top, logarithmic, xTicks, labels, cursor }) {
    const height = 220, bottom = height - PAD.bottom, f = logarithmic ? Math.log2 : (v) => v;
    const place = linear(f(xs[0]), f(xs[xs.length - 1]), PAD.left, width - PAD.right);
    const x = { ticks: xTicks || ticks(xs[0], xs[xs.length - 1]), scale: (v) => place(f(v)) };
    const y = { ticks: ticks(low, top), scale: linear(low, top, bottom, PAD.top) };
    const body = series.map(({ name, values }) => {
      const line = path(values.map((v, i) => [x.scale(xs[i]), y.scale(v)]));
      const here = cursor === undefined ? "" : mark(name, x.scale(cursor), y.scale(values[xs.indexOf(cursor)]));
      return `<path class="line ${name}" d="${line}"/>${here}`;
    }).join("");
    const now = cursor === undefined ? "" : rule("cursor", x.scale(cursor), x.scale(cursor), PAD.top, bottom);
    return frame(width, height, x, y, labels, now + body);
  }

  /* Pass@1 against diversity: what a budget can buy, and where the policies are. */
  function map(width, { line, points, ceiling, labels }) {
    const height = 300, bottom = height - PAD.bottom;
    const all = [...line, ...points];
    const spanX = extent(all.map((p) => p.mass), 0, 1), spanY = extent(all.map((p) => p.entropy), 0, ceiling);
    const x = { ticks: ticks(...spanX), scale: linear(...spanX, PAD.left, width - PAD.right) };
    const y = { ticks: ticks(...spanY), scale: linear(...spanY, bottom, PAD.top) };
    const where = (p) => [x.scale(p.mass), y.scale(p.entropy)];
    const edge = line.map(where), parts = points.map((p) => mark(p.name, ...where(p), p.beyond));
    if (edge.length) { // within reach is all that is left of the line and below it
      const [right] = edge[0], [, high] = edge[edge.length - 1];
      const reach = [[PAD.left, high], ...[...edge].reverse(), [right, bottom], [PAD.left, bottom]];
      parts.unshift(`<path class="reach" d="${path(reach)}Z"/>`, `<path class="line edge" d="${path(edge)}"/>`);
    }
    return frame(width, height, x, y, labels, parts.join(""));
  }

  function extent(values, least, most) {
    const low = Math.min(...values), high = Math.max(...values), margin = Math.max((high - low) * 0.1, 0.02);
    return [Math.max(least, low - margin), Math.max(Math.min(most, high + margin), low + margin)];
  }

  const key = (name) => '<svg class="key" width="26" height="16" viewBox="-13 -8 26 16" aria-hidden="true">' +
    `<path class="line ${name}" d="M-13,0H13"/>` +
    `${name in MARKS ? `<path class="mark ${name}" d="${MARKS[name]}"/>` : ""}</svg>`;

  return { bars, lines, map, key };
})();
