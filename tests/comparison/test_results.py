"""Tables and figures from made records."""

from __future__ import annotations

import io
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.comparison.fake import make_records

from unsharpen.comparison.curves import Curve, Curves, crossover, lowest, samples_needed
from unsharpen.comparison.figures import figures, looks, pareto_front, spread
from unsharpen.comparison.report import write_report
from unsharpen.comparison.results import dynamics, load_results
from unsharpen.comparison.summary import CATCH_UP, SECONDS, SEEDS, bands, difference_table, tables
from unsharpen.errors import DataError, InputError
from unsharpen.metrics import Interval, bootstrap_over_seeds, pass_at_k
from unsharpen.metrics import crossover as crossover_of_one_run
from unsharpen.reports import Table, to_markdown, to_rich

METHODS = ["grpo", "grpo-low-lr", "ds-grpo-robust", "rloo"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_records(tmp_path_factory.mktemp("comparison"), METHODS)


@pytest.fixture(scope="module")
def shown(root: Path) -> list[Table]:
    return tables(load_results(root))


def counts(root: Path, label: str, seed: int, line: int = -1) -> dict[str, Any]:
    lines = (root / f"results/{label}/seed-{seed}/evaluation.jsonl").read_text().splitlines()
    return dict(json.loads(lines[line]))


# ------------------------------------------------------------------------------------------- the numbers


def test_levels_and_differences_by_hand(root: Path, shown: list[Table]) -> None:
    main, minus, *_ = shown
    assert [row.label for row in main.rows] == ["base", *METHODS]
    for k in (1, 8, 64):
        values = {m: [pass_at_k(64, counts(root, m, s)["num_correct"], k) for s in range(3)] for m in METHODS}
        for row in main.rows[1:]:
            assert row.values[f"Pass@{k}"] == bootstrap_over_seeds(values[row.label])
        for row in minus.rows:
            difference = np.asarray(values[row.label]) - np.asarray(values["grpo"])
            assert row.values[f"Pass@{k}"] == bootstrap_over_seeds(difference)
    assert [row.label for row in minus.rows] == METHODS[1:]
    base = main.rows[0].values["Pass@8"]
    assert isinstance(base, Interval)
    assert base.value == pytest.approx(np.mean(pass_at_k(64, counts(root, "grpo", 0, 0)["num_correct"], 8)))
    assert main.rows[1].values[SECONDS] == 0.7
    assert main.rows[1].values[SEEDS] == "3"


def test_the_best_tuned_reference_is_the_one_with_the_highest_pass_1(root: Path, shown: list[Table]) -> None:
    results = load_results(root)
    assert (results.reference, results.best_reference) == ("grpo", "grpo-low-lr")
    means = {m: np.mean([counts(root, m, s)["num_correct"] for s in range(3)]) for m in ("grpo", "grpo-low-lr")}
    assert means["grpo-low-lr"] > means["grpo"]
    assert shown[2].title.startswith("Minus grpo-low-lr (the best GRPO: highest Pass@1 of grpo, grpo-low-lr")


def test_a_curve_over_seeds_is_the_mean_of_its_runs(root: Path) -> None:
    results = load_results(root)
    curves = Curves(results, num_resamples=50)
    arm = results.arm("rloo")
    for k in (1, 7, 64):
        mean = np.mean([np.mean(pass_at_k(64, counts(root, "rloo", s)["num_correct"], k)) for s in range(3)])
        assert curves.of(arm).value[k - 1] == pytest.approx(mean)
    assert curves.of(arm).drawn.shape == (50, 64)
    one = curves.of(arm, [1])
    assert one.value[0] == pytest.approx(np.mean(counts(root, "rloo", 1)["num_correct"]) / 64)
    expected = crossover_of_one_run(
        64, counts(root, "rloo", 1, 0)["num_correct"], 64, counts(root, "rloo", 1)["num_correct"], num_resamples=50
    )
    assert crossover(curves.base, one) == expected  # the same resamples of problems


def test_crossover_and_samples_needed_by_hand() -> None:
    base = Curve(np.asarray([0.1, 0.5, 0.7, 0.9]), np.asarray([[0.1, 0.5, 0.7, 0.9], [0.1, 0.2, 0.3, 0.4]]))
    arm = Curve(np.asarray([0.4, 0.6, 0.65, 0.7]), np.asarray([[0.4, 0.6, 0.65, 0.7], [0.4, 0.5, 0.6, 0.7]]))
    found = crossover(base, arm)
    assert (found.k, found.low, found.high) == (3, 3, None)  # .7 >= .65 at k = 3; never in the second resample
    needed = samples_needed(arm, base, 2)
    assert (needed.k, needed.low, needed.high) == (2, 1, 2)  # .5: .6 at 2; in the second .2: .4 at 1
    assert samples_needed(arm, base, 4).k is None  # .9 is out of reach


def test_bands_are_terciles_of_the_number_of_solutions(root: Path, shown: list[Table]) -> None:
    results = load_results(root)
    found = bands(results)
    assert sorted(np.concatenate([inside for _, inside in found]).tolist()) == list(range(90))
    multiplicity = np.asarray(counts(root, "grpo", 0)["multiplicity"])
    for name, inside in found:
        low, high = multiplicity[inside].min(), multiplicity[inside].max()
        assert name.endswith(f": {low}–{high} solutions, {inside.size} problems")
    minus = next(table for table in shown if table.name == "bands-minus-grpo")
    row = next(row for row in minus.rows if row.label == "rloo" and row.group == found[0][0])
    inside = found[0][1]
    ours, theirs = (
        np.stack([pass_at_k(64, counts(root, m, s)["num_correct"], 64) for s in range(3)])[:, inside]
        for m in ("rloo", "grpo")
    )
    assert row.values["Pass@64"] == bootstrap_over_seeds(ours - theirs)
    assert [table.name for table in shown[-3:]] == ["bands", "bands-minus-grpo", "bands-minus-grpo-low-lr"]


def test_minus_the_base_and_its_lowest_point(root: Path, shown: list[Table]) -> None:
    minus = next(table for table in shown if table.name == "minus-base")
    values = {row.label: row.values for row in minus.rows}["rloo"]
    means = {
        k: np.mean([np.mean(pass_at_k(64, counts(root, "rloo", s)["num_correct"], k)) for s in range(3)])
        - np.mean(pass_at_k(64, counts(root, "rloo", 0, 0)["num_correct"], k))
        for k in range(1, 65)
    }
    assert values["Pass@8"].value == pytest.approx(means[8])
    assert values["lowest"].value == pytest.approx(min(means.values()))
    assert values["lowest"].low <= min(values[f"Pass@{k}"].low for k in (1, 8, 64))
    assert values["lowest"].value < values["lowest"].high


def test_the_lowest_of_many_differences_by_hand() -> None:
    value = np.asarray([0.5, -1.0, 0.0])
    drawn = value + np.asarray([[1, 2, 0], [-1, -2, 0], [1, -2, 0], [-1, 2, 0]])  # errors of 1, 2 and 0; all c are 1
    assert lowest(value, drawn) == Interval(-1.0, -3.0, 0.0)  # ends -.5, -3, 0 and 1.5, 1, 0


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_model_like_the_base_is_seldom_said_to_be_below_it(seeds: int) -> None:
    draw, below, ks = np.random.default_rng(0), 0, np.arange(1, 65)
    for _ in range(60):
        chance = draw.beta(0.4, 0.6, 100)
        base, *arms = (pass_at_k(64, draw.binomial(64, chance)[:, None], ks[None]) for _ in range(1 + seeds))
        problems = draw.multinomial(100, np.full(100, 0.01), 200) / 100
        weights = draw.multinomial(seeds, np.full(seeds, 1 / seeds), 200) / seeds
        drawn = sum(w[:, None] * (problems @ arm) for w, arm in zip(weights.T, arms, strict=True)) - problems @ base
        below += lowest(np.mean(arms, axis=0).mean(axis=0) - base.mean(axis=0), drawn).high < 0
    assert below <= 6  # 3 expected of 60 at most; the quantiles of the minimum say so of 10 to 20


def test_runs_of_another_base_are_not_pooled(root: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(root, tmp_path / "copy"))
    path = copy / "results/rloo/seed-1/config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "trl": {**(config.get("trl") or {}), "temperature": 0.3}}))
    with pytest.raises(DataError, match=r"rloo with seed 1 differs from grpo in sampling: .*'temperature': 0\.3"):
        load_results(copy)


def test_the_settings_of_each_arm(shown: list[Table]) -> None:
    settings = next(table for table in shown if table.name == "settings")
    assert dict(settings.rows[0].values) == {"steps": "40", "learning rate": None, "coefficients": None}


def test_differences_are_over_the_seeds_that_both_have(root: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(root, tmp_path / "copy"))
    shutil.rmtree(copy / "results/rloo/seed-1")
    minus = difference_table(load_results(copy), "grpo")
    assert {row.label: row.values[SEEDS] for row in minus.rows}["rloo"] == "2"


def test_the_moving_average_is_the_mean_over_seeds(root: Path) -> None:
    arm = load_results(root).arm("grpo")
    steps, values = dynamics(arm, "entropy", window=2)
    rows = [[row["entropy"] for row in run.metrics] for run in arm.runs.values()]
    assert steps.tolist() == list(range(1, 41))
    assert values[0] == pytest.approx(np.mean([row[0] for row in rows]))
    assert values[7] == pytest.approx(np.mean([row[6:8] for row in rows]))
    assert dynamics(arm, "nothing")[0].size == 0


# ------------------------------------------------------------------------------------------------ failures


def test_failed_cells_and_arms_are_shown_with_their_reason(root: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(root, tmp_path / "copy"))
    shutil.rmtree(copy / "results/rloo/seed-2")
    for name in ("rloo/seed-2", "pass-at-k/seed-0"):
        path = copy / f"failures/results/{name}.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"reason": "needs groups of <4> | more"}))
    study = {"arms": [{"label": name, "seeds": [0, 1, 2]} for name in (*METHODS, "psr")]}
    record = {"arms": [arm["label"] for arm in study["arms"]], "study": study, "reference": "psr"}
    (copy / "study.json").write_text(json.dumps(record))
    results, found = write_report(copy)
    assert results.notes == ["psr, the reference, has no finished run; grpo stands in for it"]
    rows = {row.label: row for row in found[0].rows}
    assert rows["rloo"].values[SEEDS] == "2 of 3"
    assert rows["psr"].note == "no finished run yet"
    assert rows["pass-at-k"].note == "failed: seed-0: needs groups of <4> | more"
    assert "| pass-at-k | failed: seed-0: needs groups of <4> \\| more |" in to_markdown(found[0])
    page = (copy / "report.html").read_text()
    assert "rloo seed-2: needs groups of &lt;4&gt; | more" in page
    assert "rloo seed-2: needs groups" in (copy / "tables/results.md").read_text()
    assert [arm.label for arm in results.finished] == METHODS


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("study.json", '{"arms": 5}', "study.json must list its arms"),
        ("failures/results/rloo/seed-2.json", "[]", "must hold an object"),
        ("results/rloo/seed-0/metrics.jsonl", '{"step": "x"}', "a whole number `step` in every line"),
        ("results/rloo/seed-0/evaluation.jsonl", None, "must end with the evaluation of the finished run"),
    ],
)
def test_broken_records_are_named(root: Path, tmp_path: Path, name: str, text: str | None, words: str) -> None:
    copy = Path(shutil.copytree(root, tmp_path / "copy"))
    path = copy / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(path.read_text()[:-30] if text is None else text + "\n")  # None: a torn last line
    with pytest.raises(DataError, match=words):
        load_results(copy)


