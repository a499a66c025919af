"""The problems that CountDown is judged on where no data set is named; training keeps away from them."""

from __future__ import annotations

from typing import Any, Final

from unsharpen.tasks.countdown.generator import generate
from unsharpen.tasks.countdown.problem import CountDownProblem

_SEED: Final = 1001
POOL: Final = 256
"""How many there are; fewer are the first ones."""

TINY_OPTIONS: Final[dict[str, Any]] = {
    "sizes": (4,),
    "numbers": (1, 10),
    "targets": (1, 60),
    "multiplicity": (2, None),
}
"""What the shipped model was trained for; options of ``generate``."""
OPTIONS: Final[dict[str, Any]] = {"sizes": (3, 4), "numbers": (1, 99), "targets": (10, 99)}
"""For every other model."""


def standard_pool(**options: Any) -> list[CountDownProblem]:
    """The test problems of these options, the same in every run."""
    return generate(POOL, seed=_SEED, split="eval", **options)
