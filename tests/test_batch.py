"""The door: what a GroupBatch accepts, what it cleans, and what it refuses with which words."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch

from unsharpen import GroupBatch
from unsharpen.errors import InputError, MissingFieldError, UnsharpenError

NAN = math.nan
TWO: dict[str, Any] = {"rewards": [[1.0, 0.0], [0.5, 0.25]], "correct": [[True, False], [True, False]]}
LAST_IS_PADDING = [[True, True], [True, False]]


def with_field(name: str, value: Any) -> dict[str, Any]:
    return {**TWO, name: value}


# --- what it accepts -------------------------------------------------------------------------------------------------


def test_counts() -> None:
    batch = GroupBatch(
        rewards=[[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]],
        correct=[[True, False, True], [False, True, True]],
        mask=[[True, True, True], [True, True, False]],
    )
    assert batch.num_completions.tolist() == [[3.0], [2.0]]
    assert batch.num_correct.tolist() == [[2.0], [1.0]]  # the masked one does not count
    assert batch.correct.tolist() == [[True, False, True], [False, True, False]]


def test_correct_is_never_guessed_from_the_reward() -> None:
    batch = GroupBatch(rewards=[[0.1, 1.0, 0.0]], correct=[[False, False, True]])
    assert batch.correct.tolist() == [[False, False, True]]
    assert batch.num_correct.tolist() == [[1.0]]


def test_no_mask_means_all_are_real() -> None:
    assert GroupBatch(**TWO).mask.tolist() == [[True, True], [True, True]]


def test_padding_may_hold_anything_and_becomes_0() -> None:
    batch = GroupBatch(
        rewards=[[1.0, 0.0], [0.5, NAN]],
        correct=[[True, False], [True, True]],
        mask=LAST_IS_PADDING,
        logprobs=[[-1.0, -2.0], [-3.0, math.inf]],
        lengths=[[1, 2], [3, 0]],
        reference_logprobs=[[-1.0, -2.0], [-3.0, 5.0]],
        entropies=[[1.0, 2.0], [3.0, -math.inf]],
    )
    assert batch.rewards.tolist() == [[1.0, 0.0], [0.5, 0.0]]
    assert batch.logprobs.tolist() == [[-1.0, -2.0], [-3.0, 0.0]]
    assert batch.reference_logprobs.tolist() == [[-1.0, -2.0], [-3.0, 0.0]]
    assert batch.entropies.tolist() == [[1.0, 2.0], [3.0, 0.0]]
    assert batch.correct.tolist() == [[True, False], [True, False]]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (np.float16, np.float32),
        (np.float32, np.float32),
        (np.float64, np.float64),
        (np.int64, np.float32),
        (np.bool_, np.float32),
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
        (torch.int32, torch.float32),
        (torch.bool, torch.float32),
    ],
)
def test_dtypes(given: Any, kept: Any) -> None:
    if isinstance(given, torch.dtype):
        batch = GroupBatch(rewards=torch.tensor([[1, 0]]).to(given), correct=torch.tensor([[True, False]]))
    else:
        batch = GroupBatch(rewards=np.array([[1, 0]]).astype(given), correct=np.array([[True, False]]))
    assert batch.rewards.dtype == kept
    assert batch.num_completions.dtype == batch.num_correct.dtype == kept
    assert batch.rewards.tolist() == [[1.0, 0.0]]


def test_half_precision_logprobs_become_single() -> None:
    rewards = torch.tensor([[1.0, 0.0]])
    batch = GroupBatch(rewards=rewards, correct=rewards > 0, logprobs=torch.tensor([[-3.0, -7.0]]).bfloat16())
    assert batch.logprobs.dtype == torch.float32


def test_lists_become_numpy() -> None:
    batch = GroupBatch(**TWO, lengths=[[1, 2], [3, 4]], prompt_ids=[7, 8])
    assert all(isinstance(a, np.ndarray) for a in (batch.rewards, batch.correct, batch.lengths, batch.prompt_ids))


def test_tensors_stay_tensors() -> None:
    batch = GroupBatch(rewards=torch.zeros(1, 2), correct=torch.zeros(1, 2, dtype=torch.bool))
    assert isinstance(batch.rewards, torch.Tensor)
    assert isinstance(batch.mask, torch.Tensor)
    assert batch.mask.dtype == torch.bool


def test_logprobs_a_rounding_error_above_0_pass() -> None:
    assert GroupBatch(**with_field("logprobs", [[5e-4, -1.0], [0.0, -2.0]])).logprobs[0, 0] == 5e-4


@pytest.mark.parametrize("library", [np.array, torch.tensor])
def test_inputs_stay_as_they_were(library: Any) -> None:
    fields = {
        "rewards": library([[1.0, 0.0], [0.5, NAN]]),
        "correct": library([[True, False], [True, True]]),
        "mask": library(LAST_IS_PADDING),
        "logprobs": library([[-1.0, -2.0], [-3.0, NAN]]),
        "lengths": library([[1, 2], [3, 0]]),
    }
    before = {name: array.tolist() for name, array in fields.items()}
    GroupBatch(**fields)
    for name, array in fields.items():
        np.testing.assert_array_equal(array.tolist(), before[name])


def test_a_batch_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        GroupBatch(**TWO).rewards = None  # type: ignore[misc]


# --- what it refuses -------------------------------------------------------------------------------------------------


def refused(fields: dict[str, Any]) -> str:
    with pytest.raises(InputError) as caught:
        GroupBatch(**fields)
    assert isinstance(caught.value, ValueError)  # as a caller would expect
    assert isinstance(caught.value, UnsharpenError)
    return str(caught.value)


@pytest.mark.parametrize("missing", ["rewards", "correct"])
def test_rewards_and_correct_are_needed(missing: str) -> None:
    assert "needs `rewards` and `correct`" in refused(with_field(missing, None))


@pytest.mark.parametrize(
    ("rewards", "found"), [([1.0, 0.0], "(2,)"), ([[[1.0]]], "(1, 1, 1)"), ([[]], "(1, 0)"), (1.0, "()")]
)
def test_rewards_have_two_axes(rewards: Any, found: str) -> None:
    message = refused({"rewards": rewards, "correct": np.asarray(rewards, dtype=bool)})
    assert f"`rewards` must have shape [P, G] with P, G >= 1, found {found}" in message


def test_no_prompts_at_all() -> None:
    empty = np.zeros((0, 4))
    assert "P, G >= 1, found (0, 4)" in refused({"rewards": empty, "correct": empty > 0})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("correct", [[True, False]]),
        ("correct", [True, False]),
        ("mask", [[True], [True]]),
        ("logprobs", [[-1.0, -2.0, -3.0]] * 2),
        ("lengths", [[1, 2]]),
        ("entropies", [1.0, 2.0]),
        ("answers", [[1, 2]]),
        ("reference_logprobs", [[-1.0], [-2.0]]),
    ],
)
def test_wrong_shape_per_completion(name: str, value: Any) -> None:
    found = np.asarray(value).shape
    assert f"`{name}` must have shape [P, G] = (2, 2), found {found}" in refused(with_field(name, value))


@pytest.mark.parametrize("name", ["num_solutions", "prompt_ids", "max_lengths"])
@pytest.mark.parametrize("value", [[1], [1, 2, 3], [[1, 2], [3, 4]]])
def test_wrong_shape_per_prompt(name: str, value: Any) -> None:
    assert f"`{name}` must have shape [P] = (2,), found" in refused(with_field(name, value))


@pytest.mark.parametrize("name", ["correct", "mask"])
@pytest.mark.parametrize("value", [[[1, 0], [1, 0]], [[1.0, 0.0], [1.0, 0.0]]])
def test_flags_are_bool(name: str, value: Any) -> None:
    message = refused(with_field(name, value))
    assert f"`{name}` must be boolean, found {np.asarray(value).dtype}" in message
    assert ("hint: for example correct=rewards >= threshold" in message) == (name == "correct")


@pytest.mark.parametrize("name", ["rewards", "logprobs", "entropies", "reference_logprobs"])
@pytest.mark.parametrize("value", [NAN, math.inf, -math.inf])
def test_a_bad_number_is_placed(name: str, value: float) -> None:
    message = refused(with_field(name, [[-1.0, -2.0], [-3.0, value]]))
    assert f"`{name}` must be finite; completion 1 of prompt 1 is {value}" in message
    assert "hint: score every completion with a number, or mark it as absent with `mask`" in message


def test_the_first_bad_number_is_named_and_padding_is_not() -> None:
    fields = {
        "rewards": [[NAN, 0.0, 0.0], [0.0, NAN, NAN]],
        "correct": [[True] * 3] * 2,
        "mask": [[False, True, True], [True, True, True]],
    }
    assert "completion 1 of prompt 1 is nan" in refused(fields)


@pytest.mark.parametrize("name", ["logprobs", "reference_logprobs"])
def test_positive_logprobs(name: str) -> None:
    message = refused(with_field(name, [[-1.0, -2.0], [0.5, -3.0]]))
    assert f"`{name}` must be at most 0 (summed log-probabilities, nats); completion 0 of prompt 1 is not" in message
    assert "probabilities? take their logarithm; negative log-likelihoods? change the sign" in message


@pytest.mark.parametrize("length", [0, -1])
def test_lengths_below_1(length: int) -> None:
    message = refused(with_field("lengths", [[3, length], [1, 1]]))
    assert "`lengths` must be at least 1 token; completion 1 of prompt 0 is not" in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lengths", [[1.0, 2.0], [3.0, 4.0]]),
        ("answers", [[1.0, 2.0], [3.0, 4.0]]),
        ("answers", [["a", "b"], ["c", "d"]]),
        ("num_solutions", [1.0, 2.0]),
        ("prompt_ids", [0.0, 1.0]),
        ("max_lengths", [9.0, 9.0]),
    ],
)
def test_integers(name: str, value: Any) -> None:
    assert f"`{name}` must be integers, found {np.asarray(value).dtype}" in refused(with_field(name, value))


@pytest.mark.parametrize("value", [[["a", "b"], ["c", "d"]], [[1j, 0j], [0j, 0j]]])
def test_rewards_are_real(value: Any) -> None:
    assert f"`rewards` must be real numbers, found {np.asarray(value).dtype}" in refused(with_field("rewards", value))


def test_none_is_no_number() -> None:
    message = refused(with_field("rewards", [[1.0, None], [0.0, 0.0]]))
    assert "`rewards` must be numeric, found Python objects" in message
    assert "hint: None is no value: pass `mask`" in message


def test_ragged_lists() -> None:
    message = refused(with_field("rewards", [[1.0, 0.0], [1.0]]))
    assert "`rewards` must be a rectangular array" in message
    assert "hint: pad ragged groups and pass `mask`" in message


def test_a_group_with_all_masked() -> None:
    message = refused(with_field("mask", [[True, True], [False, False]]))
    assert "every prompt needs at least 1 unmasked completion; row 1 has none" in message


def test_libraries_are_not_mixed() -> None:
    message = refused({"rewards": torch.ones(1, 2), "correct": [[True, False]]})
    assert "all fields must come from one array library" in message
    assert "`rewards` torch.Tensor" in message
    assert "`correct` numpy.ndarray" in message


# --- require ---------------------------------------------------------------------------------------------------------


def test_require_passes_when_all_is_there() -> None:
    batch = GroupBatch(**TWO, lengths=[[1, 2], [3, 4]])
    batch.require([], by="x")
    batch.require(["lengths", "mask", "rewards"], by="x")


def test_require_names_every_missing_field_and_who_asks() -> None:
    batch = GroupBatch(**TWO, lengths=[[1, 2], [3, 4]])
    with pytest.raises(MissingFieldError, match="`mara` needs `logprobs`, `reference_logprobs`") as caught:
        batch.require(["reference_logprobs", "lengths", "logprobs"], by="mara")
    assert "does not carry them" in str(caught.value)
    assert "GroupBatch(logprobs=..., reference_logprobs=...)" in str(caught.value)
    with pytest.raises(MissingFieldError, match="`x` needs `answers`; the batch does not carry it\n"):
        batch.require(["answers"], by="x")


# --- embeddings and entropies ----------------------------------------------------------------------------------------


def test_embeddings_have_an_axis_of_their_own() -> None:
    batch = GroupBatch(
        **TWO, mask=LAST_IS_PADDING, embeddings=[[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [NAN, math.inf, 0]]]
    )
    assert batch.embeddings.shape == (2, 2, 3)
    assert batch.embeddings.dtype == np.float64
    assert batch.embeddings[1].tolist() == [[7, 8, 9], [0, 0, 0]]
    half = GroupBatch(rewards=torch.zeros(1, 2), correct=torch.zeros(1, 2) > 0, embeddings=torch.ones(1, 2, 4).half())
    assert half.embeddings.dtype == torch.float32


@pytest.mark.parametrize("shape", [(2, 2), (2,), (2, 1, 3), (1, 2, 3), (2, 2, 0), (2, 2, 3, 1)])
def test_wrong_shape_of_embeddings(shape: tuple[int, ...]) -> None:
    message = refused(with_field("embeddings", np.ones(shape)))
    assert f"`embeddings` must have shape [P, G, D] = (2, 2, D), D >= 1, found {shape}" in message


def test_embeddings_are_finite_numbers() -> None:
    values = np.ones((2, 2, 3))
    values[1, 0, 2] = NAN
    assert "`embeddings` must be finite; completion 0 of prompt 1 is not" in refused(with_field("embeddings", values))
    message = refused(with_field("embeddings", np.full((2, 2, 3), "a")))
    assert "`embeddings` must be" in message


def test_entropies_are_not_negative() -> None:
    message = refused(with_field("entropies", [[0.0, 1.0], [-0.5, 1.0]]))
    assert "`entropies` must be at least 0 (mean over tokens, nats); completion 0 of prompt 1 is not" in message
