"""Token steps: golden tokens, naive loops, NumPy against PyTorch, verl's Clip-Cov, and the overlong penalty."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from unsharpen import GroupBatch, get_method
from unsharpen.advantages import TokenBatch, add_entropy, drop_covariant_tokens, punish_overlong, token_covariance
from unsharpen.errors import InputError, MissingFieldError


def random_tokens(seed: int, rows: int = 5, columns: int = 6) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    mask = np.arange(columns) < rng.integers(0, columns + 1, rows)[:, None]
    advantages = np.repeat(rng.normal(size=(rows, 1)), columns, axis=1)
    rubbish = np.where(mask, 0.0, rng.choice([np.nan, np.inf, 5.0], mask.shape))
    return advantages, {
        "logprobs": -rng.gamma(1.0, 2.0, mask.shape) + rubbish,
        "mask": mask,
        "correct": rng.random(rows) < 0.5,
        "entropies": rng.gamma(1.0, 1.0, mask.shape) + rubbish,
    }


STEPS = [add_entropy(), add_entropy(alpha=2.0, kappa=0.5), drop_covariant_tokens(share=0.3, lower=0.0)]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("step", STEPS, ids=lambda s: s.name)
def test_numpy_equals_pytorch(step: Any, seed: int) -> None:
    advantages, fields = random_tokens(seed)
    found = step(torch.tensor(advantages), TokenBatch(**{k: torch.tensor(v) for k, v in fields.items()}))
    expected = step(advantages, TokenBatch(**fields))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
    assert (expected[~fields["mask"]] == 0).all()


def test_entropy_is_added_up_to_a_share_of_the_advantage() -> None:
    # alpha H = .4, 2, .4 | .4, 0 ; |A| / 2 = 1, 1, 1 | .25, .25
    batch = TokenBatch(
        logprobs=np.full((2, 3), -1.0),
        mask=np.array([[True, True, True], [True, True, False]]),
        correct=np.array([True, False]),
        entropies=np.array([[1.0, 5.0, 1.0], [1.0, 0.0, 9.0]]),
    )
    found = add_entropy()(np.array([[2.0, 2.0, 2.0], [-0.5, -0.5, -0.5]]), batch)
    np.testing.assert_allclose(found, [[2.4, 3.0, 2.4], [-0.25, -0.5, 0.0]])


@pytest.mark.parametrize("seed", range(5))
def test_no_advantage_changes_its_sign(seed: int) -> None:
    advantages, fields = random_tokens(seed)
    found = add_entropy(alpha=9.0)(advantages, TokenBatch(**fields))
    real = fields["mask"]
    assert (np.sign(found[real]) == np.sign(advantages[real])).all()
    assert (found[real] >= advantages[real]).all()


@pytest.mark.parametrize("seed", range(5))
def test_covariance_equals_a_loop(seed: int) -> None:
    advantages, fields = random_tokens(seed)
    places = list(zip(*np.nonzero(fields["mask"]), strict=True))
    a = sum(advantages[p] for p in places) / len(places)
    logp = sum(fields["logprobs"][p] for p in places) / len(places)
    found = token_covariance(advantages, fields["logprobs"], fields["mask"])
    for p in np.ndindex(found.shape):
        expected = (advantages[p] - a) * (fields["logprobs"][p] - logp) if p in places else 0.0
        assert found[p] == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(8))
def test_clip_cov_drops_as_many_of_verls_candidates_as_verl(seed: int) -> None:
    # verl draws them at random; how many there are and from where is the same
    share, lower, upper = 0.15, 0.2, 3.0
    advantages, fields = random_tokens(seed, rows=8, columns=10)
    mask = torch.tensor(fields["mask"])
    a, logp = torch.tensor(advantages), torch.tensor(np.where(fields["mask"], fields["logprobs"], 0.0))
    cov = (a - a[mask].mean()) * (logp - logp[mask].mean())
    cov[~mask] = -torch.inf
    candidates = (cov < upper) & (cov > lower) & mask
    number = min(max(int(share * mask.sum().item()), 1), int(candidates.sum()))
    found = drop_covariant_tokens(share=share, lower=lower, upper=upper)(advantages, TokenBatch(**fields))
    dropped = fields["mask"] & (found == 0)
    assert dropped.sum() == number
    assert (candidates.numpy() | ~dropped).all()
    np.testing.assert_array_equal(found[fields["mask"] & ~dropped], advantages[fields["mask"] & ~dropped])


def test_one_token_goes_if_there_is_a_candidate_and_none_if_there_is_not() -> None:
    # A = 1, 1, -1, -1 and log pi = 0, -4, -2, -2: mean 0 and -2; cov = 2, -2, 0, 0
    batch = TokenBatch(
        logprobs=np.array([[0.0, -4.0], [-2.0, -2.0]]), mask=np.full((2, 2), True), correct=np.array([True, False])
    )
    advantages = np.array([[1.0, 1.0], [-1.0, -1.0]])
    np.testing.assert_array_equal(drop_covariant_tokens()(advantages, batch), [[0.0, 1.0], [-1.0, -1.0]])
    np.testing.assert_array_equal(drop_covariant_tokens(lower=2.0)(advantages, batch), advantages)
    np.testing.assert_array_equal(drop_covariant_tokens(share=0.0)(advantages, batch), advantages)


def test_the_dropped_are_spread_over_the_candidates() -> None:
    # 8 candidates of 16 tokens, a share of a quarter: every other one of the candidates
    logprobs = np.concatenate([np.zeros((1, 8)), np.full((1, 8), -4.0)])
    advantages = np.array([[1.0] * 8, [-1.0] * 8])  # cov: 2 in the first row and in the second
    batch = TokenBatch(logprobs=logprobs, mask=np.full((2, 8), True), correct=np.array([True, False]))
    found = drop_covariant_tokens(share=0.25)(advantages, batch)
    assert (found == 0).sum(axis=1).tolist() == [2, 2]


def test_a_step_names_the_field_it_lacks() -> None:
    batch = TokenBatch(logprobs=np.zeros((1, 2)), mask=np.full((1, 2), True), correct=np.array([True]))
    with pytest.raises(MissingFieldError, match="`add_entropy` needs `entropies`"):
        add_entropy()(np.ones((1, 2)), batch)


def test_entropies_are_checked() -> None:
    common: dict[str, Any] = {
        "logprobs": np.zeros((1, 2)),
        "mask": np.full((1, 2), True),
        "correct": np.array([True]),
    }
    with pytest.raises(InputError, match=r"`entropies` must have shape \[N, T\] = \(1, 2\), found \(1, 3\)"):
        TokenBatch(**common, entropies=np.zeros((1, 3)))
    with pytest.raises(InputError, match="token entropies must be finite"):
        TokenBatch(**common, entropies=np.array([[0.0, np.nan]]))


@pytest.mark.parametrize(
    ("name", "coefficients", "words"),
    [
        ("entropy-advantage", {"alpha": -1.0}, "alpha must be finite and at least 0"),
        ("entropy-advantage", {"kappa": 0.0}, "kappa must be positive"),
        ("clip-cov", {"share": 2.0}, r"share in \[0, 1\]"),
        ("clip-cov", {"lower": 9.0}, "lower < upper"),
        ("dapo", {"overlong_share": 0.0}, r"share in \(0, 1\]"),
        ("dapo", {"overlong_penalty": -1.0}, "penalty >= 0"),
        ("dapo", {"clip_low": 2.0}, r"clip_low in \[0, 1\]"),
        ("dapo", {"token_mean": "yes"}, "token_mean must be one of 'on', 'off'"),
        ("entropy-bonus", {"coef": -0.1}, "bonus and penalty are two methods"),
        ("entropy-target", {"step": 0.0}, "step > 0"),
        ("top-entropy", {"share": 0.0}, r"share must be in \(0, 1\]"),
        ("soft-preference", {"beta": -1.0}, "alpha and beta must be at least 0"),
        ("adrpo", {"beta": 0.0}, "beta must be above 0"),
        ("dph", {"pool_share": 0.0}, "pool_share must be above 0"),
        ("dph", {"pool": 3}, "dph: pool must be text, found 3"),
    ],
)
def test_ranges(name: str, coefficients: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        get_method(name, **coefficients)


# --- the overlong penalty --------------------------------------------------------------------------------------------


def long_batch() -> GroupBatch:
    return GroupBatch(
        rewards=[[1.0, 1.0, 1.0, 0.0, 0.0]],
        correct=[[True, True, True, False, False]],
        lengths=[[10, 80, 90, 100, 95]],
        max_lengths=[100],
    )


def test_the_penalty_grows_over_the_last_fifth() -> None:
    # starts at 80: 0, 0, .5, 1, .75
    batch = long_batch()
    np.testing.assert_allclose(punish_overlong()(batch.rewards, batch), [[1.0, 1.0, 0.5, -1.0, -0.75]])


def test_the_penalty_is_trls() -> None:
    from trl.rewards import get_soft_overlong_punishment

    lengths = list(range(1, 101))
    batch = GroupBatch(
        rewards=np.zeros((1, 100)), correct=np.zeros((1, 100), dtype=bool), lengths=[lengths], max_lengths=[100]
    )
    theirs = get_soft_overlong_punishment(100, 25)([[0] * n for n in lengths])
    np.testing.assert_allclose(punish_overlong(share=0.25)(batch.rewards, batch)[0], theirs, atol=1e-12)


def test_dapos_parts_switch_apart() -> None:
    batch = long_batch()
    off: dict[str, Any] = {"clip_high": 0.2, "token_mean": "off", "drop_uniform": "off", "overlong_penalty": 0.0}
    np.testing.assert_array_equal(get_method("dapo", **off).advantages(batch), get_method("grpo").advantages(batch))
    assert get_method("dapo", **off).requires == frozenset()
    assert get_method("dapo", **off).recipe.settings == {"clip_low": 0.2, "clip_high": 0.2, "loss": "grpo"}
    assert get_method("dapo", **{**off, "drop_uniform": "on"}).recipe.settings["drop_uniform_groups"] == 1
    assert get_method("dapo", **{**off, "token_mean": "on"}).recipe.settings["loss"] == "dapo"
    penalised = get_method("dapo", **{**off, "overlong_penalty": 1.0, "ddof": 0, "eps": 0.0}).advantages(batch)
    x = np.array([1.0, 1.0, 0.5, -1.0, -0.75])
    np.testing.assert_allclose(penalised[0], (x - x.mean()) / x.std())


def test_a_longest_length_of_0_is_refused() -> None:
    with pytest.raises(InputError, match="`max_lengths` must be at least 1 token; prompt 0 has 0"):
        GroupBatch(rewards=[[1.0]], correct=[[True]], max_lengths=[0])
