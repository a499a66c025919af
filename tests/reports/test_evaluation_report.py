"""The report on evaluations without a browser: verdicts, tables, caps, escaping, files."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.reports.evaluations import HOSTILE, hostile_table, rows, table

from unsharpen.errors import InputError
from unsharpen.metrics import Interval, SampleTable, bootstrap_mean, crossover, pass_at_k
from unsharpen.reports.evaluation import (
    evaluation_page,
    evaluation_rows,
    models_of,
    verdicts,
    write_evaluation_report,
)
from unsharpen.reports.evaluation import payload as payload_module
from unsharpen.reports.evaluation.about import about_html
from unsharpen.reports.evaluation.compare import bootstrap_columns, points
from unsharpen.reports.evaluation.payload import payload, to_script


def counted(label: str, correct: list[int], n: int, *, solution: str | None = "s", first: int = 0) -> SampleTable:
    """A table from counts: problem i has n samples, the first correct[i] of them right."""
    made = [
        {"problem_id": str(first + p), "correct": i < c, "canonical": solution if i < c else None}
        for p, c in enumerate(correct)
        for i in range(n)
    ]
    return SampleTable.from_rows(made, label=label)


def judged(*tables: SampleTable) -> list[tuple[str, str]]:
    models = models_of(tables)
    return [(v.outcome, v.text) for v in verdicts(models, evaluation_rows(models))]


def test_columns_are_bootstrapped_as_one_by_one() -> None:
    columns = [np.random.default_rng(i).random(70) for i in range(3)]
    for ours, column in zip(bootstrap_columns(columns), columns, strict=True):
        theirs = bootstrap_mean(column)
        np.testing.assert_allclose(
            [ours.value, ours.low, ours.high], [theirs.value, theirs.low, theirs.high], rtol=1e-12
        )


def test_a_sharpened_model_is_told_with_its_numbers() -> None:
    base = counted("base", [8] * 40, 64)  # Pass@1 .125, Pass@64 1
    trained = counted("trained", [64] * 20 + [0] * 20, 64)  # .5 at every k
    ((outcome, text),) = judged(base, trained)
    assert outcome == "sharpened"
    assert text.startswith("Pass@1 +37.5 [")
    assert "; Pass@64 −50.0 [" in text
    found = crossover(64, [8] * 40, 64, [64] * 20 + [0] * 20)
    assert f"Overtaken by base from k = {found.k} [" in text
    # 1 - C(56, k) / C(64, k) >= .5 first at k = 5: 1 - (56 55 54 53 52) / (64 63 62 61 60) = .499, at 6 .567
    assert found.k == 6
    assert text.endswith(
        "Two correct samples are different solutions with probability .00 against .00, about as often "
        "(problems that both solve twice: 20)."
    )


@pytest.mark.parametrize(("n", "accuracy"), [(64, 0.3), (8, 0.9)])
def test_more_samples_or_more_right_ones_are_not_more_ways(n: int, accuracy: float) -> None:
    """10 solutions, equally likely, in each model: effective solutions grow with the correct samples, ways don't."""

    def model(label: str, n: int, accuracy: float) -> SampleTable:
        rng = np.random.default_rng(n)
        made = [
            {"problem_id": str(p), "correct": bool(rng.random() < accuracy), "canonical": f"s{rng.integers(10)}"}
            for p in range(60)
            for _ in range(n)
        ]
        return SampleTable.from_rows(made, label=label)

    models = models_of([model("few", 8, 0.3), model("more", n, accuracy)])
    few, more = (np.nanmean(one.effective) for one in models)
    assert more > 1.4 * few
    (verdict,) = verdicts(models, evaluation_rows(models))
    assert ", about as often (" in verdict.text


def test_fewer_ways_are_told() -> None:
    base = table("base", 0.5, problems=40, n=16)
    ((_, text),) = judged(base, table("GRPO", 3.0, problems=40, n=16))
    assert ", less often (" in text


