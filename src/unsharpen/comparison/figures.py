"""The figures of a comparison; legible with a dozen methods and more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from unsharpen.comparison.curves import Curves
from unsharpen.comparison.front import Line
from unsharpen.comparison.levers import BASE
from unsharpen.comparison.results import Results, dynamics
from unsharpen.comparison.summary import bands, many
from unsharpen.metrics import Interval, bootstrap_mean, bootstrap_over_seeds, default_ks
from unsharpen.reports.extras import require
from unsharpen.reports.plots import BASE_COLOUR, GRPO_COLOUR, INK, QUIET, STYLE, figure_of

# Okabe & Ito without vermillion, which is the reference's, then darker hues of Tol.
COLOURS = (
    *("#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#332288"),
    *("#882255", "#999933", "#8C510A", "#44AA99", "#AA4499", "#1F2328", "#DDCC77", "#117733"),
)
MARKERS = "os^DvPX<>ph8dH"
LINES = ("-", (0, (5, 1.5)), (0, (1, 1)))


class Look(NamedTuple):
    """How an arm is drawn, everywhere."""

    colour: str
    marker: str
    line: Any


def looks(results: Results) -> dict[str, Look]:
    """Vermillion for the reference; 14 colours for the others, then the same with other lines and markers."""
    found, i = {}, 0
    for arm in results.finished:
        if arm.label == results.reference:
            found[arm.label] = Look(GRPO_COLOUR, "o", "-")
            continue
        turn = i // len(COLOURS)
        marker = MARKERS[(i + 1 + turn) % len(MARKERS)]
        found[arm.label] = Look(COLOURS[i % len(COLOURS)], marker, LINES[turn % len(LINES)])
        i += 1
    return found


def figures(results: Results, curves: Curves | None = None, lines: Sequence[Line] = ()) -> dict[str, tuple[Any, str]]:
    """File name -> (figure, what it shows), in the order to look at them."""
    curves = curves or Curves(results)
    k = many(results)
    found = {
        "pareto": (pareto_figure(results, curves), f"Pass@1 against Pass@{k}; the line is the front."),
        "pass-at-k": (curves_figure(results, curves), "Pass@k, and what it has gained or lost against the base model."),
    }
    if lines:
        alt = f"Pass@1 against Pass@{k} at several temperatures; large: as evaluated in the runs."
        found["levers"] = (levers_figure(lines, results, curves), alt)
    if (figure := dynamics_figure(results)) is not None:
        found["dynamics"] = (figure, "Token entropy and effective correct solutions during training.")
    if (figure := bands_figure(results)) is not None:
        found["bands"] = (figure, f"Pass@1 and Pass@{k} by how many solutions a problem has.")
    return found


def curves_figure(results: Results, curves: Curves) -> Any:
    """Pass@k of every arm, and the same minus the base's: where that falls below 0, the base has caught up."""
    ks = default_ks(curves.max_k)
    index = ks - 1
    with require("matplotlib").rc_context(STYLE):
        figure = figure_of((10.5, _height(results, 4.6)))
        left, right = figure.subplots(1, 2)
        left.plot(ks, curves.base.value[index], "--", color=BASE_COLOUR, lw=1.8)
        right.axhline(0, color=BASE_COLOUR, ls="--", lw=1.8)
        ends = [(0.0, "base", BASE_COLOUR)]
        for arm in results.finished:
            look, curve = looks(results)[arm.label], curves.of(arm)
            above = curve.value - curves.base.value
            for axes, values in ((left, curve.value), (right, above)):
                axes.plot(ks, values[index], **_line(look), marker=look.marker, ms=4.5, mec="white", mew=0.6)
            if len(results.finished) <= 4:
                low, high = np.quantile(curve.drawn - curves.base.drawn, [0.025, 0.975], axis=0)
                right.fill_between(ks, low[index], high[index], color=look.colour, alpha=0.12, lw=0)
            ends.append((float(above[-1]), arm.label, look.colour))
        for axes, title in ((left, "Pass@k"), (right, "Pass@k minus the base's")):
            axes.set_xscale("log", base=2)
            axes.set_xticks(ks, [str(k) for k in ks])
            axes.minorticks_off()
            axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK)
            axes.set_xlabel("k, samples per problem (log scale)")
        _name(right, [(float(ks[-1]), y, text, colour) for y, text, colour in ends])
    return figure


