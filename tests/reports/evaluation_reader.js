const $ = (id) => document.getElementById(id);
const errors = [], result = {};
addEventListener("error", (event) => errors.push(event.message));
addEventListener("securitypolicyviolation", (event) => errors.push(`refused: ${event.violatedDirective}`));
const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
const give = (element, value, event) => {
  element.value = value;
  element.dispatchEvent(new Event(event, { bubbles: true }));
};
const press = (key, options = {}) => document.activeElement.dispatchEvent(
  new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...options }));
const here = () => {
  const cell = document.activeElement.closest("td, th");
  return cell ? [cell.parentElement.sectionRowIndex, cell.cellIndex] : document.activeElement.id;
};
const firstRow = () => all("#grid tbody tr")[0].textContent;

result.data = report.data.models.map(({ label, ks, curves, n, c, distinct }) => ({ label, ks, curves, n, c, distinct }));
result.samples = report.data.samples;
result.hacked = globalThis.hacked ?? null;
result.foreign = all("main :is(script, img, link, style, iframe, object)").length;
result.loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
result.title = document.querySelector("h1").textContent;
result.cards = all(".verdict").map((card) => card.textContent);
result.browser = $("browser").textContent;
result.spread = $("spread").textContent;
result.unlabelled = all("input, select").filter((e) => !e.labels.length).map((e) => e.id);
result.unnamed = all("#curves svg, #strip svg").filter((e) => !e.getAttribute("aria-label")).length;

/* curves: slider, pointer, toggles */
const said = () => [$("at-k-value").textContent, $("at-k").getAttribute("aria-valuetext"),
  all("#readout tbody tr").map((row) => row.textContent)];
result.last = said();
give($("at-k"), "0", "input");
result.first = said();
const image = document.querySelector("#curves svg"), box = image.getBoundingClientRect();
image.dispatchEvent(new PointerEvent("pointermove", { clientX: box.right - 5, clientY: box.top + 50 }));
result.hovered = said()[0];
result.lines = [all("#curves path.line").length];
const toggle = all("#legend input").at(-1);
toggle.click();
result.lines.push(all("#curves path.line").length);
toggle.click();
result.lines.push(all("#curves path.line").length);

result.measures = {};
for (const option of [...$("measure").options].map((o) => o.value)) {
  give($("measure"), option, "change");
  result.measures[option] = [$("meaning").textContent, said()[2], document.querySelector("#curves svg").getAttribute("aria-label")];
}
give($("measure"), "Pass@k", "change");
result.tables = Object.fromEntries(["votes", "efficiency", "bands"].map((id) => [id, $(id)?.closest("section").textContent ?? null]));

/* problems: pages, keyboard, order */
result.rows = [$("where").textContent, all("#grid tbody tr").length, $("grid").getAttribute("aria-rowcount")];
const tabStops = () => all("#grid [tabindex='0']").length;
result.stops = [tabStops()];
document.querySelector("#grid [tabindex='0']").focus();
result.moves = {};
for (const [name, key, options] of [["down", "ArrowDown"], ["right", "ArrowRight"], ["end", "End"], ["home", "Home"],
  ["last", "End", { ctrlKey: true }], ["first", "Home", { ctrlKey: true }], ["page", "PageDown"], ["back", "PageUp"]]) {
  press(key, options);
  result.moves[name] = [here(), $("where").textContent];
}
result.stops.push(tabStops());
const wanted = document.activeElement.closest("tr").cells[0].textContent;
press("Enter");
result.opened = [here(), $("browser").textContent, wanted];
document.querySelector("#browser details summary").focus();
press("Escape");
result.returned = here();
all("#browser button").at(-1).click();
result.next = [document.activeElement.textContent, document.querySelector("#browser h3").textContent];
result.orders = {};
for (const option of [...$("order").options].map((o) => o.value)) {
  give($("order"), option, "change");
  result.orders[option] = firstRow();
}
give($("colour"), [...$("colour").options].at(-1).value, "change");
result.colour = getComputedStyle(document.querySelector("#grid tbody td")).getPropertyValue("--v");

/* contrast of what is read, in the scheme at hand */
function rgb(text) {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  canvas.fillStyle = text;
  canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
}
function ground(element) {
  for (let e = element; e; e = e.parentElement) {
    const colour = rgb(getComputedStyle(e).backgroundColor);
    if (colour[3] === 255) return colour;
  }
  return [255, 255, 255, 255];
}
const light = (c) => c.slice(0, 3).map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
function contrast(element) {
  const [a, b] = [light(rgb(getComputedStyle(element).color)), light(ground(element))].sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05);
}
all("details").forEach((e) => { e.open = true; });
result.contrast = Object.fromEntries(["body", ".quiet", ".verdict span", ".tag", "#grid td", "#grid td small", "pre.text",
  "td small", "button:not(:disabled)"].map((s) => [s, Math.min(99, ...all(s).map(contrast))]));
result.page = light(rgb(getComputedStyle(document.body).backgroundColor));
const { clientWidth, scrollWidth } = document.documentElement;
result.width = [innerWidth, clientWidth, scrollWidth];
result.broken = document.querySelector("main").textContent.match(/NaN|undefined|Infinity|\bnull\b/g);
result.wide = all("main *").filter((e) => !e.closest(".scroll") && e.getBoundingClientRect().right > clientWidth + 1)
  .map((e) => `${e.tagName} ${e.id} ${e.className}`);
result.errors = errors;
return result;
