"""Looking a method up: what a row carries, and which names and coefficients the catalogue refuses."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

from unsharpen import GroupBatch, Method, get_method, list_methods
from unsharpen.errors import InputError, UnknownNameError
from unsharpen.methods import default_coefficients


def test_a_method_carries_its_coefficients_and_origin() -> None:
    method = get_method("ds-grpo", gamma_p=0.2)
    assert isinstance(method, Method)
    assert method.name == "ds-grpo"
    assert method.coefficients == {
        "gamma_p": 0.2,
        "gamma_n": 0.05,
        "ddof": 1,
        "eps": 1e-4,
        "reference": "sampling",
    }
    assert "2511.19942" in method.paper


def test_rows_are_complete_and_defaults_build() -> None:
    names = list_methods()
    assert len(names) == len(set(names))
    for name in names:
        method = get_method(name)
        assert method.coefficients == default_coefficients(name)
        assert method.summary
        assert method.equation
        assert method.paper
        # what the method reports can be given back: the command line stores and repeats it
        again = get_method(name, **method.coefficients)
        assert again.coefficients == method.coefficients
        assert get_method(name, **{k: str(v) for k, v in method.coefficients.items()}).coefficients == dict(
            method.coefficients
        )


def test_list_methods_gives_a_list_of_ones_own() -> None:
    list_methods().clear()
    assert "grpo" in list_methods()


def test_what_goes_beyond_advantages_is_named() -> None:
    found = {n: list(parts) for n in list_methods() if (parts := get_method(n).beyond_advantages)}
    assert [n for n, parts in found.items() if parts == ["token step"]] == [
        *("ds-grpo-token", "entropy-advantage", "clip-cov"),
    ]
    assert [n for n, parts in found.items() if parts == ["loss term"]] == [
        *("kl-cov", "epo", "diversity-po", "adrpo", "simko", "flow-rl", "rover"),
    ]
    assert [n for n, parts in found.items() if parts == ["pool term"]] == ["dph"]
    assert len(found) == 11


@pytest.mark.parametrize(
    ("name", "offered"), [("ds_grpo", "ds-grpo"), ("gpro", "grpo"), ("max-rl", "maxrl"), ("rlo", "rloo")]
)
def test_unknown_method(name: str, offered: str) -> None:
    with pytest.raises(UnknownNameError, match=re.escape(f"unknown method {name!r}")) as caught:
        get_method(name)
    assert isinstance(caught.value, LookupError)
    hint = str(caught.value).split("hint: ")[1]
    assert hint.startswith("did you mean ")
    assert offered in re.split(r" or |\?|did you mean ", hint)
    assert hint.endswith("? `unsharpen methods` lists them all")


@pytest.mark.parametrize("name", ["zzzz", "nosuch"])
def test_unknown_method_like_none(name: str) -> None:
    with pytest.raises(UnknownNameError, match="hint: `unsharpen methods` lists them all"):
        get_method(name)


def refused(name: str, **coefficients: Any) -> str:
    with pytest.raises(InputError) as caught:
        get_method(name, **coefficients)
    return str(caught.value)


def test_unknown_coefficient() -> None:
    message = refused("ds-grpo", gama_p=0.1)
    assert "method 'ds-grpo' has no coefficient 'gama_p'; it has gamma_p, gamma_n, ddof, eps, reference" in message
    assert "hint: did you mean gamma_p" in message
    assert "it has none" in refused("rloo", ddof=1)
    assert "hint" not in refused("ds-grpo", zzzz=1)


@pytest.mark.parametrize("value", ["abc", "", True, False, math.inf, "inf", math.nan, "nan", None, [0.1], 1j])
def test_a_float_is_a_finite_number(value: Any) -> None:
    assert f"ds-grpo: gamma_p must be a finite number, found {value!r}" in refused("ds-grpo", gamma_p=value)


@pytest.mark.parametrize("value", ["abc", "1.5", 0.5, True, False, math.inf, math.nan, None, [1]])
def test_an_integer_is_a_whole_number(value: Any) -> None:
    assert f"grpo: ddof must be a whole number, found {value!r}" in refused("grpo", ddof=value)


@pytest.mark.parametrize("value", ["bse", "", None, 1, True])
def test_a_choice_is_one_of_the_listed(value: Any) -> None:
    message = refused("ds-grpo", reference=value)
    assert f"ds-grpo: reference must be one of 'sampling', 'base', found {value!r}" in message
    assert "length must be one of 'mean', 'sum'" in refused("ds-grpo-robust", length=value)


@pytest.mark.parametrize(
    ("given", "kept"), [("0.25", 0.25), (1, 1.0), ("1e-3", 1e-3), (np.float64(0.5), 0.5), (0, 0.0)]
)
def test_numbers_and_their_texts_pass(given: Any, kept: float) -> None:
    found = get_method("ds-grpo", gamma_p=given).coefficients["gamma_p"]
    assert type(found) is float
    assert found == kept


@pytest.mark.parametrize("given", ["0", 0, 0.0, np.int64(0)])
def test_whole_numbers_and_their_texts_pass(given: Any) -> None:
    found = get_method("grpo", ddof=given).coefficients["ddof"]
    assert type(found) is int
    assert found == 0


@pytest.mark.parametrize("name", [n for n in list_methods() if n.startswith("ds-grpo") and n != "ds-grpo-centered"])
@pytest.mark.parametrize("gamma", ["gamma_p", "gamma_n"])
def test_negative_gammas(name: str, gamma: str) -> None:
    message = refused(name, **{gamma: -0.05})
    assert f"{gamma} must be finite and at least 0, found -0.05" in message
    assert "there is no sign to flip" in message


@pytest.mark.parametrize(
    ("name", "coefficients", "words"),
    [
        ("ds-grpo-centered", {"kappa": -0.1}, "kappa must be finite and at least 0, found -0.1"),
        ("ds-grpo-centered", {"all_correct_weight": -0.1}, "all_correct_weight must be finite and at least 0"),
        ("ds-grpo-centered", {"all_correct_weight": 1.5}, "need all_correct_weight <= 1 and clip > 0"),
        ("ds-grpo-centered", {"clip": 0}, "need all_correct_weight <= 1 and clip > 0"),
        ("ds-maxrl", {"kappa": -0.1}, "kappa must be finite and at least 0, found -0.1"),
        ("grpo", {"ddof": 2}, "need ddof 0 or 1"),
        ("grpo", {"eps": -1e-4}, "finite eps, floor >= 0"),
        ("maxrl", {"eps": 0}, "eps must be positive and finite"),
        ("grpo-low-lr", {"learning_rate_scale": 0}, "learning_rate_scale must be above 0, found 0"),
        ("grpo-low-lr", {"learning_rate_scale": -0.3}, "learning_rate_scale must be above 0, found -0.3"),
        ("grpo-kl", {"kl_coef": -1e-3}, "kl_coef must be at least 0, found -0.001"),
        ("wise-ft", {"base_share": 1.0}, "base_share must be at least 0 and less than 1, found 1.0"),
    ],
)
def test_ranges(name: str, coefficients: dict[str, Any], words: str) -> None:
    assert words in refused(name, **coefficients)


def test_maxrl_refuses_a_format_bonus() -> None:
    batch = GroupBatch(rewards=[[1.0, 0.1, 0.0]], correct=[[True, False, False]])
    with pytest.raises(InputError, match=r"`maxrl` is defined for rewards that are exactly 0 or 1; found 0\.1"):
        get_method("maxrl").advantages(batch)