def pareto_figure(results: Results, curves: Curves) -> Any:
    """Pass@1 against Pass@k, with 95 % intervals and the front: the arms that no other beats at both."""
    k = many(results)
    points = {
        arm.label: (bootstrap_over_seeds(arm.pass_at(1)), bootstrap_over_seeds(arm.pass_at(k)))
        for arm in results.finished
    }
    first, last = (bootstrap_mean(results.base.pass_at(j)) for j in (1, k))
    with require("matplotlib").rc_context(STYLE):
        figure = figure_of((8.5, _height(results, 5.0)))
        axes = figure.subplots()
        axes.grid(axis="x")
        front = pareto_front({label: (x.value, y.value) for label, (x, y) in points.items()})
        corners = [(points[label][0].value, points[label][1].value) for label in front]
        axes.axhline(last.value, color=BASE_COLOUR, ls="--", lw=1.2, zorder=1)
        ends = [_cross(axes, first, last, Look(BASE_COLOUR, "*", "-"), "base", size=11)]
        for label, (x, y) in points.items():
            name = f"{label} (front)" if label in front else label
            ends.append(_cross(axes, x, y, looks(results)[label], name, size=8.5 if label in front else 6.5))
        axes.margins(0.06)
        (left, _), (bottom, _) = axes.get_xlim(), axes.get_ylim()
        corners = [(left, corners[0][1]), *corners, (corners[-1][0], bottom)]
        axes.plot(*zip(*corners, strict=True), color=INK, lw=1.2, alpha=0.55, drawstyle="steps-pre", zorder=1)
        axes.set_xlim(left=left)
        axes.set_ylim(bottom=bottom)
        axes.set_xlabel("Pass@1")
        axes.set_ylabel(f"Pass@{k}")
        axes.set_title(f"Pass@1 against Pass@{k}", loc="left", fontsize=13, fontweight="bold", color=INK)
        _name(axes, ends)
    return figure


def pareto_front(points: dict[str, tuple[float, float]]) -> list[str]:
    """The names that no other point equals or beats at both and beats at one, by rising first value.

    >>> pareto_front({"a": (0.5, 0.9), "b": (0.6, 0.8), "c": (0.5, 0.7)})
    ['a', 'b']
    """
    front = [
        name
        for name, (x, y) in points.items()
        if not any(u >= x and v >= y and (u > x or v > y) for u, v in points.values())
    ]
    return sorted(front, key=lambda name: points[name])


def levers_figure(lines: Sequence[Line], results: Results, curves: Curves) -> Any:
    """Pass@1 against Pass@k of every line, from its highest temperature to its lowest.

    Shares of the base are dashed, means over seeds thick.
    """
    k = many(results)
    shares = sorted({line.base_share for line in lines})
    with require("matplotlib").rc_context(STYLE):
        figure = figure_of((8.5, max(5.0, 0.25 * (len(lines) + 1) + 1.2)))
        axes = figure.subplots()
        axes.grid(axis="x")
        ends = []
        for line in lines:
            look = Look(BASE_COLOUR, "o", "-") if line.arm == BASE else looks(results)[line.arm]
            found = [curves.over(line.evaluations[temperature]).value for temperature in line.temperatures]
            x, y = ([float(value[j - 1]) for value in found] for j in (1, k))
            style, width = LINES[shares.index(line.base_share) % len(LINES)], 3.0 if line.averaged else 1.8
            axes.plot(
                x, y, color=look.colour, linestyle=style, lw=width, marker=look.marker, ms=4, mec="white", mew=0.5
            )
            if line.own in line.temperatures:
                own = line.temperatures.index(line.own)
                axes.plot(x[own], y[own], look.marker, color=look.colour, ms=9, mec="white", mew=0.8, zorder=3)
            ends.append((x[-1], y[-1], line.label, look.colour))
        axes.set_xlabel("Pass@1")
        axes.set_ylabel(f"Pass@{k}")
        title = "The same models, sampled hotter (left) and colder (right)"
        axes.set_title(title, loc="left", fontsize=13, fontweight="bold", color=INK)
        if len(shares) > 1 or any(line.averaged for line in lines):
            note = "dashed: with a share of the base's weights; thick: the mean of the seeds' weights"
            figure.supxlabel(note, fontsize=9, color=QUIET)
        _name(axes, ends)
    return figure


def dynamics_figure(results: Results) -> Any | None:
    """Entropy and effective solutions over the steps, a moving average, the mean over seeds; None without records."""
    panels = {"entropy": "Token entropy (nats)", "effective_solutions": "Effective correct solutions in a group"}
    series = {c: {arm.label: dynamics(arm, c) for arm in results.finished} for c in panels}
    drawn = [c for c in panels if any(steps.size for steps, _ in series[c].values())]
    if not drawn:
        return None
    with require("matplotlib").rc_context(STYLE):
        figure = figure_of((10.5, _height(results, 4.2)))
        for axes, column in zip(figure.subplots(1, len(drawn), squeeze=False)[0], drawn, strict=True):
            ends = []
            for label, (steps, values) in series[column].items():
                if steps.size:
                    look = looks(results)[label]
                    axes.plot(steps, values, **_line(look))
                    ends.append((float(steps[-1]), float(values[-1]), label, look.colour))
            axes.set_title(panels[column], loc="left", fontsize=11, fontweight="bold", color=INK)
            axes.set_xlabel("optimiser step")
            axes.set_ylim(bottom=0)
            axes.margins(x=0.02)
            _name(axes, ends)
    return figure


