"""Exploration over answers: a bonus for answers seldom given before, a penalty for repeating one in the group."""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping
from typing import Any, Literal, get_args

from array_api_compat import array_namespace, device

from unsharpen.advantages.baselines import group_mean, zero_masked
from unsharpen.advantages.chain import Transform
from unsharpen.advantages.pairs import positions, same_answer, sum_over_group
from unsharpen.batch import Array, GroupBatch
from unsharpen.errors import InputError

Center = Literal["none", "mean"]


class AnswerCounts:
    """How often each answer was given to each prompt in the batches before: the memory of the UCB methods.

    A batch is counted once, when it is first asked about; asking about the batch in hand again changes nothing and
    gives the same counts. Ids must mean the same in every batch. All processes of a run see the same global batch, so
    their memories stay equal.

    Args:
        max_answers: (prompt, answer) pairs to hold; beyond it the prompts that were not seen for longest are
            forgotten, and count as new when they come again.
    """

    def __init__(self, max_answers: int = 1_000_000) -> None:
        if max_answers < 1:
            raise InputError(f"max_answers must be at least 1, found {max_answers}")
        self.max_answers = max_answers
        self._counts: dict[int, dict[int, int]] = {}  # the prompt seen last comes last
        self._size = 0
        self._batch: weakref.ref[GroupBatch] | None = None
        self._before: list[list[int]] = []

    def before(self, batch: GroupBatch) -> Array:
        """[P, G] how often the answer was given to the prompt before this batch; 0 where masked."""
        if self._batch is None or self._batch() is not batch:
            rows = list(zip(batch.prompt_ids.tolist(), batch.answers.tolist(), batch.mask.tolist(), strict=True))
            self._before = [
                [
                    self._counts.get(prompt, {}).get(answer, 0) if real else 0
                    for answer, real in zip(row, mask, strict=True)
                ]
                for prompt, row, mask in rows
            ]
            for prompt, row, mask in rows:
                self._add(prompt, [answer for answer, real in zip(row, mask, strict=True) if real])
            self._batch = weakref.ref(batch)
        return batch.xp.asarray(self._before, dtype=batch.rewards.dtype, device=device(batch.rewards))

    def _add(self, prompt: int, answers: list[int]) -> None:
        counts = self._counts.pop(prompt, {})
        self._size -= len(counts)
        for answer in answers:
            counts[answer] = counts.get(answer, 0) + 1
        self._counts[prompt] = counts
        self._size += len(counts)
        while self._size > self.max_answers and len(self._counts) > 1:
            self._size -= len(self._counts.pop(next(iter(self._counts))))

    def state_dict(self) -> dict[str, Any]:
        """Plain data for JSON: ``{"counts": {prompt: {answer: count}}}``, the prompt seen last at the end."""
        return {"counts": {str(p): {str(a): n for a, n in counts.items()} for p, counts in self._counts.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave.

        Raises:
            InputError: the state is of another form; the memory is then as it was.
        """
        try:
            counts = {
                whole_number(p): {whole_number(a): whole_number(n) for a, n in held.items()}
                for p, held in state["counts"].items()
            }
            if any(n < 0 for held in counts.values() for n in held.values()):
                raise ValueError("a count below 0")
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(
                f"the state of answer counts must be {{'counts': {{prompt: {{answer: count}}}}}}: {error!r}"
            ) from error
        self._counts, self._size, self._batch = counts, sum(map(len, counts.values())), None


def whole_number(value: Any) -> int:
    """``value`` as an int; raises ValueError where it has a fraction, OverflowError where it is infinite."""
    found = int(value)
    if found != value and not isinstance(value, str):
        raise ValueError(f"{value!r} is no whole number")
    return found


def ucb_bonus(counts: Array) -> Array:
    """``min(1, N^-1/2)``, of the shape of ``counts`` (real numbers, at least 0).

    Example:
        >>> import numpy as np
        >>> ucb_bonus(np.array([0.0, 1.0, 4.0])).tolist()
        [1.0, 1.0, 0.5]
    """
    xp = array_namespace(counts)
    return 1 / xp.sqrt(xp.clip(counts, 1, None))


def reward_rare_answers(
    memory: AnswerCounts, *, coef: float, center: Center = "none", offset: float = 0.0
) -> Transform:
    """Add a bonus for answers that were seldom given before: ``x_i + coef (b_i - baseline)``.

    ::

        b_i = min(1, N(prompt, answer_i)^-1/2),   baseline = offset, or the mean of b over the group

    ``N`` counts the earlier batches. Without a baseline every bonus is positive; with one, answers that were given
    often are pushed down. Put it after the scaling, so that coef is in units of the advantage.

    Args:
        memory: the counts; read and brought up to date when the transform is applied.
        coef: at least 0.
        center: ``"mean"`` subtracts the group's mean bonus.
        offset: a constant baseline.

    References:
        arXiv 2509.06941, historical exploration.
    """
    if not 0 <= coef < math.inf or not math.isfinite(offset) or center not in get_args(Center):
        raise InputError(
            f"need coef >= 0, a finite offset and center 'none' or 'mean'; found {coef}, {offset} and {center!r}"
        )

    def apply(advantages: Array, batch: GroupBatch) -> Array:
        bonus = ucb_bonus(memory.before(batch)) - offset
        if center == "mean":
            bonus = bonus - group_mean(bonus, batch)
        return zero_masked(advantages + coef * bonus, batch)

    return Transform("reward_rare_answers", apply, frozenset({"answers", "prompt_ids"}))


def penalize_repeats(*, coef: float) -> Transform:
    """Subtract for each other completion with the same answer: ``x_i - coef sum_{j != i} [a_i = a_j] / G``.

    Right and wrong answers alike. Completions without a readable answer repeat each other.

    Args:
        coef: at least 0.

    References:
        arXiv 2509.06941, batch exploration.
    """
    if not 0 <= coef < math.inf:
        raise InputError(f"coef must be finite and at least 0, found {coef}")

    def apply(advantages: Array, batch: GroupBatch) -> Array:
        same, position = same_answer(batch), positions(batch)
        repeats = sum_over_group(lambda j: same(j) & (position != j), batch)
        return zero_masked(advantages - coef * repeats / batch.num_completions, batch)

    return Transform("penalize_repeats", apply, frozenset({"answers"}))
