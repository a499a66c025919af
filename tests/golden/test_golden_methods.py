"""Each method of the catalogue on small groups, worked by hand: the arithmetic stands in the comment above the row."""

from __future__ import annotations

import math
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.golden.rows import Row

from unsharpen import GroupBatch, get_method, list_methods
from unsharpen.advantages import TokenBatch

NAN = math.nan

# One of four correct. Group mean 1/4; squares .75^2 + 3 * .25^2 = .75: sigma .5 with ddof 1.
# l = -4, -2, -6, -3; lengths 2, 2, 3, 1; m = -2, -1, -2, -3.
ONE_OF_4: dict[str, Any] = {
    "rewards": [[1.0, 0.0, 0.0, 0.0]],
    "correct": [[True, False, False, False]],
    "logprobs": [[-4.0, -2.0, -6.0, -3.0]],
    "reference_logprobs": [[-8.0, -4.0, -3.0, -1.0]],
    "lengths": [[2, 2, 3, 1]],
}
UP, DOWN = 0.75 / 0.5001, -0.25 / 0.5001  # TRL's GRPO of that group

# One of five correct and padding. Mean 1/5; squares .8^2 + 4 * .2^2 = .8: sigma .4 with ddof 0.
ONE_OF_5: dict[str, Any] = {
    "rewards": [[1.0, 0.0, NAN, 0.0, 0.0, 0.0]],
    "correct": [[True, False, True, False, False, False]],
    "mask": [[True, True, False, True, True, True]],
    "logprobs": [[-4.0, -1.0, NAN, -2.0, -3.0, -4.0]],
    "lengths": [[2, 1, 0, 1, 1, 1]],
}

# All correct. l = -1, -2, -3, -6; m = -1, -1, -1, -3.
ALL_OF_4: dict[str, Any] = {
    "rewards": [[1.0, 1.0, 1.0, 1.0]],
    "correct": [[True] * 4],
    "logprobs": [[-1.0, -2.0, -3.0, -6.0]],
    "lengths": [[1, 2, 3, 2]],
}

# CountDown: a wrong answer in the right format gets .1. Mean (1 + .1 + .1 + 0) / 4 = .3; l, m and flags of ONE_OF_4.
FORMAT_BONUS: dict[str, Any] = {**ONE_OF_4, "rewards": [[1.0, 0.1, 0.1, 0.0]]}

# Group 0: correct l = -1, -3: u = 1, -1. Group 1, all correct: l = -2, -16: u = 7, -7. Batch scale
# sqrt((1 + 1 + 49 + 49) / 4) = 5; z = .2, -.2 and 1.4, -1.4. Binary sigma: .5, and 0 -> floor .25.
CENTERED: dict[str, Any] = {
    "rewards": [[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, NAN, NAN]],
    "correct": [[True, True, False, False], [True, True, False, False]],
    "mask": [[True] * 4, [True, True, False, False]],
    "logprobs": [[-1.0, -3.0, -50.0, -70.0], [-2.0, -16.0, NAN, NAN]],
}

ONE_OF_17: dict[str, Any] = {
    "rewards": [[1.0] + [0.0] * 16],
    "correct": [[True] + [False] * 16],
    "logprobs": [[-7.0] + [-1.0] * 16],
}

LONELY: dict[str, Any] = {
    "rewards": [[0.7]],
    "correct": [[True]],
    "logprobs": [[-4.0]],
    "lengths": [[2]],
}


