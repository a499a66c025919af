"""The solver against a naive enumeration that shares no code with it."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import permutations
from random import Random
from typing import Any

import pytest

from unsharpen.errors import InputError
from unsharpen.tasks.countdown import count_solutions, is_reachable, parse, reachable, solutions

Tree = Any  # an int, or (operator, left, right)


def trees(nums: tuple[int, ...]) -> Iterator[Tree]:
    """Every binary tree over the numbers in this order."""
    if len(nums) == 1:
        yield nums[0]
    for cut in range(1, len(nums)):
        for left in trees(nums[:cut]):
            for right in trees(nums[cut:]):
                for operator in "+-*/":
                    yield operator, left, right


def value(tree: Tree) -> Fraction:
    if isinstance(tree, int):
        return Fraction(tree)
    a, b = value(tree[1]), value(tree[2])
    return {"+": a.__add__, "-": a.__sub__, "*": a.__mul__, "/": a.__truediv__}[tree[0]](b)


def text(tree: Tree) -> str:
    return str(tree) if isinstance(tree, int) else f"({text(tree[1])}{tree[0]}{text(tree[2])})"


def identity(tree: Tree) -> Any:
    """The canonical form by its definition: a sorted multiset of signed parts, like operations merged."""
    if isinstance(tree, int):
        return tree
    same = "+-" if tree[0] in "+-" else "*/"
    parts: list[tuple[int, Any]] = []

    def collect(node: Tree, sign: int) -> None:
        if isinstance(node, int) or node[0] not in same:
            parts.append((sign, identity(node)))
        else:
            collect(node[1], sign)
            collect(node[2], -sign if node[0] == same[1] else sign)

    collect(tree, 1)
    return same, tuple(sorted(parts, key=repr))


def brute_force(nums: tuple[int, ...]) -> dict[Fraction, dict[Any, str]]:
    """Value -> identity -> one text, over every permutation and every tree."""
    found: dict[Fraction, dict[Any, str]] = {}
    for order in set(permutations(nums)):
        for tree in trees(order):
            try:
                found.setdefault(value(tree), {})[identity(tree)] = text(tree)
            except ZeroDivisionError:
                continue
    return found


RANDOM = Random(5)
PROBLEMS = [(4,), (3, 3), (3, 5, 3), (1, 1, 2), (2, 2, 2), (3, 5, 8), (1, 2, 2, 3), (2, 3, 5, 7)]
PROBLEMS += [tuple(RANDOM.randint(1, 12) for _ in range(RANDOM.choice((2, 3, 3, 3)))) for _ in range(25)]


@pytest.mark.parametrize("nums", PROBLEMS, ids=str)
def test_solver_agrees_with_brute_force(nums: tuple[int, ...]) -> None:
    expected = brute_force(nums)
    found = reachable(nums)
    assert set(found) == {int(v) for v in expected if v.denominator == 1}
    for target, forms in found.items():
        assert list(forms) == sorted(parse(t).canonical for t in expected[Fraction(target)].values())
    for target in range(-30, 60):
        assert is_reachable(nums, target) == (target in found)


def test_forms_on_generic_numbers() -> None:
    # No two forms of generic numbers are equal: 1, 6, 68, 1260 for 1 to 4 numbers.
    generic = (101, 1009, 10007, 100003)
    for size, count in zip(range(1, 5), (1, 6, 68), strict=False):
        assert sum(map(len, brute_force(generic[:size]).values())) == count
    from unsharpen.tasks.countdown.solver import _all_forms

    assert [len(_all_forms(generic[:size])) for size in range(1, 5)] == [1, 6, 68, 1260]


def test_golden() -> None:
    # 3, 3, 5 -> 24: only (3+5)*3, whichever 3 is which.
    assert solutions((3, 5, 3), 24) == ("3*(3+5)",)
    # 1, 2, 3 -> 6: sum, product, and division by 1.
    assert solutions([3, 1, 2], 6) == ("1*2*3", "1+2+3", "2*3/1")
    # The classic with a fraction on the way: 8/(3 - 8/3) = 8/(1/3).
    assert solutions((3, 3, 8, 8), 24) == ("8/(3-8/3)",)
    assert solutions((1, 1, 1), 50) == ()
    assert count_solutions((1, 2, 3), 6) == 3


@pytest.mark.parametrize("nums", [(2, 3, 5, 7, 11), (1, 5, 5, 9, 10)])
def test_five_numbers_are_solved_exactly(nums: tuple[int, ...]) -> None:
    found = reachable(nums)
    for forms in list(found.items())[::50]:
        for form in forms[1]:
            assert parse(form).value == forms[0]
            assert sorted(parse(form).numbers) == sorted(nums)
            assert parse(form).canonical == form


def test_result_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        reachable((2, 3))[5] = ()  # type: ignore[index]


@pytest.mark.parametrize("nums", [(), (1,) * 7, (-1, 2)])
def test_numbers_out_of_range(nums: tuple[int, ...]) -> None:
    for function in (reachable, lambda n: is_reachable(n, 1), lambda n: solutions(n, 1)):
        with pytest.raises(InputError, match="the solver takes"):
            function(nums)


def test_minus_signs_add_no_solution() -> None:
    draw = Random(0)

    def signed(tree: Tree) -> str:
        inner = str(tree) if isinstance(tree, int) else f"{signed(tree[1])}{tree[0]}{signed(tree[2])}"
        return f"{'-' if draw.random() < 0.4 else ''}({inner})"

    right = 0
    for nums in [(3, 8), (2, 3, 5), (4, 1, 6), (2, 3, 5, 4)]:
        every = list(trees(nums))
        for tree in draw.choices(every, k=1000):
            expression = parse(signed(tree))
            if expression.denominator and expression.value > 0 and expression.value.denominator == 1:
                assert expression.canonical in solutions(nums, int(expression.value)), expression.canonical
                right += 1
    assert right > 300
