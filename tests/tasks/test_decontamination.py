"""Training problems that the evaluation holds too, against a loop over all pairs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unsharpen.errors import InputError
from unsharpen.tasks import MathProblem, decontaminate

LONG = "a train leaves at noon and travels for three hours at sixty miles an hour before it stops in town"  # 20 words
PHRASE = "where m and n are relatively prime positive integers and find the value of the sum m plus n"  # 18 words


def problem(text: str) -> MathProblem:
    return MathProblem(text, "1")


def test_same_text_and_shared_words() -> None:
    train = [
        problem("What is $1+1$?"),
        problem("What is 1-1?"),
        problem(LONG.upper() + "!"),  # other case and mark
        problem("Once " + " ".join(LONG.split()[:13])),  # 13 words of it
        problem("Once " + " ".join(LONG.split()[:12])),  # 12
        problem("Another one."),
    ]
    clean = decontaminate(train, [problem("what is 1 + 1"), problem(LONG)])
    assert clean.same_text == [train[0], train[2]]
    assert clean.shared_words == [train[3]]
    assert clean.kept == [train[1], train[4], train[5]]
    assert clean.num_removed == 3
    assert str(clean) == (
        "3 of 6 training problems removed, which the evaluation holds too: 2 with the same text, 1 with a shared run "
        "of words"
    )


@pytest.mark.parametrize(("num", "removed"), [(10, 10), (11, 0)])
def test_a_phrase_of_many_problems_does_not_count(num: int, removed: int) -> None:
    train = [problem(f"Problem {i} {PHRASE}") for i in range(num)]
    clean = decontaminate(train, [problem(f"Quite different {PHRASE}")])
    assert len(clean.shared_words) == removed
    repeated = decontaminate([*train[:5], *train[:5], *train[:5]], [problem(f"Quite different {PHRASE}")])
    assert len(repeated.shared_words) == 15  # copies of a problem are one problem


words = st.lists(st.sampled_from("abc"), min_size=1, max_size=8).map(lambda letters: problem(" ".join(letters)))


@given(st.lists(words, max_size=6), st.lists(words, max_size=4), st.integers(2, 4), st.integers(1, 3))
def test_equals_a_loop_over_all_pairs(
    train: list[MathProblem], evaluation: list[MathProblem], num_words: int, max_common: int
) -> None:
    def runs(p: MathProblem) -> set[str]:
        return {" ".join(p.words[i : i + num_words]) for i in range(len(p.words) - num_words + 1)}

    def shares(one: MathProblem) -> bool:
        for other in evaluation:
            for run in runs(one) & runs(other):
                if len({p.text for p in train if run in runs(p)}) <= max_common:
                    return True
        return False

    clean = decontaminate(train, evaluation, num_words=num_words, max_common=max_common)
    same = [p for p in train if p.text in {e.text for e in evaluation}]
    rest = [p for p in train if p not in same]
    assert clean.same_text == same
    assert clean.shared_words == [p for p in rest if shares(p)]
    assert clean.kept == [p for p in rest if not shares(p)]


@pytest.mark.parametrize("options", [{"num_words": 1}, {"max_common": 0}])
def test_bad_numbers(options: dict[str, int]) -> None:
    with pytest.raises(InputError, match="must be at least"):
        decontaminate([], [], **options)
