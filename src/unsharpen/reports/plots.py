"""Figures: Pass@k over k, and what happens during training. Matplotlib is imported when a figure is made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unsharpen.errors import InputError
from unsharpen.metrics import Interval, bootstrap_mean, default_ks
from unsharpen.metrics.bootstrap import format_number
from unsharpen.reports.extras import require
from unsharpen.reports.runs import Evaluation, Run, base_models, labels

# Okabe & Ito: told apart with every common colour vision.
BASE_COLOUR, GRPO_COLOUR = "#6E6E6E", "#D55E00"
CYCLE = ("#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = "os^Dv"
INK, QUIET, GRID = "#1F2328", "#57606A", "#E4E7EB"
STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": "#9AA2AB",
    "axes.labelcolor": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "text.parse_math": False,  # a label is text, whatever it holds
    "svg.fonttype": "none",  # text stays text: small, selectable, readable by a screen reader
    "svg.hashsalt": "unsharpen",  # the same figure is the same file
}


def colours(runs: Sequence[Run]) -> list[str]:
    """One colour per run: vermillion for the first plain GRPO run, then blue, green, purple, ..."""
    out: list[str] = []
    for run in runs:
        plain = run.config.get("method") == "grpo" and GRPO_COLOUR not in out
        used = sum(colour != GRPO_COLOUR for colour in out)
        out.append(GRPO_COLOUR if plain else CYCLE[used % len(CYCLE)])
    return out


def pass_at_k_figure(runs: Sequence[Run], base: Evaluation | None = None, *, size: tuple[float, float] = (8, 5)) -> Any:
    """Pass@k over k on a log2 axis, base model and every run, with 95 % bands over problems.

    Args:
        runs: loaded runs, drawn at their final evaluation.
        base: the base evaluation to draw; default: that of the runs, one for each starting model.
        size: width and height in inches.

    Returns:
        A matplotlib Figure without pyplot state; write it with `save`.

    Raises:
        InputError: no runs. MissingExtraError: matplotlib is not installed.
    """
    _need(runs)
    bases = base_models(runs) if base is None else {"base": base}
    curves = [(label, e, BASE_COLOUR, "--", "") for label, e in bases.items()]
    for i, (label, run, colour) in enumerate(zip(labels(runs), runs, colours(runs), strict=True)):
        curves.append((label, run.final, colour, "-", MARKERS[i % len(MARKERS)]))
    with require("matplotlib").rc_context(STYLE):
        figure = figure_of(size)
        axes = figure.subplots()
        ends, lowest = [], 1.0
        for label, evaluation, colour, line, marker in curves:
            ks = default_ks(evaluation.num_samples)
            intervals = [bootstrap_mean(evaluation.pass_at(int(k))) for k in ks]
            draw_curve(axes, ks, intervals, colour, line, marker, _band_alpha(runs))
            ends.append((intervals[-1].value, f"{label}  {format_number(intervals[-1].value, 2)}", colour))
            lowest = min(lowest, *(x.low for x in intervals))
        largest = max(evaluation.num_samples for _, evaluation, *_ in curves)
        finish_k_axes(axes, largest, lowest, ends, ("Pass@k on held-out problems", _subtitle(curves[0][1])))
    return figure


def dynamics_figure(runs: Sequence[Run], *, size: tuple[float, float] = (8, 3.6)) -> Any:
    """Pass@1, Pass@k and effective solutions over optimiser steps, in three panels, with 95 % bands.

    k is 64, or the largest number that all evaluations have samples for. Where a step was evaluated twice,
    the evaluation with fewer samples is drawn: it is the one comparable with its neighbours.

    Args:
        runs: loaded runs.
        size: width and height in inches.

    Returns:
        A matplotlib Figure without pyplot state; write it with `save`.

    Raises:
        InputError: no runs. MissingExtraError: matplotlib is not installed.
    """
    _need(runs)
    series = [list({e.step: e for e in reversed(run.evaluations)}.values())[::-1] for run in runs]
    k = min(64, *(e.num_samples for evaluations in series for e in evaluations))
    panels = ("Pass@1", f"Pass@{k}", "Effective correct solutions")
    with require("matplotlib").rc_context(STYLE):
        figure = figure_of(size)
        for panel, (axes, title) in enumerate(zip(figure.subplots(1, 3), panels, strict=True)):
            for i, (name, colour) in enumerate(zip(labels(runs), colours(runs), strict=True)):
                columns = [(e.pass_at(1), e.pass_at(k), e.effective_solutions)[panel] for e in series[i]]
                means = [bootstrap_mean(column, nan="omit", num_resamples=500) for column in columns]
                steps = np.asarray([e.step for e in series[i]])
                draw_curve(axes, steps, means, colour, "-", MARKERS[i % len(MARKERS)], _band_alpha(runs), name)
                axes.axhline(means[0].value, color=BASE_COLOUR, ls="--", lw=1.2, zorder=1)
            axes.set_title(title, loc="left", fontsize=10, color=INK)
            axes.set_xlabel("optimiser step")
            axes.margins(x=0.03)
            axes.yaxis.set_major_locator(require("matplotlib.ticker").MaxNLocator(5, steps=[1, 2, 5, 10]))
            axes.xaxis.set_major_locator(require("matplotlib.ticker").MaxNLocator(4, integer=True))
        handles, names = axes.get_legend_handles_labels()
        handles.append(axes.lines[-1])
        figure.legend(handles, [*names, "base (step 0)"], loc="upper left", ncols=4, frameon=False)
        figure.get_layout_engine().set(rect=(0, 0, 1, 1 - 0.09 * -(-len(handles) // 4)), wspace=0.04)
    return figure


def save(figure: Any, path: str | Path) -> tuple[Path, Path]:
    """Write the figure as PNG (200 dpi) and as SVG; the suffix of `path` is replaced.

    Returns:
        The paths of the PNG and of the SVG file.

    Raises:
        InputError: the folder can't be written.
    """
    target = Path(path)
    png, svg = target.with_suffix(".png"), target.with_suffix(".svg")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with require("matplotlib").rc_context(STYLE):
            figure.savefig(png, dpi=200)
            figure.savefig(svg, metadata={"Date": None})
    except OSError as error:
        raise InputError(f"figures need a writable folder; {target.parent} is not: {error}") from error
    return png, svg


def finish_k_axes(
    axes: Any, largest: int, lowest: float, ends: Sequence[tuple[float, str, str]], titles: tuple[str, str]
) -> None:
    """Scales, labels and names of the curves of a Pass@k figure.

    Args:
        axes: with the curves drawn.
        largest: k at the right end.
        lowest: smallest value drawn.
        ends: (value at its right end, name, colour) of each curve.
        titles: heading and subtitle.
    """
    axes.set_xscale("log", base=2)
    axes.set_xticks(default_ks(largest), [str(k) for k in default_ks(largest)])
    axes.minorticks_off()
    axes.set_xlim(0.92, largest * 1.03)
    axes.set_ylim(max(0.0, np.floor(lowest * 10) / 10 - 0.02), 1.02)
    axes.set_xlabel("k, samples per problem (log scale)")
    _label_ends(axes, largest, ends)
    _title(axes, *titles)


def _need(runs: Sequence[Run]) -> None:
    if not runs:
        raise InputError("a figure needs at least one run; found none")


def _band_alpha(runs: Sequence[Run]) -> float:
    """Fainter bands the more of them lie on each other."""
    return min(0.13, 0.35 / len(runs))


def figure_of(size: tuple[float, float]) -> Any:
    """A figure without pyplot state, `size` in inches."""
    figure = require("matplotlib.figure").Figure(figsize=size, layout="constrained", facecolor="white")
    require("matplotlib.backends.backend_agg").FigureCanvasAgg(figure)
    return figure


def draw_curve(
    axes: Any,
    x: Any,
    intervals: Sequence[Interval],
    colour: str,
    line: str,
    marker: str,
    alpha: float,
    label: str = "",
) -> None:
    """A line with markers and its band."""
    low, mid, high = (np.asarray([getattr(i, end) for i in intervals]) for end in ("low", "value", "high"))
    axes.fill_between(x, low, high, color=colour, alpha=alpha, lw=0)
    axes.plot(x, mid, line, color=colour, marker=marker, ms=4.5, mec="white", mew=0.7, lw=2, label=label)


def _label_ends(axes: Any, x: float, ends: Sequence[tuple[float, str, str]], gap: float = 0.055) -> None:
    """Name each curve at its right end, moved apart so that no two names overlap."""
    bottom, top = axes.get_ylim()
    order = sorted(ends)
    places = np.asarray([value for value, _, _ in order])
    for _ in range(200):
        for i in range(len(places) - 1):
            short = gap * (top - bottom) - (places[i + 1] - places[i])
            if short > 1e-9:
                places[i], places[i + 1] = places[i] - short / 2, places[i + 1] + short / 2
    for place, (_, text, colour) in zip(places, order, strict=True):
        axes.annotate(
            text, (x, place), (9, 0), textcoords="offset points", va="center", color=_darker(colour),
            fontsize=10, fontweight="bold", annotation_clip=False,
        )  # fmt: skip


def _darker(colour: str) -> str:
    """Two thirds of the brightness: at least 4.5:1 on white for every colour of the palette."""
    return "#" + "".join(f"{int(colour[i : i + 2], 16) * 2 // 3:02X}" for i in (1, 3, 5))


def _subtitle(evaluation: Evaluation) -> str:
    temperature = evaluation.settings.get("temperature")
    heat = "" if temperature is None else f", temperature {temperature}"
    return (
        f"{evaluation.num_problems} problems, {evaluation.num_samples} samples each{heat}; "
        "bands: 95 % bootstrap over problems"
    )


def _title(axes: Any, title: str, subtitle: str) -> None:
    axes.set_title(title, loc="left", fontsize=13, fontweight="bold", color=INK, pad=26)
    axes.annotate(
        subtitle, (0, 1), (0, 10), xycoords="axes fraction", textcoords="offset points",
        fontsize=9, color=QUIET,
    )  # fmt: skip
