"""Loss terms that reward entropy: inside a window around its own history, or on correct completions alone."""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping
from typing import Any, Literal, get_args

from unsharpen.advantages.baselines import zero_masked
from unsharpen.advantages.chain import Transform
from unsharpen.advantages.exploration import whole_number
from unsharpen.batch import Array, GroupBatch
from unsharpen.errors import InputError
from unsharpen.losses.batch import LossBatch, LossTerm, detached

Shape = Literal["constant", "distance"]


class EntropyHistory:
    """The mean token entropy of all batches so far, the present one included. A batch is counted once."""

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0
        self._batch: weakref.ref[GroupBatch] | None = None

    def add(self, batch: GroupBatch) -> None:
        """Take the batch in; again does nothing."""
        if self._batch is None or self._batch() is not batch:
            xp = batch.xp
            tokens = xp.astype(batch.lengths, batch.entropies.dtype) * xp.astype(batch.mask, batch.entropies.dtype)
            self._sum += float(xp.sum(batch.entropies * tokens) / xp.sum(tokens))
            self._count += 1
            self._batch = weakref.ref(batch)

    @property
    def mean(self) -> float | None:
        """Mean over batches (nats); None before the first."""
        return self._sum / self._count if self._count else None

    def state_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"sum": self._sum, "count": self._count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave.

        Raises:
            InputError: the state is of another form; the history is then as it was.
        """
        try:
            total, count = float(state["sum"]), whole_number(state["count"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(
                f"the state of an entropy history must be {{'sum': number, 'count': number}}: {error!r}"
            ) from error
        if not math.isfinite(total) or count < 0:
            raise InputError(f"the state of an entropy history needs a finite sum and count >= 0, found {dict(state)}")
        self._sum, self._count, self._batch = total, count, None


def track_entropy(history: EntropyHistory) -> Transform:
    """Leave the advantages alone, and take the batch's entropy into ``history``."""

    def apply(advantages: Array, batch: GroupBatch) -> Array:
        history.add(batch)
        return zero_masked(advantages, batch)

    return Transform("track_entropy", apply, frozenset({"entropies", "lengths"}))


def hold_entropy_window(
    history: EntropyHistory,
    *,
    coef: float = 1e-3,
    smooth: float = 1.0,
    penalty: float = 0.1,
    low: float = 0.8,
    high: float = 1.2,
    shape: Shape = "constant",
) -> LossTerm:
    """An entropy bonus, less a penalty for tokens whose entropy leaves a window around the history.

    ::

        coef * (-H_t + smooth * P_t)
        P_t = penalty * [H_t outside (low, high) * mean of the history]                   constant, as published
        P_t = penalty * distance of H_t from that window / mean of the history            distance, ours

    The published penalty is a constant where it acts: it shows in the value of the loss and has no gradient, so what
    trains is the entropy bonus. ``shape="distance"`` pulls stray tokens back.

    Args:
        history: read when the term is applied; before the first batch there is no penalty.
        coef: at least 0.
        smooth: at least 0.
        penalty: at least 0.
        low: lower bound in units of the history's mean, at least 0.
        high: upper bound, above ``low``.
        shape: as above.

    References:
        EPO, arXiv 2509.22576, and its code (``generate_entropy_penalty``).
    """
    coefficients = (coef, smooth, penalty, low)
    if not all(0 <= x < math.inf for x in coefficients) or not low < high < math.inf or shape not in get_args(Shape):
        raise InputError(
            "need finite coef, smooth, penalty, low >= 0, low < high, and shape 'constant' or 'distance'; found "
            f"{coef}, {smooth}, {penalty}, {low}, {high} and {shape!r}"
        )

    def apply(batch: LossBatch) -> Array:
        xp, entropies = batch.xp, batch.entropies
        if history.mean is None:
            return batch.own(-coef * entropies)
        bottom, top = low * history.mean, high * history.mean
        if shape == "constant":
            inside = (detached(entropies) > bottom) & (detached(entropies) < top)
            outside = xp.where(inside, xp.zeros_like(entropies), xp.ones_like(entropies))
        else:
            outside = xp.clip(bottom - entropies, 0, None) + xp.clip(entropies - top, 0, None)
            outside = outside / max(history.mean, 1e-6)
        return batch.own(coef * (smooth * penalty * outside - entropies))

    return LossTerm("hold_entropy_window", apply)


def reward_entropy_of_correct(*, coef: float = 0.01) -> LossTerm:
    """Token entropy as an objective, on correct completions only: ``coef * ratio_t * log pi(y_t)`` where correct.

    The mean of ``-ratio log pi`` over tokens drawn by the old policy is the entropy of the new one. Wrong completions
    are left alone, so variety is not bought with errors.

    Args:
        coef: at least 0.

    References:
        Diversity-aware policy optimisation, arXiv 2505.23433.
    """
    if not 0 <= coef < math.inf:
        raise InputError(f"coef must be finite and at least 0, found {coef}")

    def apply(batch: LossBatch) -> Array:
        xp = batch.xp
        term = coef * xp.exp(batch.log_ratio) * batch.own(batch.logprobs)
        return xp.where(batch.correct[:, None], term, xp.zeros_like(term))

    return LossTerm("reward_entropy_of_correct", apply)
