"""Tables of measures: what they hold, in each form, and the sentences that follow from intervals."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from tests.metrics.tables import random_table

from unsharpen.metrics import Comparison, SampleTable, Summary, compare, summarise
from unsharpen.reports.measures import bands_table, measures_csv, measures_latex, measures_table, sentences


@pytest.fixture(scope="module")
def found() -> tuple[list[Summary], Comparison]:
    table, base = random_table(1, problems=30, label="our_model & co"), random_table(2, problems=30, label="base")
    return [summarise(base), summarise(table)], compare(table, base)


def shown(renderable: object, width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO())
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def model(label: str, *right: int, n: int = 8) -> SampleTable:
    rows = [{"problem_id": str(p), "correct": i < c} for p, c in enumerate(right) for i in range(n)]
    return SampleTable.from_rows(rows, label=label)


def test_the_table_holds_every_measure_and_fits_a_terminal(found: tuple[list[Summary], Comparison]) -> None:
    summaries, comparison = found
    lines = shown(measures_table(summaries, comparison), 80)
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)
    text = " ".join(lines)
    for measure in summaries[1].measures.values():
        if measure.group != "stability":
            assert str(measure.interval) in text, measure.name
    change = comparison.differences["pass@1"].interval
    assert (f"+{change}" if change.value > 0 else str(change)) in text
    assert "G-Pass@16, tau 0.5" in " ".join(shown(measures_table(summaries), 120))


def test_the_bands_hold_each_model(found: tuple[list[Summary], Comparison]) -> None:
    summaries, comparison = found
    lines = shown(bands_table(summaries, comparison), 80)
    assert max(map(len, lines)) <= 80
    assert sum("base" in line for line in lines) == len(summaries[0].bands)
    text = " ".join(" ".join(shown(bands_table(summaries, comparison), 120)).split())
    for band in summaries[0].bands:
        assert f"{band.name}, {band.low} to {band.high} ({band.num_problems})" in text
        assert str(band.measures["effective_solutions"].interval) in text
    assert bands_table([summarise(model("m", 2, 3))]) is None


def test_sentences_where_every_k_is_large() -> None:
    table, base = model("sharp", 10, 0, 20, n=32), model("base", 3, 3, 3, n=32)
    lines = sentences(summarise(table, ks=[20, 32]), compare(table, base, ks=[20, 32]))
    assert any("base's Pass@20" in line for line in lines)
    assert any("base's Pass@32" in line for line in lines)


def test_bands_of_other_problems_stand_under_headings_of_their_own() -> None:
    whole = random_table(1, problems=30, label="all")
    whole = replace(whole, multiplicity=np.arange(1, 31))
    part = replace(whole.select(np.arange(20, 30)), label="part")  # 21 to 30 solutions
    lines = [line.strip() for line in shown(bands_table([summarise(whole), summarise(part)]), 120)]
    heads = {line: lines[i + 1].split()[0] for i, line in enumerate(lines) if "(" in line and " to " in line}
    whose = {"few, 1 to 10 (10)": "all", "medium, 11 to 20 (10)": "all", "many, 21 to 30 (10)": "all"}
    whose |= {"few, 21 to 24 (4)": "part", "medium, 25 to 27 (3)": "part", "many, 28 to 30 (3)": "part"}
    assert heads == whose
    assert sum(line.startswith(("all", "part")) for line in lines) == 6


def test_csv_has_full_precision(found: tuple[list[Summary], Comparison]) -> None:
    summaries, comparison = found
    rows = list(csv.DictReader(io.StringIO(measures_csv(summaries, comparison))))
    assert len(rows) == sum(len(s.measures) for s in summaries) + len(comparison.differences)
    by_name = {(row["model"], row["measure"]): row for row in rows}
    row = by_name["our_model & co", "effective_solutions"]
    measure = summaries[1].measures["effective_solutions"]
    assert float(row["value"]) == measure.interval.value
    assert int(row["undefined"]) == measure.num_undefined
    assert float(by_name["our_model & co - base", "pass@4"]["low"]) == comparison.differences["pass@4"].interval.low
    undefined = list(csv.DictReader(io.StringIO(measures_csv([summarise(model("m", 0, 0))]))))
    assert {row["value"] for row in undefined if row["measure"] == "pass@1"} == {"0.0"}


def test_latex_is_well_formed(found: tuple[list[Summary], Comparison]) -> None:
    summaries, comparison = found
    lines = measures_latex(summaries, comparison).splitlines()
    body = lines[lines.index("\\toprule") + 1 : lines.index("\\bottomrule")]
    rows = [line for line in body if line != "\\midrule"]
    assert len(rows) == 1 + 2 * 3  # heads, then values and intervals of two models and the difference
    (tabular,) = [line for line in lines if "begin{tabular}" in line]
    assert {line.count(" & ") for line in rows} == {len(tabular.split("{")[-1].rstrip("}")) - 1}
    assert all(line.endswith(" \\\\") for line in rows)
    text = "\n".join(lines)
    assert "our\\_model \\& co" in text
    value = summaries[1].pass_at_k[1]
    assert f"${100 * value.value:.1f}$" in text
    assert f"[{100 * value.low:.1f}, {100 * value.high:.1f}]" in text
    assert text.count("{") == text.count("}")
    assert "16 samples for each of 30 problems" in text
    other = [summaries[0], summarise(random_table(1, problems=2, samples=1))]
    text = measures_latex(other)
    assert f"{other[0].label}: 16 samples for each of 30 problems; {other[1].label}: 1 samples for each of 2" in text
    assert "& -- &" in measures_latex([summarise(random_table(1, problems=2, samples=1))])


def test_sentences_follow_from_the_intervals() -> None:
    base, sharp = model("base", *[2] * 20), model("sharp", *[6, 0] * 10)
    said = "\n".join(sentences(summarise(sharp), compare(sharp, base)))
    # Pass@1 is .375 against .25; Pass@8 is .5 against 1; Pass@2: 1/2 (1 - 1/28) = .48 against 1 - 15/28 = .46,
    # Pass@3: .5 against 1 - 20/56 = .64
    assert "Pass@8 of sharp is lower than that of base: -.500 [-.70, -.30]." in said
    assert "Pass@1 of sharp is not measurably different from that of base: +.125" in said
    assert "base catches up at k = 3 [" in said
    assert "sharp never reaches base's Pass@8 of 1.000 within 8 samples." in said
    assert "sharp: 20 problems, 8 samples each, 60 correct." in said
    same = "\n".join(sentences(summarise(base), compare(base, base)))
    assert "base is at least as good from the first sample on." in same
    better = model("better", *[8] * 20)
    told = "\n".join(sentences(summarise(better), compare(better, base)))
    assert "Pass@1 of better is higher than that of base: +.750" in told
    assert "For base's Pass@8 of 1.000, better needs 1.0 [1.0, 1.0] samples (8.0 times fewer)." in told


def test_a_base_without_a_correct_sample_has_nothing_to_be_reached() -> None:
    one, none = model("one", 1), model("none", 0)
    said = "\n".join(sentences(summarise(one), compare(one, none)))
    assert "needs" not in said
    assert "one: 1 problem, 8 samples each, 1 correct." in said


def test_sentences_count_what_was_left_out() -> None:
    table, base = random_table(1, problems=9), random_table(2, problems=12, label="base")
    said = "\n".join(sentences(summarise(table), compare(table, base, common=True)))
    assert "Compared on 9 common problems; left out: 0 only in m, 3 only in base." in said
    few = summarise(random_table(3, problems=12, samples=3))
    undefined = few.measures["effective_solutions"].num_undefined
    assert undefined
    assert f"Diversity is undefined for the {undefined} problems" in "\n".join(sentences(few))