def bands_figure(results: Results) -> Any | None:
    """Pass@1 and Pass@k of every arm by the number of solutions, with the base as a line; None without multiplicity."""
    found = bands(results)
    if not found:
        return None
    ks, arms = sorted({1, many(results)}), results.finished
    with require("matplotlib").rc_context(STYLE):
        figure = figure_of((10.5, len(ks) * (0.21 * len(arms) + 1.1)))
        grid = figure.subplots(len(ks), len(found), squeeze=False)
        for row, k in enumerate(ks):
            for column, (axes, (name, inside)) in enumerate(zip(grid[row], found, strict=True)):
                axes.axvline(float(results.base.pass_at(k)[inside].mean()), color=BASE_COLOUR, ls="--", lw=1.4)
                for place, arm in enumerate(arms):
                    _whisker(axes, place, bootstrap_over_seeds(arm.pass_at(k)[:, inside]), looks(results)[arm.label])
                names = [arm.label for arm in arms] if column == 0 else []
                axes.set_yticks(range(len(arms)), names or [""] * len(arms))
                axes.set_ylim(len(arms) - 0.4, -0.6)
                axes.grid(axis="x")
                axes.set_xlabel(f"Pass@{k}")
                if row == 0:
                    axes.set_title(name, loc="left", fontsize=10, fontweight="bold", color=INK)
        figure.supxlabel(
            "dashed: the base model; lines: 95 % intervals over problems and seeds", fontsize=9, color=QUIET
        )
    return figure


def _height(results: Results, least: float) -> float:
    return max(least, 0.25 * (len(results.finished) + 1) + 1.2)


def _line(look: Look) -> dict[str, Any]:
    return {"color": look.colour, "linestyle": look.line, "lw": 1.8}


def _cross(axes: Any, x: Interval, y: Interval, look: Look, label: str, size: float) -> tuple[float, float, str, str]:
    axes.plot([x.low, x.high], [y.value, y.value], color=look.colour, lw=1, alpha=0.35)
    axes.plot([x.value, x.value], [y.low, y.high], color=look.colour, lw=1, alpha=0.35)
    axes.plot(x.value, y.value, look.marker, color=look.colour, ms=size, mec="white", mew=0.8, zorder=3)
    return x.value, y.value, label, look.colour


def _whisker(axes: Any, place: int, interval: Interval, look: Look) -> None:
    axes.plot([interval.low, interval.high], [place, place], color=look.colour, lw=1.6, alpha=0.5)
    axes.plot(interval.value, place, look.marker, color=look.colour, ms=5.5, mec="white", mew=0.6)


def _name(axes: Any, points: Sequence[tuple[float, float, str, str]]) -> None:
    """Name points (x, y, text, colour) in a column at the right, moved apart, each with a line to its point."""
    bottom, top = axes.get_ylim()
    right = axes.get_xlim()[1]
    axes.set_ylim(bottom, top)
    axes.set_xlim(right=right)
    height = axes.figure.get_figheight() - 1.1  # inches, less title and axis label
    gap = (top - bottom) * 0.19 / height
    order = sorted(points, key=lambda point: point[1])
    places = spread([y for _, y, *_ in order], gap, bottom, top)
    to_data = axes.get_yaxis_transform()  # x as a share of the axes, y in data
    for place, (x, y, text, colour) in zip(places, order, strict=True):
        axes.annotate(
            text, (x, y), (1.05, place), xycoords="data", textcoords=to_data, va="center", fontsize=9.5,
            color=darker(colour), fontweight="bold", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": QUIET, "lw": 0.6, "ls": ":", "relpos": (0, 0.5), "shrinkB": 3},
        )  # fmt: skip


def spread(places: Sequence[float], gap: float, bottom: float, top: float) -> list[float]:
    """Rising places moved as little as possible until they are ``gap`` apart, between ``bottom`` and ``top``.

    Isotonic regression of ``y_i - i gap`` by pooling neighbours.

    >>> spread([0.0, 0.5, 0.5, 0.9], 0.25, 0.0, 1.0)
    [0.0, 0.375, 0.625, 0.9]
    """
    pools: list[tuple[float, int]] = []  # (mean, size)
    for i, y in enumerate(places):
        mean, size = y - i * gap, 1
        while pools and pools[-1][0] > mean:
            before, n = pools.pop()
            mean, size = (before * n + mean * size) / (n + size), n + size
        pools.append((mean, size))
    levels = [mean for mean, size in pools for _ in range(size)]
    highest = max(bottom, top - (len(places) - 1) * gap)
    return [min(max(level, bottom), highest) + i * gap for i, level in enumerate(levels)]


def darker(colour: str) -> str:
    """Two thirds of the brightness, for text on white."""
    return "#" + "".join(f"{int(colour[i : i + 2], 16) * 2 // 3:02X}" for i in (1, 3, 5))
