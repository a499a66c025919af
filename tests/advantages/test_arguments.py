"""What the atoms refuse, when they are built and when they are applied; what a chain declares."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from unsharpen import GroupBatch, get_method
from unsharpen.advantages import (
    TokenBatch,
    Transform,
    centered_smoothing,
    chain,
    differential_smoothing,
    divide_by_batch_std,
    divide_by_group_mean,
    divide_by_group_std,
    entropy_smoothing,
    skip_uniform_groups,
    spread_smoothing_over_tokens,
    subtract_group_mean,
    subtract_leave_one_out_mean,
)
from unsharpen.errors import InputError, MissingFieldError

INF, NAN = math.inf, math.nan
BARE = GroupBatch(rewards=[[1.0, 0.0]], correct=[[True, False]])


def refuses(words: str) -> Any:
    return pytest.raises(InputError, match=re.escape(words))


@pytest.mark.parametrize("value", [-0.1, INF, -INF, NAN])
@pytest.mark.parametrize("name", ["gamma_p", "gamma_n"])
@pytest.mark.parametrize("build", [differential_smoothing, spread_smoothing_over_tokens])
def test_gammas(build: Callable[..., Any], name: str, value: float) -> None:
    with refuses(f"{name} must be finite and at least 0, found {value}") as caught:
        build(**{"gamma_p": 0.1, "gamma_n": 0.1, name: value})
    assert "there is no sign to flip" in str(caught.value)


@pytest.mark.parametrize("name", ["kappa", "all_correct_weight"])
@pytest.mark.parametrize("value", [-0.1, INF, NAN])
def test_centered_coefficients(name: str, value: float) -> None:
    with refuses(f"{name} must be finite and at least 0, found {value}"):
        centered_smoothing(**{"kappa": 0.1, name: value})


@pytest.mark.parametrize("arguments", [{"all_correct_weight": 1.1}, {"clip": 0.0}, {"clip": -1.0}, {"clip": NAN}])
def test_centered_ranges(arguments: dict[str, float]) -> None:
    with refuses("need all_correct_weight <= 1 and clip > 0"):
        centered_smoothing(kappa=0.1, **arguments)


@pytest.mark.parametrize("value", [INF, -INF, NAN])
def test_entropy_gamma(value: float) -> None:
    with refuses(f"gamma must be finite, found {value}"):
        entropy_smoothing(gamma=value)


@pytest.mark.parametrize("arguments", [{"length": "max"}, {"reference": "old"}])
def test_forms(arguments: dict[str, Any]) -> None:
    words = "need length 'mean' or 'sum' and reference 'sampling' or 'base'; found"
    with refuses(words):
        differential_smoothing(gamma_p=0.1, gamma_n=0.1, **arguments)
    with refuses(words):
        entropy_smoothing(gamma=0.1, **arguments)


@pytest.mark.parametrize("build", [divide_by_group_std, divide_by_batch_std])
@pytest.mark.parametrize("arguments", [{"ddof": 2}, {"ddof": -1}, {"eps": -1e-9}, {"eps": INF}, {"eps": NAN}])
def test_scales(build: Callable[..., Transform], arguments: dict[str, Any]) -> None:
    with refuses("need ddof 0 or 1 and"):
        build(**arguments)


@pytest.mark.parametrize("floor", [-0.1, INF, NAN])
def test_floor(floor: float) -> None:
    with refuses("floor >= 0; found ddof 1"):
        divide_by_group_std(floor=floor)


@pytest.mark.parametrize("eps", [0.0, -1.0, INF, NAN])
def test_group_mean_eps(eps: float) -> None:
    with refuses(f"eps must be positive and finite, found {eps}"):
        divide_by_group_mean(eps=eps)


def test_choices() -> None:
    with refuses("`of` must be one of 'input', 'rewards', 'correct'; found 'reward'"):
        divide_by_group_std(of="reward")  # type: ignore[arg-type]
    for build in (subtract_group_mean, divide_by_group_std):
        with refuses("`singleton` must be one of 'zero', 'keep'; found 'raw'"):
            build(singleton="raw")  # type: ignore[arg-type]


# --- when applied ----------------------------------------------------------------------------------------------------


def test_leave_one_out_needs_two() -> None:
    batch = GroupBatch(
        rewards=[[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]],
        correct=[[True, False]] * 3,
        mask=[[True, True], [True, False], [False, True]],
    )
    words = "leave-one-out baseline needs at least 2 completions per prompt; 2 of 3 groups have 1 (first: row 1)"
    with refuses(words) as caught:
        subtract_leave_one_out_mean()(batch.rewards, batch)
    assert "hint: raise num_generations, or use subtract_group_mean" in str(caught.value)


@pytest.mark.parametrize("reward", [0.1, -1.0, 2.0, 1.0 + 1e-6])
def test_maxrl_needs_binary_rewards(reward: float) -> None:
    batch = GroupBatch(rewards=[[1.0, 0.0], [0.0, reward]], correct=[[True, False]] * 2)
    with refuses(f"`maxrl` is defined for rewards that are exactly 0 or 1; found {reward}") as caught:
        divide_by_group_mean()(batch.rewards, batch)
    assert "drop format bonuses and penalties" in str(caught.value)


def test_maxrl_ignores_masked_rewards() -> None:
    batch = GroupBatch(rewards=[[1.0, 0.5]], correct=[[True, False]], mask=[[True, False]])
    np.testing.assert_allclose(divide_by_group_mean(eps=1.0)(batch.rewards, batch), [[0.5, 0.0]])


@pytest.mark.parametrize(
    ("transform", "fields"),
    [
        (differential_smoothing(gamma_p=0.1, gamma_n=0.1), {"logprobs", "lengths"}),
        (differential_smoothing(gamma_p=0.1, gamma_n=0.1, length="sum"), {"logprobs"}),
        (differential_smoothing(gamma_p=0.1, gamma_n=0.1, reference="base"), {"reference_logprobs", "lengths"}),
        (differential_smoothing(gamma_p=0.1, gamma_n=0.1, length="sum", reference="base"), {"reference_logprobs"}),
        (entropy_smoothing(gamma=0.1), {"logprobs"}),
        (entropy_smoothing(gamma=0.1, length="mean"), {"logprobs", "lengths"}),
        (entropy_smoothing(gamma=0.1, reference="base"), {"reference_logprobs"}),
        (centered_smoothing(kappa=0.1), {"logprobs"}),
    ],
)
def test_required_fields(transform: Transform, fields: set[str]) -> None:
    assert transform.requires == fields
    wanted = ", ".join(f"`{name}`" for name in sorted(fields))
    with pytest.raises(MissingFieldError, match=re.escape(f"`{transform.name}` needs {wanted};")):
        transform(BARE.rewards, BARE)
    composed = chain(subtract_group_mean(), chain(transform, skip_uniform_groups()))
    assert composed.requires == fields
    with pytest.raises(MissingFieldError, match=re.escape(f"needs {wanted};")):
        composed(BARE.rewards, BARE)


@pytest.mark.parametrize(
    "transform",
    [
        subtract_group_mean(),
        subtract_leave_one_out_mean(),
        divide_by_group_std(),
        divide_by_batch_std(),
        divide_by_group_mean(),
        skip_uniform_groups(),
    ],
    ids=lambda transform: transform.name,
)
def test_the_others_require_nothing(transform: Transform) -> None:
    assert transform.requires == frozenset()
    assert transform(BARE.rewards, BARE).shape == (1, 2)


# --- chain -----------------------------------------------------------------------------------------------------------


def test_an_empty_chain() -> None:
    with refuses("chain() needs at least 1 transform"):
        chain()


def test_a_chain_equals_the_manual_loop_and_joins_the_needs() -> None:
    steps = [
        subtract_group_mean(),
        divide_by_group_std(),
        differential_smoothing(gamma_p=0.1, gamma_n=0.2),
        entropy_smoothing(gamma=0.1, reference="base"),
    ]
    batch = GroupBatch(
        rewards=[[1.0, 0.0, 0.5]],
        correct=[[True, False, False]],
        logprobs=[[-1.0, -2.0, -3.0]],
        reference_logprobs=[[-4.0, -1.0, -2.0]],
        lengths=[[1, 2, 4]],
    )
    expected = batch.rewards
    for step in steps:
        expected = step(expected, batch)
    whole = chain(*steps)
    nested = chain(chain(*steps[:2]), chain(*steps[2:]))
    np.testing.assert_array_equal(whole(batch.rewards, batch), expected)
    np.testing.assert_array_equal(nested(batch.rewards, batch), expected)
    assert whole.requires == nested.requires == {"logprobs", "lengths", "reference_logprobs"}
    names = "subtract_group_mean > divide_by_group_std > differential_smoothing > entropy_smoothing"
    assert whole.name == nested.name == names


# --- TokenBatch ------------------------------------------------------------------------------------------------------


def token_fields(**changed: Any) -> dict[str, Any]:
    fields = {
        "logprobs": np.full((2, 3), -1.0),
        "mask": np.ones((2, 3), dtype=bool),
        "correct": np.array([True, False]),
    }
    return {**fields, **changed}


@pytest.mark.parametrize(
    "changed",
    [
        {"logprobs": np.zeros(3)},
        {"logprobs": np.zeros((2, 4))},
        {"mask": np.ones((2, 2), dtype=bool)},
        {"correct": np.array([True])},
        {"correct": np.array([[True, False]])},
    ],
)
def test_token_shapes(changed: dict[str, Any]) -> None:
    with refuses("TokenBatch needs logprobs [N, T], mask [N, T] and correct [N]; found"):
        TokenBatch(**token_fields(**changed))


@pytest.mark.parametrize("name", ["mask", "correct"])
@pytest.mark.parametrize("dtype", [np.int64, np.float32])
def test_token_flags_are_bool(name: str, dtype: type) -> None:
    with refuses(f"`{name}` must be boolean, found {np.dtype(dtype)}"):
        TokenBatch(**token_fields(**{name: token_fields()[name].astype(dtype)}))


@pytest.mark.parametrize("value", [NAN, -INF])
def test_token_logprobs_are_finite_where_unmasked(value: float) -> None:
    logprobs = np.full((2, 3), -1.0)
    logprobs[1, 2] = value
    with refuses("token log-probabilities must be finite where the mask is True"):
        TokenBatch(**token_fields(logprobs=logprobs))
    mask = np.ones((2, 3), dtype=bool)
    mask[1, 2] = False
    TokenBatch(**token_fields(logprobs=logprobs, mask=mask))


def test_half_precision_tokens_are_worked_in_single() -> None:
    # bfloat16 knows 8 bits: the mean of -1, -256 would come out 128 instead of 128.5
    batch = TokenBatch(
        logprobs=torch.tensor([[-1.0, -256.0]], dtype=torch.bfloat16),
        mask=torch.ones((1, 2), dtype=torch.bool),
        correct=torch.tensor([True]),
    )
    found = spread_smoothing_over_tokens(gamma_p=1.0, gamma_n=0.0)(torch.zeros(1, 2), batch)
    assert found.dtype == torch.float32
    assert found.tolist() == [[-127.5, 127.5]]


def test_flags_that_contradict_the_rewards_are_refused() -> None:
    batch = GroupBatch(rewards=np.array([[1.0, 0.0]]), correct=np.array([[False, True]]))
    for name, coefficients in (("maxrl", {}), ("psr", {}), ("pass-at-k", {"k": 2})):
        with pytest.raises(InputError, match="the batch's `correct` says otherwise"):
            get_method(name, **coefficients).advantages(batch)


def test_what_a_chain_asks_of_groups_and_rewards() -> None:
    asked = {name: (get_method(name).least_completions, get_method(name).binary_rewards) for name in
             ("grpo", "rloo", "pass-at-k", "pkpo", "best-of-k", "maxrl", "nsr")}  # fmt: skip
    assert asked == {"grpo": (1, False), "rloo": (2, False), "pass-at-k": (4, True), "pkpo": (4, False),
                     "best-of-k": (2, False), "maxrl": (1, True), "nsr": (1, True)}  # fmt: skip


def test_no_gradient_comes_out_of_a_batch() -> None:
    logprobs = torch.tensor([[-3.0, -5.0, -4.0]], requires_grad=True)
    batch = GroupBatch(
        rewards=torch.tensor([[1.0, 1.0, 0.0]]),
        correct=torch.tensor([[True, True, False]]),
        logprobs=logprobs,
        lengths=torch.tensor([[2, 2, 2]]),
    )
    assert not get_method("ds-grpo").advantages(batch).requires_grad
    tokens = TokenBatch(logprobs=logprobs, mask=torch.ones(1, 3, dtype=torch.bool), correct=torch.tensor([True]))
    assert not tokens.logprobs.requires_grad


def test_embeddings_of_any_length() -> None:
    embeddings = np.array([[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]], np.float32)
    fields = {"rewards": np.ones((1, 3), np.float32), "correct": np.ones((1, 3), bool)}
    plain, tiny, huge = (
        get_method("dra-grpo").advantages(GroupBatch(**fields, embeddings=embeddings * np.float32(size)))
        for size in (1, 1e-25, 1e25)
    )
    np.testing.assert_allclose(tiny, plain)
    np.testing.assert_allclose(huge, plain)
    two = np.array([[[0.3, 0.7, 0.1], [0.3, 0.7, 0.1], [1.0, 0.0, 0.0]]], np.float32)  # their cosine is 1 - 6e-8
    batch = GroupBatch(**fields, embeddings=two)
    advantages = get_method("darling", cluster="embeddings", threshold=1.0).advantages(batch)
    np.testing.assert_allclose(advantages, [[-1 / 6, -1 / 6, 1 / 3]], rtol=1e-5)  # .5, .5, 1