GOLDEN = [
    # (r - 1/4) / (.5 + 1e-4)
    Row("grpo", ONE_OF_4, [[UP, DOWN, DOWN, DOWN]]),
    # verl: eps 1e-6
    Row("grpo", ONE_OF_4, [[0.75 / 0.500001, *[-0.25 / 0.500001] * 3]], {"eps": 1e-6}),
    # MaxRL's code: ddof 0, eps 1e-6: (r - 1/5) / (.4 + 1e-6)
    Row(
        "grpo",
        ONE_OF_5,
        [[0.8 / 0.400001, -0.2 / 0.400001, 0, *[-0.2 / 0.400001] * 3]],
        {"ddof": 0, "eps": 1e-6},
    ),
    # the textbook: 2, -1/2
    Row("grpo", ONE_OF_5, [[2, -0.5, 0, -0.5, -0.5, -0.5]], {"ddof": 0, "eps": 0.0}),
    Row("grpo", ALL_OF_4, [[0, 0, 0, 0]]),
    Row("grpo", LONELY, [[0]]),
    Row("grpo", LONELY, [[0]], {"ddof": 0, "eps": 0.0}),
    # squares .7^2 + .2^2 + .2^2 + .3^2 = .66; sigma sqrt(.22)
    Row("grpo", FORMAT_BONUS, [[v / (math.sqrt(0.22) + 1e-4) for v in (0.7, -0.2, -0.2, -0.3)]]),
    Row("dr-grpo", ONE_OF_4, [[0.75, -0.25, -0.25, -0.25]]),
    Row("dr-grpo", FORMAT_BONUS, [[0.7, -0.2, -0.2, -0.3]]),
    Row("dr-grpo", ONE_OF_5, [[0.8, -0.2, 0, -0.2, -0.2, -0.2]]),
    # (4 r - 1) / 3;  (5 r - 1) / 4
    Row("rloo", ONE_OF_4, [[1, -1 / 3, -1 / 3, -1 / 3]]),
    Row("rloo", ONE_OF_5, [[1, -0.25, 0, -0.25, -0.25, -0.25]]),
    # (r - 1/4) / (1/4 + 1e-6);  (r - 1/5) / (1/5 + 1e-6)
    Row("maxrl", ONE_OF_4, [[0.75 / 0.250001, *[-0.25 / 0.250001] * 3]]),
    Row("maxrl", ONE_OF_5, [[0.8 / 0.200001, -0.2 / 0.200001, 0, *[-0.2 / 0.200001] * 3]]),
    Row("maxrl", ALL_OF_4, [[0, 0, 0, 0]]),
    Row("grpo-low-lr", ONE_OF_4, [[UP, DOWN, DOWN, DOWN]]),
    Row("grpo-kl", ONE_OF_4, [[UP, DOWN, DOWN, DOWN]]),
    Row("wise-ft", ONE_OF_4, [[UP, DOWN, DOWN, DOWN]]),
    # GRPO, then + .05 * 2 for the correct one, - .05 * (1, 2, 3) for the others
    Row("ds-grpo", ONE_OF_4, [[UP + 0.1, DOWN - 0.05, DOWN - 0.1, DOWN - 0.15]]),
    # the published code: ddof 0, eps 1e-6; m = -2 | -1, -2, -3, -4
    Row(
        "ds-grpo",
        ONE_OF_5,
        [[0.8 / 0.400001 + 0.1, *[-0.2 / 0.400001 - g if g else 0 for g in (0.05, 0, 0.1, 0.15, 0.2)]]],
        {"ddof": 0, "eps": 1e-6},
    ),
    # all correct: GRPO 0, + .05 * (1, 1, 1, 3), not centred again
    Row("ds-grpo", ALL_OF_4, [[0.05, 0.05, 0.05, 0.15]]),
    # a lone completion: 0 + .05 * 4 / 2
    Row("ds-grpo", LONELY, [[0.1]]),
    # the base model's m = -4 | -2, -1, -1
    Row(
        "ds-grpo",
        ONE_OF_4,
        [[UP + 0.4, DOWN - 0.4, DOWN - 0.2, DOWN - 0.2]],
        {"gamma_p": 0.1, "gamma_n": 0.2, "reference": "base"},
    ),
    # .1 passes for wrong: + .05 * 2 | - .05 * (1, 2, 3), over sigma sqrt(.22)
    Row(
        "ds-grpo",
        FORMAT_BONUS,
        [
            [
                v / (math.sqrt(0.22) + 1e-4) + shift
                for v, shift in zip((0.7, -0.2, -0.2, -0.3), (0.1, -0.05, -0.1, -0.15), strict=True)
            ]
        ],
    ),
    # gamma_p .1 on the sum, gamma_n 0: + .1 * 4
    Row("ds-grpo-sum", ONE_OF_4, [[UP + 0.4, DOWN, DOWN, DOWN]], {"gamma_p": 0.1}),
    # gamma_n .2: - .2 * (2, 6, 3)
    Row("ds-grpo-sum", ONE_OF_4, [[UP + 0.4, DOWN - 0.4, DOWN - 1.2, DOWN - 0.6]], {"gamma_p": 0.1, "gamma_n": 0.2}),
    # groups with at most one correct are not skipped, nor are uniform ones: .1 * (1, 2, 3, 6)
    Row("ds-grpo-sum", ALL_OF_4, [[0.1, 0.2, 0.3, 0.6]], {"gamma_p": 0.1}),
    # the mean over tokens is the mean form: .01 * m
    Row("ds-grpo-token", ONE_OF_4, [[UP + 0.02, DOWN - 0.01, DOWN - 0.02, DOWN - 0.03]]),
    # s = 1 + .01 * 2, 0 - .01 * (1, 2, 3); mean (1.02 - .06) / 4 = .24
    Row("ds-grpo-reward", ONE_OF_4, [[0.78, -0.25, -0.26, -0.27]]),
    # s = 1 + .1 * 4, 0 - .1 * (2, 6, 3); mean (1.4 - 1.1) / 4 = .075
    Row(
        "ds-grpo-reward",
        ONE_OF_4,
        [[1.325, -0.275, -0.675, -0.375]],
        {"gamma_p": 0.1, "gamma_n": 0.1, "length": "sum"},
    ),
    # s = 1 + .01 * (1, 1, 1, 3); mean 1.015: uniform groups teach too
    Row("ds-grpo-reward", ALL_OF_4, [[-0.005, -0.005, -0.005, 0.015]]),
    # (r - 1/2 - .2 * z) / .5: (.5 -+ .04) / .5; all correct, weight .1: -+ .2 * .1 * 1.4 / .25
    Row("ds-grpo-centered", CENTERED, [[0.92, 1.08, -1, -1], [-0.112, 0.112, 0, 0]]),
    # weight 0 leaves the uniform group alone; kappa .5: (.5 -+ .1) / .5
    Row(
        "ds-grpo-centered",
        CENTERED,
        [[0.8, 1.2, -1, -1], [0, 0, 0, 0]],
        {"kappa": 0.5, "all_correct_weight": 0.0},
    ),
    # 1.4 clipped to 1: .2 * .1 * 1 / .25 = .08
    Row("ds-grpo-centered", CENTERED, [[0.92, 1.08, -1, -1], [-0.08, 0.08, 0, 0]], {"clip": 1.0}),
    # a lone correct completion is not smoothed: (r - 1/5) / .4
    Row("ds-grpo-centered", ONE_OF_5, [[2, -0.5, 0, -0.5, -0.5, -0.5]]),
    # (r - 1/2) / .5 = 1, then .2 * z / p = .2 * .2 / .5 = .08; all correct: 0 / 1, -+ .2 * .1 * 1.4 / 1
    Row("ds-maxrl", CENTERED, [[0.92, 1.08, -1, -1], [-0.028, 0.028, 0, 0]], {"eps": 1e-15}),
    # a lone correct completion is not smoothed: .8 / .2, -.2 / .2
    Row("ds-maxrl", ONE_OF_5, [[4, -1, 0, -1, -1, -1]], {"eps": 1e-15}),
    # s = 1 + .1 * 4, 0; mean 1.4 / 5 = .28; sigma of the flags .4: 1.12 / .4, -.28 / .4
    Row("ds-grpo-robust", ONE_OF_5, [[2.8, -0.7, 0, -0.7, -0.7, -0.7]], {"gamma_p": 0.1}),
    # gamma_n .1: s = 1.4 | -.1, -.2, -.3, -.4; mean .4 / 5 = .08; (1.32 | -.18, -.28, -.38, -.48) / .4
    Row("ds-grpo-robust", ONE_OF_5, [[3.3, -0.45, 0, -0.7, -0.95, -1.2]], {"gamma_p": 0.1, "gamma_n": 0.1}),
    # one of 17: sigma sqrt(16) / 17 = .235 -> floor .25; s = 1.7, mean .1: 1.6 / .25, -.1 / .25
    Row("ds-grpo-robust", ONE_OF_17, [[6.4] + [-0.4] * 16], {"gamma_p": 0.1}),
    Row("ds-grpo-robust", ALL_OF_4, [[0, 0, 0, 0]], {"gamma_p": 0.1}),
    # s = 1 + .1 * 4 | .1, .1, 0; mean .4; sigma of the *flags*, sqrt(3) / 4
    Row("ds-grpo-robust", FORMAT_BONUS, [[v / (math.sqrt(3) / 4) for v in (1.0, -0.3, -0.3, -0.4)]], {"gamma_p": 0.1}),
    # GRPO + .02 * (4, 2, 6, 3), right or wrong
    Row("entropy-bonus-seq", ONE_OF_4, [[UP + 0.08, DOWN + 0.04, DOWN + 0.12, DOWN + 0.06]]),
    # .1 * m
    Row(
        "entropy-bonus-seq",
        ONE_OF_4,
        [[UP + 0.2, DOWN + 0.1, DOWN + 0.2, DOWN + 0.3]],
        {"gamma": 0.1, "length": "mean"},
    ),
    Row("entropy-penalty-seq", ONE_OF_4, [[UP - 0.08, DOWN - 0.04, DOWN - 0.12, DOWN - 0.06]]),
    Row(
        "entropy-penalty-seq",
        ONE_OF_4,
        [[UP - 0.2, DOWN - 0.1, DOWN - 0.2, DOWN - 0.3]],
        {"gamma": 0.1, "length": "mean"},
    ),
]


