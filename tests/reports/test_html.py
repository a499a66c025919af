"""The HTML page and its verdicts: well-formed, self-contained, escaped, and true to the counts."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from unsharpen.errors import InputError
from unsharpen.metrics import Interval
from unsharpen.reports import Run, comparisons, load_run, summary_table, verdicts, write_report
from unsharpen.reports.html import command
from unsharpen.reports.verdict import judge

MakeRun = Callable[..., Path]
VOID = {"meta", "br", "img", "hr", "link", "input"}


class Page(HTMLParser):
    """Checks nesting and collects tags, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.words = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture
def runs(make_run: MakeRun) -> list[Run]:
    return [load_run(make_run(method, method=method)) for method in ("grpo", "ds-grpo")]


def test_page_is_well_formed_and_loads_nothing(runs: list[Run], tmp_path: Path) -> None:
    text = write_report(runs, tmp_path / "deep" / "report.html", title="Demo").read_text()
    page = Page(text)
    assert (page.tags["h1"], page.tags["svg"], page.tags["table"], page.tags["details"]) == (1, 2, 2, 2)
    assert page.tags["caption"] == page.tags["table"]
    assert page.tags["script"] + page.tags["link"] + page.tags["img"] == 0
    loads = [value for _, name, value in page.attributes if name in ("src", "href", "xlink:href")]
    assert all(value.startswith("#") for value in loads)
    assert not re.search(r"url\((?!#)|@import", text)
    ids = Counter(value for _, name, value in page.attributes if name == "id")
    assert max(ids.values()) == 1
    targets = {value[1:] for value in loads} | set(re.findall(r"url\(#([^)]+)\)", text))
    assert targets <= set(ids)
    assert all(dict_["aria-label"] for dict_ in _attributes(page, "svg"))


def test_numbers_on_the_page_are_those_of_the_table(runs: list[Run], tmp_path: Path) -> None:
    words = Page(write_report(runs, tmp_path / "r.html").read_text()).words
    for row in summary_table(runs).rows:
        assert row.label in words
        for value in row.values.values():
            assert "—" in words if value is None else str(value).replace(" [", "[") in words
    for verdict in verdicts(runs):
        assert verdict.text in words
    assert all(text in words for text in comparisons(runs))
    assert "few: " in words


def test_single_run_without_multiplicity_and_diversity(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run(problems=20)
    rows = [json.loads(line) for line in (folder / "evaluation.jsonl").read_text().splitlines()]
    for row in rows:
        del row["multiplicity"], row["distinct_correct"], row["effective_solutions"]
    (folder / "evaluation.jsonl").write_text("\n".join(map(json.dumps, rows)))
    page = Page(write_report([load_run(folder)], tmp_path / "r.html").read_text())
    assert page.tags["table"] == 1
    assert "By number of solutions" not in page.words


def test_what_comes_from_files_is_escaped(make_run: MakeRun, tmp_path: Path) -> None:
    evil = '<script>alert("x")</script>'
    folder = make_run(method=evil, model=evil, task=evil, command=f"unsharpen train {evil}", versions={evil: evil})
    text = write_report([load_run(folder)], tmp_path / "r.html", title=evil).read_text()
    assert "<script" not in text
    page = Page(text)
    assert page.tags["script"] == 0
    assert page.words.count(evil) >= 5


def test_an_untrained_run_says_so(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run()
    first = (folder / "evaluation.jsonl").read_text().splitlines()[0]
    (folder / "evaluation.jsonl").write_text(first + "\n")
    run = load_run(folder)
    assert verdicts([run])[0].outcome == "not trained"
    assert "not trained" in write_report([run], tmp_path / "r.html").read_text()


def test_verdict_numbers(runs: list[Run]) -> None:
    grpo, smoothed = verdicts(runs)
    assert grpo.outcome == "sharpened"
    base, final = runs[0].base, runs[0].final
    before, after = (f"{e.pass_at(64).mean():.2f}".removeprefix("0") for e in (base, final))
    assert f"Pass@64 {before} → {after} (−" in grpo.text
    assert "The base model catches up at k = " in smoothed.text
    (comparison,) = comparisons(runs)
    assert comparison.startswith("DS-GRPO against GRPO: it solves more problems in 64 tries (+.")
    gain = np.mean(runs[1].final.pass_at(64) - final.pass_at(64))
    assert f"(+{gain:.2f}".replace("0.", ".") in comparison


@pytest.mark.parametrize(
    ("first", "many", "outcome"),
    [
        ((0.1, 0.2), (-0.2, -0.1), "sharpened"),
        ((0.1, 0.2), (-0.04, 0.1), "kept"),
        ((0.1, 0.2), (-0.06, 0.1), "unclear"),
        ((0.1, 0.2), (0.1, 0.2), "better at both"),
        ((-0.1, 0.1), (-0.2, -0.1), "narrowed"),
        ((-0.1, 0.1), (0.1, 0.2), "widened"),
        ((-0.1, 0.1), (-0.1, 0.1), "unchanged"),
        ((-0.2, -0.1), (-0.1, 0.1), "worse"),
    ],
)
def test_outcomes_follow_from_the_intervals(
    first: tuple[float, float], many: tuple[float, float], outcome: str
) -> None:
    one, more = (Interval(sum(bounds) / 2, *bounds) for bounds in (first, many))
    assert judge(one, more, 64)[0] == outcome


def test_other_problems_are_not_compared(make_run: MakeRun) -> None:
    a = load_run(make_run("a", problems=30))
    b = load_run(make_run("b", method="ds-grpo", problems=40))
    assert comparisons([a, b]) == []


def test_command_quotes_its_words(make_run: MakeRun) -> None:
    run = load_run(make_run(method="ds-grpo", model="my model"))
    assert command(run).startswith("unsharpen train --method ds-grpo --task countdown --model 'my model' --seed 0")
    assert "--method-arg gamma_p=0.1 --method-arg gamma_n=0.1 --set learning_rate=3e-05" in command(run)
    assert command(load_run(make_run("given", command="unsharpen demo"))) == "unsharpen demo"


def test_refuses(runs: list[Run], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one run"):
        write_report([], tmp_path / "r.html")
    with pytest.raises(InputError, match="writable path"):
        write_report(runs, tmp_path)


def _attributes(page: Page, tag: str) -> list[dict[str, str]]:
    """The attributes of each <tag>, told apart by their first attribute."""
    found: list[dict[str, str]] = []
    for name, key, value in page.attributes:
        if name == tag:
            if key == "role":
                found.append({})
            found[-1][key] = value
    return found
