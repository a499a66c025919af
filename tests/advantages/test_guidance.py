"""suggest_gammas: by hand, on groups whose answer is known, against the theory, and on bad input."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from unsharpen import GroupBatch, get_method, suggest_gammas
from unsharpen.errors import InputError
from unsharpen.theory import correct_mass, critical_gamma


def sampled(spread: float, *, groups: int = 200, size: int = 16, seed: int = 0, tokens: int = 40) -> dict[str, Any]:
    """Groups with half of them correct and normal log-probs of a known standard deviation within each class."""
    rng = np.random.default_rng(seed)
    correct = np.tile(np.arange(size) < size // 2, (groups, 1))
    level = rng.uniform(-90, -60, (groups, 1)) * max(spread, 1)
    log_probs = level - np.where(correct, 0, 5.0) + rng.normal(scale=spread, size=correct.shape)
    return {"log_probs": log_probs, "correct": correct, "lengths": np.full(correct.shape, tokens)}


def test_by_hand() -> None:
    log_probs = [[-2.0, -6.0, -5.0, -9.0], [-3.0, -4.0, -1.0, -2.0], [-1.0, -1.0, -7.0, -1.0]]
    correct = [[True, True, False, False], [True, False, False, False], [True, True, True, True]]
    lengths = [[2, 4, 1, 3], [1, 1, 1, 1], [1, 1, 1, 1]]
    found = suggest_gammas(log_probs, correct, lengths=lengths, share=0.5)
    # mixed: the first two groups. Lead: (1/2 + 1/2 + 3/4) / 3 = 7/12.
    assert found.num_groups == 2
    assert found.pass_at_1 == pytest.approx((2 / 4 + 1 / 4 + 1) / 3)
    assert found.lead == pytest.approx(7 / 12)
    # std with ddof 1: sqrt(1/3) and sqrt(1/4), each plus 1e-4
    assert found.scaled_lead == pytest.approx((1 / (math.sqrt(1 / 3) + 1e-4) + 0.75 / (0.5 + 1e-4)) / 3)
    # one comparison, -2 against -6: variance 8; per token -1 against -1.5: variance 1/8
    assert found.num_comparisons == 1
    assert found.spread == pytest.approx(math.sqrt(8))
    assert found.spread_mean == pytest.approx(math.sqrt(1 / 8))
    assert found.surprise == pytest.approx((2 + 6 + 3) / 3)
    assert found.sum == pytest.approx(0.5 * found.scaled_lead / math.sqrt(8))
    assert found.mean == pytest.approx(0.5 * found.scaled_lead * math.sqrt(8))
    assert found.robust == pytest.approx(0.5 * 7 / 12 / math.sqrt(8))
    # the z-scores of a pair are +1 and -1, whose std with ddof 1 is sqrt(2)
    assert found.num_compared == 2
    assert found.centered == pytest.approx(0.5 * 7 / 12 / math.sqrt(2))


@pytest.mark.parametrize("spread", [0.1, 1.0, 30.0])
def test_on_groups_whose_answer_is_known(spread: float) -> None:
    found = suggest_gammas(**sampled(spread), share=0.25)
    assert found.lead == pytest.approx(0.5)
    assert found.spread == pytest.approx(spread, rel=0.05)
    assert found.robust == pytest.approx(0.125 / spread, rel=0.05)
    assert found.mean == pytest.approx(40 * found.sum)
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("name", "coefficient", "scaled"),
    [
        ("ds-grpo", "mean", True),
        ("ds-grpo-sum", "sum", True),
        ("ds-grpo-robust", "robust", False),
        ("ds-grpo-reward", "robust", False),
    ],
)
def test_the_catalogue_smooths_by_the_share(name: str, coefficient: str, scaled: bool) -> None:
    """What the methods add varies by share times the lead: the groups are alike, so both can be read off one group."""
    data = sampled(4.0)
    found = suggest_gammas(**data, share=0.3)
    length = {"length": "sum"} if name == "ds-grpo-reward" else {}
    batch = GroupBatch(
        rewards=data["correct"].astype(float),
        correct=data["correct"],
        logprobs=data["log_probs"],
        lengths=data["lengths"],
    )
    advantages = get_method(name, gamma_p=getattr(found, coefficient), gamma_n=0.0, **length).advantages(batch)
    spread = math.sqrt(advantages[:, :8].var(axis=1, ddof=1).mean())
    divisor = 0.5 if name == "ds-grpo-robust" else 1.0  # std of the flags
    assert spread == pytest.approx(0.3 * (found.scaled_lead if scaled else found.lead / divisor))


@pytest.mark.parametrize("num_correct", [2, 3, 8])
def test_the_centred_form_smooths_by_the_share_too(num_correct: int) -> None:
    data = sampled(4.0)
    data["correct"] = np.tile(np.arange(16) < num_correct, (200, 1))
    found = suggest_gammas(**data, share=0.3)
    batch = GroupBatch(rewards=data["correct"].astype(float), correct=data["correct"], logprobs=data["log_probs"])
    advantages = get_method("ds-grpo-centered", kappa=found.centered, clip=100.0).advantages(batch)
    spread = math.sqrt(advantages[:, :num_correct].var(axis=1, ddof=1).mean())
    rate = num_correct / 16
    assert spread == pytest.approx(0.3 * found.lead / math.sqrt(rate * (1 - rate)))  # the std of the flags


@pytest.mark.parametrize("factor", [0.01, 3.0, 250.0])
def test_gammas_scale_inversely_with_log_probs(factor: float) -> None:
    data = sampled(2.0)
    one, other = suggest_gammas(**data), suggest_gammas(**{**data, "log_probs": factor * data["log_probs"]})
    assert one.mean is not None
    for name in ("mean", "sum", "robust"):
        assert getattr(other, name) * factor == pytest.approx(getattr(one, name))
    assert other.centered == pytest.approx(one.centered)


def test_gammas_do_not_depend_on_levels_order_or_wrong_completions() -> None:
    data, rng = sampled(2.0), np.random.default_rng(1)
    one = suggest_gammas(**data)
    order = rng.permutation(16)
    changed = np.where(data["correct"], data["log_probs"], -1000.0) - rng.uniform(0, 50, (200, 1))
    other = suggest_gammas(changed[:, order], data["correct"][:, order], lengths=data["lengths"])
    assert (other.sum, other.mean, other.robust) == pytest.approx((one.sum, one.mean, one.robust))


def test_masked_entries_and_uniform_groups_count_nothing() -> None:
    data = sampled(2.0)
    wide = {name: np.concatenate([x, x[:, :3]], axis=1) for name, x in data.items()}
    wide["log_probs"][:, 16:] = np.nan
    mask = np.tile(np.arange(19) < 16, (200, 1))
    one, other = suggest_gammas(**data), suggest_gammas(**wide, mask=mask)
    assert (other.sum, other.mean, other.pass_at_1) == pytest.approx((one.sum, one.mean, one.pass_at_1))
    noise = np.random.default_rng(2).uniform(-9, -1, (50, 16))
    taller = np.concatenate([data["log_probs"], noise])
    flags = np.concatenate([data["correct"], np.tile(np.arange(50)[:, None] < 25, (1, 16))])
    assert suggest_gammas(taller, flags).sum == pytest.approx(one.sum)


def test_tensors_and_lists_give_the_same() -> None:
    data = sampled(2.0, groups=20)
    expected = suggest_gammas(**data)
    assert suggest_gammas(**{name: torch.as_tensor(x) for name, x in data.items()}) == expected
    assert suggest_gammas(**{name: x.tolist() for name, x in data.items()}) == expected


def share_at_threshold(log_q: np.ndarray) -> float:
    """The collapse threshold as a share: gamma* spread / (1 - C)."""
    log_q = log_q - np.logaddexp.reduce(log_q)
    policy = np.log(0.4) + log_q
    base, flags = np.append(policy, np.log(0.6)), np.append(np.ones(len(policy), dtype=bool), False)
    q = np.exp(log_q)
    spread = math.sqrt(float(q @ log_q**2) - float(q @ log_q) ** 2)
    return float(critical_gamma(base, flags)) * spread / (1 - float(correct_mass(base, flags)))


@pytest.mark.parametrize("sd", [0.2, 0.5, 1.0])
def test_the_threshold_of_very_many_solutions(sd: float) -> None:
    rng = np.random.default_rng(0)
    assert share_at_threshold(rng.normal(scale=sd, size=200_000)) == pytest.approx(sd / (1 + sd**2), rel=0.03)


def test_the_threshold_of_few_unequal_solutions() -> None:
    rng = np.random.default_rng(0)
    shares = [share_at_threshold(rng.normal(scale=sd, size=6)) for sd in (1.0, 2.0) for _ in range(100)]
    assert 0.5 < np.quantile(shares, 0.1) < np.quantile(shares, 0.5) < 1.2


def test_doubts() -> None:
    few = suggest_gammas(**sampled(2.0, groups=2))
    assert any("14 comparisons" in text and "19 %" in text for text in few.warnings)
    data = sampled(2.0)
    data["log_probs"][::20, 0] -= 500
    assert any("outliers" in text for text in suggest_gammas(**data).warnings)
    data = sampled(2.0)
    data["lengths"] = np.random.default_rng(3).integers(20, 60, data["correct"].shape)
    assert suggest_gammas(**data).warnings == ()
    data["log_probs"] = data["log_probs"] - 0.3 * data["lengths"]
    found = suggest_gammas(**data)
    assert any("length" in text and "mean form" in text for text in found.warnings)
    assert "warning: " in found.explain()


def test_the_explanation_holds_every_number() -> None:
    found = suggest_gammas(**sampled(2.0))
    assert found.mean is not None
    text = found.explain()
    for value in (found.mean, found.sum, found.robust, found.centered, found.lead, found.spread, found.pass_at_1):
        assert f"{value:.3g}" in text
    assert "gamma_n: 0" in text
    without = sampled(2.0)
    del without["lengths"]
    assert "ds-grpo:" not in suggest_gammas(**without).explain()


MIXED = [[True, True, False]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"log_probs": [-1.0, -2.0], "correct": [True, False]}, r"shape \[P, G\]"),
        ({"log_probs": [[-1.0, -2.0]], "correct": MIXED}, "logprobs"),
        ({"log_probs": [[-1.0, -2.0, -3.0]], "correct": [[1.0, 1.0, 0.0]]}, "boolean"),
        ({"log_probs": [[-1.0, -2.0, -3.0]], "correct": [["yes", "no", "no"]]}, "flags"),
        ({"log_probs": [[0.3, 0.2, 0.1]], "correct": MIXED}, "at most 0"),
        ({"log_probs": [[-1.0, math.nan, -3.0]], "correct": MIXED}, "finite"),
        ({"log_probs": [[-1.0, -2.0, -3.0]], "correct": [[True, True, True]]}, "both correct and wrong"),
        ({"log_probs": [[-1.0, -2.0, -3.0]], "correct": [[True, False, False]]}, "2 correct completions"),
        ({"log_probs": [[-1.0, -1.0, -3.0]], "correct": MIXED}, "must differ in log-prob"),
        ({"log_probs": [[-1.0, -2.0, -3.0]], "correct": MIXED, "lengths": [[0, 1, 1]]}, "lengths"),
        ({"log_probs": [[-1.0, -2.0, -3.0]], "correct": MIXED, "share": 0.0}, "share"),
        ({"log_probs": [[-1.0, -2.0, -3.0]], "correct": MIXED, "share": math.inf}, "share"),
    ],
)
def test_bad_input(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        suggest_gammas(**arguments)


def test_the_mean_form_needs_lengths() -> None:
    found = suggest_gammas([[-1.0, -2.0, -3.0]], MIXED)
    assert found.mean is None
    with pytest.raises(InputError, match="mean form"):
        found.gamma_p(length="mean", scaled=True)