@pytest.mark.parametrize("row", GOLDEN, ids=str)
def test_golden(row: Row) -> None:
    row.check()


def test_ds_grpo_token_per_token() -> None:
    # GRPO without eps: 1.5, -.5. Correct: 1.5 - .5 * (-1, -3). Wrong: -.5 + .25 * (-.5, -1.5), (-1, -2, -3), (-3).
    method = get_method("ds-grpo-token", gamma_p=0.5, gamma_n=0.25, eps=0.0)
    mask = np.array([[1, 1, 0], [1, 1, 0], [1, 1, 1], [1, 0, 0]], dtype=bool)
    logprobs = np.array([[-1.0, -3.0, NAN], [-0.5, -1.5, NAN], [-1.0, -2.0, -3.0], [-3.0, NAN, NAN]])
    advantages = method.advantages(GroupBatch(**ONE_OF_4)).reshape(4, 1)
    assert method.recipe.token_transform is not None
    found = method.recipe.token_transform(
        np.broadcast_to(advantages, mask.shape),
        TokenBatch(logprobs=logprobs, mask=mask, correct=np.array([True, False, False, False])),
    )
    expected = [[2, 3, 0], [-0.625, -0.875, 0], [-0.75, -1, -1.25], [-1.25, 0, 0]]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_every_method_has_a_golden_row() -> None:
    modules = (import_module(f"tests.golden.{p.stem}") for p in Path(__file__).parent.glob("test_golden_*.py"))
    assert {row.name for module in modules for row in getattr(module, "GOLDEN", [])} == set(list_methods())


