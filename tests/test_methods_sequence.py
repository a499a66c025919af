"""What the sequence-level methods promise beyond what holds for every row: limits, signs, memory."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from tests.advantages.naive import random_fields, to_batch

from unsharpen import GroupBatch, get_method, list_methods
from unsharpen.advantages import AnswerCounts
from unsharpen.errors import InputError

HISTORICAL = ["ucb", "ucb-mean", "ucb-con"]
WITH_MEMORY = [*HISTORICAL, "epo"]
# (method, the value at which its idea is switched off, its base, the base's coefficients)
OFF: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    ("unlikeliness", {"beta": 0.0}, "grpo", {}),
    ("ucpo", {"tau": 0.0}, "grpo", {}),
    ("darling", {"floor": 1.0}, "dr-grpo", {}),
    ("ips", {"floor": 1.0}, "grpo", {}),
    ("pass-at-k", {"k": 1, "eps": 1e-6}, "grpo", {"ddof": 0, "eps": 1e-6}),
    ("f-grpo", {"gamma": 0.0}, "grpo", {}),
    ("rs-grpo", {"beta": 0.0}, "dr-grpo", {}),
    ("rs-grpo", {"beta": 1e-9}, "dr-grpo", {}),
    ("w-reinforce", {"weight": 0.0}, "nsr", {}),
    ("ucb", {"coef": 0.0}, "grpo", {}),
    ("ucb-mean", {"coef": 0.0}, "grpo", {}),
    ("ucb-con", {"coef": 0.0}, "grpo", {}),
    ("ucb-con", {"offset": 0.0}, "ucb", {}),
    ("batch-exploration", {"coef": 0.0}, "grpo", {}),
    ("egsw", {"temperature": 1e12}, "grpo", {}),
    ("mara", {"beta": 0.0}, "dr-grpo", {}),
    ("ds-grpo-f", {"focal": 0.0}, "ds-grpo-robust", {"gamma_p": 0.1}),
    ("ds-grpo-f", {"focal": 0.0, "gamma_p": 0.0}, "ds-grpo-robust", {"gamma_p": 0.0}),
]
# TRL's own numbers to the last bit when switched off
EXACT = {"ucpo", "f-grpo", "ucb", "ucb-mean", "ucb-con", "batch-exploration", "ds-grpo-f", "w-reinforce"}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("name", "off", "base", "coefficients"), OFF, ids=lambda v: str(v))
def test_switched_off_it_is_its_base(
    name: str, off: dict[str, Any], base: str, coefficients: dict[str, Any], seed: int
) -> None:
    # correct completions alike in reward: MARA gives them the anchor's
    arrays = random_fields(seed, binary=name in ("pass-at-k", "w-reinforce", "mara"))
    for dtype in (torch.float32, torch.float64):
        fields = {k: torch.from_numpy(v) for k, v in arrays.items()}
        batch = to_batch({**fields, "rewards": fields["rewards"].to(dtype)})
        found = get_method(name, **off).advantages(batch)
        expected = get_method(base, **coefficients).advantages(batch)
        if name in EXACT:
            assert torch.equal(found, expected)
        else:
            close = 2e-4 if dtype == torch.float32 else 1e-7
            torch.testing.assert_close(found, expected, rtol=close, atol=close)


def test_every_sequence_method_has_an_off_switch_or_a_reason() -> None:
    without = {"gapo", "dra-grpo", "evol-rl", "pkpo", "best-of-k", "psr", "nsr", "edge-grpo"}  # nothing to switch off
    without |= {"grpo", "rloo", "maxrl"}
    elsewhere = {"ds-grpo", "ds-grpo-sum", "ds-grpo-reward", "ds-grpo-centered", "ds-grpo-robust", "ds-maxrl"}
    elsewhere |= {"entropy-bonus-seq", "entropy-penalty-seq"}  # switched off in tests/test_methods.py
    methods = map(get_method, list_methods())
    ours = {m.name for m in methods if not m.beyond_advantages and not m.recipe.settings}
    assert ours - without - elsewhere == {name for name, *_ in OFF} & ours


# --- signs: two correct and two wrong; of each pair the second is the rarer one --------------------------------------

LIKELY, RARE, LIKELY_WRONG, RARE_WRONG = range(4)
PAIRS: dict[str, Any] = {
    "rewards": np.array([[1.0, 1.0, 1.0, 0.0, 0.0, 0.0]]),
    "correct": np.array([[True, True, True, False, False, False]]),
    "logprobs": np.array([[-1.0, -1.0, -9.0, -1.0, -1.0, -9.0]]),
    "reference_logprobs": np.array([[-1.0, -1.0, -9.0, -1.0, -1.0, -9.0]]),
    "lengths": np.full((1, 6), 4),
    "answers": np.array([[5, 5, 6, 7, 7, 8]]),
    "embeddings": np.array([[[1, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 1], [1, 0, 1], [0, 1, 1]]], dtype=float),
    "entropies": np.array([[0.2, 0.2, 0.9, 0.2, 0.2, 0.9]]),
    "num_solutions": np.array([2]),
    "prompt_ids": np.array([0]),
}


@pytest.mark.parametrize(
    "name", ["unlikeliness", "ucpo", "darling", "ips", "dra-grpo", "evol-rl", "batch-exploration", "mara", "ds-grpo-f"]
)
def test_the_rarer_of_two_correct_answers_gains(name: str) -> None:
    # evol-rl sees no labels: its classes are the majority answer and the rest, where the rarer ones gain as well
    fields = {**PAIRS, "answers": np.array([[5, 5, 5, 7, 7, 8]])} if name == "evol-rl" else PAIRS
    row = get_method(name).advantages(GroupBatch(**fields))[0]
    assert row[2] > row[0] + 1e-3
    assert row[0] == pytest.approx(row[1])


def test_gapo_pays_for_balance() -> None:
    # two correct answers exist; used 2 : 1, the shares 2/3 and 1/3 are equally far from 1/2; 3 : 0 is worse
    row = get_method("gapo").advantages(GroupBatch(**PAIRS))[0]
    assert row[0] == pytest.approx(row[2])
    uneven = GroupBatch(**{**PAIRS, "answers": np.array([[5, 5, 5, 7, 7, 8]]), "num_solutions": np.array([3])})
    three = GroupBatch(**{**PAIRS, "answers": np.array([[5, 6, 4, 7, 7, 8]]), "num_solutions": np.array([3])})
    method = get_method("gapo", eps=1.0)  # so that the scale does not hide the reward
    assert method.advantages(three)[0, 0] > method.advantages(uneven)[0, 0] + 0.05


def test_egsw_and_edge_pull_in_opposite_directions() -> None:
    egsw, edge = (get_method(n).advantages(GroupBatch(**PAIRS))[0] for n in ("egsw", "edge-grpo"))
    assert egsw[2] > egsw[0] > 0 > egsw[5] - egsw[3]
    assert edge[0] > edge[2] > 0 > edge[5] > edge[3]


def test_ucpo_conserves_the_advantage_of_the_correct() -> None:
    for seed in range(5):
        fields = random_fields(seed, binary=True)
        batch = to_batch(fields)
        before, after = (get_method(n).advantages(batch) for n in ("grpo", "ucpo"))
        np.testing.assert_allclose(np.where(batch.correct, after - before, 0).sum(axis=1), 0.0, atol=1e-12)
        np.testing.assert_array_equal(after[~batch.correct], before[~batch.correct])


def test_correct_is_the_flag_and_not_a_positive_reward() -> None:
    # a wrong completion with a format bonus must not be shaped as a correct one, nor counted as one
    for name in ("ucpo", "darling", "f-grpo", "ds-grpo-f", "gapo", "mara"):
        method = get_method(name)
        bonus = {**PAIRS, "rewards": np.array([[1.0, 1.0, 1.0, 0.1, 0.1, 0.1]])}
        row = method.advantages(GroupBatch(**bonus))[0]
        assert row[3] == pytest.approx(row[4])
        if name != "darling":  # whose wrong ones are alike too, but for the floor
            assert row[3] == pytest.approx(row[5])
        assert row[3] < 0 < row[2]


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pass-at-k", "w-reinforce", "psr", "nsr"])
def test_fractional_rewards_are_refused(name: str) -> None:
    batch = GroupBatch(rewards=[[1.0, 0.1, 0.0, 0.0]], correct=[[True, False, False, False]])
    with pytest.raises(InputError, match=r"is defined for rewards that are exactly 0 or 1; found 0\.1") as caught:
        get_method(name).advantages(batch)
    assert "hint: drop format bonuses" in str(caught.value)


@pytest.mark.parametrize(("name", "k"), [("pass-at-k", 4), ("pass-at-k", 7), ("pkpo", 4), ("pkpo", 5)])
def test_groups_too_small_for_k(name: str, k: int) -> None:
    batch = GroupBatch(
        rewards=np.zeros((3, 8)),
        correct=np.zeros((3, 8), dtype=bool),
        mask=np.arange(8) < np.array([[8], [k - 1], [8]]),
    )
    words = f"needs at least {k} completions per prompt; 1 of 3 groups have fewer \\(first: row 1\\)"
    with pytest.raises(InputError, match=words) as caught:
        get_method(name, k=k).advantages(batch)
    assert f"hint: raise num_generations to at least {k}, or lower k" in str(caught.value)


def test_a_prompt_without_solutions_has_no_correct_completion() -> None:
    with pytest.raises(InputError, match=r"`num_solutions` must be at least 1 .* prompt 0 has 0"):
        get_method("gapo").advantages(GroupBatch(**{**PAIRS, "num_solutions": np.array([0])}))
    wrong = {**PAIRS, "correct": np.zeros((1, 6), dtype=bool), "num_solutions": np.array([0])}
    assert (get_method("gapo").advantages(GroupBatch(**wrong)) == 0).all()


@pytest.mark.parametrize(
    ("name", "coefficients", "words"),
    [
        ("unlikeliness", {"beta": 1.5}, "beta must be at most 1"),
        ("unlikeliness", {"beta": -0.1}, "beta must be finite and at least 0"),
        ("ucpo", {"tau": 1.1}, "tau must be at most 1"),
        ("darling", {"floor": 1.1}, "need floor in \\[0, 1\\]"),
        ("darling", {"threshold": 2.0}, "threshold in \\[-1, 1\\]"),
        ("darling", {"cluster": "words"}, "cluster must be one of 'answers', 'embeddings'"),
        ("ips", {"floor": 0.0}, "floor must be in \\(0, 1\\]"),
        ("pass-at-k", {"k": 0}, "need k >= 1"),
        ("pass-at-k", {"eps": -1.0}, "finite eps >= 0"),
        ("pkpo", {"k": 1}, "need k >= 2"),
        ("best-of-k", {"ddof": 2}, "ddof 0 or 1"),
        ("f-grpo", {"gamma": -1.0}, "gamma must be finite and at least 0"),
        ("rs-grpo", {"beta": -1.0}, "beta must be finite and at least 0"),
        ("w-reinforce", {"weight": -0.1}, "correct must be finite and at least 0"),
        ("ucb", {"coef": -0.1}, "need coef >= 0"),
        ("batch-exploration", {"coef": -0.1}, "coef must be finite and at least 0"),
        ("egsw", {"temperature": 0.0}, "temperature must be positive and finite"),
        ("egsw", {"alpha": -0.1}, "alpha must be finite and at least 0"),
        ("mara", {"beta": -0.1}, "beta must be finite and at least 0"),
        ("ds-grpo-f", {"focal": -1.0}, "gamma must be finite and at least 0"),
    ],
)
def test_ranges(name: str, coefficients: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        get_method(name, **coefficients)


# --- memory ----------------------------------------------------------------------------------------------------------


def answers(*rows: list[int], prompts: list[int], mask: Any = None) -> GroupBatch:
    shape = (len(rows), len(rows[0]))
    return GroupBatch(
        rewards=np.zeros(shape), correct=np.zeros(shape, dtype=bool), answers=list(rows), prompt_ids=prompts, mask=mask
    )


def test_only_the_historical_methods_remember_and_each_object_for_itself() -> None:
    assert [n for n in list_methods() if get_method(n).memory is not None] == WITH_MEMORY
    assert get_method("ucb").memory is not get_method("ucb").memory


@pytest.mark.parametrize(("name", "first", "second"), [("ucb", 0.2, 0.1), ("ucb-con", 0.1, 0.0)])
def test_a_bonus_fades_as_the_answer_comes_again(name: str, first: float, second: float) -> None:
    # prompt 3 is given answer 9 four times, answer 8 never: bonuses .2 * (4^-1/2 - offset) and .2 * (1 - offset)
    method = get_method(name)
    method.advantages(answers([9, 9, 9, 9], prompts=[3]))
    found = method.advantages(answers([9, 8, 9, 8], [9, 8, 9, 8], prompts=[3, 4]))
    np.testing.assert_allclose(found, [[second, first, second, first], [first] * 4], atol=1e-12)


def test_the_same_batch_is_counted_once() -> None:
    method, batch = get_method("ucb"), answers([1, 1, 2, -1], prompts=[7])
    first = method.advantages(batch)
    np.testing.assert_array_equal(method.advantages(batch), first)
    assert method.memory is not None
    assert method.memory.state_dict() == {"counts": {"7": {"1": 2, "2": 1, "-1": 1}}}
    method.advantages(answers([1, 1, 2, -1], prompts=[7]))  # equal, but another batch
    assert method.memory.state_dict() == {"counts": {"7": {"1": 4, "2": 2, "-1": 2}}}


def test_padding_is_not_counted() -> None:
    counts = AnswerCounts()
    counts.before(answers([1, 1], [2, 2], prompts=[0, 1], mask=[[True, False], [True, True]]))
    assert counts.state_dict() == {"counts": {"0": {"1": 1}, "1": {"2": 2}}}
    later = answers([1, 1], [2, 5], prompts=[0, 1], mask=[[True, False], [True, True]])
    assert counts.before(later).tolist() == [[1, 0], [2, 0]]


def test_a_prompt_twice_in_a_batch_sees_the_counts_before_the_batch() -> None:
    counts = AnswerCounts()
    assert counts.before(answers([1, 2], [1, 1], prompts=[5, 5])).tolist() == [[0, 0], [0, 0]]
    assert counts.state_dict() == {"counts": {"5": {"1": 3, "2": 1}}}


@pytest.mark.parametrize("name", HISTORICAL)
def test_a_restored_memory_goes_on_as_the_first_one(name: str) -> None:
    batches = [to_batch(random_fields(seed)) for seed in range(6)]
    whole, part, resumed = (get_method(name) for _ in range(3))
    for batch in batches[:3]:
        whole.advantages(batch), part.advantages(batch)
    assert part.memory is not None
    assert resumed.memory is not None
    resumed.memory.load_state_dict(json.loads(json.dumps(part.memory.state_dict())))
    for batch in batches[3:]:
        np.testing.assert_array_equal(resumed.advantages(batch), whole.advantages(batch))
    assert whole.memory is not None
    assert json.dumps(resumed.memory.state_dict()) == json.dumps(whole.memory.state_dict())  # the order too


def test_memory_on_pytorch_and_large_ids() -> None:
    large = 2**63 - 1
    method = get_method("ucb")
    for expected in (1.0, 0.5**0.5):
        ids = torch.tensor([[large, large - 1, large]])
        batch = GroupBatch(
            rewards=torch.zeros(1, 3),
            correct=torch.zeros(1, 3, dtype=torch.bool),
            answers=ids,
            prompt_ids=torch.tensor([large]),
        )
        found = method.advantages(batch)
        assert found.dtype == torch.float32
        assert found[0].tolist() == pytest.approx([0.2 * expected, 0.2, 0.2 * expected])


def test_the_oldest_prompts_are_forgotten_first() -> None:
    counts = AnswerCounts(max_answers=4)
    for prompt in (0, 1, 0, 2):  # two answers each; 0 is refreshed before 2 comes
        counts.before(answers([prompt * 10, prompt * 10 + 1], prompts=[prompt]))
    assert list(counts.state_dict()["counts"]) == ["0", "2"]
    assert counts.before(answers([10, 11], prompts=[1])).tolist() == [[0, 0]]
    single = AnswerCounts(max_answers=1)
    single.before(answers([1, 2, 3], prompts=[0]))  # the prompt in hand is kept whole
    assert Counter(single.state_dict()["counts"]["0"]).total() == 3


@pytest.mark.parametrize("state", [{}, {"counts": 3}, {"counts": {"a": {"1": 1}}}, {"counts": {"1": [1]}}, None])
def test_a_malformed_state_is_refused(state: Any) -> None:
    counts = AnswerCounts()
    counts.before(answers([1, 1], prompts=[0]))
    with pytest.raises(InputError, match="the state of answer counts must be"):
        counts.load_state_dict(state)
    assert counts.state_dict() == {"counts": {"0": {"1": 2}}}
    with pytest.raises(InputError, match="max_answers must be at least 1"):
        AnswerCounts(0)