@pytest.mark.parametrize(
    ("base", "other", "outcome", "words"),
    [
        (counted("b", [1, 2] * 20, 8), counted("t", [1, 2] * 20, 8), "undecided", "can be told from chance"),
        (counted("b", [1, 2] * 20, 8), counted("t", [6, 7] * 20, 8), "kept", "b draws level at k = 8 [8, 8]."),
        (counted("b", [1, 0] * 20, 8), counted("t", [6, 7] * 20, 8), "better at both", "Not overtaken by b within 8 "),
        (counted("b", [1] * 9, 1), counted("t", [0] * 9, 1), "worse", "With one sample a problem nothing"),
        (counted("b", [1] * 9, 4), counted("t", [1] * 9, 4, first=50), "not comparable", "No problem in common with b"),
        (
            counted("b", [1] * 9, 4),
            counted("t", [1] * 9, 4, first=5),
            "undecided",
            "the 4 problems that both answered; 10",
        ),
        (counted("b", [1] * 9, 4), counted("t", [1] * 9, 4, solution=None), "undecided", "Diversity can't be told"),
    ],
)
def test_verdicts(base: SampleTable, other: SampleTable, outcome: str, words: str) -> None:
    ((found, text),) = judged(base, other)
    assert found == outcome
    assert words in text


def test_one_model_has_numbers_but_no_verdict() -> None:
    ((outcome, text),) = judged(counted("b", [2] * 5, 4))
    assert outcome == "no comparison"
    assert text.startswith("Pass@1 .500 [.50, .50]; Pass@4 1.000 [1.00, 1.00].")
    ((_, text),) = judged(counted("b", [0] * 5, 4))
    assert "Diversity can't be told" in text


def test_rows_are_those_of_the_metrics() -> None:
    tables = [table("base", 1.0, problems=30, n=16), table("GRPO", 3.0, problems=30, n=16)]
    base, grpo = evaluation_rows(models_of(tables))
    assert list(base.values) == [
        *("Pass@1", "Pass@8", "Pass@16"),
        *("distinct solutions", "effective solutions", "overtaken at k"),
    ]
    for made, row in zip(tables, (base, grpo), strict=True):
        for k in (1, 8, 16):
            values = pass_at_k(made.num_samples, made.num_correct, k)
            assert str(row.values[f"Pass@{k}"]) == str(bootstrap_mean(values))
    assert base.values["overtaken at k"] is None
    assert str(grpo.values["overtaken at k"]) == str(
        crossover(tables[0].num_samples, tables[0].num_correct, tables[1].num_samples, tables[1].num_correct)
    )


def test_problems_are_paired_by_id_not_by_order() -> None:
    made = rows(1.0, problems=12, n=8, seed=3)
    back = [row for row in made if int(row["problem_id"]) % 2] + [row for row in made if not int(row["problem_id"]) % 2]
    one, other = (SampleTable.from_rows(each, label=name) for each, name in ((made, "a"), (back, "b")))
    assert one.problem_ids != other.problem_ids
    ((outcome, text),) = judged(one, other)
    assert outcome == "undecided"
    assert text.startswith("Pass@1 0.0 [0.0, 0.0]; Pass@8 0.0 [0.0, 0.0].")


def test_points() -> None:
    assert points(Interval(0.041, 0.02, 0.063)) == "+4.1 [+2.0, +6.3]"
    assert points(Interval(-0.098, -0.2, 0.0001)) == "−9.8 [−20.0, 0.0]"


def test_the_page_and_what_lies_beside_it(tmp_path: Path) -> None:
    page = write_evaluation_report(
        [table("base", 1.0, problems=8, n=4), table("GRPO", 3.0, problems=8, n=4)], tmp_path / "new" / "report.html"
    )
    assert sorted(path.name for path in page.parent.iterdir()) == [
        *("heat-map.png", "heat-map.svg", "pass-at-k.png", "pass-at-k.svg", "report.html", "results.tex"),
    ]
    text = page.read_text("utf-8")
    assert not re.search(
        r"(?:src|href)=|@import|url\(|\bfetch\(|XMLHttpRequest|https?:(?!//www\.w3\.org/2000/svg)", text
    )
    assert text.count("<script") == text.count("</script>") == 2
    assert "script-src 'sha256-" in text
    for words in (
        "temperature 1.0",
        "8 problems",
        "4 samples each",
        "sharpened" if "sharpened" in text else "undecided",
    ):
        assert words in text
    assert "\\begin{tabular}{lrrrrr" in (page.parent / "results.tex").read_text("utf-8")


def heading(*tables: SampleTable) -> str:
    return about_html(models_of(tables))


def test_what_all_share_is_said_once() -> None:
    assert heading(table("a", 1.0, problems=8, n=4), table("b", 1.0, problems=8, n=4)) == (
        '<p class="quiet">task countdown · split test · temperature 1.0 · top_p 1.0 · 8 problems · 4 samples each</p>'
    )