def test_what_can_not_be_compared_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no finished run"):
        load_results(tmp_path)
    copy = Path(shutil.copytree(root, tmp_path / "copy"))
    path = copy / "results/rloo/seed-0/evaluation.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[-1]["multiplicity"][0] += 1
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    with pytest.raises(DataError, match="same problems; rloo with seed 0 is not"):
        load_results(copy)
    shutil.copytree(root / "results/rloo/seed-0", copy / "results/grpo/again")
    with pytest.raises(DataError, match="a seed that no other run of grpo has"):
        load_results(copy)


def test_records_without_a_study_are_enough(root: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(root / "results", tmp_path / "copy" / "results")).parent
    results = load_results(copy)
    assert [arm.label for arm in results.arms] == sorted(METHODS)
    assert results.reference == "grpo"


# -------------------------------------------------------------------------------------------------- output


def test_the_terminal_shows_every_row(shown: list[Table]) -> None:
    from rich.console import Console

    out = io.StringIO()
    console = Console(file=out, width=100)
    for table in shown:
        console.print(to_rich(table))
    assert set(METHODS) <= set(out.getvalue().split())


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [str(v) for k, v in attrs if k in ("src", "href") and not str(v).startswith("#")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_report_is_one_page_and_its_files(root: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(root, tmp_path / "copy"))
    config = copy / "results/rloo/seed-0/config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "note": "</pre><script>alert(1)</script>"}))
    write_report(copy)
    page = (copy / "report.html").read_text()
    parser = _Tags()
    parser.feed(page)
    assert parser.open == []
    assert not [link for link in parser.links if not link.startswith("data:")]
    assert "<script" not in page
    for name in METHODS:
        assert f'<th scope="row">{name}</th>' in page
    for name in ("pareto", "pass-at-k", "dynamics", "bands"):
        assert (copy / f"figures/{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (copy / f"figures/{name}.svg").exists()
    for name in ("main", "minus-grpo", "minus-grpo-low-lr", "bands"):
        assert {path.suffix for path in (copy / "tables").glob(f"{name}.*")} == {".md", ".csv", ".tex"}
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    write_report(copy)
    assert {path for path, data in before.items() if path.read_bytes() != data} == set()  # the same records, files


def test_figures_draw_every_arm(root: Path) -> None:
    results = load_results(root)
    drawn = figures(results)
    assert list(drawn) == ["pareto", "pass-at-k", "dynamics", "bands"]
    (axes,) = drawn["pareto"][0].axes
    named = {text.get_text().removesuffix(" (front)") for text in axes.texts}
    assert named == {"base", *METHODS}
    left, right = drawn["pass-at-k"][0].axes
    curves = Curves(results)
    np.testing.assert_allclose(left.lines[1].get_ydata()[-1], curves.of(results.arm("grpo")).value[63])
    np.testing.assert_allclose(
        right.lines[1].get_ydata()[0], curves.of(results.arm("grpo")).value[0] - curves.base.value[0]
    )
    assert len(drawn["bands"][0].axes) == 6


def test_a_dozen_looks_differ(tmp_path: Path) -> None:
    from unsharpen.methods import list_methods

    names = list_methods()[:20]
    results = load_results(make_records(tmp_path, names, seeds=1, steps=2, samples=8))
    found = looks(results)
    assert len(set(found.values())) == 20
    assert len({look.colour for look in list(found.values())[:15]}) == 15


def test_labels_keep_their_distance() -> None:
    assert spread([0.0, 0.0], 0.5, 0.0, 1.0) == [0.0, 0.5]
    assert spread([1.0, 1.0, 1.0], 0.25, 0.0, 1.0) == [0.5, 0.75, 1.0]
    assert spread([], 0.1, 0.0, 1.0) == []
    placed = spread(sorted(np.random.default_rng(0).uniform(size=12).tolist()), 0.07, 0.0, 1.0)
    assert np.diff(placed).min() > 0.07 - 1e-12
    assert 0 <= placed[0] <= placed[-1] <= 1 + 1e-12


def test_the_front() -> None:
    assert pareto_front({"a": (0.5, 0.5), "b": (0.5, 0.5)}) == ["a", "b"]  # equals beat each other at nothing
    assert pareto_front({"a": (0.1, 0.1), "b": (0.2, 0.2)}) == ["b"]


def test_catch_up_is_in_the_main_table(root: Path, shown: list[Table]) -> None:
    results = load_results(root)
    curves = Curves(results)
    assert shown[0].rows[2].values[CATCH_UP] == crossover(curves.base, curves.of(results.arm("grpo-low-lr")))
