"""The formulas again, as plain loops over lists of real completions: no mask, no axis, no broadcasting.

The vectorised functions are compared with these on random ragged batches, whose masked entries hold rubbish.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from unsharpen import GroupBatch

Values = list[float]


@dataclass(frozen=True)
class Group:
    """The real completions of one prompt. ``x`` are the values that come into a transform."""

    rewards: Values
    correct: list[bool]
    logprobs: Values
    reference_logprobs: Values
    lengths: list[int]
    entropies: Values
    answers: list[int]
    embeddings: list[Values]
    num_solutions: int
    prompt_id: int
    max_length: int
    x: Values

    def with_x(self, x: Values) -> Group:
        return replace(self, x=x)


Naive = Callable[[Sequence[Group]], list[Values]]


# --- random batches ------------------------------------------------------------------------------------------------


def random_fields(
    seed: int, *, num_prompts: int = 7, group_size: int = 6, binary: bool = False, least: int = 1
) -> dict[str, np.ndarray]:
    """Every field of a ragged batch, rubbish where masked; the first three groups are uniform or of ``least``.

    Not binary means CountDown's format bonus: 0 or .1 for wrong answers, and a cent of noise.
    """
    rng = np.random.default_rng(seed)
    shape = (num_prompts, group_size)
    mask = rng.random(shape) < 0.7
    mask[:, rng.permutation(group_size)[:least]] = True
    mask[2] = False
    mask[2, rng.permutation(group_size)[:least]] = True
    correct = rng.random(shape) < 0.5
    correct[0], correct[1] = True, False
    rewards = correct.astype(float)
    if not binary:
        rewards += rng.choice([0.0, 0.1], shape) * ~correct + 0.01 * rng.standard_normal(shape)
    lengths = rng.integers(1, 9, shape)
    rubbish = rng.choice([np.nan, np.inf, -np.inf, 7.0, -3.0], shape)
    return {
        "rewards": np.where(mask, rewards, rubbish),
        "correct": np.where(mask, correct, True),
        "mask": mask,
        "logprobs": np.where(mask, -rng.gamma(2.0, 2.0, shape), rubbish),
        "reference_logprobs": np.where(mask, -rng.gamma(2.0, 3.0, shape), rubbish),
        "lengths": np.where(mask, lengths, rng.choice([0, -1, 99], shape)),
        "entropies": np.where(mask, rng.random(shape), rubbish),
        "answers": np.where(mask, rng.integers(-1, 3, shape), rng.choice([-7, 0, 99], shape)),
        "embeddings": np.where(mask[:, :, None], rng.standard_normal((*shape, 3)), rubbish[:, :, None]),
        "num_solutions": rng.integers(1, 5, num_prompts),
        "prompt_ids": rng.permutation(num_prompts),
        "max_lengths": rng.integers(6, 10, num_prompts),
    }


def groups_of(fields: dict[str, np.ndarray], x: np.ndarray | None = None) -> list[Group]:
    """The real completions, as lists."""
    x = fields["rewards"] if x is None else x
    groups = []
    for p, row in enumerate(fields["mask"]):
        real = [g for g in range(len(row)) if row[g]]
        groups.append(
            Group(
                rewards=[float(fields["rewards"][p, g]) for g in real],
                correct=[bool(fields["correct"][p, g]) for g in real],
                logprobs=[float(fields["logprobs"][p, g]) for g in real],
                reference_logprobs=[float(fields["reference_logprobs"][p, g]) for g in real],
                lengths=[int(fields["lengths"][p, g]) for g in real],
                entropies=[float(fields["entropies"][p, g]) for g in real],
                answers=[int(fields["answers"][p, g]) for g in real],
                embeddings=[[float(e) for e in fields["embeddings"][p, g]] for g in real],
                num_solutions=int(fields["num_solutions"][p]),
                prompt_id=int(fields["prompt_ids"][p]),
                max_length=int(fields["max_lengths"][p]),
                x=[float(x[p, g]) for g in real],
            )
        )
    return groups


def scattered(values: list[Values], mask: np.ndarray) -> np.ndarray:
    """Back to [P, G], 0 where masked."""
    result = np.zeros(mask.shape)
    for p, row in enumerate(values):
        real = [g for g in range(mask.shape[1]) if mask[p, g]]
        assert len(real) == len(row)
        for g, value in zip(real, row, strict=True):
            result[p, g] = value
    return result


def to_batch(fields: dict[str, np.ndarray], *names: str) -> GroupBatch:
    """A batch with ``rewards``, ``correct``, ``mask`` and the fields named; all fields when none is."""
    return GroupBatch(**{k: v for k, v in fields.items() if not names or k in {"rewards", "correct", "mask", *names}})


# --- atoms ---------------------------------------------------------------------------------------------------------


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def std(values: Sequence[float], ddof: int) -> float:
    if len(values) <= ddof:
        return 0.0
    center = mean(values)
    return math.sqrt(math.fsum((v - center) ** 2 for v in values) / (len(values) - ddof))


def subtract_group_mean(*, singleton: str = "zero") -> Naive:
    def apply(groups: Sequence[Group]) -> list[Values]:
        result = []
        for group in groups:
            if singleton == "keep" and len(group.x) == 1:
                result.append(group.x)
            else:
                result.append([v - mean(group.x) for v in group.x])
        return result

    return apply


def subtract_leave_one_out_mean() -> Naive:
    def apply(groups: Sequence[Group]) -> list[Values]:
        return [[v - mean(group.x[:i] + group.x[i + 1 :]) for i, v in enumerate(group.x)] for group in groups]

    return apply


def divide_by_group_std(
    *, ddof: int = 1, eps: float = 1e-4, floor: float = 0.0, of: str = "input", singleton: str = "zero"
) -> Naive:
    def apply(groups: Sequence[Group]) -> list[Values]:
        result = []
        for group in groups:
            source = {"input": group.x, "rewards": group.rewards, "correct": [float(c) for c in group.correct]}[of]
            sigma = 1.0 if singleton == "keep" and len(source) == 1 else std(source, ddof)
            result.append([v / (max(sigma, floor) + eps) for v in group.x])
        return result

    return apply


def divide_by_batch_std(*, ddof: int = 1, eps: float = 1e-4) -> Naive:
    def apply(groups: Sequence[Group]) -> list[Values]:
        sigma = std([r for group in groups for r in group.rewards], ddof)
        return [[v / (sigma + eps) for v in group.x] for group in groups]

    return apply


def divide_by_group_mean(*, eps: float = 1e-6) -> Naive:
    def apply(groups: Sequence[Group]) -> list[Values]:
        return [[v / (mean(group.rewards) + eps) for v in group.x] for group in groups]

    return apply


def skip_uniform_groups() -> Naive:
    def apply(groups: Sequence[Group]) -> list[Values]:
        return [[0.0] * len(g.x) if all(g.correct) or not any(g.correct) else g.x for g in groups]

    return apply


def logprob(group: Group, i: int, length: str, reference: str) -> float:
    total = (group.logprobs if reference == "sampling" else group.reference_logprobs)[i]
    return total / group.lengths[i] if length == "mean" else total


def differential_smoothing(
    *, gamma_p: float, gamma_n: float, length: str = "mean", reference: str = "sampling"
) -> Naive:
    def apply(groups: Sequence[Group]) -> list[Values]:
        result = []
        for group in groups:
            row = []
            for i, value in enumerate(group.x):
                if group.correct[i]:
                    row.append(value - gamma_p * logprob(group, i, length, reference))
                else:
                    row.append(value + gamma_n * logprob(group, i, length, reference))
            result.append(row)
        return result

    return apply


def entropy_smoothing(*, gamma: float, length: str = "sum", reference: str = "sampling") -> Naive:
    def apply(groups: Sequence[Group]) -> list[Values]:
        return [[v - gamma * logprob(g, i, length, reference) for i, v in enumerate(g.x)] for g in groups]

    return apply


def centered_smoothing(
    *, kappa: float, clip: float = 3.0, all_correct_weight: float = 0.0, per_success: bool = False
) -> Naive:
    def apply(groups: Sequence[Group]) -> list[Values]:
        deviations: list[dict[int, float]] = []
        squares = []
        for group in groups:
            winners = [i for i, right in enumerate(group.correct) if right]
            center = mean([group.logprobs[i] for i in winners]) if winners else 0.0
            deviations.append({i: group.logprobs[i] - center for i in winners})
            if len(winners) >= 2:  # a lone one has no class to deviate from
                squares += [u * u for u in deviations[-1].values()]
        scale = math.sqrt(mean(squares)) if squares else 1.0
        result = []
        for group, u in zip(groups, deviations, strict=True):
            weight = all_correct_weight if all(group.correct) else 1.0
            if per_success and any(group.correct):
                weight /= mean([float(right) for right in group.correct])
            row = []
            for i, value in enumerate(group.x):
                z = max(-clip, min(clip, u[i] / scale)) if i in u else 0.0
                row.append(value - kappa * weight * z)
            result.append(row)
        return result

    return apply


def chained(*steps: Naive) -> Naive:
    def apply(groups: Sequence[Group]) -> list[Values]:
        for step in steps:
            groups = [group.with_x(x) for group, x in zip(groups, step(groups), strict=True)]
        return [group.x for group in groups]

    return apply


# --- tokens --------------------------------------------------------------------------------------------------------


def spread_over_tokens(
    advantages: list[Values],
    logprobs: list[Values],
    mask: list[list[bool]],
    correct: list[bool],
    *,
    gamma_p: float,
    gamma_n: float,
) -> list[Values]:
    result = []
    for n, row in enumerate(advantages):
        own = [logprobs[n][t] for t in range(len(row)) if mask[n][t]]
        new = []
        for t, value in enumerate(row):
            if not mask[n][t]:
                new.append(0.0)
            elif correct[n]:
                new.append(value - gamma_p * (logprobs[n][t] - mean(own)))
            else:
                new.append(value + gamma_n * (logprobs[n][t] - mean(own)))
        result.append(new)
    return result
