"""What a CountDown problem is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from unsharpen.errors import InputError
from unsharpen.tasks.countdown.solver import MAX_NUMBERS

MAX_NUMBER: Final = 999_999_999
"""Largest number, and largest absolute target."""


@dataclass(frozen=True, slots=True)
class CountDownProblem:
    """Reach the target with each of the numbers used exactly once.

    Args:
        nums: 1 to 6 integers of 1 to 999,999,999; a list becomes a tuple.
        target: an integer of at most 999,999,999 in absolute value.

    Raises:
        InputError: a number or the target is of another type or out of range.

    >>> CountDownProblem((8, 3, 5), 24).key
    '3,5,8=24'
    """

    nums: tuple[int, ...]
    target: int

    def __post_init__(self) -> None:
        if not isinstance(self.nums, (tuple, list)) or not 1 <= len(self.nums) <= MAX_NUMBERS:
            raise InputError(f"nums must be a tuple or list of 1 to {MAX_NUMBERS} integers; found {_short(self.nums)}")
        for number in self.nums:
            if type(number) is not int or not 1 <= number <= MAX_NUMBER:
                raise InputError(f"nums must hold integers of 1 to {MAX_NUMBER}; found {_short(number)}")
        if type(self.target) is not int or abs(self.target) > MAX_NUMBER:
            raise InputError(f"target must be an integer of {-MAX_NUMBER} to {MAX_NUMBER}; found {_short(self.target)}")
        object.__setattr__(self, "nums", tuple(self.nums))

    @property
    def key(self) -> str:
        """Equal for problems with the same numbers, in any order, and the same target."""
        return f"{','.join(map(str, sorted(self.nums)))}={self.target}"


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # an integer beyond the interpreter's limit of digits
        text = f"an {type(value).__name__} of too many digits"
    return f"{text[:60]} ({type(value).__name__})"
