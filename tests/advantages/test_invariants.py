"""What must hold for any group: conservation, scale, shift, linearity (property tests)."""

from __future__ import annotations

import math
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from unsharpen import GroupBatch, get_method
from unsharpen.advantages import (
    TokenBatch,
    centered_smoothing,
    chain,
    differential_smoothing,
    divide_by_group_std,
    spread_smoothing_over_tokens,
    subtract_group_mean,
    subtract_leave_one_out_mean,
)

REWARDS = st.floats(-10.0, 10.0, width=32)
LOGPROBS = st.floats(-100.0, 0.0, width=32)
COEFFICIENTS = st.floats(0.0, 2.0, width=32)


@st.composite
def batches(draw: st.DrawFn, least: int = 1) -> GroupBatch:
    """1 to 4 ragged groups of up to 6 completions, rubbish where masked."""
    shape = (draw(st.integers(1, 4)), draw(st.integers(least, 6)))
    mask = draw(hnp.arrays(bool, shape))
    mask[:, :least] = True
    rubbish = draw(st.sampled_from([math.nan, math.inf, 3.0]))
    fields: dict[str, Any] = {
        "rewards": np.where(mask, draw(hnp.arrays(np.float64, shape, elements=REWARDS)), rubbish),
        "correct": draw(hnp.arrays(bool, shape)),
        "mask": mask,
        "logprobs": np.where(mask, draw(hnp.arrays(np.float64, shape, elements=LOGPROBS)), rubbish),
        "lengths": draw(hnp.arrays(np.int64, shape, elements=st.integers(1, 50))),
    }
    return GroupBatch(**fields)


@given(batches())
def test_centred_groups_sum_to_0_and_keep_their_differences(batch: GroupBatch) -> None:
    centred = subtract_group_mean()(batch.rewards, batch)
    np.testing.assert_allclose(centred.sum(axis=1), 0.0, atol=1e-12)
    for row, rewards, mask in zip(centred, batch.rewards, batch.mask, strict=True):
        np.testing.assert_allclose(np.diff(row[mask]), np.diff(rewards[mask]), atol=1e-12)
    assert (centred[~batch.mask] == 0).all()


@given(batches(least=2))
def test_leave_one_out_is_centring_times_g_over_g_minus_1(batch: GroupBatch) -> None:
    count = batch.num_completions
    expected = subtract_group_mean()(batch.rewards, batch) * count / (count - 1)
    np.testing.assert_allclose(subtract_leave_one_out_mean()(batch.rewards, batch), expected, atol=1e-12)


@given(batches(least=2), st.sampled_from([0, 1]))
def test_standardised_groups_have_spread_1(batch: GroupBatch, ddof: int) -> None:
    spread = [row[mask].std() for row, mask in zip(batch.rewards, batch.mask, strict=True)]
    assume(min(spread) > 1e-3)
    standardise = chain(subtract_group_mean(), divide_by_group_std(ddof=ddof, eps=0.0))
    for row, mask in zip(standardise(batch.rewards, batch), batch.mask, strict=True):
        assert math.isclose(row[mask].std(ddof=ddof), 1.0, rel_tol=1e-9)


@given(batches(least=2), st.floats(0.1, 10.0), st.floats(-5.0, 5.0))
def test_grpo_without_eps_knows_no_unit_and_no_origin(batch: GroupBatch, scale: float, shift: float) -> None:
    assume(min(row[mask].std() for row, mask in zip(batch.rewards, batch.mask, strict=True)) > 1e-3)
    other = GroupBatch(rewards=scale * batch.rewards + shift, correct=batch.correct, mask=batch.mask)
    method = get_method("grpo", eps=0.0)
    np.testing.assert_allclose(method.advantages(other), method.advantages(batch), rtol=1e-6, atol=1e-9)


@given(batches(), COEFFICIENTS, COEFFICIENTS)
def test_smoothing_only_adds_and_adds_on_the_right_side(batch: GroupBatch, gamma_p: float, gamma_n: float) -> None:
    for length in ("mean", "sum"):
        smooth = differential_smoothing(gamma_p=gamma_p, gamma_n=gamma_n, length=length)
        shift = smooth(batch.rewards, batch) - batch.rewards
        assert (shift[batch.correct] >= 0).all()
        assert (shift[batch.mask & ~batch.correct] <= 0).all()
        assert (shift[~batch.mask] == 0).all()


