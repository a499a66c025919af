"""``unsharpen theory``: the theory lab on the command line."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from unsharpen import theory as lab
from unsharpen.cli.explore import explore
from unsharpen.cli.show import show
from unsharpen.errors import InputError
from unsharpen.methods import Method, get_method
from unsharpen.metrics import Interval
from unsharpen.theory.explain import bias_curves, biases_of, divergence_curve, policies_of

app = typer.Typer(help="Why diversity collapses, and what smoothing can do about it.", no_args_is_help=True)
app.command("explore")(explore)

Right = Annotated[str, typer.Option(help="Base probabilities of the correct completions, with commas.")]
Wrong = Annotated[str, typer.Option(help="Base probabilities of the wrong ones.")]
Gamma = Annotated[float, typer.Option(help="Coefficient of the entropy bonus, and of smoothing.")]
Beta = Annotated[float, typer.Option(help="Coefficient of the KL term.")]
Figure = Annotated[Path | None, typer.Option(help="Write a figure to this PNG file (and an SVG beside it).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
RIGHT, WRONG = "0.25,0.1,0.05", "0.4,0.15,0.05"
KS = (1, 8)


@app.command("biases")
def biases(
    correct: Right = RIGHT,
    wrong: Wrong = WRONG,
    group_size: Annotated[int, typer.Option(help="Completions per prompt.")] = 16,
    figure: Figure = None,
    as_json: AsJson = False,
) -> None:
    """One GRPO step in expectation: what is selected, what is reinforced, and what smoothing would need."""
    log_base, flags = _problem(correct, wrong)
    rows = biases_of(log_base, flags, group_size=group_size)
    facts = {
        "pass_at_1": float(lab.correct_mass(log_base, flags)),
        "effective_solutions": float(lab.effective_number(log_base, flags)),
        "critical_gamma_centred": float(lab.critical_gamma(log_base, flags)),
        "critical_gamma_uncentred": float(lab.critical_gamma(log_base, flags, centered=False)),
    }
    if figure is not None:
        from unsharpen.reports.theory import biases_figure

        title = f"Selection and reinforcement at Pass@1 {facts['pass_at_1']:.2f}, group size {group_size}"
        marks = [row.probability for row in rows if row.correct]
        _save(biases_figure(bias_curves(facts["pass_at_1"], group_size=group_size), marks, title), figure)
    show(
        [dataclasses.asdict(row) for row in rows],
        facts,
        as_json,
        note="update: expected change of the logit at learning rate 1. collapse: d log share / d logit Pass@1.",
    )


@app.command("frontier")
def frontier(
    correct: Right = RIGHT,
    wrong: Wrong = WRONG,
    gamma: Gamma = 0.4,
    beta: Beta = 0.8,
    figure: Figure = None,
    as_json: AsJson = False,
) -> None:
    """Vanilla RL, an entropy bonus and smoothing in closed form, beside the best that their divergence can buy."""
    log_base, flags = _problem(correct, wrong)
    rows = policies_of(log_base, flags, gamma=gamma, beta=beta)
    spent = {row.policy: row.reverse_kl for row in rows if row.policy in ("entropy bonus", "smoothing")}
    lines = {policy: lab.frontier(log_base, flags, budget=budget) for policy, budget in spent.items()}
    if figure is not None:
        from unsharpen.reports.theory import frontier_figure

        curves = {
            f"best at the KL of {policy}, {spent[policy]:.3f} nats": (
                [point.correct for point in line],
                [point.effective for point in line],
            )
            for policy, line in lines.items()
        }
        points = {row.policy: (row.pass_at_1, row.effective_solutions) for row in rows}
        _save(frontier_figure(curves, points, flags.sum()), figure)
    show(
        [dataclasses.asdict(row) for row in rows],
        {
            "entropy_slope_proxy": float(lab.entropy_slope(log_base, flags, beta=beta)),
            "entropy_slope_bonus": float(lab.entropy_slope(log_base, flags, beta=beta, form="bonus")),
        },
        as_json,
        note="matched: as diverse as the entropy bonus, at least as correct, and as near to the base as can be.",
        extra={
            f"frontier at the KL of {policy}": [dataclasses.asdict(p) | {"correct": p.correct} for p in line]
            for policy, line in lines.items()
        },
    )


@app.command("dominate")
def dominate(
    correct: Right = "0.85,0.05",
    wrong: Wrong = "0.1",
    gamma: Gamma = 2.0,
    beta: Beta = 0.2,
    proxy: Annotated[bool, typer.Option("--proxy", help="Bonus -gamma log p, not the true entropy.")] = False,
    tied: Annotated[bool, typer.Option("--tied", help="Force gamma_n = gamma_p.")] = False,
    centered: Annotated[bool, typer.Option("--centered", help="Allow an offset in the smoothing bonus.")] = False,
    figure: Figure = None,
    as_json: AsJson = False,
) -> None:
    """Theorem 3.4 in one instance: is there smoothing that beats this entropy bonus in every respect?

    The defaults are a counterexample.
    """
    log_base, flags = _problem(correct, wrong)
    options: dict[str, Any] = {"form": "proxy" if proxy else "bonus", "tied": tied, "centered": centered}
    matches = {kind: lab.dominate(log_base, flags, gamma=gamma, beta=beta, kind=kind, **options) for kind in lab.KINDS}
    rows = [
        {
            "divergence": kind,
            "holds": m.feasible,
            "budget": m.budget,
            "needed": m.smoothed.divergence,
            "pass_at_1": _probability(m.smoothed.logit),
            "gamma_p": m.gamma_p,
            "gamma_n": m.gamma_n,
            "beta": m.beta,
            "offset": m.offset,
        }
        for kind, m in matches.items()
    ]
    first = next(iter(matches.values()))
    facts = {"lever": first.lever, "entropy_pass_at_1": _probability(first.entropy.logit)}
    facts |= {"entropy_diversity": first.entropy.diversity, "a": first.a}
    if figure is not None:
        from unsharpen.reports.theory import domination_figure

        curves = {kind: divergence_curve(log_base, flags, first, kind) for kind in lab.KINDS}
        floor = _probability(first.smoothed.logit - first.kappa)
        target = facts["entropy_pass_at_1"]
        budgets = {kind: m.budget for kind, m in matches.items()}
        _save(domination_figure(curves, budget=budgets, floor=floor, target=target), figure)
    show(
        rows,
        facts,
        as_json,
        note="lever >= 0 guarantees it (gamma_n free). A beta of inf: only the limit comes so near.",
    )


@app.command("dynamics")
def dynamics(
    method: Annotated[
        list[str] | None,
        typer.Option(help="name or name:coefficient=value,...; repeatable, the first is the yardstick."),
    ] = None,
    multiplicity: Annotated[str, typer.Option(help="Valid strategies in the world: low, medium or high.")] = "medium",
    seeds: Annotated[int, typer.Option(help="Worlds, at least 2.")] = 5,
    steps: Annotated[int, typer.Option(help="Updates.")] = 200,
    learning_rate: Annotated[float, typer.Option(help="Of the logits.")] = 1.0,
    group_size: Annotated[int, typer.Option(help="Completions per prompt.")] = 16,
    figure: Figure = None,
    as_json: AsJson = False,
) -> None:
    """Train tables in worlds of shared strategies, and compare methods on held-out prompts."""
    names = method or ["grpo", "ds-grpo-sum", "ds-grpo-robust", "ds-grpo-robust:gamma_p=0.4", "ds-grpo-centered"]
    compared = lab.compare_methods(
        {name: _method(name) for name in names},
        multiplicity=multiplicity,  # type: ignore[arg-type]  # checked inside
        seeds=seeds,
        steps=steps,
        learning_rate=learning_rate,
        group_size=group_size,
        ks=KS,
    )
    if figure is not None:
        from unsharpen.reports.theory import simulation_figure

        panels = {
            quantity: {c.method: (c.steps.tolist(), c.curves[k].tolist()) for c in compared}
            for quantity, k in (("Pass@1", 1), ("Pass@8", 8), ("Effective correct strategies", 0))
        }
        title = f"Held-out prompts, {multiplicity} multiplicity, mean of {seeds} worlds"
        _save(simulation_figure(panels, title), figure)
    rows = []
    for c in compared:
        row: dict[str, Any] = {"method": c.method}
        for k in KS:
            row |= {f"pass@{k}": c.pass_at[k].value, f"gain@{k}": _gain(c, k)}
        rows.append(row | {"effective": c.effective.value})
    show(
        rows,
        {},
        as_json,
        note=f"gain: against {names[0]} in the same worlds, 95 % intervals over {seeds} worlds.",
        extra={"details": [dataclasses.asdict(c) for c in compared]},
    )


def _problem(correct: str, wrong: str) -> tuple[Any, Any]:
    """(log-probabilities, flags) from two comma-separated lists."""
    parts = []
    for name, text in (("--correct", correct), ("--wrong", wrong)):
        try:
            parts.append([float(word) for word in text.split(",")])
        except ValueError as error:
            raise InputError(f"{name} must be probabilities with commas between them, found {text!r}") from error
    p = np.asarray(parts[0] + parts[1])
    if not (np.isfinite(p).all() and (p > 0).all()):
        raise InputError(f"every completion needs a probability above 0, found {p[~(p > 0)].tolist()}")
    if abs(p.sum() - 1) > 1e-6:
        raise InputError(
            f"--correct and --wrong together must sum to 1, found {p.sum():.6g}",
            hint="probabilities of all completions, right and wrong, for example --correct .3,.1 --wrong .4,.2",
        )
    return np.log(p), np.arange(len(p)) < len(parts[0])


def _method(text: str) -> Method:
    name, _, rest = text.partition(":")
    pairs = [pair.partition("=") for pair in rest.split(",")] if rest else []
    return get_method(name, **{key.strip(): value for key, _, value in pairs})


def _probability(logit: float) -> float:
    return float(np.exp(-np.logaddexp(0.0, -logit)))


def _gain(compared: lab.Comparison, k: int) -> Interval:
    gain = compared.gain[k]
    return Interval(gain.value, gain.low, gain.high, 0)


def _save(figure: Any, path: Path) -> None:
    from unsharpen.reports import save

    save(figure, path)
