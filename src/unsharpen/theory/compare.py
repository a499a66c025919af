"""Which method wins in which world: simulations over several seeds, with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unsharpen.errors import InputError
from unsharpen.methods import Method, get_method
from unsharpen.theory._checks import Floats, whole
from unsharpen.theory.simulate import Trajectory, simulate_shared
from unsharpen.theory.worlds import Multiplicity, World, shared_world


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """What a method did on the held-out prompts of one kind of world.

    Attributes:
        method: its label.
        pass_at: k -> Pass@k at the end.
        gain: k -> Pass@k minus that of the first method, on the same worlds.
        effective: effective number of correct completions at the end, prompts weighted by Pass@1.
        steps: [R] recorded steps.
        curves: k -> [R] mean Pass@k over seeds; ``curves[0]`` is the effective number.
    """

    method: str
    pass_at: Mapping[int, Estimate]
    gain: Mapping[int, Estimate]
    effective: Estimate
    steps: NDArray[np.int64]
    curves: Mapping[int, Floats]


def compare_methods(
    methods: Sequence[str] | Mapping[str, Method],
    *,
    multiplicity: Multiplicity = "medium",
    seeds: int = 5,
    steps: int = 200,
    learning_rate: float = 1.0,
    group_size: int = 16,
    ks: Sequence[int] = (1, 8, 64),
) -> list[Comparison]:
    """Train each method in the same worlds, one world per seed, and compare it with the first.

    Differences are taken world by world; intervals are Student's t over seeds, so they cover the spread of worlds and
    of samples, and are wide with few seeds.

    Args:
        methods: catalogue names, or labels with methods; the first is the yardstick.
        multiplicity: of :func:`shared_world`.
        seeds: worlds, at least 2.
        steps: updates.
        learning_rate: as in :func:`simulate`.
        group_size: G.
        ks: for which Pass@k.

    Raises:
        InputError: no method, fewer than 2 seeds, an unknown name or multiplicity.

    Example:
        >>> grpo, other = compare_methods(["grpo", "maxrl"], multiplicity="high", seeds=2, steps=40)
        >>> other.pass_at[8].value > grpo.pass_at[8].value
        True
    """
    named = dict(methods) if isinstance(methods, Mapping) else {name: get_method(name) for name in methods}
    if not named:
        raise InputError("compare_methods needs at least 1 method; found none")
    seeds, steps = whole("seeds", seeds, least=2), whole("steps", steps)
    worlds = [shared_world(multiplicity=multiplicity, seed=seed) for seed in range(seeds)]
    out: list[Comparison] = []
    first: Floats | None = None
    for label, method in named.items():
        runs = [_run(world, method, seed, steps, learning_rate, group_size) for seed, world in enumerate(worlds)]
        table = np.stack([_means(run, ks) for run in runs])  # [seeds, 1 + ks, R]
        last = table[:, :, -1]
        first = last if first is None else first
        out.append(
            Comparison(
                label,
                {k: _estimate(last[:, i]) for i, k in enumerate(ks, 1)},
                {k: _estimate(last[:, i] - first[:, i]) for i, k in enumerate(ks, 1)},
                _estimate(last[:, 0]),
                runs[0].steps,
                {k: table[:, i].mean(axis=0) for i, k in enumerate((0, *ks))},
            )
        )
    return out


def _run(world: World, method: Method, seed: int, steps: int, learning_rate: float, group_size: int) -> Trajectory:
    return simulate_shared(
        world.log_base,
        world.correct,
        method,
        types=world.types,
        held_out=world.held_out,
        group_size=group_size,
        learning_rate=learning_rate,
        steps=steps,
        every=max(1, steps // 20),
        seed=seed,
    )


def _means(run: Trajectory, ks: Sequence[int]) -> Floats:
    """[1 + ks, R] means over held-out prompts: the effective number, weighted by Pass@1, then each Pass@k.

    Unweighted, prompts on which a collapsed policy fails would count its even spread over leftovers as diversity.
    """
    unseen = run.held_out
    mass = run.pass_at(1)[:, unseen]
    effective = (mass * run.effective[:, unseen]).sum(1) / mass.sum(1)
    return np.stack([effective, *(run.pass_at(k)[:, unseen].mean(1) for k in ks)])


def _estimate(values: Floats) -> Estimate:
    mean = float(values.mean())
    half = _student(len(values) - 1) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return Estimate(mean, mean - half, mean + half)


def _student(dof: int, level: float = 0.975) -> float:
    """Quantile of Student's t: with t = sqrt(dof) tan(x), x has density cos^(dof - 1)."""
    x = np.linspace(-math.pi / 2, math.pi / 2, 20_001)
    mass = np.cos(x) ** (dof - 1)
    share = np.concatenate([[0.0], np.cumsum((mass[1:] + mass[:-1]) / 2)])
    return math.sqrt(dof) * math.tan(float(np.interp(level * share[-1], share, x)))
