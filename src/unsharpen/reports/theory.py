"""Figures of the theory commands: plain numbers in, a matplotlib figure out, in the style of the other plots."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from unsharpen.reports.extras import require
from unsharpen.reports.plots import BASE_COLOUR, CYCLE, GRPO_COLOUR, INK, MARKERS, QUIET, STYLE, figure_of

Numbers = Sequence[float]
_CYCLE = (GRPO_COLOUR, *CYCLE, "#8C564B", BASE_COLOUR)


def biases_figure(curves: Mapping[str, Numbers], marks: Numbers, title: str) -> Any:
    """Selection and reinforcement over the probability of a correct completion, log-log.

    Args:
        curves: ``probability``, ``selected``, ``update_if_selected`` and ``update``, of one length.
        marks: probabilities of the completions at hand.
        title: says C and G.
    """
    with require("matplotlib").rc_context(STYLE):
        figure = figure_of((8, 4.2))
        axes = figure.subplots()
        for (key, label), colour in zip(
            {
                "selected": "selection: chance to be in a group that teaches",
                "update_if_selected": "reinforcement: its update, given that",
                "update": "product: expected update",
            }.items(),
            (CYCLE[0], CYCLE[1], INK),
            strict=True,
        ):
            axes.plot(curves["probability"], curves[key], color=colour, lw=2, label=label)
        for mark in marks:
            axes.axvline(mark, color=BASE_COLOUR, ls=":", lw=1.2, zorder=1)
        axes.set(xscale="log", yscale="log", xlabel="probability of a correct completion (dotted: those at hand)")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.legend(loc="lower right", framealpha=1, edgecolor="none")
        axes.set_title(title, loc="left", fontweight="bold", color=INK)
    return figure


def frontier_figure(
    lines: Mapping[str, tuple[Numbers, Numbers]], points: Mapping[str, tuple[float, float]], most: float
) -> Any:
    """Pass@1 against the effective number of correct completions.

    Args:
        lines: label -> (Pass@1, effective number) along a frontier.
        points: label -> (Pass@1, effective number) of a policy, at most five; the last one is drawn as a ring, since
            it may lie on another.
        most: the number of correct completions.
    """
    with require("matplotlib").rc_context(STYLE):
        figure = figure_of((8, 4.6))
        axes = figure.subplots()
        for (label, (masses, numbers)), style in zip(lines.items(), ("-", "--", ":"), strict=False):
            axes.plot(masses, numbers, style, color=INK, lw=1.6, label=label)
        colours = (BASE_COLOUR, *_CYCLE)
        for i, (label, (mass, number)) in enumerate(points.items()):
            ring = {"ms": 17, "mfc": "none", "mew": 2} if i == len(points) - 1 else {"ms": 10, "mec": "white"}
            axes.plot(mass, number, MARKERS[i], color=colours[i], label=label, ls="none", **ring)
        axes.axhline(most, color=QUIET, lw=0.8, ls=":")
        axes.set(xlabel="Pass@1", ylabel="effective number of correct completions")
        axes.margins(0.06)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False)
        axes.set_title("Correctness against diversity", loc="left", fontweight="bold", color=INK)
    return figure


def domination_figure(
    curves: Mapping[Any, tuple[Numbers, Numbers]], *, budget: Mapping[Any, float], floor: float, target: float
) -> Any:
    """Divergence over correctness for policies as diverse as the entropy policy, one panel a divergence.

    Args:
        curves: kind -> (Pass@1, divergence).
        budget: kind -> the entropy policy's divergence.
        floor: Pass@1 that smoothing stays above at any finite beta.
        target: Pass@1 of the entropy policy.
    """
    with require("matplotlib").rc_context(STYLE):
        columns = min(3, len(curves))
        rows = math.ceil(len(curves) / columns)
        figure = figure_of((3.2 * columns, 2.6 * rows + 0.7))
        panels = figure.subplots(rows, columns, squeeze=False).reshape(-1)
        for axes in panels[len(curves) :]:
            axes.set_visible(False)
        for axes, (kind, (x, y)) in zip(panels, curves.items(), strict=False):
            inside = [value <= budget[kind] and mass >= max(floor, target) for mass, value in zip(x, y, strict=True)]
            axes.plot(x, y, color=INK, lw=1.6, label="as diverse, wrong side untouched")
            axes.fill_between(
                x, 0, 1, where=inside, transform=axes.get_xaxis_transform(), color=CYCLE[1], alpha=0.2, lw=0,
                label="at least as good in all three",
            )  # fmt: skip
            axes.axhline(budget[kind], color=GRPO_COLOUR, lw=1.4, label="entropy policy: divergence, Pass@1")
            axes.axvline(target, color=GRPO_COLOUR, lw=1.4, ls="--")
            axes.axvline(floor, color=CYCLE[0], lw=1.4, ls=":", label="least Pass@1 of smoothing")
            axes.set_title(kind, loc="left", fontsize=10, color=INK)
            axes.set_xlabel("Pass@1")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=2, frameon=False)
    return figure


def simulation_figure(panels: Mapping[str, Mapping[str, tuple[Numbers, Numbers]]], title: str) -> Any:
    """Training curves, one panel a quantity, one line a method.

    Args:
        panels: quantity -> method -> (steps, values).
        title: names the world.
    """
    with require("matplotlib").rc_context(STYLE):
        figure = figure_of((9, 3.9))
        for axes, (quantity, lines) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
            for i, (method, (x, y)) in enumerate(lines.items()):
                colour, style = _CYCLE[i % len(_CYCLE)], ("-", "--")[i // len(_CYCLE) % 2]
                axes.plot(x, y, style, color=colour, lw=2, label=method)
            axes.set_title(quantity, loc="left", fontsize=10, color=INK)
            axes.set_xlabel("step")
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold", color=INK)
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=3, frameon=False)
    return figure
