"""Generated problems and splits."""

from __future__ import annotations

import pytest

from unsharpen.errors import InputError
from unsharpen.tasks.countdown import (
    CountDownProblem,
    count_solutions,
    generate,
    held_out,
    require_disjoint,
    solutions,
    split_problems,
)


def keys(problems: list[CountDownProblem]) -> set[str]:
    return {problem.key for problem in problems}


def test_same_seed_same_problems() -> None:
    # Frozen, so that a change of platform or code that changes the draws is seen.
    assert [p.key for p in generate(3, seed=0, numbers=(1, 9))] == ["1,6,7=12", "2,9,9=9", "2,2,7=16"]
    assert generate(50, seed=1) == generate(50, seed=1)
    assert generate(50, seed=1) != generate(50, seed=2)


def test_problems_fulfil_what_was_asked() -> None:
    problems = generate(
        150,
        seed=3,
        sizes=(2, 3, 4),
        numbers=(2, 9),
        targets=(10, 40),
        multiplicity=(2, 5),
        exclude={"2,5=10"},
    )
    assert len(keys(problems)) == 150
    assert {len(problem.nums) for problem in problems} >= {3, 4}
    for problem in problems:
        assert all(2 <= number <= 9 for number in problem.nums)
        assert 10 <= problem.target <= 40
        assert 2 <= len(solutions(problem.nums, problem.target)) <= 5


def test_multiplicity_of_one_is_exact() -> None:
    assert all(count_solutions(p.nums, p.target) == 1 for p in generate(40, seed=0, multiplicity=(1, 1)))


def test_exclude() -> None:
    first = generate(30, seed=0, numbers=(1, 5))
    second = generate(30, seed=0, numbers=(1, 5), exclude=keys(first))
    require_disjoint(first, second)


def test_exhausted_space_says_how_many_were_found() -> None:
    # 1 and 2 make 1+2, 2-1, 1*2, 2/1 (and 1-2, 1/2 out of range): 1, 2, 3. 1, 1 -> 1, 2; 2, 2 -> 1, 4.
    options = {"seed": 0, "sizes": (2,), "numbers": (1, 2)}
    assert len(generate(7, **options)) == 7  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"num_problems=8 .* found 7") as caught:
        generate(8, **options)  # type: ignore[arg-type]
    assert "fewer problems" in str(caught.value)


def test_independent_train_and_eval_are_disjoint() -> None:
    train = generate(400, seed=0, numbers=(1, 6), split="train")
    evaluation = generate(60, seed=0, numbers=(1, 6), split="eval")
    require_disjoint(train, evaluation)
    assert not any(held_out(key) for key in keys(train))
    assert all(held_out(key) for key in keys(evaluation))


def test_held_out_is_stable_and_near_its_fraction() -> None:
    names = [f"{i},{i + 1}={i}" for i in range(4000)]
    assert 320 < sum(map(held_out, names)) < 480
    assert not any(held_out(name, 0.0) for name in names)
    assert all(held_out(name, 1.0) for name in names)
    assert all(held_out(name, 0.2) for name in names if held_out(name, 0.1))
    assert [i for i, name in enumerate(names[:40]) if held_out(name)] == [18, 21]
    with pytest.raises(InputError, match="fraction"):
        held_out("3=3", 1.5)


@pytest.mark.parametrize("options", [{"eval_fraction": 0.3}, {"num_eval": 25}])
def test_split_keeps_equal_problems_together(options: dict[str, float]) -> None:
    problems = generate(100, seed=0)
    shuffled = [CountDownProblem(problem.nums[::-1], problem.target) for problem in problems[:40]]
    train, evaluation = split_problems([*problems, *shuffled], seed=1, **options)  # type: ignore[arg-type]
    assert len(train) + len(evaluation) == 140
    require_disjoint(train, evaluation)
    assert (train, evaluation) == split_problems([*problems, *shuffled], seed=1, **options)  # type: ignore[arg-type]
    assert (train, evaluation) != split_problems([*problems, *shuffled], seed=2, **options)  # type: ignore[arg-type]
    if "num_eval" in options:
        assert len(keys(evaluation)) == 25


@pytest.mark.parametrize(
    "options",
    [{}, {"eval_fraction": 0.5, "num_eval": 1}, {"eval_fraction": -0.1}, {"num_eval": 4}, {"num_eval": -1}],
)
def test_split_arguments(options: dict[str, float]) -> None:
    with pytest.raises(InputError, match="eval"):
        split_problems(generate(3, seed=0), **options)  # type: ignore[arg-type]


def test_overlap_is_an_error() -> None:
    with pytest.raises(InputError, match=r"found 1 in both \(first: 3,5,8=24\)"):
        require_disjoint([CountDownProblem((3, 5, 8), 24)], [CountDownProblem((8, 5, 3), 24)])


@pytest.mark.parametrize(
    "options",
    [
        {"num_problems": -1},
        {"sizes": ()},
        {"sizes": (7,)},
        {"numbers": (0, 5)},
        {"numbers": (5, 1)},
        {"targets": (9, 1)},
        {"multiplicity": (0, None)},
        {"multiplicity": (3, 2)},
        {"split": "test"},
    ],
)
def test_arguments(options: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        generate(**{"num_problems": 1, "seed": 0, **options})  # type: ignore[arg-type]
