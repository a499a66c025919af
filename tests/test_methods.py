"""What holds for every row of the catalogue: properties, limits and signs."""

from __future__ import annotations

import copy
import re
from typing import Any

import numpy as np
import pytest
import torch
from tests.advantages.naive import random_fields, to_batch

from unsharpen import get_method, list_methods
from unsharpen.advantages import TokenBatch, chain, divide_by_group_std, skip_uniform_groups, subtract_group_mean
from unsharpen.errors import InputError, MissingFieldError
from unsharpen.methods import default_coefficients

BINARY_ONLY = {"maxrl", "ds-maxrl", "pass-at-k", "w-reinforce", "psr", "nsr"}
LEAST_COMPLETIONS = {"rloo": 2, "best-of-k": 2, "pass-at-k": 4, "pkpo": 4}
BATCH_SCALED = {"ds-grpo-centered", "ds-maxrl", "edge-grpo"}
# what a group of equals, all correct or all wrong, does not get 0 from
UNIFORM_GROUPS_TEACH = {"ds-grpo", "ds-grpo-sum", "ds-grpo-token", "entropy-bonus-seq", "entropy-penalty-seq"}
UNIFORM_GROUPS_TEACH |= {"w-reinforce", "psr", "nsr", "ucb", "ucb-con", "batch-exploration"}

# GRPO's advantages to the bit: what is theirs happens to tokens, in the loss or in the engine
GRPO_ADVANTAGES = ["clip-higher", "gspo", "entropy-bonus", "entropy-penalty", "entropy-target", "top-entropy"]
GRPO_ADVANTAGES += ["soft-preference", "entropy-advantage", "clip-cov", "kl-cov", "epo", "diversity-po", "adrpo"]
GRPO_ADVANTAGES += ["simko", "flow-rl", "dph", "wise-ft"]

# Every method with its defaults, and with coefficients that show each branch.
CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in list_methods()),
    ("grpo", {"ddof": 0, "eps": 0.0}),
    ("ds-grpo", {"gamma_p": 0.5, "gamma_n": 0.3, "ddof": 0, "eps": 1e-6}),
    ("ds-grpo", {"reference": "base"}),
    ("ds-grpo-sum", {"gamma_n": 0.2, "reference": "base"}),
    ("ds-grpo-reward", {"gamma_p": 0.4, "gamma_n": 0.3, "length": "sum"}),
    ("ds-grpo-robust", {"gamma_n": 0.3, "length": "mean", "reference": "base"}),
    ("ds-grpo-centered", {"clip": 0.7, "all_correct_weight": 1.0}),
    ("ds-maxrl", {"clip": 0.7, "all_correct_weight": 1.0}),
    ("entropy-bonus-seq", {"length": "mean"}),
    ("entropy-penalty-seq", {"length": "mean"}),
    ("unlikeliness", {"beta": 1.0}),
    ("ucpo", {"tau": 1.0}),
    ("darling", {"cluster": "embeddings", "threshold": 0.5}),
    ("best-of-k", {"scale": "none"}),
    ("rs-grpo", {"beta": 0.0}),
    ("ds-grpo-f", {"gamma_n": 0.3, "length": "mean", "focal": 0.5}),
    ("dapo", {"overlong_penalty": 0.3, "overlong_share": 0.6, "drop_uniform": "off"}),
]
each_case = pytest.mark.parametrize(
    ("name", "coefficients"), CASES, ids=["-".join([n, *(f"{k}={v}" for k, v in c.items())]) for n, c in CASES]
)
seeds = pytest.mark.parametrize("seed", range(3))


def fields_for(name: str, seed: int) -> dict[str, np.ndarray]:
    """A ragged batch with every field; rubbish where masked."""
    return random_fields(seed, binary=name in BINARY_ONLY, least=LEAST_COMPLETIONS.get(name, 1))


def advantages(name: str, coefficients: dict[str, Any], fields: dict[str, np.ndarray]) -> np.ndarray:
    return get_method(name, **coefficients).advantages(to_batch(fields))


def close(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)


# --- catalogue-wide --------------------------------------------------------------------------------------------------


