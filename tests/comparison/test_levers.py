"""Temperatures and shares of the base: evaluated once, kept through crashes, and read as curves."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.comparison.fake import FakeTrain, Heard, evaluation

from unsharpen.comparison.curves import Curves
from unsharpen.comparison.figures import figures
from unsharpen.comparison.front import Line, _along, front_tables, load_lines, pass_at_equal
from unsharpen.comparison.levers import Levers
from unsharpen.comparison.report import write_report
from unsharpen.comparison.results import load_results
from unsharpen.comparison.spec import Study, read_study
from unsharpen.comparison.study import How, run_study
from unsharpen.errors import DataError, InputError, UnsharpenError
from unsharpen.metrics import Interval
from unsharpen.training.config import RunConfig
from unsharpen.training.folder import read_jsonl

ROOT = Path(__file__).parents[2]
LEVERS = {"temperatures": [0.5, 1.5], "base_shares": [0.25]}


def study(*methods: str, seeds: int = 2, steps: int = 5, levers: Any = LEVERS, **settings: Any) -> Study:
    settings = {"eval_samples": 64, "eval_every": 0, **settings}
    return read_study({"methods": dict.fromkeys(methods), "seeds": seeds, "steps": steps, "settings": settings,
                       "levers": levers})  # fmt: skip


class FakeModels:
    """Stands for ``KeptModels``: a lower temperature solves more problems, and the hard ones less often."""

    asked: list[tuple[str, float, float, int]]

    def __init__(self, stop_after: int | None = None, fail: str = "", die: bool = False) -> None:
        self.asked, self.stop_after, self.fail, self.die, self.made = [], stop_after, fail, die, 0

    def __call__(self, config: RunConfig) -> FakeModels:
        self.made, self.config = self.made + 1, config
        return self

    def evaluate(self, models: Sequence[Path], *, temperature: float, base_share: float, seed: int) -> dict[str, Any]:
        if self.die:
            os.kill(os.getpid(), 9)
        name = "+".join(dict.fromkeys(model.parent.name for model in models)) or "base"
        name += f" x {len(models)}" * (len(models) > 1)
        if name == self.fail:
            raise InputError("can't load it")
        if self.stop_after is not None and len(self.asked) == self.stop_after:
            raise KeyboardInterrupt
        self.asked.append((name, base_share, temperature, seed))
        row = evaluation(self.config, 0, 5)
        share = np.asarray(row["num_correct"]) / row["num_samples"]
        share = np.where(share > 0.3, share + 1 - temperature, share * temperature)
        row["num_correct"] = np.round(np.clip(share, 0, 1) * row["num_samples"]).astype(int).tolist()
        del row["step"]
        return {**row, "base_share": base_share, "temperature": temperature}


def run(what: Study, root: Path, models: FakeModels, **options: Any) -> tuple[bool, list[str]]:
    said: list[str] = []
    how = How(train=FakeTrain(), check=lambda _: None, listener=Heard(), evaluator=models, say=said.append, **options)
    return run_study(what, root, how), said


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("levers")
    assert run(study("grpo", "ds-grpo-robust"), folder, FakeModels())[0]
    return folder


def test_every_point_once(tmp_path: Path) -> None:
    models = FakeModels()
    done, said = run(study("grpo"), tmp_path, models)
    assert done
    mixed = [(0.0, 1.5), (0.0, 0.5), (0.25, 1.5), (0.25, 1.0), (0.25, 0.5)]  # (0, 1) is the run's own evaluation
    expected = [("base", 0.0, 1.5, 0), ("base", 0.0, 0.5, 0)]
    assert models.asked == expected + [("grpo", *point, seed) for seed in (0, 1) for point in mixed]
    assert models.made == 1  # one set of problems
    assert said[0] == "base at temperature 1.5: done, 1 of 12"
    assert said[-1] == "results/grpo/seed-1 at temperature 0.5, 0.25 of the base: done, 12 of 12"
    assert run(study("grpo"), tmp_path, models) == (True, [])
    more = study("grpo", levers={**LEVERS, "temperatures": [0.5, 0.7, 1.5]})
    assert [line.split(" at ")[1][:15] for line in run(more, tmp_path, models)[1]] == ["temperature 0.7"] * 5


def test_of_some_methods(tmp_path: Path) -> None:
    models = FakeModels()
    run(study("grpo", "rloo", seeds=1, levers={**LEVERS, "methods": ["rloo"]}), tmp_path, models)
    assert [name for name, *_ in models.asked] == ["base"] * 2 + ["rloo"] * 5


def test_more_temperatures_for_the_base(tmp_path: Path) -> None:
    models = FakeModels()
    run(study("grpo", seeds=1, levers={"temperatures": [0.5], "base_temperatures": [0.2]}), tmp_path, models)
    assert models.asked == [("base", 0.0, 0.5, 0), ("base", 0.0, 0.2, 0), ("grpo", 0.0, 0.5, 0)]
    lines = {line.label: line for line in load_lines(tmp_path, load_results(tmp_path))}
    assert {label: line.temperatures for label, line in lines.items()} == {"base": [1.0, 0.5, 0.2], "grpo": [1.0, 0.5]}


def test_some_seeds_and_some_mixed(tmp_path: Path) -> None:
    models = FakeModels()
    levers = {"temperatures": [0.5], "base_shares": [0.25], "average_seeds": True, "seeds": 2, "mixed": ["rloo"]}
    run(study("grpo", "rloo", seeds=3, levers=levers), tmp_path, models)
    asked = [(name, share, temperature) for name, share, temperature, _ in models.asked]
    assert asked.count(("grpo", 0.0, 0.5)) == 2
    assert [ask for ask in asked if ask[0] == "rloo x 2"] == [
        ("rloo x 2", share, temperature) for share in (0.0, 0.25) for temperature in (1.0, 0.5)
    ]
    assert len(asked) == 1 + 2 + 2 * 3 + 4  # the base; grpo; rloo; their mean
    lines = {line.label: line for line in load_lines(tmp_path, load_results(tmp_path))}
    assert [len(lines["grpo"].evaluations[t]) for t in (1.0, 0.5)] == [2, 2]  # not the third seed, which has one


def test_the_mean_of_the_seeds_is_one_more_model(tmp_path: Path) -> None:
    models = FakeModels(fail="rloo x 2")
    done, said = run(study("grpo", "rloo", levers={"average_seeds": True}), tmp_path, models)
    assert done
    assert models.asked == [("grpo x 2", 0.0, 1.0, 0)]
    assert said == [
        "grpo, mean of 2 seeds at temperature 1: done, 1 of 2",
        "rloo, mean of 2 seeds: left out of the levers: can't load it",
    ]
    run(study("grpo", levers={"average_seeds": True}), tmp_path, models)
    assert len(models.asked) == 1
    run(study("grpo", seeds=3, levers={"average_seeds": True}), tmp_path, models)
    assert models.asked[1:] == [("grpo x 3", 0.0, 1.0, 0)]  # another mean, in the place of the old one
    results = load_results(tmp_path)
    (line,) = load_lines(tmp_path, results)
    assert line.label == "grpo, mean of 3 seeds"
    assert [len(evaluations) for evaluations in line.evaluations.values()] == [1]


def test_without_levers_nothing_is_kept(tmp_path: Path) -> None:
    models = FakeModels()
    run(study("grpo", levers=None), tmp_path, models)
    assert not models.asked
    assert not (tmp_path / "models").exists()
    done, said = run(study("grpo"), tmp_path, models)
    assert done
    assert said[:2] == [f"results/grpo/seed-{s}: no weights were kept; left out of the levers" for s in (0, 1)]
    assert {name for name, *_ in models.asked} == {"base"}


def test_another_temperature_of_training(tmp_path: Path) -> None:
    models = FakeModels()
    run(study("grpo", seeds=1, levers={"temperatures": [1.0]}, trl={"temperature": 0.5}), tmp_path, models)
    assert models.asked == [("base", 0.0, 1.0, 0), ("grpo", 0.0, 1.0, 0)]


def test_ctrl_c_and_a_crash_lose_nothing(tmp_path: Path) -> None:
    assert run(study("grpo"), tmp_path, FakeModels(stop_after=4))[0] is False
    path = tmp_path / "levers" / "grpo" / "seed-0.jsonl"
    assert len(read_jsonl(path)) == 2
    with path.open("a") as file:
        file.write('{"run": "half a li')
    models = FakeModels()
    assert run(study("grpo"), tmp_path, models)[0]
    assert len(models.asked) == 12 - 4
    assert [(row["base_share"], row["temperature"]) for row in read_jsonl(path)][:2] == [(0.0, 1.5), (0.0, 0.5)]


def test_evaluations_of_another_run_are_forgotten(tmp_path: Path) -> None:
    run(study("grpo", seeds=1), tmp_path, FakeModels())
    shutil.rmtree(tmp_path / "results")
    models = FakeModels()
    run(study("grpo", seeds=1, steps=6), tmp_path, models)
    assert [name for name, *_ in models.asked] == ["grpo"] * 5  # the base is the same


def test_a_model_that_fails_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    done, said = run(study("grpo", "rloo", seeds=1), tmp_path, FakeModels(fail="grpo"))
    assert done
    assert "results/grpo/seed-0: left out of the levers: can't load it" in said
    assert any(line.startswith("results/rloo/seed-0 at temperature 0.5: done") for line in said)


def test_two_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In processes of their own: all points, one failure named once, and one that breaks down is no silent gap."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), str(ROOT)]))
    what, models = study("grpo", "rloo"), FakeModels(fail="grpo")
    assert run(what, tmp_path, FakeModels(stop_after=0))[0] is False
    done, said = run(what, tmp_path, models, jobs=2)
    assert done
    assert not models.asked, "this process has evaluated"
    failures = [line for line in said if "left out" in line]
    assert failures == [f"results/grpo/seed-{s}: left out of the levers: can't load it" for s in (0, 1)]
    assert len(said) == 2 + 2 + 2 * 5
    for seed in (0, 1):
        rows = read_jsonl(tmp_path / "levers" / "rloo" / f"seed-{seed}.jsonl")
        expected = {(0.0, 1.5), (0.0, 0.5), (0.25, 1.5), (0.25, 1.0), (0.25, 0.5)}
        assert {(row["base_share"], row["temperature"]) for row in rows} == expected
    with pytest.raises(UnsharpenError, match="has ended early"):
        run(what, tmp_path, FakeModels(die=True), jobs=2)


@pytest.mark.parametrize(
    ("levers", "words"),
    [
        ({"temperature": [0.5]}, "levers has no key 'temperature'"),
        ({"temperatures": []}, "levers: temperatures must be a list with at least one entry"),
        ({"base_temperatures": [0]}, "levers: base_temperatures must be a number above 0, found 0"),
        ({"temperatures": [0]}, "levers: temperatures must be a number above 0, found 0"),
        ({"methods": ["rloo"]}, "levers: methods must be among grpo; found 'rloo'"),
        ({"mixed": ["rloo"]}, "levers: mixed must be among grpo; found 'rloo'"),
        ({"seeds": 0}, "levers: seeds must be"),
        ({"average_seeds": 1}, "levers: average_seeds must be true or false, found 1"),
        ({"base_shares": [1.0]}, "base_shares must lie between 0 and 1, found 1.0"),
        ({"base_shares": [-0.5]}, "levers: base_shares must be a number above 0"),
    ],
)
def test_bad_levers(levers: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        study("grpo", levers=levers)


# ------------------------------------------------------------------------------------------------ reading


def test_lines_hold_the_runs_own_evaluation_too(root: Path) -> None:
    results = load_results(root)
    lines = load_lines(root, results)
    assert [line.label for line in lines] == [
        "base", "grpo", "grpo + 0.25 base", "ds-grpo-robust", "ds-grpo-robust + 0.25 base"
    ]  # fmt: skip
    assert all(line.temperatures == [1.5, 1.0, 0.5] for line in lines)
    assert lines[0].evaluations[1.0] == [results.base]
    assert lines[1].evaluations[1.0] == results.arm("grpo").finals()
    levels = front_tables(lines, results, Curves(results))[1]
    assert [row.values["temperature"] for row in levels.rows[:3]] == ["1.5", "1", "0.5"]
    expected = np.mean([e.pass_at(8).mean() for e in lines[2].evaluations[0.5]])
    assert levels.rows[8].values["Pass@8"].value == pytest.approx(expected)


def test_pass_at_equal_pass_at_1_by_hand(root: Path) -> None:
    results = load_results(root)
    curves = Curves(results, num_resamples=50)
    grpo = curves.of(results.arm("grpo"))
    line = load_lines(root, results)[0]
    cold, warm = (curves.over(line.evaluations[t]) for t in (0.5, 1.0))
    low, high = sorted((warm.value[0], cold.value[0]))
    assert low < grpo.value[0] < high, "the made base must reach GRPO's Pass@1 between 1 and 0.5"
    way = (grpo.value[0] - warm.value[0]) / (cold.value[0] - warm.value[0])
    value, drawn = pass_at_equal(line, grpo, 8, curves)
    assert value == pytest.approx(warm.value[7] + way * (cold.value[7] - warm.value[7]))
    assert drawn.shape == (50,)
    own = Line("grpo", 0.0, 1.0, {1.0: results.arm("grpo").finals()})
    value, drawn = pass_at_equal(own, grpo, 8, curves)
    assert value == grpo.value[7]
    np.testing.assert_array_equal(drawn, grpo.drawn[:, 7])
    beyond = Line("base", 0.0, 1.0, {1.0: [results.base]})
    assert pass_at_equal(beyond, grpo, 8, curves) is None
    equal, levels = front_tables([beyond], results, curves)
    assert equal.rows[0].values["Pass@64 at grpo's Pass@1"].startswith("Pass@1 .")
    assert levels.rows[0].values["lowest − base"] == Interval(0.0, 0.0, 0.0)


def test_a_line_that_turns_is_followed_in_the_order_of_temperature() -> None:
    x, y = np.asarray([0.497, 0.598, 0.548]), np.asarray([0.950, 0.850, 0.600])  # temperatures 1, .6 and .2
    assert _along(0.527, x, y) == pytest.approx(0.95 - 0.1 * 30 / 101)  # and not between .2 and 1
    assert _along(0.56, x, y) == pytest.approx(0.95 - 0.1 * 63 / 101)  # the hotter of two places
    assert (_along(0.4, x, y), _along(0.7, x, y)) == (0.95, 0.85)
    assert _along(0.5, np.asarray([0.5, 0.5]), np.asarray([0.9, 0.8])) == 0.9


def test_evaluations_of_another_run_do_not_count(root: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(root, tmp_path / "copy"))
    path = copy / "levers" / "grpo" / "seed-1.jsonl"
    path.write_text("".join(json.dumps({**row, "run": "another"}) + "\n" for row in read_jsonl(path)))
    line = load_lines(copy, load_results(copy))[1]
    assert (line.label, [len(e) for e in line.evaluations.values()]) == ("grpo", [1, 1, 1])


def test_tables_figure_and_page(root: Path) -> None:
    _, tables = write_report(root)
    equal = next(table for table in tables if table.name == "equal")
    assert equal.columns[:2] == ["Pass@64 at grpo's Pass@1", "− grpo"]
    rows = {row.label: row.values for row in equal.rows}
    assert rows["grpo"]["− grpo"] is None
    assert rows["base"]["− grpo"].low <= rows["base"]["− grpo"].value <= rows["base"]["− grpo"].high
    page = (root / "report.html").read_text()
    assert "Pass@64 at equal Pass@1" in page
    assert "Pass@1 against Pass@64 at several temperatures" in page
    assert (root / "figures" / "levers.png").stat().st_size > 10_000
    assert (root / "tables" / "levers.csv").read_text().count("\n") == 16


def test_a_comparison_without_levers_has_none_of_it(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "results", tmp_path / "results")
    results = load_results(tmp_path)
    assert load_lines(tmp_path, results) == []
    assert "levers" not in figures(results)
    assert front_tables([], results, Curves(results)) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda row: {**row, "multiplicity": row["multiplicity"][::-1]},
            "about the problems of the comparison",
        ),
        (
            lambda row: {k: v for k, v in row.items() if k != "temperature"},
            "with run, base_share, temperature and num_models",
        ),
        (lambda row: {**row, "base_share": None}, "line 1, must be an evaluation with run"),
        (lambda row: {**row, "num_correct": [65] * 24}, "seed-0.jsonl"),
    ],
)
def test_broken_lines(root: Path, tmp_path: Path, change: Any, words: str) -> None:
    copy = Path(shutil.copytree(root, tmp_path / "copy"))
    path = copy / "levers" / "grpo" / "seed-0.jsonl"
    path.write_text("".join(json.dumps(change(row)) + "\n" for row in read_jsonl(path)))
    with pytest.raises(DataError, match=words):
        load_lines(copy, load_results(copy))


def test_points() -> None:
    assert not Levers()
    assert Levers((0.5, 1.0)).of_a_model(1.0) == [(0.0, 1.0), (0.0, 0.5)]
    assert Levers((), (0.3,)).of_a_model(0.7) == [(0.0, 0.7), (0.3, 0.7)]
    assert Levers((0.5,), (0.3,), base_temperatures=(0.2, 0.5)).of_the_base(1.0) == [(0.0, 1.0), (0.0, 0.5), (0.0, 0.2)]