@given(batches(), COEFFICIENTS, COEFFICIENTS)
def test_smoothing_is_linear_in_its_gammas(batch: GroupBatch, gamma_p: float, gamma_n: float) -> None:
    def shift(p: float, n: float) -> np.ndarray:
        return differential_smoothing(gamma_p=p, gamma_n=n)(np.zeros_like(batch.rewards), batch)

    expected = gamma_p * shift(1.0, 0.0) + gamma_n * shift(0.0, 1.0)
    np.testing.assert_allclose(shift(gamma_p, gamma_n), expected, atol=1e-12)


@given(batches(), COEFFICIENTS)
def test_centred_smoothing_moves_no_mass_between_the_classes(batch: GroupBatch, kappa: float) -> None:
    smooth = centered_smoothing(kappa=kappa, clip=1e9, all_correct_weight=0.5)
    shift = smooth(batch.rewards, batch) - batch.rewards
    np.testing.assert_allclose(shift.sum(axis=1), 0.0, atol=1e-9)
    assert (shift[~batch.correct] == 0).all()


@given(batches(), st.floats(0.1, 10.0))
def test_centred_smoothing_knows_no_unit(batch: GroupBatch, scale: float) -> None:
    spread = [row[right].std() for row, right in zip(batch.logprobs, batch.correct, strict=True) if right.any()]
    assume(max(spread, default=1.0) > 1e-3)  # below that, rescaling makes rounding visible
    other = GroupBatch(rewards=batch.rewards, correct=batch.correct, mask=batch.mask, logprobs=scale * batch.logprobs)
    smooth = centered_smoothing(kappa=1.0, all_correct_weight=1.0)
    np.testing.assert_allclose(smooth(other.rewards, other), smooth(batch.rewards, batch), atol=1e-8)


@st.composite
def token_batches(draw: st.DrawFn) -> tuple[np.ndarray, TokenBatch]:
    """Advantages per completion [N, 1], and up to 4 completions of 1 to 6 own tokens."""
    shape = (draw(st.integers(1, 4)), draw(st.integers(1, 6)))
    mask = draw(hnp.arrays(bool, shape))
    mask[:, 0] = True
    logprobs = np.where(mask, draw(hnp.arrays(np.float64, shape, elements=LOGPROBS)), math.nan)
    advantages = draw(hnp.arrays(np.float64, (shape[0], 1), elements=REWARDS))
    return advantages, TokenBatch(logprobs=logprobs, mask=mask, correct=draw(hnp.arrays(bool, shape[:1])))


@given(token_batches(), COEFFICIENTS, COEFFICIENTS)
def test_the_mean_over_tokens_stays_and_padding_is_0(
    case: tuple[np.ndarray, TokenBatch], gamma_p: float, gamma_n: float
) -> None:
    advantages, batch = case
    x = np.broadcast_to(advantages, batch.mask.shape)
    found = spread_smoothing_over_tokens(gamma_p=gamma_p, gamma_n=gamma_n)(x, batch)
    length = batch.mask.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.sum(axis=1, keepdims=True) / length, advantages, atol=1e-9)
    assert (found[~batch.mask] == 0).all()


@given(token_batches(), COEFFICIENTS, COEFFICIENTS)
def test_each_token_gets_its_own_logprob(case: tuple[np.ndarray, TokenBatch], gamma_p: float, gamma_n: float) -> None:
    # chain and token step together: A_it = GRPO_i -/+ gamma log pi(y_it)
    grpo, batch = case
    num, own = len(grpo), np.where(batch.mask, batch.logprobs, 0.0)
    lengths = batch.mask.sum(axis=1, keepdims=True)
    groups = GroupBatch(
        rewards=np.zeros((num, 1)),
        correct=batch.correct[:, None],
        logprobs=own.sum(axis=1, keepdims=True),
        lengths=lengths,
    )
    mean_form = differential_smoothing(gamma_p=gamma_p, gamma_n=gamma_n, length="mean")(grpo, groups)
    x = np.broadcast_to(mean_form, batch.mask.shape)
    found = spread_smoothing_over_tokens(gamma_p=gamma_p, gamma_n=gamma_n)(x, batch)
    sign = np.where(batch.correct[:, None], -gamma_p, gamma_n)
    np.testing.assert_allclose(found, np.where(batch.mask, grpo + sign * own, 0.0), atol=1e-9)