@seeds
@each_case
def test_permuting_completions_permutes_advantages(name: str, coefficients: dict[str, Any], seed: int) -> None:
    fields = fields_for(name, seed)
    order = np.argsort(np.random.default_rng(seed).random(fields["mask"].shape), axis=1)  # another one in each group
    moved = {k: v[np.arange(len(v))[:, None], order] if v.ndim > 1 else v for k, v in fields.items()}
    expected = np.take_along_axis(advantages(name, coefficients, fields), order, axis=1)
    close(advantages(name, coefficients, moved), expected)


@seeds
@each_case
def test_permuting_groups_permutes_rows(name: str, coefficients: dict[str, Any], seed: int) -> None:
    fields = fields_for(name, seed)
    order = np.random.default_rng(seed).permutation(len(fields["mask"]))
    moved = {k: v[order] for k, v in fields.items()}
    close(advantages(name, coefficients, moved), advantages(name, coefficients, fields)[order])


@seeds
@each_case
def test_a_group_does_not_see_the_others(name: str, coefficients: dict[str, Any], seed: int) -> None:
    fields = fields_for(name, seed)
    rows = [advantages(name, coefficients, {k: v[p : p + 1] for k, v in fields.items()}) for p in range(7)]
    together, alone = advantages(name, coefficients, fields), np.concatenate(rows)
    if name in BATCH_SCALED:
        assert not np.allclose(together, alone, rtol=1e-3)
    else:
        close(together, alone)


@seeds
@each_case
def test_padding_changes_nothing(name: str, coefficients: dict[str, Any], seed: int) -> None:
    fields = fields_for(name, seed)
    rng = np.random.default_rng(seed)
    num_prompts, group_size = fields["mask"].shape
    # three more columns, somewhere in between, that hold the worst of everything
    columns = np.sort(rng.permutation(group_size + 3)[:group_size])
    worst = {"correct": True, "mask": False, "lengths": 0, "answers": 0}
    padded = {}
    for key, value in fields.items():
        if value.ndim > 1:
            shape = (num_prompts, group_size + 3, *value.shape[2:])
            padded[key] = np.full(shape, worst.get(key, np.nan), dtype=value.dtype)
            padded[key][:, columns] = value
        else:
            padded[key] = value
    found = advantages(name, coefficients, padded)
    close(found[:, columns], advantages(name, coefficients, fields))
    assert (found[~padded["mask"]] == 0).all()


