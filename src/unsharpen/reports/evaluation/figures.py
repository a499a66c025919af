"""Figures of an evaluation: Pass@k over k, and how often each problem is solved by each model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unsharpen.metrics.bootstrap import format_number
from unsharpen.reports.evaluation.model import Model
from unsharpen.reports.extras import require
from unsharpen.reports.plots import (
    BASE_COLOUR,
    CYCLE,
    GRPO_COLOUR,
    INK,
    MARKERS,
    QUIET,
    STYLE,
    draw_curve,
    figure_of,
    finish_k_axes,
)

_COLOURS = (BASE_COLOUR, GRPO_COLOUR, *CYCLE)
_LONGEST_LABEL = 28


def curves_figure(models: Sequence[Model], *, size: tuple[float, float] = (8, 5)) -> Any:
    """Pass@k over k on a log2 axis with 95 % bands over problems; the reference is dashed.

    Args:
        models: the reference first.
        size: width and height in inches.

    Returns:
        A matplotlib Figure without pyplot state; write it with :func:`unsharpen.reports.save`.
    """
    with require("matplotlib").rc_context(STYLE):
        figure = figure_of(size)
        axes = figure.subplots()
        ends, lowest = [], 1.0
        for i, model in enumerate(models):
            ks, intervals = list(model.curve), list(model.curve.values())
            colour, line = _COLOURS[i % len(_COLOURS)], "-" if i else "--"
            draw_curve(axes, ks, intervals, colour, line, MARKERS[i % len(MARKERS)], min(0.13, 0.35 / len(models)))
            ends.append((intervals[-1].value, f"{_short(model)}  {format_number(intervals[-1].value, 2)}", colour))
            lowest = min(lowest, *(x.low for x in intervals))
        problems = max(model.table.num_problems for model in models)
        subtitle = f"{problems:,} problems; bands: 95 % bootstrap over problems"
        finish_k_axes(axes, max(model.max_k for model in models), lowest, ends, ("Pass@k", subtitle))
    return figure


def heat_figure(models: Sequence[Model], *, width: float = 8) -> Any:
    """How often each model solves each problem, problems in the order of the reference's difficulty.

    Args:
        models: the reference first; problems that it was not asked are left out.
        width: in inches; the height follows from the number of models.

    Returns:
        A matplotlib Figure without pyplot state.
    """
    reference = models[0]
    order = np.argsort(reference.pass_at(1), kind="stable")
    table = np.full((len(models), order.size), np.nan)
    for row, model in enumerate(models):
        rates = model.pass_at(1)
        for column, problem in enumerate(order):
            found = model.position.get(reference.table.problem_ids[problem])
            if found is not None:
                table[row, column] = rates[found]
    with require("matplotlib").rc_context(STYLE):
        figure = figure_of((width, 1.5 + 0.42 * len(models)))
        axes = figure.subplots()
        image = axes.imshow(table, aspect="auto", cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
        axes.set_yticks(range(len(models)), [_short(model) for model in models])
        axes.set_xlabel(f"problems, the hardest for {_short(reference)} first")
        axes.grid(visible=False)
        axes.set_title("Share of samples that are correct", loc="left", fontsize=12, fontweight="bold", color=INK)
        bar = figure.colorbar(image, ax=axes, pad=0.01)
        bar.ax.tick_params(colors=QUIET)
    return figure


def _short(model: Model) -> str:
    label = model.label
    return label if len(label) <= _LONGEST_LABEL else f"…{label[-_LONGEST_LABEL + 1 :]}"
