/* Elements without innerHTML: whatever a text holds, it stays text. */
"use strict";

const dom = (() => {
  const SVG = "http://www.w3.org/2000/svg";

  function fill(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== null && value !== undefined) element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }

  const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
  const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
  const get = (id) => document.getElementById(id);

  /* A share with the digits of the tables: .565 */
  const share = (x) => {
    const text = x.toFixed(3);
    return text.startsWith("0.") ? text.slice(1) : text;
  };
  const points = (x) => `${x > 0 ? "+" : x < 0 ? "−" : ""}${Math.abs(100 * x).toFixed(1)}`;
  const count = (n, one, many) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

  return { el, svg, get, share, points, count };
})();
