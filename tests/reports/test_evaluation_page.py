"""The page about evaluations in headless Chromium: numbers, keyboard, both schemes, hostile samples, no requests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.reports.chromium import CHROMIUM, use
from tests.reports.evaluations import HOSTILE, hostile_table, table

from unsharpen.metrics import SampleTable, pass_at_k_curve
from unsharpen.reports.evaluation import evaluation_page, evaluation_rows, models_of

READER = Path(__file__).with_name("evaluation_reader.js").read_text("utf-8")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")


def written(tables: list[SampleTable], path: Path, title: str = "Made models") -> Path:
    models = models_of(tables)
    page = evaluation_page(models, evaluation_rows(models), title=title)
    path.write_text(page, "utf-8", errors="replace")
    return path


@pytest.fixture(scope="module")
def tables() -> list[SampleTable]:
    return [table("base", 1.0), table("GRPO", 3.0), table("DS-GRPO", 1.7)]


@pytest.fixture(scope="module", params=["light on a phone", "dark on a desk"])
def found(request: Any, tables: list[SampleTable], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("pages")
    pages = {
        "report": written(tables, folder / "report.html"),
        "hostile": written([hostile_table(), hostile_table()], folder / "hostile.html", HOSTILE[0]),
        "alone": written([table("base", 1.0, problems=3, n=1)], folder / "alone.html"),
    }
    dark = request.param.startswith("dark")
    return {**use(pages, READER, folder, width=1280 if dark else 390, dark=dark), "dark": dark}


@pytest.fixture(params=["report", "hostile", "alone"])
def each(request: Any, found: dict[str, Any]) -> dict[str, Any]:
    return dict(found[request.param])


@pytest.fixture
def page(found: dict[str, Any]) -> dict[str, Any]:
    return dict(found["report"])


def test_it_opens_without_errors_and_loads_nothing(each: dict[str, Any]) -> None:
    assert each["errors"] == []
    assert each["loaded"] == []
    assert each["broken"] is None


def test_every_control_has_a_name_and_the_grid_one_tab_stop(each: dict[str, Any]) -> None:
    assert each["unlabelled"] == []
    assert each["unnamed"] == 0
    assert each["stops"] == [1, 1]


def test_it_fits_the_screen(each: dict[str, Any], found: dict[str, Any]) -> None:
    width, room, used = each["width"]
    assert width == (1280 if found["dark"] else 390)
    assert used == room, each["wide"]  # nothing to scroll sideways


def test_it_follows_the_scheme_and_can_be_read(each: dict[str, Any], found: dict[str, Any]) -> None:
    assert (each["page"] < 0.1) is found["dark"]
    assert min(each["contrast"].values()) >= 4.5, each["contrast"]  # WCAG 2.2, AA


def test_hostile_texts_stay_texts(found: dict[str, Any]) -> None:
    hostile = found["hostile"]
    assert hostile["hacked"] is None
    assert hostile["foreign"] == 0
    assert hostile["title"] == HOSTILE[0]
    shown = hostile["opened"][1]
    assert '</script><script>window.hacked = "script"</script>' in shown
    assert "<img src=x onerror=\"window.hacked='image'\">" in shown
    assert "{{SCRIPT}} {{DATA}} ${1+1}" in shown
    groups = [g for each in hostile["samples"].values() for model in each for g in model["groups"]]
    assert max(len(text) for g in groups for text in g["texts"]) < 4_100  # of 150,000
    assert any("characters left out" in text for g in groups for text in g["texts"])


def test_numbers_are_those_of_the_samples(page: dict[str, Any], tables: list[SampleTable]) -> None:
    for model, made in zip(page["data"], tables, strict=True):
        ks, values = pass_at_k_curve(made.num_samples, made.num_correct)
        assert (model["label"], model["ks"]) == (made.label, ks.tolist())
        np.testing.assert_allclose([c[0] for c in model["curves"]["Pass@k"]], values, atol=6e-6)
        assert all(low <= value <= high for value, low, high in model["curves"]["Pass@k"])
        assert (model["n"], model["c"]) == (made.num_samples.tolist(), made.num_correct.tolist())
        naive = [
            len({made.answers[i] for i in range(len(made.problem)) if made.problem[i] == p and made.correct[i]})
            for p in range(made.num_problems)
        ]
        assert model["distinct"] == naive
    for p, models in page["samples"].items():
        for model, made in zip(models, tables, strict=True):
            counts = {True: 0, False: 0}
            for group in model["groups"]:
                counts[group["correct"]] += group["count"]
            right = int(made.num_correct[int(p)])
            assert counts == {True: right, False: int(made.num_samples[int(p)]) - right}
            assert model["rest"] == [0, 0]


def test_the_curves_are_told_at_any_k(page: dict[str, Any]) -> None:
    k, spoken, rows = page["last"]
    assert (k, len(rows)) == ("32", 3)
    assert spoken.startswith("k = 32: base .")
    assert "GRPO ." in spoken
    assert page["first"][0] == "1"
    assert page["hovered"] == "32"
    value = page["data"][0]["curves"]["Pass@k"][0][0]
    assert f"{value:.3f}".removeprefix("0") in page["first"][2][0]


def test_other_measures_are_drawn_and_told(page: dict[str, Any], found: dict[str, Any]) -> None:
    names = ["Pass@k", "maj@k", "G-Pass@k, half right", "G-Pass@k, all right"]
    assert list(page["measures"]) == names
    for name, (meaning, rows, alt) in page["measures"].items():
        assert meaning.startswith(f"{name}: the chance that ")
        assert alt.startswith(f"{name} over k. base: from .")
        at = [model["curves"][name][-1][0] for model in page["data"]]  # the pointer stood at k = 32
        assert [row.removeprefix(model["label"])[:4] for row, model in zip(rows, page["data"], strict=True)] == [
            f"{value:.3f}"[-4:] if value < 1 else "1.00" for value in at
        ]
    assert list(found["hostile"]["measures"]) == names


def test_tables_beyond_pass_at_k(page: dict[str, Any], found: dict[str, Any]) -> None:
    tables = page["tables"]
    assert "mG-Pass@32" in tables["votes"]
    assert "base's Pass@16 of ." in tables["efficiency"]
    assert "times fewer" in tables["efficiency"]
    assert "many: " in tables["bands"]
    assert found["hostile"]["tables"]["bands"] is None  # nobody knows how many solutions exist
    alone = found["alone"]["tables"]  # one model, one sample
    assert (alone["votes"], alone["efficiency"]) == (None, None)
    assert "1 problems" not in alone["bands"]


def test_models_can_be_hidden(page: dict[str, Any]) -> None:
    assert page["lines"] == [3, 2, 3]


def test_the_grid_is_used_with_keys(page: dict[str, Any]) -> None:
    assert page["rows"] == ["Problems 1 to 25 of 60", 25, "61"]
    first = "Problems 1 to 25 of 60"
    assert page["moves"] == {
        "down": [[1, 0], first],
        "right": [[1, 1], first],
        "end": [[1, 3], first],
        "home": [[1, 0], first],
        "last": [[9, 0], "Problems 51 to 60 of 60"],
        "first": [[0, 0], first],
        "page": [[0, 0], "Problems 26 to 50 of 60"],
        "back": [[0, 0], first],
    }


def test_a_chosen_problem_opens_the_samples_and_escape_leads_back(page: dict[str, Any]) -> None:
    where, shown, wanted = page["opened"]
    assert where == "samples"
    assert re.search(r"Make \d+ from", wanted)[0] in shown  # type: ignore[index]
    for words in ("✓ correct ×", "✗ wrong ×", "Reason: wrong value", "Let us try", "distinct solutions (effective "):
        assert words in page["browser"]
    assert page["returned"] == [0, 0]
    assert page["next"][0] == "Next problem"


def test_the_order_can_be_chosen(page: dict[str, Any], tables: list[SampleTable]) -> None:
    rates = [made.num_correct / made.num_samples for made in tables]
    for order, key in {
        "hardest first": rates[0],
        "easiest first": -rates[0],
        "GRPO lost most": rates[1] - rates[0],
        "DS-GRPO gained most": rates[0] - rates[2],
        "as in the data": np.arange(60),
    }.items():
        first = int(np.argmin(key))
        assert f"Make {first + 10} from" in page["orders"][order], order
    assert 0 <= float(page["colour"]) <= 1


def test_verdicts_and_spread_are_told(page: dict[str, Any], found: dict[str, Any]) -> None:
    assert [card.partition(" — ")[0] for card in page["cards"]] == ["GRPO", "DS-GRPO"]
    assert "sharpened" in page["cards"][0]
    assert "base solves" in page["spread"]
    (alone,) = found["alone"]["cards"]
    assert "no comparison" in alone