@each_case
@pytest.mark.parametrize("flag", [True, False], ids=["all correct", "all wrong"])
@pytest.mark.parametrize("group_size", [1, 2, 5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_finite_on_uniform_groups(
    name: str, coefficients: dict[str, Any], flag: bool, group_size: int, dtype: type
) -> None:
    correct = np.full((2, group_size), flag)
    fields = {
        "rewards": correct.astype(dtype),
        "correct": correct,
        "mask": np.full((2, group_size), True),
        "logprobs": np.full((2, group_size), -3.0, dtype=dtype),
        "reference_logprobs": np.full((2, group_size), -4.0, dtype=dtype),
        "lengths": np.full((2, group_size), 3),
        "entropies": np.full((2, group_size), 0.5, dtype=dtype),
        "answers": np.zeros((2, group_size), dtype=int),
        "embeddings": np.ones((2, group_size, 3), dtype=dtype),
        "num_solutions": np.array([1, 2]),
        "prompt_ids": np.array([0, 1]),
        "max_lengths": np.array([5, 9]),
    }
    least = LEAST_COMPLETIONS.get(name, 1)
    if group_size < least:
        with pytest.raises(InputError, match=f"needs at least {least} completions per prompt; 2 of 2 groups have "):
            advantages(name, coefficients, fields)
    else:
        found = advantages(name, coefficients, fields)
        assert found.shape == (2, group_size)
        assert np.isfinite(found).all()
        if name not in UNIFORM_GROUPS_TEACH:  # centred last, or skipped; where fields shape rewards, up to rounding
            np.testing.assert_allclose(found, 0.0, atol=1e-3 if get_method(name).requires else 0.0)


@each_case
def test_finite_when_logprobs_are_extreme(name: str, coefficients: dict[str, Any]) -> None:
    fields = {k: v[3:] for k, v in fields_for(name, 0).items()}
    fields["rewards"] = np.where(fields["mask"], fields["correct"], 0).astype(np.float32)
    for key in ("logprobs", "reference_logprobs"):
        fields[key] = np.where(fields["correct"], -1e6, 0.0).astype(np.float32)
    assert np.isfinite(advantages(name, coefficients, fields)).all()


@each_case
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_nothing_given_is_changed(name: str, coefficients: dict[str, Any], library: str) -> None:
    fields: dict[str, Any] = fields_for(name, 0)
    if library == "torch":
        fields = {k: torch.from_numpy(v) for k, v in fields.items()}
    given = copy.deepcopy(fields)
    batch = to_batch(given)
    held = {k: getattr(batch, k).tolist() for k in fields}
    method = get_method(name, **coefficients)
    first = method.advantages(batch)
    copied = first.tolist()
    first[...] = 77.0  # the result is the caller's own: writing into it reaches neither the batch nor the inputs
    for key, value in fields.items():
        np.testing.assert_array_equal(given[key].tolist(), value.tolist(), err_msg=key)
        np.testing.assert_array_equal(getattr(batch, key).tolist(), held[key], err_msg=key)
    assert method.advantages(batch).tolist() == copied


@each_case
@pytest.mark.parametrize("given", ["float16", "bfloat16", "float32", "float64"])
def test_dtype_of_the_result_is_that_of_the_rewards(name: str, coefficients: dict[str, Any], given: str) -> None:
    kept = {"float64": torch.float64}.get(given, torch.float32)
    fields = {k: torch.from_numpy(v) for k, v in fields_for(name, 0).items()}
    fields["rewards"] = fields["rewards"].to(getattr(torch, given))
    # log-probs in another precision do not change the dtype
    for logprob_dtype in (torch.float32, torch.float64, torch.bfloat16):
        for key in ("logprobs", "reference_logprobs", "entropies", "embeddings"):
            fields[key] = fields[key].to(logprob_dtype)
        assert get_method(name, **coefficients).advantages(to_batch(fields)).dtype == kept
    if given != "bfloat16":
        arrays = fields_for(name, 0)
        arrays["rewards"] = arrays["rewards"].astype(given)
        assert advantages(name, coefficients, arrays).dtype == str(kept).removeprefix("torch.")


@seeds
@each_case
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numpy_equals_pytorch(name: str, coefficients: dict[str, Any], seed: int, dtype: type) -> None:
    fields = {k: v.astype(dtype) if v.dtype.kind == "f" else v for k, v in fields_for(name, seed).items()}
    expected = advantages(name, coefficients, fields)
    tensors = to_batch({k: torch.from_numpy(v) for k, v in fields.items()})
    found = get_method(name, **coefficients).advantages(tensors)
    assert isinstance(found, torch.Tensor)
    tolerance = 1e-6 if dtype is np.float64 else 2e-5
    np.testing.assert_allclose(found.numpy(), expected, rtol=tolerance, atol=tolerance)


@each_case
def test_what_a_method_requires_is_what_it_reads(name: str, coefficients: dict[str, Any]) -> None:
    fields = fields_for(name, 0)
    method = get_method(name, **coefficients)
    enough = method.advantages(to_batch(fields, *method.requires))
    np.testing.assert_array_equal(enough, advantages(name, coefficients, fields))
    for absent in method.requires:
        rest = {k: v for k, v in fields.items() if k != absent}
        with pytest.raises(MissingFieldError, match=f"`{re.escape(name)}` needs `{absent}`;") as caught:
            method.advantages(to_batch(rest))
        assert f"hint: pass GroupBatch({absent}=...)" in str(caught.value)


# --- a coefficient of 0 is the base method ---------------------------------------------------------------------------


@seeds
@pytest.mark.parametrize(
    ("name", "off"),
    [
        ("ds-grpo", {"gamma_p": 0.0, "gamma_n": 0.0}),
        ("ds-grpo", {"gamma_p": 0.0, "gamma_n": 0.0, "reference": "base"}),
        ("ds-grpo-sum", {"gamma_p": 0.0, "gamma_n": 0.0}),
        ("ds-grpo-token", {"gamma_p": 0.0, "gamma_n": 0.0}),
        ("entropy-bonus-seq", {"gamma": 0.0}),
        ("entropy-penalty-seq", {"gamma": 0.0}),
        ("entropy-bonus-seq", {"gamma": 0.0, "length": "mean"}),
        ("grpo-kl", {"kl_coef": 0.0}),
        ("grpo-low-lr", {}),
        ("dapo", {"overlong_penalty": 0.0, "drop_uniform": "off"}),
        *((name, {}) for name in GRPO_ADVANTAGES),
    ],
)
@pytest.mark.parametrize("scale", [{}, {"ddof": 0, "eps": 1e-6}])
def test_without_smoothing_it_is_grpo_bit_for_bit(
    name: str, off: dict[str, Any], scale: dict[str, Any], seed: int
) -> None:
    for dtype in (torch.float32, torch.float64):
        fields = {k: torch.from_numpy(v) for k, v in fields_for(name, seed).items()}
        batch = to_batch({**fields, "rewards": fields["rewards"].to(dtype)})
        found = get_method(name, **off, **scale).advantages(batch)
        assert torch.equal(found, get_method("grpo", **scale).advantages(batch))


def test_without_smoothing_the_token_step_changes_no_bit() -> None:
    step = get_method("ds-grpo-token", gamma_p=0.0, gamma_n=0.0).recipe.token_transform
    assert step is not None
    x = torch.randn((3, 4), generator=torch.Generator().manual_seed(0))
    batch = TokenBatch(logprobs=-torch.rand(3, 4), mask=x > -9, correct=torch.tensor([True, False, True]))
    assert torch.equal(step(x, batch), x)


@seeds
@pytest.mark.parametrize("length", ["mean", "sum"])
def test_without_smoothing_the_reward_form_is_dr_grpo_bit_for_bit(length: str, seed: int) -> None:
    batch = to_batch(fields_for("dr-grpo", seed))
    found = get_method("ds-grpo-reward", gamma_p=0.0, gamma_n=0.0, length=length).advantages(batch)
    np.testing.assert_array_equal(found, get_method("dr-grpo").advantages(batch))


def robust_base(fields: dict[str, np.ndarray], *, skip: bool) -> np.ndarray:
    """(r - mean) / max(std of the flags, .25), group by group."""
    expected = np.zeros(fields["mask"].shape)
    for p, mask in enumerate(fields["mask"]):
        rewards, flags = fields["rewards"][p, mask], fields["correct"][p, mask]
        if not skip or 0 < flags.sum() < len(flags):
            expected[p, mask] = (rewards - rewards.mean()) / max(flags.astype(float).std(ddof=0), 0.25)
    return expected


@seeds
@pytest.mark.parametrize(
    ("name", "off", "steps"),
    [
        ("ds-grpo-robust", {"gamma_p": 0.0, "gamma_n": 0.0}, (skip_uniform_groups(),)),
        ("ds-grpo-robust", {"gamma_p": 0.0, "gamma_n": 0.0, "length": "mean"}, (skip_uniform_groups(),)),
        ("ds-grpo-centered", {"kappa": 0.0}, ()),
        ("ds-grpo-centered", {"kappa": 0.0, "all_correct_weight": 1.0}, ()),
    ],
)
def test_without_smoothing_the_floored_forms(name: str, off: dict[str, Any], steps: tuple[Any, ...], seed: int) -> None:
    fields = fields_for(name, seed)
    batch = to_batch(fields)
    found = get_method(name, **off).advantages(batch)
    base = chain(subtract_group_mean(), divide_by_group_std(of="correct", ddof=0, eps=0.0, floor=0.25), *steps)
    np.testing.assert_array_equal(found, base(batch.rewards, batch))
    np.testing.assert_allclose(found, robust_base(fields, skip=bool(steps)), rtol=1e-12, atol=1e-12)


@seeds
def test_without_smoothing_ds_maxrl_is_maxrl(seed: int) -> None:
    fields = fields_for("maxrl", seed)
    np.testing.assert_array_equal(advantages("ds-maxrl", {"kappa": 0.0}, fields), advantages("maxrl", {}, fields))


@pytest.mark.parametrize("name", ["ds-grpo-robust", "ds-grpo-centered"])
def test_without_smoothing_uniform_groups_of_binary_rewards_are_0(name: str) -> None:
    off = {"kappa": 0.0} if name == "ds-grpo-centered" else {"gamma_p": 0.0, "gamma_n": 0.0}
    fields = random_fields(0, binary=True)  # rows 0 and 1: all correct, all wrong
    found = advantages(name, off, fields)
    assert (found[:2] == 0).all()
    assert (found[3:] != 0).any()


# --- signs -----------------------------------------------------------------------------------------------------------

# Two correct and two wrong, alike but for their likelihood: the second of each pair is the rarer one.
LIKELY, RARE, LIKELY_WRONG, RARE_WRONG = range(4)
PAIRS = {
    "rewards": np.array([[1.0, 1.0, 0.0, 0.0]]),
    "correct": np.array([[True, True, False, False]]),
    "mask": np.full((1, 4), True),
    "logprobs": np.array([[-1.0, -9.0, -1.0, -9.0]]),
    "reference_logprobs": np.array([[-2.0, -7.0, -2.0, -7.0]]),
    "lengths": np.full((1, 4), 4),
}
TWO_GAMMAS = [
    ("ds-grpo", {}),
    ("ds-grpo", {"reference": "base"}),
    ("ds-grpo-sum", {}),
    ("ds-grpo-sum", {"reference": "base"}),
    ("ds-grpo-token", {}),
    ("ds-grpo-reward", {}),
    ("ds-grpo-reward", {"length": "sum"}),
    ("ds-grpo-robust", {}),
    ("ds-grpo-robust", {"length": "mean", "reference": "base"}),
]


@pytest.mark.parametrize(("name", "form"), TWO_GAMMAS)
def test_gamma_p_lifts_the_rarer_correct_completion(name: str, form: dict[str, Any]) -> None:
    row = advantages(name, {**form, "gamma_p": 0.1, "gamma_n": 0.0}, PAIRS)[0]
    assert row[RARE] > row[LIKELY] + 0.05
    assert row[RARE_WRONG] == row[LIKELY_WRONG]


@pytest.mark.parametrize(("name", "form"), TWO_GAMMAS)
def test_gamma_n_pushes_the_rarer_wrong_completion_down(name: str, form: dict[str, Any]) -> None:
    row = advantages(name, {**form, "gamma_p": 0.0, "gamma_n": 0.1}, PAIRS)[0]
    assert row[RARE_WRONG] < row[LIKELY_WRONG] - 0.05
    assert row[RARE] == row[LIKELY]


@pytest.mark.parametrize("name", [n for n in list_methods() if n.startswith("ds-grpo")])
def test_the_defaults_lift_the_rarer_correct_completion(name: str) -> None:
    row = advantages(name, {}, PAIRS)[0]
    assert row[RARE] > row[LIKELY]
    assert row[RARE_WRONG] <= row[LIKELY_WRONG]


@pytest.mark.parametrize("name", ["ds-grpo-centered", "ds-maxrl"])
def test_centered_moves_correct_completions_only(name: str) -> None:
    row = advantages(name, {}, PAIRS)[0]
    assert row[RARE] > row[LIKELY] + 0.05
    assert row[RARE_WRONG] == row[LIKELY_WRONG] == pytest.approx(-1.0, abs=1e-5)


@pytest.mark.parametrize(("name", "sign"), [("entropy-bonus-seq", 1), ("entropy-penalty-seq", -1)])
def test_the_entropy_controls_do_not_ask_who_is_right(name: str, sign: int) -> None:
    row = sign * advantages(name, {}, PAIRS)[0]
    assert row[RARE] > row[LIKELY] + 0.1
    assert row[RARE_WRONG] > row[LIKELY_WRONG] + 0.1


@pytest.mark.parametrize("name", [n for n in list_methods() if n.startswith("ds-grpo")])
def test_correctness_is_the_flag_and_not_a_positive_reward(name: str) -> None:
    # The wrong ones earn a format bonus of .1: they must be treated as wrong ones without it.
    bonus = {**PAIRS, "rewards": np.array([[1.0, 1.0, 0.1, 0.1]])}
    off = {key: 0.0 for key in ("gamma_p", "gamma_n", "kappa") if key in default_coefficients(name)}

    def shift(fields: dict[str, np.ndarray]) -> np.ndarray:
        return (advantages(name, {}, fields) - advantages(name, off, fields))[0]

    np.testing.assert_allclose(shift(bonus), shift(PAIRS), atol=1e-12)
    # And a correct one without reward (a length penalty, say) is still a correct one.
    poor = {**PAIRS, "rewards": np.array([[1.0, 0.0, 0.0, 0.0]])}
    np.testing.assert_allclose(shift(poor), shift(PAIRS), atol=1e-12)
