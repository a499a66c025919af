"""``unsharpen report`` and ``unsharpen diagnose``."""

from __future__ import annotations

import json
import webbrowser
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.cli.command import unsharpen
from tests.reports.conftest import write_run
from tests.reports.evaluations import about, rows, write_evaluation

EVIL = '<script>alert("x")</script>'
Folders = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Folders:
    def make(name: str, sharpness: float = 1.0, **settings: object) -> Path:
        made = rows(sharpness, problems=6, n=4, seed=int(10 * sharpness))
        return write_evaluation(tmp_path / name, made, about(6), **{"model": name, "task": "countdown", **settings})

    return make


def test_evaluations_make_one_page(folder: Folders, tmp_path: Path) -> None:
    page = tmp_path / "new" / "both.html"
    done = unsharpen("report", folder("base"), folder("grpo", 3.0), "--output", page, "--title", EVIL)
    assert (done.code, done.out, done.err) == (0, f"page: {page}\n", "")
    text = page.read_text("utf-8")
    assert "Against base, in percentage points" in text
    assert "<script>alert" not in text
    assert (page.parent / "pass-at-k.svg").exists()
    assert (page.parent / "results.tex").exists()


def test_models_can_be_named(folder: Folders, tmp_path: Path) -> None:
    runs = [folder("a"), folder("b", 2.0)]
    page = tmp_path / "r.html"
    assert unsharpen("report", *runs, "--output", page, "--label", "one", "--label", "two & three").code == 0
    assert "two &amp; three" in page.read_text("utf-8")


def test_training_runs_make_one_page(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, method=name, problems=10, n=8) for name in ("grpo", "ds-grpo")]
    page = tmp_path / "r.html"
    done = unsharpen("report", *runs, "--output", page)
    assert (done.code, done.err) == (0, "")
    assert "DS-GRPO" in page.read_text("utf-8")
    assert (tmp_path / "dynamics.png").exists()


@pytest.mark.parametrize("found", [True, False])
def test_it_opens_in_a_browser(found: bool, folder: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or found)
    done = unsharpen("report", folder("a"), "--output", tmp_path / "a b.html", "--open")
    assert done.code == 0
    assert opened == [f"file://{tmp_path}/a%20b.html"]
    assert ("no browser" in done.err) is not found


def refused(*arguments: object) -> str:
    done = unsharpen(*arguments)
    assert (done.code, done.out) == (2, ""), done
    assert done.err.startswith("error: ")
    return done.err


def test_wrong_input_is_said(folder: Folders, tmp_path: Path) -> None:
    one = folder("one")
    other = folder("other", task="math500")
    training = write_run(tmp_path / "training", problems=10, n=8)
    page = tmp_path / "r.html"
    for arguments, words in (
        ([tmp_path / "none"], "none does not exist"),
        ([tmp_path], "holds one, other, training"),
        ([one / "samples.jsonl"], "samples.jsonl is a file"),
        ([one, training], "are one of each"),
        ([one, other], "one task; found countdown, math500"),
        ([one, "--label", "a", "--label", "b"], "found 2 for 1"),
        ([training, "--label", "a"], "--label is for evaluations"),
    ):
        assert words in refused("report", *arguments, "--output", page)
    assert not page.exists()
    (tmp_path / "file").write_text("", "utf-8")
    assert "writable path" in refused("report", one, "--output", tmp_path / "file" / "r.html")
    done = unsharpen("report")
    assert done.code == 2
    assert "RUN" in done.err


# ---------------------------------------------------------------------------------------------- diagnose


def collapsing_run(path: Path) -> Path:
    rng, steps = np.random.default_rng(0), np.arange(120)
    solutions = 2.8 - 1.2 * np.maximum(steps - 30, 0) / 90 + 0.1 * rng.normal(size=120)
    reward = 0.3 + 0.2 * steps / 120 + 0.02 * rng.normal(size=120)
    path.mkdir(parents=True)
    lines = [
        {"step": int(s), "pass@1": float(r), "effective_solutions": float(e)}
        for s, r, e in zip(steps, reward, solutions, strict=True)
    ]
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


def test_a_collapse_is_told(tmp_path: Path) -> None:
    run = collapsing_run(tmp_path / "run")
    done = unsharpen("diagnose", run)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("collapsing  (confidence: high)\nIt is collapsing")
    for words in ("! effective_solutions falls from 2.", "ds-grpo-robust", "arxiv.org/abs/2511.19942", "metrics.jsonl"):
        assert words in done.out


def test_the_same_for_programs(tmp_path: Path) -> None:
    run = collapsing_run(tmp_path / "run")
    (run / "config.json").write_text('{"method": "ds-grpo-sum"}', "utf-8")
    done = unsharpen("diagnose", run, "--json")
    found = json.loads(done.out)
    assert (done.code, found["outcome"], found["confidence"]) == (0, "collapsing", "high")
    assert 10 <= found["since"] <= 50
    assert found["steps"] == [0.0, 119.0]
    assert found["evidence"][0]["key"] == "pass@1"
    assert found["evidence"][1]["p_value"] <= 0.001
    assert any("raise gamma_p" in each["text"] for each in found["advice"])


def test_held_out_results_are_told_beside(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", problems=40, n=32)
    done = unsharpen("diagnose", run)
    assert done.code == 0
    assert "can't tell" in done.out
    assert "On held-out problems" in done.out
    assert "Pass@1 " in done.out
    (run / "evaluation.jsonl").write_text("[]\n{}\n", "utf-8")
    done = unsharpen("diagnose", run)
    assert done.code == 0
    assert "not read: " in done.out


def test_bad_logs_are_said(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("a,b\n1,2\n", "utf-8")
    assert "needs a step" in refused("diagnose", tmp_path / "m.csv")
    assert "does not exist" in refused("diagnose", tmp_path / "none")
    assert "holds m.csv" in refused("diagnose", tmp_path)