def test_settings_that_differ_are_in_the_heading_with_whose_they_are() -> None:
    cold = table("cold", 1.0, problems=8, n=2, temperature=0.3, stop=["\n"], system="<b>", seed=3)
    warm = [table(name, 1.0, problems=8, n=4, stop=[], system=None) for name in ("base", "warm")]
    shared, own = heading(*warm, cold).split("\n", 1)
    assert "temperature" not in shared
    assert "top_p 1.0 · 8 problems · 2 to 4 samples each" in shared
    assert own == (
        "<p><strong>Not the same for all:</strong> temperature 1.0 (base, warm), 0.3 (cold); "
        "stop [] (base, warm), [&quot;\\n&quot;] (cold); system none (base, warm), &lt;b&gt; (cold); "
        "samples of each problem 4 (base, warm), 2 (cold)</p>"
    )


def test_settings_that_nobody_recorded_are_not_claimed_for_all() -> None:
    known = table("base", 1.0, problems=8, n=4, top_k=20)
    silent = replace(known, label="log", settings={"task": "countdown"})
    found = heading(known, silent)
    assert "temperature 1.0 (base), not recorded (log)" in found
    assert "top_k" not in found
    assert "temperature" not in heading(silent, silent)
    page = evaluation_page(models_of([known, silent]), evaluation_rows(models_of([known, silent])), title="t")
    assert "Not the same for all:" in page


def test_hostile_texts_end_no_script_and_make_no_element() -> None:
    models = models_of([hostile_table(), hostile_table()])
    text = evaluation_page(models, evaluation_rows(models), title=HOSTILE[0])
    assert text.count("<script") == text.count("</script>") == 2
    assert "<img" not in text
    assert 'onerror="' not in text
    data = re.search(r'id="data">(.*?)</script>', text, flags=re.DOTALL)
    assert data is not None
    assert data[1].isascii()
    assert not set("<>&") & set(data[1])
    assert HOSTILE[0] in json.loads(data[1])["models"][0]["label"]
    assert json.loads(to_script(HOSTILE)) == HOSTILE


def test_a_large_evaluation_gives_a_bounded_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload_module, "_BROWSED", 20)
    monkeypatch.setattr(payload_module, "_TEXT_BUDGET", 40_000)
    made = table("base", 1.0, problems=300, n=16)
    made = replace(made, completions=[text + "x" * 5_000 for text in made.completions or ()])
    data, caps = payload(models_of([made, made]))
    assert (caps.browsed, caps.problems, caps.per_group, caps.longest) == (20, 300, 1, 200)
    assert "Samples of 20 of 300 problems" in caps.text
    assert len(data["samples"]) == 20
    assert len(data["models"][0]["c"]) == 300
    texts = [t for each in data["samples"].values() for m in each for g in m["groups"] for t in g["texts"]]
    assert all("characters left out" in text for text in texts)
    assert sum(map(len, texts)) < 20 * 2 * 12 * 300
    rates = made.num_correct / made.num_samples
    shown = rates[[int(p) for p in data["samples"]]]
    assert (shown.min(), shown.max()) == (rates.min(), rates.max())  # from the hardest to the easiest


def test_rare_answers_beyond_the_cap_are_counted() -> None:
    made = [{"problem_id": "p", "correct": True, "canonical": f"s{i}", "completion": "x"} for i in range(30)]
    data, _ = payload(models_of([SampleTable.from_rows(made, label="m")]))
    (found,) = data["samples"]["0"]
    assert len(found["groups"]) == 12
    assert found["rest"] == [18, 18]


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ([], "at least one table"),
        ([SampleTable.from_rows([], label="m")], "at least one problem; m has none"),
        (
            [
                SampleTable(
                    label="m",
                    problem_ids=["a", "b"],
                    problem=np.zeros(1, dtype=np.int64),
                    correct=np.ones(1, dtype=bool),
                    answers=np.full(1, -1),
                )
            ],
            "1 of 2 of m have none .first: 'b'.",
        ),
    ],
)
def test_refuses(tables: list[SampleTable], words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        write_evaluation_report(tables, tmp_path / "r.html")


def test_an_unwritable_path(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="writable path"):
        write_evaluation_report([table("base", 1.0, problems=2, n=2)], tmp_path)


def test_paths_of_models_are_shortened_to_what_names_the_run() -> None:
    names = [
        "/data/runs/grpo/seed-0/model",
        "/data/runs/grpo/seed-1/model",
        "/other/grpo/seed-1/model",
        "org/name",
        "/",
    ]
    shown = [model.label for model in models_of([counted(name, [1], 2) for name in names])]
    assert shown == ["grpo/seed-0", "grpo/seed-1 (1)", "grpo/seed-1 (2)", "org/name", "/"]
