"""The style sheet of the HTML report: light and dark, phone and print, no external resource."""

CSS = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --ink: #1f2328; --quiet: #57606a;
  --line: #d5dae0; --link: #0b5cad; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14171b; --card: #1d2127; --ink: #e8eaed; --quiet: #a8b0ba;
    --line: #383f48; --link: #7ab8ff; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2rem 1.25rem 3rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .25rem; text-wrap: balance; }
h2 { font-size: 1.2rem; margin: 2.25rem 0 .75rem; }
h3 { font-size: 1rem; margin: 0; }
p { margin: .4rem 0; max-width: 46rem; }
.quiet, caption, figcaption { color: var(--quiet); font-size: .875rem; }
.cards { display: grid; gap: .75rem; margin: 0; padding: 0; list-style: none; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .8rem 1rem; }
.verdict { border-left: 5px solid var(--mark); }
.verdict h3 span { font-weight: 400; color: var(--quiet); }
.scroll { overflow-x: auto; }
.scroll:focus-visible, summary:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .9rem; }
caption { text-align: left; padding-bottom: .5rem; }
th, td { text-align: right; padding: .4rem .65rem; vertical-align: top;
  border-bottom: 1px solid var(--line); }
thead th { vertical-align: bottom; font-weight: 600; }
tbody tr:last-child > * { border-bottom: 0; }
th:first-child, .band { text-align: left; }
tbody th { white-space: nowrap; }
.lead { font-size: 1.05rem; margin-bottom: .9rem; max-width: 50rem; }
.band { padding-top: .9rem; font-weight: 600; }
td small { display: block; color: var(--quiet); white-space: nowrap; }
figure { margin: 0; }
.paper { background: #fff; border: 1px solid var(--line); border-radius: 8px; padding: .75rem; }
.paper svg { display: block; width: 100%; height: auto; min-width: 36rem; }
figcaption { margin-top: .5rem; }
details { margin-bottom: .6rem; }
summary { cursor: pointer; font-weight: 600; }
pre, code { font: .84rem/1.5 ui-monospace, monospace; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .5rem 0; }
dt { font-weight: 600; }
dd { margin: 0 0 .5rem; max-width: 46rem; }
@media (max-width: 40rem) { main { padding: 1.25rem .9rem 2rem; } h1 { font-size: 1.4rem; } }
@media print {
  :root { --page: #fff; --card: #fff; --ink: #000; --quiet: #444; --line: #bbb; }
  main { max-width: none; padding: 0; }
  figure, .card, tr { break-inside: avoid; }
  .scroll { overflow: visible; } .paper svg { min-width: 0; }
}
"""
