"""Everything that a comparison's records come to, as files: tables, figures, and one HTML page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from unsharpen.comparison.curves import Curves
from unsharpen.comparison.figures import figures
from unsharpen.comparison.front import front_tables, load_lines
from unsharpen.comparison.results import Results, load_results
from unsharpen.comparison.summary import tables
from unsharpen.errors import InputError
from unsharpen.reports.html import command, figure_html, glossary_html, page_html
from unsharpen.reports.plots import save
from unsharpen.reports.tables import Table, to_csv, to_html, to_latex, to_markdown
from unsharpen.training.folder import write_atomically

GLOSSARY = {
    "Pass@k": "The chance that at least one of k samples is correct, estimated without bias from n samples; Pass@1 is "
    "the mean over samples.",
    "Intervals": "95 % bootstrap over problems and seeds, drawn independently. With S seeds the variance between seeds "
    "comes out (S - 1) / S times too small; with one it is not in at all.",
    "distinct, effective": "Different correct solutions among the samples of a problem, mean over all problems; and "
    "1 / Σq² over their shares q, mean over the problems with two correct samples or more.",
    "base catches up at k": "The smallest k at which the model before training is at least as good as the mean of the "
    "seeds.",
    "samples for X's Pass@k": "How many samples the method needs for the Pass@k that X has at k: a quarter of k means "
    "four times fewer.",
    "equal Pass@1": "A model that is sampled colder gains Pass@1 and loses Pass@k. Where two have the same Pass@1, the "
    "one with more Pass@k has kept more; `base` is the untouched model, which every method has to beat there.",
    "s / step": "Seconds of an optimiser step, completions included, on the machine of the runs: their 10 % quantile, "
    "as other work on it slows many of them.",
    "lowest": "The smallest difference to the base over all k. Its interval is simultaneous over k: wholly below 0, "
    "the base is better somewhere. The value itself is a little too low, since noise at any k can lower it.",
}

_WIDE = "main { max-width: 78rem; } td, th { padding: .35rem .5rem; }\n"


def write_report(root: Path) -> tuple[Results, list[Table]]:
    """Write what the records come to.

    ``report.html``; ``tables/``, each as Markdown, CSV and LaTeX, and all in ``results.md``; ``figures/``, each as PNG
    and SVG.

    Raises:
        InputError: no finished run, or a folder that can't be written.
        DataError: a malformed record.
        MissingExtraError: matplotlib is not installed.
    """
    results = load_results(root)
    curves = Curves(results)
    lines = load_lines(root, results)
    found = [*tables(results, curves), *front_tables(lines, results, curves)]
    drawn = figures(results, curves, lines)
    folder = root / "tables"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for table in found:
            for suffix, write in (("md", to_markdown), ("csv", to_csv), ("tex", to_latex)):
                write_atomically(folder / f"{table.name}.{suffix}", write(table).rstrip("\n") + "\n")
        text = "\n\n".join([*map(to_markdown, found), *_remarks(results)])
        write_atomically(folder / "results.md", text + "\n")
        for name, (figure, _) in drawn.items():
            save(figure, root / "figures" / name)
        write_atomically(root / "report.html", page(results, found, drawn))
    except OSError as error:
        raise InputError(f"the report needs a writable folder; {root} is not: {error}") from error
    return results, found


def failures(results: Results) -> list[str]:
    """One line for each cell that failed."""
    return [f"{arm.label} {name}: {reason}" for arm in results.arms for name, reason in arm.failures]


def _remarks(results: Results) -> list[str]:
    parts = [f"How the settings were chosen: {results.rule}"] if results.rule else []
    parts += ["Failed cells:\n\n" + "\n".join(f"- {line}" for line in lines)] if (lines := failures(results)) else []
    return [*parts, *results.notes]


def page(results: Results, found: Sequence[Table], drawn: dict[str, tuple[Any, str]]) -> str:
    """One self-contained HTML page; whatever comes from files is escaped."""
    main, *others = found
    sections = {
        "Results": to_html(main),
        "Failed cells": "".join(f"<p>{escape(line)}</p>" for line in failures(results)),
        **{alt.rstrip("."): figure_html(name, figure, alt, alt) for name, (figure, alt) in drawn.items()},
        **{table.title: to_html(table) for table in others},
        "How the settings were chosen": f"<p>{escape(results.rule)}</p>" if results.rule else "",
        "Settings, and how to repeat a run": "".join(_settings(results)),
        "How to read this": glossary_html(GLOSSARY),
    }
    config = results.finished[0].first.config
    facts = [f"{key} {config[key]}" for key in ("task", "model") if key in config]
    facts += [f"{results.base.num_problems} problems", f"{results.num_samples} samples each", *results.notes]
    unfinished = any(not arm.runs and not arm.failures for arm in results.arms)
    title = f"{len(results.finished)} of {len(results.arms)} methods so far" if unfinished else "Methods compared"
    return page_html(title, " · ".join(facts), sections, style=_WIDE)


def _settings(results: Results) -> list[str]:
    parts = []
    for arm in results.finished:
        config = json.dumps(dict(arm.first.config), indent=2, ensure_ascii=False)
        seeds = ", ".join(map(str, arm.seeds))
        parts.append(
            f'<details class="card"><summary>{escape(arm.label)}</summary>\n<p class="quiet">seeds {seeds}; '
            f"{arm.first.final.step} steps</p>\n<pre>{escape(command(arm.first))}</pre>\n<pre>{escape(config)}</pre>"
            "</details>\n"
        )
    return parts