def test_groups_are_worked_on_their_own() -> None:
    # the same group beside others gives the same row (all methods but those with a batch scale)
    alone = {name: [row for row in GOLDEN if row.name == name and row.fields is ONE_OF_4] for name in list_methods()}
    rows = [row for found in alone.values() for row in found]
    assert len(rows) > 10
    for row in rows:
        fields = {k: [*v, v[0][::-1], *v] for k, v in row.fields.items()}
        found = get_method(row.name, **row.coefficients).advantages(GroupBatch(**fields))
        expected = [row.expected[0], row.expected[0][::-1], row.expected[0]]
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "coefficients", "settings"),
    [
        ("grpo", {}, {}),
        ("dr-grpo", {}, {"loss": "dr_grpo"}),
        ("rloo", {}, {}),
        ("maxrl", {}, {}),
        ("grpo-low-lr", {}, {"learning_rate_scale": 0.3}),
        ("grpo-low-lr", {"learning_rate_scale": 0.1}, {"learning_rate_scale": 0.1}),
        ("grpo-kl", {}, {"kl_coef": 1e-3}),
        ("grpo-kl", {"kl_coef": 0.04}, {"kl_coef": 0.04}),
        ("wise-ft", {}, {"base_share": 0.5}),
        ("ds-grpo", {}, {}),
        ("ds-grpo-sum", {}, {}),
        ("ds-grpo-token", {}, {}),
        ("ds-grpo-reward", {}, {}),
        ("ds-grpo-centered", {}, {}),
        ("ds-grpo-robust", {}, {}),
        ("entropy-bonus-seq", {}, {}),
        ("entropy-penalty-seq", {}, {}),
        ("clip-higher", {}, {"clip_low": 0.2, "clip_high": 0.28}),
        ("gspo", {}, {"clip_low": 3e-4, "clip_high": 4e-4, "ratio_level": "sequence", "loss": "grpo"}),
        ("entropy-bonus", {"coef": 0.01}, {"entropy_coef": 0.01}),
        ("entropy-penalty", {"coef": 0.01}, {"entropy_coef": -0.01}),
        ("top-entropy", {}, {"top_entropy_share": 0.2}),
        # alpha H(pi) - beta H(pi, ref) = -beta KL + (alpha - beta) H(pi)
        ("soft-preference", {"alpha": 0.75, "beta": 0.5}, {"kl_coef": 0.5, "entropy_coef": 0.25}),
        ("adrpo", {}, {"kl_coef": 0.04}),
        ("clip-cov", {}, {"clip_low": 1.0, "clip_high": 1.0}),
    ],
)
def test_engine_settings(name: str, coefficients: dict[str, Any], settings: dict[str, Any]) -> None:
    assert get_method(name, **coefficients).recipe.settings == settings


def test_the_other_methods_ask_nothing_of_the_engine() -> None:
    asking = {name for name in list_methods() if get_method(name).recipe.settings}
    ours = {"dapo", "clip-higher", "gspo", "entropy-bonus", "entropy-penalty", "entropy-target", "top-entropy"}
    ours |= {"soft-preference", "clip-cov", "kl-cov", "adrpo", "flow-rl", "dph"}
    assert asking == {"dr-grpo", "grpo-low-lr", "grpo-kl", "wise-ft", "mara"} | ours
    assert get_method("mara", beta=0.02).recipe.settings == {"kl_coef": 0.02}
