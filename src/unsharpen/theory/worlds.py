"""Worlds to train in: prompts that share strategies, of which few, some or many can work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from unsharpen.theory._checks import Bools, Floats, choice, log_sum, whole

Multiplicity = Literal["low", "medium", "high"]
NUM_VALID: dict[str, int] = {"low": 3, "medium": 8, "high": 16}
NUM_STRATEGIES, NUM_TYPES, NUM_TRAIN, NUM_HELD_OUT = 32, 8, 8, 32
_SPREAD, _RELIABILITY = 1.5, (0.35, 0.85)


@dataclass(frozen=True)
class World:
    """Prompts for :func:`simulate_shared`.

    Attributes:
        log_base: [P, n] nats, the same for all prompts of a type.
        correct: [P, n] bool. types: [P]. held_out: [P] bool.
    """

    log_base: Floats
    correct: Bools
    types: NDArray[np.int64]
    held_out: Bools


def shared_world(*, multiplicity: Multiplicity = "medium", seed: int = 0) -> World:
    """A world in which each of 8 types of prompts has 3, 8 or 16 valid strategies among 32.

    The base prefers strategies at random: its logits are normal with standard deviation 1.5, per type. Valid
    strategies are drawn at random too; each has a reliability, uniform in [.35, .85], and solves a prompt with that
    probability, independently. The others never do. Of each type 8 prompts are trained on and 32 are held out; each
    prompt has at least one solution. So the policy can learn which strategies are valid and reliable, but never which
    ones fail on the prompt at hand: for that it needs several.

    Args:
        multiplicity: ``"low"`` 3, ``"medium"`` 8, ``"high"`` 16 valid strategies.
        seed: of all draws.

    Raises:
        InputError: unknown multiplicity, negative seed.

    Example:
        >>> world = shared_world(multiplicity="low", seed=1)
        >>> world.log_base.shape, int(world.held_out.sum())
        ((320, 32), 256)
    """
    choice("multiplicity", multiplicity, get_args(Multiplicity))
    rng = np.random.default_rng(whole("seed", seed, least=0))
    per_type, valid = NUM_TRAIN + NUM_HELD_OUT, NUM_VALID[multiplicity]
    logits = rng.normal(scale=_SPREAD, size=(NUM_TYPES, NUM_STRATEGIES))
    log_base = logits - log_sum(logits, keepdims=True)
    correct = np.zeros((NUM_TYPES, per_type, NUM_STRATEGIES), dtype=bool)
    for kind in correct:
        strategies = rng.choice(NUM_STRATEGIES, size=valid, replace=False)
        reliability = rng.uniform(*_RELIABILITY, size=valid)
        solved = rng.random((per_type, valid)) < reliability
        while (unsolvable := ~solved.any(axis=1)).any():
            solved[unsolvable] = rng.random((int(unsolvable.sum()), valid)) < reliability
        kind[:, strategies] = solved
    return World(
        log_base=np.repeat(log_base, per_type, axis=0),
        correct=correct.reshape(-1, NUM_STRATEGIES),
        types=np.repeat(np.arange(NUM_TYPES), per_type),
        held_out=np.tile(np.arange(per_type) >= NUM_TRAIN, NUM_TYPES),
    )
