"""``unsharpen theory``: the numbers are those of the lab, figures are written, bad input is one clear message."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from tests.cli.command import unsharpen

from unsharpen import theory

PROBLEM = ("--correct", "0.3,0.1", "--wrong", "0.4,0.2")
BASE, FLAGS = np.log([0.3, 0.1, 0.4, 0.2]), np.array([True, True, False, False])
QUICK = ("--seeds", "2", "--steps", "20", "--method", "grpo", "--method", "ds-grpo-robust:gamma_p=0.4,gamma_n=0")
COMMANDS: dict[str, tuple[str, ...]] = {
    "biases": PROBLEM,
    "frontier": PROBLEM,
    "dominate": PROBLEM,
    "dynamics": QUICK,
}


def answer(command: str, *arguments: str) -> dict[str, Any]:
    done = unsharpen("theory", command, *arguments, "--json")
    assert (done.code, done.err) == (0, "")
    return dict(json.loads(done.out))


@pytest.mark.parametrize("command", COMMANDS)
def test_table_figure_and_json_go_together(command: str, tmp_path: Path) -> None:
    path = tmp_path / "figures" / "a.png"
    done = unsharpen("theory", command, *COMMANDS[command], "--figure", path)
    assert (done.code, done.err) == (0, "")
    rows = answer(command, *COMMANDS[command])["rows"]
    for key in rows[0]:
        assert key.replace("_", " ") in done.out
    assert len(done.out.splitlines()) > len(rows)
    picture = matplotlib.image.imread(path)
    assert min(picture.shape[:2]) > 400
    assert picture[..., :3].std() > 0.05
    assert path.with_suffix(".svg").exists()


def test_biases() -> None:
    found = answer("biases", *PROBLEM, "--group-size", "8")
    assert found["pass_at_1"] == pytest.approx(0.4)
    assert found["critical_gamma_uncentred"] is None  # infinite
    assert found["critical_gamma_centred"] == pytest.approx(float(theory.critical_gamma(BASE, FLAGS)))
    for key, expected in (
        ("selected", theory.selection_probability(BASE, FLAGS, group_size=8)),
        ("update", theory.expected_grpo_update(BASE, FLAGS, group_size=8)),
        ("collapse", theory.collapse_rate(BASE, FLAGS)),
    ):
        assert [row[key] for row in found["rows"]] == pytest.approx(expected.tolist())
    for row in found["rows"]:
        assert row["selected"] * row["update_if_selected"] == pytest.approx(row["update"])


def test_frontier() -> None:
    found = answer("frontier", *PROBLEM, "--gamma", "0.3", "--beta", "0.6")
    rows = {row["policy"]: row for row in found["rows"]}
    smooth = theory.smoothed(BASE, FLAGS, gamma_p=0.3, beta=0.6)
    assert rows["smoothing"]["pass_at_1"] == pytest.approx(float(theory.correct_mass(smooth, FLAGS)))
    assert rows["vanilla"]["effective_solutions"] == pytest.approx(rows["base"]["effective_solutions"])
    assert rows["smoothing, matched"]["reverse_kl"] < rows["entropy bonus"]["reverse_kl"]
    line = found["frontier at the KL of entropy bonus"]
    enough = next(p for p in line if p["entropy"] >= rows["entropy bonus"]["entropy"])
    assert enough["correct"] > rows["entropy bonus"]["pass_at_1"]


def test_dominate_defaults_to_the_counterexample() -> None:
    found = answer("dominate")
    assert {row["divergence"]: row["holds"] for row in found["rows"]} == {
        kind: kind in ("forward-kl", "tv") for kind in theory.KINDS
    }
    assert found["lever"] < 0
    assert found["rows"][0]["beta"] is None  # infinite
    assert all(row["holds"] for row in answer("dominate", "--centered")["rows"])
    assert not answer("dominate", "--proxy", "--tied", "--gamma", "0.75", "--beta", "1",
                      "--correct", "0.0132,0.3947", "--wrong", "0.3289,0.2632")["rows"][0]["holds"]  # fmt: skip


def test_dynamics() -> None:
    found = answer("dynamics", *QUICK)["rows"]
    assert [row["method"] for row in found] == ["grpo", "ds-grpo-robust:gamma_p=0.4,gamma_n=0"]
    assert found[0]["gain@8"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    difference = found[1]["pass@8"] - found[0]["pass@8"]
    assert found[1]["gain@8"]["value"] == pytest.approx(difference)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("biases", "--correct", "0.3,x"), "--correct must be probabilities with commas between them, found '0.3,x'"),
        (("biases", "--correct", ""), "--correct must be probabilities with commas"),
        (("biases", "--correct", "0.5", "--wrong", "0.4"), "must sum to 1, found 0.9"),
        (
            ("biases", "--correct", "0.5,0", "--wrong", "0.5"),
            "needs a probability above 0, found [0.0]",
        ),
        (("biases", "--correct", "nan", "--wrong", "0.5"), "needs a probability above 0, found [nan]"),
        (("biases", "--group-size", "0"), "group_size must be a whole number of at least 1, found 0"),
        (("frontier", "--beta", "-1"), "beta must be finite and above 0, found -1.0"),
        (("dominate", "--gamma", "-1"), "gamma must be finite and at least 0, found -1.0"),
        (("dominate", "--tied", "--centered"), "tied or centered, not both"),
        (("dynamics", "--method", "grop"), "unknown method 'grop'"),
        (("dynamics", "--method", "ds-grpo:gamma=1"), "has no coefficient 'gamma'"),
        (("dynamics", "--method", "ds-grpo:gamma_p"), "gamma_p must be a finite number, found ''"),
        (("dynamics", "--multiplicity", "huge"), "multiplicity must be one of 'low', 'medium', 'high'; found 'huge'"),
        (("dynamics", "--seeds", "1"), "seeds must be a whole number of at least 2, found 1"),
    ],
)
def test_bad_input_is_one_message(arguments: tuple[str, ...], message: str) -> None:
    done = unsharpen("theory", *arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert message in done.err
