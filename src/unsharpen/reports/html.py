"""One self-contained HTML page about one run or several: verdict, table, figures, settings."""

from __future__ import annotations

import io
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from unsharpen.errors import InputError
from unsharpen.metrics.bootstrap import format_number
from unsharpen.reports.extras import require
from unsharpen.reports.plots import STYLE, colours, dynamics_figure, pass_at_k_figure
from unsharpen.reports.runs import Run, base_models, labels
from unsharpen.reports.style import CSS
from unsharpen.reports.summary import band_table, summary_table
from unsharpen.reports.tables import to_html
from unsharpen.reports.verdict import comparisons, verdicts

GLOSSARY = {
    "Pass@k": "The chance that at least one of k samples is correct, estimated without bias from n samples. "
    "Pass@1 is the mean over samples, not greedy decoding.",
    "Brackets and bands": "95 % bootstrap intervals over problems. They do not cover another training seed.",
    "Distinct solutions": "Different correct solutions among the samples of a problem; mean over all "
    "problems, 0 where none is correct.",
    "Effective solutions": "1 / Σq² over the shares q of the distinct correct solutions: how many equally "
    "frequent solutions would be as diverse. Mean over the problems with two correct samples or more: one sample has "
    "nothing to differ from.",
    "Base catches up at k": "The smallest k at which the model before training is at least as good.",
}


def write_report(runs: Sequence[Run], path: str | Path, *, title: str = "What training did to Pass@k") -> Path:
    """Write the report of one run, or of several beside each other, as one HTML file.

    The page loads nothing from anywhere: style and figures are inline. It follows the reader's light or dark
    setting, works on a phone and in print. Whatever comes from files is escaped.

    Args:
        runs: loaded runs, each shown beside its base model.
        path: the file to write.
        title: heading of the page.

    Returns:
        The path of the file.

    Raises:
        InputError: no runs, or a path that can't be written.
        MissingExtraError: matplotlib is not installed.
    """
    if not runs:
        raise InputError("a report needs at least one run; found none")
    target = Path(path)
    page = _page(runs, title)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InputError(f"the report needs a writable path; {target} is not: {error}") from error
    return target


def _page(runs: Sequence[Run], title: str) -> str:
    bands = band_table(runs)
    steps = f"The same measures over {max(run.final.step for run in runs)} steps; dashed: before training."
    sections = {
        "In short": _verdicts(runs),
        "Results": to_html(summary_table(runs)),
        "Many tries": figure_html("pass-at-k", pass_at_k_figure(runs), "Pass@k over k", _curves_in_words(runs)),
        "During training": figure_html("dynamics", dynamics_figure(runs), "Pass@k and diversity by step", steps),
        "By number of solutions": to_html(bands) if bands else "",
        "Settings, and how to repeat a run": "".join(map(_settings, runs, labels(runs))),
        "How to read this": glossary_html(GLOSSARY),
    }
    return page_html(title, _about(runs[0]), sections)


def page_html(title: str, about: str, sections: Mapping[str, str], *, style: str = "") -> str:
    """A page that loads nothing: sections of HTML under their headings; those that are empty are left out."""
    body = "\n".join(f"<section>\n<h2>{escape(h)}</h2>\n{text}\n</section>" for h, text in sections.items() if text)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{CSS}{style}</style>\n</head>\n<body>\n<main>\n"
        f'<h1>{escape(title)}</h1>\n<p class="quiet">{escape(about)}</p>\n'
        f"{body}\n</main>\n</body>\n</html>\n"
    )


def _about(run: Run) -> str:
    final = run.final
    facts = [f"{key} {run.config[key]}" for key in ("task", "model") if key in run.config]
    facts += [f"{final.num_problems} held-out problems", f"{final.num_samples} samples each"]
    facts += [f"{k} {final.settings[k]}" for k in ("temperature", "top_p") if k in final.settings]
    return " · ".join(facts)


def _verdicts(runs: Sequence[Run]) -> str:
    lead = "".join(f'<p class="lead">{escape(text)}</p>\n' for text in comparisons(runs))
    cards = "".join(
        f'<li class="card verdict" style="--mark: {colour}"><h3>{escape(v.label)} '
        f"<span>— {escape(v.outcome)}</span></h3><p>{escape(v.text)}</p></li>\n"
        for v, colour in zip(verdicts(runs), colours(runs), strict=True)
    )
    return f'{lead}<ul class="cards">\n{cards}</ul>'


def figure_html(name: str, figure: Any, alt: str, caption: str) -> str:
    """A figure with its caption, drawn inline."""
    svg = _inline_svg(name, figure, f"{alt}. {caption}")
    return (
        f'<figure><div class="paper scroll" tabindex="0" role="region" aria-label="{escape(alt)}">{svg}</div>'
        f"\n<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _inline_svg(name: str, figure: Any, alt: str) -> str:
    """The figure as an <svg> element without prolog and metadata, its ids made unique on the page."""
    out = io.StringIO()
    with require("matplotlib").rc_context(STYLE):
        figure.savefig(out, format="svg", metadata={"Date": None})
    svg = out.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(alt)}"', 1)


def _curves_in_words(runs: Sequence[Run]) -> str:
    """The end points of the curves, for those who can't see the figure."""
    ends = []
    for label, e in [*base_models(runs).items(), *zip(labels(runs), (r.final for r in runs), strict=True)]:
        first, last = (format_number(float(e.pass_at(k).mean()), 2) for k in (1, e.num_samples))
        ends.append(f"{label} from {first} at k = 1 to {last} at k = {e.num_samples}")
    return "; ".join(ends) + "."


def _settings(run: Run, label: str) -> str:
    config = json.dumps(run.config, indent=2, ensure_ascii=False)
    return (
        f'<details class="card"><summary>{escape(label)}</summary>\n'
        f'<p class="quiet">{escape(_training_facts(run))}</p>\n'
        f"<p>To repeat it, with the versions listed here:</p>\n<pre>{escape(command(run))}</pre>\n"
        f"<pre>{escape(config)}</pre></details>\n"
    )


def _training_facts(run: Run) -> str:
    columns = {
        key: [float(m[key]) for m in run.metrics if isinstance(m.get(key), (int, float))]
        for key in ("step_time", "reward")
    }
    facts = [f"{len(run.metrics)} steps logged"]
    facts += [f"median {np.median(columns['step_time']):.2f} s per step"] if columns["step_time"] else []
    facts += [f"last reward {columns['reward'][-1]:.3f}"] if columns["reward"] else []
    return "; ".join([*facts, *run.notes])


def command(run: Run) -> str:
    """The command that repeats a run: config["command"], or one put together from the configuration."""
    config = run.config
    if isinstance(config.get("command"), str):
        return str(config["command"])
    words = ["unsharpen", "train"]
    for key in ("method", "task", "model", "data", "seed"):
        words += [f"--{key}", str(config[key])] if config.get(key) is not None else []
    coefficients, settings = ("method_args", "coefficients"), ("trl", "settings")
    for option, keys in (("--method-arg", coefficients), ("--set", settings)):
        pairs: dict[str, Any] = next((config[key] for key in keys if isinstance(config.get(key), dict)), {})
        words += [word for name, value in pairs.items() for word in (option, f"{name}={value}")]
    return shlex.join(words)


def glossary_html(words: Mapping[str, str]) -> str:
    """Terms and what they mean."""
    items = "".join(f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>\n" for term, text in words.items())
    return f"<dl>\n{items}</dl>"
