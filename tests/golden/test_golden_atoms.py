"""Each atom on groups of 3 to 6, worked by hand: the arithmetic stands in the comment above the row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from unsharpen import GroupBatch
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

NAN = math.nan
Rows = list[list[float]]


def check(transform: Transform, expected: Rows, *, rewards: Rows, x: Rows | None = None, **fields: Any) -> None:
    """``x`` are the incoming values, the rewards unless given."""
    fields.setdefault("correct", [[r == 1.0 for r in row] for row in rewards])
    batch = GroupBatch(rewards=np.asarray(rewards, dtype=float), **fields)
    found = transform(batch.rewards if x is None else np.asarray(x, dtype=float), batch)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


# --- subtract_group_mean ---------------------------------------------------------------------------------------------


def test_group_mean() -> None:
    # (3 + 1 + 0 + 0) / 4 = 1;  (0 + 0 + 0 + 8) / 4 = 2
    check(subtract_group_mean(), [[2, 0, -1, -1], [-2, -2, -2, 6]], rewards=[[3, 1, 0, 0], [0, 0, 0, 8]])


def test_group_mean_of_the_incoming_values_not_of_the_rewards() -> None:
    # mean of x: (4 + 2 + 0 + 0) / 4 = 1.5
    check(subtract_group_mean(), [[2.5, 0.5, -1.5, -1.5]], rewards=[[1, 0, 0, 0]], x=[[4, 2, 0, 0]])


def test_group_mean_masked() -> None:
    # the third is padding: (3 + 1 + 2) / 3 = 2, not (3 + 1 + 2) / 4
    check(subtract_group_mean(), [[1, -1, 0, 0]], rewards=[[3, 1, NAN, 2]], mask=[[True, True, False, True]])


def test_group_mean_of_one() -> None:
    # row 0 is a group of one: 0, or its raw .7; row 1 has mean .5 under either rule; so has row 2, (0.25 + 0.75) / 2
    rewards = [[0.7, NAN], [1, 0], [0.25, 0.75]]
    mask = [[True, False], [True, True], [True, True]]
    centred = [[0.5, -0.5], [-0.25, 0.25]]
    check(subtract_group_mean(), [[0, 0], *centred], rewards=rewards, mask=mask)
    check(subtract_group_mean(singleton="zero"), [[0, 0], *centred], rewards=rewards, mask=mask)
    check(subtract_group_mean(singleton="keep"), [[0.7, 0], *centred], rewards=rewards, mask=mask)


# --- subtract_leave_one_out_mean -------------------------------------------------------------------------------------


def test_leave_one_out() -> None:
    # the others' means of [3, 1, 0, 0]: 1/3, 3/3, 4/3, 4/3
    check(subtract_leave_one_out_mean(), [[8 / 3, 0, -4 / 3, -4 / 3]], rewards=[[3, 1, 0, 0]])
    # [1, 0, 0, 0]: others 0, 1/3, 1/3, 1/3
    check(subtract_leave_one_out_mean(), [[1, -1 / 3, -1 / 3, -1 / 3]], rewards=[[1, 0, 0, 0]])


def test_leave_one_out_masked() -> None:
    # [4, -, 1]: 4 - 1, 1 - 4
    check(subtract_leave_one_out_mean(), [[3, 0, -3]], rewards=[[4, NAN, 1]], mask=[[True, False, True]])


# --- divide_by_group_std ---------------------------------------------------------------------------------------------


def test_group_std_ddof_1() -> None:
    # [1, 0, 0, 0]: squares .75^2 + 3 * .25^2 = .75; .75 / 3 = .25; sigma = .5
    check(divide_by_group_std(ddof=1, eps=0.0), [[2, 0, 0, 0]], rewards=[[1, 0, 0, 0]])


def test_group_std_ddof_0() -> None:
    # [1, 0, 0, 0, 0]: squares .8^2 + 4 * .2^2 = .8; .8 / 5 = .16; sigma = .4
    check(divide_by_group_std(ddof=0, eps=0.0), [[2.5, 0, 0, 0, 0]], rewards=[[1, 0, 0, 0, 0]])


def test_group_std_eps_is_added_to_sigma() -> None:
    # sigma .5 + eps .3 = .8; (inside the root it would be sqrt(.25 + .3) = .74)
    check(divide_by_group_std(ddof=1, eps=0.3), [[1.25, 0, 0, 0]], rewards=[[1, 0, 0, 0]])


def test_group_std_defaults_are_trls() -> None:
    # ddof 1: .5; eps 1e-4
    check(divide_by_group_std(), [[1 / 0.5001, 0, 0, 0]], rewards=[[1, 0, 0, 0]])


def test_group_std_floor() -> None:
    # max(.5, .8) + .2 = 1; a floor of .3 below sigma does nothing: .5
    check(divide_by_group_std(ddof=1, eps=0.2, floor=0.8), [[1, 0, 0, 0]], rewards=[[1, 0, 0, 0]])
    check(divide_by_group_std(ddof=1, eps=0.0, floor=0.3), [[2, 0, 0, 0]], rewards=[[1, 0, 0, 0]])
    # a uniform group has sigma 0: the floor alone, 3 / .25
    check(divide_by_group_std(ddof=1, eps=0.0, floor=0.25), [[12, 12]], rewards=[[1, 1]], x=[[3, 3]])


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        # x = [0, 0, 0, 4]: mean 1, squares 3 + 9 = 12, 12 / 3 = 4, sigma 2
        ("input", [[0, 0, 0, 2]]),
        # rewards [8, 0, 0, 0]: mean 2, squares 36 + 3 * 4 = 48, 48 / 3 = 16, sigma 4
        ("rewards", [[0, 0, 0, 1]]),
        # correct [0, 1, 0, 0]: sigma .5
        ("correct", [[0, 0, 0, 8]]),
    ],
)
def test_group_std_of(of: str, expected: Rows) -> None:
    check(
        divide_by_group_std(ddof=1, eps=0.0, of=of),
        expected,
        rewards=[[8, 0, 0, 0]],
        x=[[0, 0, 0, 4]],
        correct=[[False, True, False, False]],
    )


def test_group_std_takes_the_input_unless_told() -> None:
    check(divide_by_group_std(ddof=1, eps=0.0), [[0, 0, 0, 2]], rewards=[[8, 0, 0, 0]], x=[[0, 0, 0, 4]])


def test_group_std_masked_and_each_group_its_own() -> None:
    # row 0: [1, 0, 0, 0] sigma .5; row 1: [8, 0, 0, 0] sigma 4; the last column is padding
    check(
        divide_by_group_std(ddof=1, eps=0.0),
        [[2, 0, 0, 0, 0], [2, 0, 0, 0, 0]],
        rewards=[[1, 0, 0, 0, NAN], [8, 0, 0, 0, 9]],
        mask=[[True] * 4 + [False]] * 2,
    )


def test_group_std_of_one() -> None:
    # ddof 1 of one value: sigma 0, 5 / .5 = 10; "keep": sigma 1, 5 / 1.5; row 1: [1, 0], sigma sqrt(.5), either rule
    rewards, mask = [[5, NAN], [1, 0]], [[True, False], [True, True]]
    two = [1 / (math.sqrt(0.5) + 0.5), 0]
    check(divide_by_group_std(ddof=1, eps=0.5), [[10, 0], two], rewards=rewards, mask=mask)
    check(divide_by_group_std(ddof=1, eps=0.5, singleton="keep"), [[5 / 1.5, 0], two], rewards=rewards, mask=mask)


def test_group_std_of_a_uniform_group_without_eps() -> None:
    # 0 / 0 is 0 here, and nothing warns
    center = subtract_group_mean()
    check(chain(center, divide_by_group_std(ddof=1, eps=0.0)), [[0, 0, 0, 0]], rewards=[[1, 1, 1, 1]])


# --- divide_by_batch_std ---------------------------------------------------------------------------------------------


def test_batch_std_ddof_1() -> None:
    # rewards 8, 0, 0, 0 over both groups: mean 2, squares 36 + 12 = 48, / 3 = 16, sigma 4; row 1 alone has sigma 0
    check(divide_by_batch_std(ddof=1, eps=0.0), [[1, -1], [2, 0.5]], rewards=[[8, 0], [0, 0]], x=[[4, -4], [8, 2]])


def test_batch_std_ddof_0_masked_eps() -> None:
    # 10, 0, 0, 0, 0: mean 2, squares 64 + 16 = 80, / 5 = 16, sigma 4; + eps 1 = 5; the NaN is padding
    check(
        divide_by_batch_std(ddof=0, eps=1.0),
        [[1, -1, 0], [2, 0.5, 0]],
        rewards=[[10, 0, 0], [0, 0, NAN]],
        x=[[5, -5, 0], [10, 2.5, 0]],
        mask=[[True, True, True], [True, True, False]],
    )


def test_batch_std_defaults() -> None:
    # sigma 4, eps 1e-4
    check(divide_by_batch_std(), [[1 / 4.0001, 0], [0, 0]], rewards=[[8, 0], [0, 0]], x=[[1, 0], [0, 0]])


def test_batch_std_of_a_uniform_batch_without_eps() -> None:
    check(divide_by_batch_std(eps=0.0), [[0, 0]], rewards=[[1, 1]], x=[[0, 0]])
    check(divide_by_batch_std(eps=0.0), [[0]], rewards=[[3]], x=[[0]])


# --- divide_by_group_mean --------------------------------------------------------------------------------------------


def test_divide_by_group_mean() -> None:
    # row 0: mean 1/4 + eps 1/4 = 1/2; row 1: all wrong, eps alone, 1/4; row 2: 2 of 3 and padding, 2/3 + 1/4 = 11/12
    check(
        divide_by_group_mean(eps=0.25),
        [[1.5, -0.5, -0.5, -0.5], [4, 0, 0, 0], [12 / 11, 0, 0, 0]],
        rewards=[[1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, NAN]],
        x=[[0.75, -0.25, -0.25, -0.25], [1, 0, 0, 0], [1, 0, 0, 0]],
        mask=[[True] * 4, [True] * 4, [True, True, True, False]],
    )


def test_divide_by_group_mean_default_eps() -> None:
    check(divide_by_group_mean(), [[1 / 0.250001, 0, 0, 0]], rewards=[[1, 0, 0, 0]])


# --- skip_uniform_groups ---------------------------------------------------------------------------------------------


def test_skip_uniform_groups() -> None:
    # all correct; none; mixed; all that are real are correct; none that is real is
    check(
        skip_uniform_groups(),
        [[0, 0, 0], [0, 0, 0], [1, 2, 3], [0, 0, 0], [0, 0, 0]],
        rewards=[[0.1, 0.2, 0.3]] * 5,  # the rewards differ: only the flags count
        x=[[1, 2, 3], [1, 2, 3], [1, 2, 3], [1, 2, 0], [1, 2, 0]],
        correct=[[True] * 3, [False] * 3, [True, False, False], [True, True, False], [False, False, True]],
        mask=[[True] * 3] * 3 + [[True, True, False]] * 2,
    )


# --- differential_smoothing ------------------------------------------------------------------------------------------

# mean log-probs: sampling -1, -4, -2, -2; base -.5, -2, -1, -1
SMOOTHED: dict[str, Any] = {
    "rewards": [[1, 0, 1, 0]],
    "correct": [[True, False, True, False]],
    "x": [[1, 0.5, 0, -1]],
    "logprobs": [[-2, -4, -6, -8]],
    "reference_logprobs": [[-1, -2, -3, -4]],
    "lengths": [[2, 1, 3, 4]],
}


@pytest.mark.parametrize(
    ("length", "reference", "expected"),
    [
        # 1 + .5 * 2, .5 - .25 * 4, 0 + .5 * 6, -1 - .25 * 8
        ("sum", "sampling", [[2, -0.5, 3, -3]]),
        # 1 + .5 * 1, .5 - .25 * 4, 0 + .5 * 2, -1 - .25 * 2
        ("mean", "sampling", [[1.5, -0.5, 1, -1.5]]),
        # 1 + .5 * 1, .5 - .25 * 2, 0 + .5 * 3, -1 - .25 * 4
        ("sum", "base", [[1.5, 0, 1.5, -2]]),
        # 1 + .5 * .5, .5 - .25 * 2, 0 + .5 * 1, -1 - .25 * 1
        ("mean", "base", [[1.25, 0, 0.5, -1.25]]),
    ],
)
def test_differential_smoothing(length: str, reference: str, expected: Rows) -> None:
    check(differential_smoothing(gamma_p=0.5, gamma_n=0.25, length=length, reference=reference), expected, **SMOOTHED)


def test_differential_smoothing_defaults_to_the_mean_under_the_sampling_policy() -> None:
    check(differential_smoothing(gamma_p=0.5, gamma_n=0.25), [[1.5, -0.5, 1, -1.5]], **SMOOTHED)


def test_differential_smoothing_masked() -> None:
    # correct, mean -2 / 2: 1 + .5; padding with length 0; wrong, mean -6 / 3: 0 - .25 * 2
    check(
        differential_smoothing(gamma_p=0.5, gamma_n=0.25),
        [[1.5, 0, -0.5]],
        rewards=[[1, NAN, 0]],
        mask=[[True, False, True]],
        logprobs=[[-2, NAN, -6]],
        lengths=[[2, 0, 3]],
    )


# --- entropy_smoothing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        # 1 + .5 * 2, .5 + .5 * 4, 0 + .5 * 6, -1 + .5 * 8: right and wrong alike
        ({"gamma": 0.5}, [[2, 2.5, 3, 3]]),
        ({"gamma": 0.5, "length": "sum"}, [[2, 2.5, 3, 3]]),
        # 1 + .5 * 1, .5 + .5 * 4, 0 + .5 * 2, -1 + .5 * 2
        ({"gamma": 0.5, "length": "mean"}, [[1.5, 2.5, 1, 0]]),
        # a penalty: 1 - .5 * 2, .5 - .5 * 4, 0 - .5 * 6, -1 - .5 * 8
        ({"gamma": -0.5}, [[0, -1.5, -3, -5]]),
        # 1 + .5 * 1, .5 + .5 * 2, 0 + .5 * 3, -1 + .5 * 4
        ({"gamma": 0.5, "reference": "base"}, [[1.5, 1.5, 1.5, 1]]),
    ],
)
def test_entropy_smoothing(arguments: dict[str, Any], expected: Rows) -> None:
    check(entropy_smoothing(**arguments), expected, **SMOOTHED)


# --- centered_smoothing ----------------------------------------------------------------------------------------------

# Row 0: correct log-probs -1, -3: mean -2, u = +1, -1. Row 1: -2, -16, all correct: mean -9, u = +7, -7.
# Row 2: one correct, u = 0, out of the scale. Row 3: none. Batch scale: sqrt((1 + 1 + 49 + 49) / 4) = 5.
# z: row 0: .2, -.2; row 1: 1.4, -1.4.
CENTERED: dict[str, Any] = {
    "rewards": [[1, 1, 0, 0], [1, 1, NAN, NAN], [1, 0, 0, 0], [0, 0, 0, 0]],
    "mask": [[True] * 4, [True, True, False, False], [True] * 4, [True] * 4],
    "logprobs": [[-1, -3, -50, -70], [-2, -16, NAN, NAN], [-90, -1, -2, -3], [-1, -2, -3, -4]],
    "x": [[0, 0, 1, 2], [0, 0, 0, 0], [5, 6, 7, 8], [1, 2, 3, 4]],
}
UNTOUCHED = [[5, 6, 7, 8], [1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        # all_correct_weight 0 by default: row 1 gets nothing
        ({"kappa": 0.5}, [[-0.1, 0.1, 1, 2], [0, 0, 0, 0], *UNTOUCHED]),
        # .5 * 1.4 = .7 in row 1
        ({"kappa": 0.5, "all_correct_weight": 1.0}, [[-0.1, 0.1, 1, 2], [-0.7, 0.7, 0, 0], *UNTOUCHED]),
        # .5 * .1 * 1.4 = .07 in row 1, and row 0 keeps its full weight
        ({"kappa": 0.5, "all_correct_weight": 0.1}, [[-0.1, 0.1, 1, 2], [-0.07, 0.07, 0, 0], *UNTOUCHED]),
        # 1.4 is clipped to 1, .2 is not
        ({"kappa": 0.5, "all_correct_weight": 1.0, "clip": 1.0}, [[-0.1, 0.1, 1, 2], [-0.5, 0.5, 0, 0], *UNTOUCHED]),
        # both are clipped to .1
        ({"kappa": 1, "all_correct_weight": 1.0, "clip": 0.1}, [[-0.1, 0.1, 1, 2], [-0.1, 0.1, 0, 0], *UNTOUCHED]),
    ],
)
def test_centered_smoothing(arguments: dict[str, Any], expected: Rows) -> None:
    check(centered_smoothing(**arguments), expected, **CENTERED)


def test_centered_smoothing_clips_at_3_by_default() -> None:
    # 12 correct in one group: eleven at 0, one at -12. mean -1; u = 1 (11 times), -11. s = sqrt((11 + 121) / 12)
    # = sqrt(11); z = 1 / sqrt(11), and -11 / sqrt(11) = -3.32 -> -3
    z = 1 / math.sqrt(11)
    check(
        centered_smoothing(kappa=1.0),
        [[-z] * 11 + [3, 0]],
        rewards=[[1] * 12 + [0]],
        x=[[0] * 13],
        logprobs=[[0] * 11 + [-12, -5]],
    )


@pytest.mark.parametrize("logprob", [0.0, -0.1, -3.3, -7.7])
@pytest.mark.parametrize("num_correct", range(1, 9))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_centered_smoothing_does_not_blow_up_rounding(logprob: float, num_correct: int, dtype: type) -> None:
    # A collapsed group: the spread is 0 and must not be the rounding of the mean, which a scale-free score blows up.
    flags = [[True] * num_correct + [False]]
    batch = GroupBatch(
        rewards=np.asarray(flags, dtype=dtype),
        correct=flags,
        logprobs=np.asarray([[logprob] * num_correct + [-20.0]], dtype=dtype),
    )
    advantages = centered_smoothing(kappa=1.0)(np.zeros_like(batch.rewards), batch)
    assert np.abs(advantages).max() < 2e-3  # a rounding error of 1e-6 nats over the least scale of 1e-3


# --- chain -----------------------------------------------------------------------------------------------------------


def test_chain_goes_from_left_to_right() -> None:
    scale = divide_by_group_std(ddof=1, eps=0.0, floor=4.0)
    smooth = differential_smoothing(gamma_p=1.0, gamma_n=0.0, length="sum")
    fields: dict[str, Any] = {"rewards": [[1, 0, 0, 0]], "logprobs": [[-3, -1, -1, -1]]}
    # smooth, centre, scale: [4, 0, 0, 0] -> [3, -1, -1, -1] -> each / max(2, 4)
    check(chain(smooth, subtract_group_mean(), scale), [[0.75, -0.25, -0.25, -0.25]], **fields)
    # centre, scale, smooth: [.75, -.25, -.25, -.25] -> each / max(.5, 4) -> the first + 3
    check(chain(subtract_group_mean(), scale, smooth), [[3.1875, -0.0625, -0.0625, -0.0625]], **fields)


# --- spread_smoothing_over_tokens ------------------------------------------------------------------------------------


def test_tokens() -> None:
    # Row 0, correct, tokens -1, -3, mean -2: surprise +1, -1: A - .5 * 1, A + .5 * 1.
    # Row 1, wrong, tokens -2, -6, -1, mean -3: surprise 1, -3, 2: A + .25 * surprise.
    # Row 2: a single token has no surprise. Row 3: none at all.
    nan = NAN
    batch = TokenBatch(
        logprobs=np.array([[-1, -3, nan], [-2, -6, -1], [nan, -9, 4], [nan, nan, nan]]),
        mask=np.array([[True, True, False], [True, True, True], [False, True, False], [False] * 3]),
        correct=np.array([True, False, True, True]),
    )
    x = np.array([[2.0] * 3, [-1.0] * 3, [1.0] * 3, [1.0] * 3])
    found = spread_smoothing_over_tokens(gamma_p=0.5, gamma_n=0.25)(x, batch)
    assert found.tolist() == [[1.5, 2.5, 0], [-0.75, -1.75, -0.5], [0, 1, 0], [0, 0, 0]]
