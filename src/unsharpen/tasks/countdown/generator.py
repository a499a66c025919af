"""Seeded CountDown problems, and splits that can't overlap."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from hashlib import blake2b
from random import Random
from typing import Literal

from unsharpen.errors import InputError
from unsharpen.tasks.countdown.problem import MAX_NUMBER, CountDownProblem
from unsharpen.tasks.countdown.solver import MAX_NUMBERS, reachable

Split = Literal["train", "eval"]
MAX_FRUITLESS = 10_000
"""Draws in a row without a new problem after which the space counts as exhausted."""


def generate(
    num_problems: int,
    *,
    seed: int,
    sizes: Sequence[int] = (3,),
    numbers: tuple[int, int] = (1, 20),
    targets: tuple[int, int] = (1, 60),
    multiplicity: tuple[int, int | None] = (1, None),
    exclude: Collection[str] = frozenset(),
    split: Split | None = None,
) -> list[CountDownProblem]:
    """Draw distinct solvable problems; the same arguments give the same list on every platform.

    A size and the numbers are drawn uniformly, then a target uniformly among those that the numbers reach,
    that are in range and in the band, and that were not drawn before. No two problems have the same key.

    Args:
        num_problems: how many.
        seed: of the draws.
        sizes: how many numbers a problem has; one is drawn for each problem.
        numbers: smallest and largest number.
        targets: smallest and largest target.
        multiplicity: smallest and largest number of distinct solutions; None is no limit.
        exclude: keys of problems that must not be drawn.
        split: "eval" draws only problems whose key is ``held_out``, "train" only the others, so that lists
            which were generated apart can't overlap; None draws from both.

    Raises:
        InputError: an argument is out of range, or there are too few such problems; says how many were found.

    >>> [problem.key for problem in generate(3, seed=0, numbers=(1, 9))]
    ['1,6,7=12', '2,9,9=9', '2,2,7=16']
    """
    _check_arguments(num_problems, sizes, numbers, targets, multiplicity, split)
    rng = Random(f"countdown {seed}")
    seen = set(exclude)
    allowed: dict[tuple[int, ...], dict[str, int]] = {}  # sorted numbers -> key -> target, before `seen`
    problems: list[CountDownProblem] = []
    fruitless = 0
    while len(problems) < num_problems:
        nums = tuple(rng.randint(*numbers) for _ in range(rng.choice(sizes)))
        ordered = tuple(sorted(nums))
        if ordered not in allowed:
            allowed[ordered] = _allowed(ordered, targets, multiplicity, split)
        candidates = [target for key, target in allowed[ordered].items() if key not in seen]
        if candidates:
            problems.append(CountDownProblem(nums, rng.choice(candidates)))
            seen.add(problems[-1].key)
            fruitless = 0
        elif (fruitless := fruitless + 1) >= MAX_FRUITLESS:
            raise InputError(
                f"num_problems={num_problems} distinct problems are required; found {len(problems)}, "
                f"and no other in {MAX_FRUITLESS} draws",
                hint="ask for fewer problems, or widen sizes, numbers, targets or multiplicity",
            )
    return problems


def _allowed(
    nums: tuple[int, ...], targets: tuple[int, int], multiplicity: tuple[int, int | None], split: Split | None
) -> dict[str, int]:
    low, high = multiplicity
    keys = {
        CountDownProblem(nums, target).key: target
        for target, forms in reachable(nums).items()
        if targets[0] <= target <= targets[1] and low <= len(forms) and (high is None or len(forms) <= high)
    }
    return {key: target for key, target in keys.items() if split is None or held_out(key) == (split == "eval")}


def _check_arguments(
    num_problems: int,
    sizes: Sequence[int],
    numbers: tuple[int, int],
    targets: tuple[int, int],
    multiplicity: tuple[int, int | None],
    split: str | None,
) -> None:
    low, high = multiplicity
    checks = {
        f"num_problems must be at least 0; found {num_problems}": num_problems >= 0,
        f"sizes must hold integers of 1 to {MAX_NUMBERS}; found {sizes}": (
            len(sizes) > 0 and all(1 <= size <= MAX_NUMBERS for size in sizes)
        ),
        f"numbers must be (smallest, largest) within 1 to {MAX_NUMBER}; found {numbers}": (
            1 <= numbers[0] <= numbers[1] <= MAX_NUMBER
        ),
        f"targets must be (smallest, largest); found {targets}": -MAX_NUMBER <= targets[0] <= targets[1] <= MAX_NUMBER,
        f"multiplicity must be (at least 1, not smaller or None); found {multiplicity}": (
            low >= 1 and (high is None or high >= low)
        ),
        f"split must be 'train', 'eval' or None; found {split!r}": split in ("train", "eval", None),
    }
    for message, good in checks.items():
        if not good:
            raise InputError(message)


def _uniform(key: str, salt: str) -> float:
    digest = blake2b(f"{salt}:{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def held_out(key: str, fraction: float = 0.1) -> bool:
    """Whether a problem is for evaluation by a fixed rule: a stable hash of its key is below the fraction.

    Args:
        key: ``CountDownProblem.key``.
        fraction: the share of all keys that is held out, of 0 to 1.

    Raises:
        InputError: the fraction is out of range.
    """
    if not 0.0 <= fraction <= 1.0:
        raise InputError(f"fraction must be of 0 to 1; found {fraction}")
    return _uniform(key, "held out") < fraction


def split_problems(
    problems: Sequence[CountDownProblem],
    *,
    eval_fraction: float | None = None,
    num_eval: int | None = None,
    seed: int = 0,
) -> tuple[list[CountDownProblem], list[CountDownProblem]]:
    """Split into (train, eval) by key, so that no problem, in any order of its numbers, is on both sides.

    Args:
        problems: in any order, which both sides keep; problems with equal keys stay together.
        eval_fraction: the expected share of keys for evaluation; give this or ``num_eval``.
        num_eval: the exact number of keys for evaluation.
        seed: of the choice.

    Raises:
        InputError: neither or both of ``eval_fraction`` and ``num_eval`` are given, or one is out of range.
    """
    ranks = {key: _uniform(key, f"split {seed}") for key in {problem.key for problem in problems}}
    if eval_fraction is not None and num_eval is None:
        if not 0.0 <= eval_fraction <= 1.0:
            raise InputError(f"eval_fraction must be of 0 to 1; found {eval_fraction}")
        chosen = {key for key, rank in ranks.items() if rank < eval_fraction}
    elif num_eval is not None and eval_fraction is None:
        if not 0 <= num_eval <= len(ranks):
            raise InputError(
                f"num_eval must be of 0 to {len(ranks)}, the number of distinct problems; found {num_eval}"
            )
        chosen = set(sorted(ranks, key=lambda key: (ranks[key], key))[:num_eval])
    else:
        raise InputError(f"give one of eval_fraction and num_eval; found {eval_fraction} and {num_eval}")
    train = [problem for problem in problems if problem.key not in chosen]
    return train, [problem for problem in problems if problem.key in chosen]


def require_disjoint(train: Sequence[CountDownProblem], evaluation: Sequence[CountDownProblem]) -> None:
    """Raise InputError where a problem, in any order of its numbers, is on both sides."""
    common = {problem.key for problem in train} & {problem.key for problem in evaluation}
    if common:
        raise InputError(
            f"train and eval problems must be disjoint; found {len(common)} in both (first: {min(common)})",
            hint="generate them with split='train' and split='eval', or use split_problems",
        )
