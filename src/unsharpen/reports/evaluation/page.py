"""The page about evaluations: verdicts, curves, problems and samples in one file that loads nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from unsharpen.errors import InputError
from unsharpen.metrics import SampleTable
from unsharpen.reports.evaluation.about import about_html
from unsharpen.reports.evaluation.beyond import (
    band_rows,
    efficiencies,
    efficiency_rows,
    efficiency_sentences,
    stability_rows,
)
from unsharpen.reports.evaluation.compare import Verdict, evaluation_rows, verdicts
from unsharpen.reports.evaluation.figures import curves_figure, heat_figure
from unsharpen.reports.evaluation.model import ALL, HALF, MAJORITY, PASS, Model, models_of
from unsharpen.reports.evaluation.payload import Caps, payload, shortened, to_script
from unsharpen.reports.html import GLOSSARY, glossary_html
from unsharpen.reports.plots import save
from unsharpen.reports.style import CSS
from unsharpen.reports.tables import Table, TableRow, to_html, to_latex

_SCRIPTS = ("dom.js", "curves.js", "problems.js", "samples.js", "main.js")
_CURVES = {
    PASS: "the chance that at least one of k samples is correct.",
    MAJORITY: "the chance that the most frequent answer of k samples is right.",
    HALF: "the chance that at least half of k samples are correct.",
    ALL: "the chance that all k samples are correct.",
}
_STYLES = 6  # colours and marks of style.css
_LONGEST_SETTING = 2_000
_WORDS = {
    **{key: GLOSSARY[key] for key in ("Pass@k", "Brackets and bands", "Distinct solutions", "Effective solutions")},
    "maj@k": "The chance that the most frequent answer of k samples is right; a tie counts by its share.",
    "G-Pass@k, τ": "The chance that at least the share τ of k samples is right: τ near 0 is Pass@k, τ = 1 asks for all "
    "k. mG-Pass@k is its mean over τ above one half: how reliable the model is.",
    "Samples needed": "How many samples this model needs, on average over the problems, for the Pass@k that the first "
    "model reaches with k; between whole numbers on a straight line. Never: not within the samples there are.",
    "Overtaken at k": "The smallest k at which the first model is at least as good, on the problems of both.",
    "Sharpened": "Right more often at the first try, but fewer problems solved in many: probability was moved onto "
    "what the first model finds in some tries anyway.",
    "Undecided": "The interval of the change holds 0. More problems narrow it; more samples per problem hardly do.",
    "Undefined": "Nothing to average: for instance no correct sample whose solution is known.",
}


def write_evaluation_report(
    tables: Sequence[SampleTable], path: str | Path, *, title: str = "How often, and in how many ways"
) -> Path:
    """Write the report on one model or several as one HTML file, with figures and a LaTeX table beside it.

    The page loads nothing: it works from a file, follows the reader's light or dark setting, and can be used with a
    keyboard and a screen reader. Whatever comes from samples is shown as text. Its size is bounded: counts of all
    problems, samples of at most 400 of them, all caps stated on the page.

    Beside the page: ``pass-at-k.png`` and ``.svg``, ``heat-map.png`` and ``.svg``, ``results.tex`` (booktabs).

    Args:
        tables: samples of each model; the first one is the reference, for instance the base model. Problems are paired
            by their ids.
        path: the file to write.
        title: heading of the page.

    Returns:
        The path of the page.

    Raises:
        InputError: no table, a problem without samples, or a path that can't be written.
        MissingExtraError: matplotlib is not installed.
    """
    target = Path(path)
    models = models_of(tables)
    rows = evaluation_rows(models)
    page = evaluation_page(models, rows, title=title)
    figures = {"pass-at-k.png": curves_figure(models), "heat-map.png": heat_figure(models)}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(page, encoding="utf-8", errors="replace")
        target.with_name("results.tex").write_text(to_latex(_results(models, rows)), encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"the report needs a writable path; {target} is not: {error}") from error
    for name, figure in figures.items():
        save(figure, target.with_name(name))
    return target


def evaluation_page(models: Sequence[Model], rows: Sequence[TableRow], *, title: str) -> str:
    """The page as text."""
    data, caps = payload(models)
    data["curves"] = _CURVES
    script = "\n".join(map(_asset, _SCRIPTS))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    parts = {
        "TITLE": escape(title),
        "HASH": f"sha256-{digest}",
        "STYLE": CSS + _asset("style.css"),
        "ABOUT": about_html(models),
        "VERDICTS": _verdicts(models, verdicts(models, rows)),
        "TABLE": f'<div class="results">{to_html(_results(models, rows))}</div>',
        "BEYOND": _stability(models) + _efficiency(models) + _bands(models),
        "CAPS": escape(_caps(models, caps)),
        "SETTINGS": "".join(map(_settings, models)),
        "GLOSSARY": glossary_html(_WORDS),
        "DATA": to_script(data),
        "SCRIPT": script,
    }
    return re.sub(
        r"\{\{([A-Z]+)\}\}", lambda match: parts[match[1]], _asset("page.html")
    )  # one pass: no text is a template


def _results(models: Sequence[Model], rows: Sequence[TableRow]) -> Table:
    uneven = [m.label for m in models if m.table.num_samples.min() != m.table.num_samples.max()]
    text = "Means over problems, with 95 % intervals."
    if uneven:
        text += f" Problems of {', '.join(uneven)} have different numbers of samples: k ends at the smallest."
    if len({(m.table.num_samples.min(), m.table.num_samples.max()) for m in models}) > 1:
        text += (
            " The models have different numbers of samples, with which distinct and effective solutions grow: compare "
            "those at equal numbers only."
        )
    return Table("results", "Results", text, rows, head="model")


def _stability(models: Sequence[Model]) -> str:
    rows = stability_rows(models)
    drawn = sorted({int(k) for m in models if m.majority for k in m.majority.ks[~m.majority.exact]})
    note = f" maj@k for k = {', '.join(map(str, drawn))} is a mean over random subsets." if drawn else ""
    caption = f"Means over problems, with 95 % intervals.{note}"
    return _section("votes", "Votes and stability", caption, rows)


def _efficiency(models: Sequence[Model]) -> str:
    base, found = models[0].label, efficiencies(models)
    if not found:
        return ""
    said = "".join(f"<p>{escape(text)}</p>\n" for text in efficiency_sentences(found, base))
    caption = f"How many samples reach what {base} reaches with k, on the problems of both, with 95 % intervals."
    rows = efficiency_rows(found, base)
    return _section("efficiency", "Samples for the same Pass@k", caption, rows, said=said, head="to reach")


def _bands(models: Sequence[Model]) -> str:
    rows = band_rows(models)
    caption = "Problems in three groups by how many distinct solutions exist (terciles), with 95 % intervals."
    return _section("bands", "By number of solutions", caption, rows)


def _section(
    name: str, title: str, caption: str, rows: Sequence[TableRow], *, said: str = "", head: str = "model"
) -> str:
    """A table under its heading; nothing without rows."""
    if not rows:
        return ""
    body = said + to_html(Table(name, title, caption, rows, head))
    return (
        f'<section aria-labelledby="{name}">\n<h2 id="{name}">{title}</h2>\n'
        f'<div class="results">{body}</div></section>\n'
    )


def _verdicts(models: Sequence[Model], found: Sequence[Verdict]) -> str:
    lead = ""
    if len(models) > 1:
        lead = f'<p class="lead">Against {escape(models[0].label)}, in percentage points:</p>\n'
    first = len(models) - len(found)
    cards = "".join(
        f'<li class="card verdict s{(i + first) % _STYLES}"><h3>{escape(v.label)} '
        f"<span>— {escape(v.outcome)}</span></h3><p>{escape(v.text)}</p></li>\n"
        for i, v in enumerate(found)
    )
    return f'{lead}<ul class="cards">\n{cards}</ul>'


def _caps(models: Sequence[Model], caps: Caps) -> str:
    silent = [model.label for model in models if model.table.completions is None]
    return caps.text + (f" The texts of {', '.join(silent)} were not kept." if silent else "")


def _settings(model: Model) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(str(key))}</th><td>{escape(_setting(value))}</td></tr>\n'
        for key, value in model.table.settings.items()
    )
    body = f'<table class="settings"><tbody>{rows}</tbody></table>' if rows else "<p>No settings were recorded.</p>"
    return f'<details class="card"><summary>{escape(model.label)}</summary>\n{body}</details>\n'


def _setting(value: Any) -> str:
    text = value if isinstance(value, str) else _json(value)
    return shortened(text, _LONGEST_SETTING)


def _json(value: Any) -> str:
    if isinstance(value, Mapping):
        value = dict(value)
    return json.dumps(value, ensure_ascii=False, default=str)


def _asset(name: str) -> str:
    return files("unsharpen.reports").joinpath("evaluation", name).read_text(encoding="utf-8")
