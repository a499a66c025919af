"""The interactive page: its numbers against Python's in real engines, its links to nothing, its words."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.reports.explorer_reference import FRONTIER_POINTS, PAGE_POINTS, numbers

from unsharpen.errors import InputError
from unsharpen.reports.explorer import explorer_page, write_explorer

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NODE = shutil.which("node")
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--virtual-time-budget=5000", "--dump-dom"),
)
START: dict[str, Any] = {
    "correct": 6,
    "wrong": 6,
    "mass": 0.3,
    "lead_correct": 10,
    "lead_wrong": 10,
    "beta": 0.5,
    "gamma": 0.3,
    "gamma_p": 0.3,
    "gamma_n": 0,
    "group_size": 8,
    "learning_rate": 0.5,
    "steps": 20,
    "stage": "advantage",
    "budget_of": "bonus",
}
# Where formulas have corners: one correct completion, uniform classes, no coefficient, the counterexample CE1.
CORNERS = [
    START,
    {**START, "correct": 1, "wrong": 1},
    {**START, "lead_correct": 1, "lead_wrong": 1, "gamma_n": 0.4},
    {**START, "gamma": 0, "gamma_p": 0, "budget_of": "vanilla"},
    {**START, "correct": 2, "wrong": 1, "mass": 0.9, "lead_correct": 17, "beta": 0.2, "gamma": 2, "gamma_p": 0.2},
    {**START, "mass": 0.999, "beta": 0.05, "gamma": 5, "gamma_p": 5, "gamma_n": 5, "stage": "reward"},
]


def random_settings(count: int, seed: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)

    def one() -> dict[str, Any]:
        return {
            "correct": int(rng.integers(1, 13)),
            "wrong": int(rng.integers(1, 13)),
            "mass": float(rng.uniform(0.01, 0.99)),
            "lead_correct": float(10 ** rng.uniform(0, 3)),
            "lead_wrong": float(10 ** rng.uniform(0, 3)),
            "beta": float(10 ** rng.uniform(-1, 1)),
            "gamma": float(rng.choice([0, 1]) * 10 ** rng.uniform(-2, 0.5)),
            "gamma_p": float(10 ** rng.uniform(-2, 0.5)),
            "gamma_n": float(rng.choice([0, 1]) * 10 ** rng.uniform(-2, 0)),
            "group_size": int(rng.choice([2, 3, 8, 64])),
            "learning_rate": float(10 ** rng.uniform(-2, 0)),
            "steps": int(rng.integers(1, 20)),
            "stage": str(rng.choice(["advantage", "reward"])),
            "budget_of": str(rng.choice(["bonus", "vanilla", "smoothed"])),
        }

    return [one() for _ in range(count)]


SETTINGS = [*CORNERS, *random_settings(46, seed=3)]
ENCODE = "JSON.stringify(%s, (_, x) => (x === Infinity ? 'inf' : x))"  # JSON has no infinity


def decoded(text: str) -> Any:
    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: walk(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [walk(inner) for inner in value]
        return float("inf") if value == "inf" else value

    return walk(json.loads(text))


def run_in_node(script: str, folder: Path) -> Any:
    """The value of a JavaScript expression, with the page's first script loaded."""
    compute = files("unsharpen.reports").joinpath("explorer", "compute.js").read_text("utf-8")
    (folder / "run.js").write_text(f"{compute}\nconsole.log({ENCODE % script});", "utf-8")
    done = subprocess.run([str(NODE), "run.js"], cwd=folder, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return decoded(done.stdout)


# Runs inside the page: uses it as a reader would, and collects what came of it.
READER = """
const errors = [], result = {}, $ = (id) => document.getElementById(id);
addEventListener("error", (event) => errors.push(event.message));
const texts = (selector) => [...document.querySelectorAll(selector)].map((e) => e.textContent);
const give = (id, value, event) => { $(id).value = value; $(id).dispatchEvent(new Event(event, { bubbles: true })); };
const text = (id) => $(id).textContent;
const state = () => ({ step: $("at").valueAsNumber, play: text("play"), now: text("training-words") });
result.numbers = SETTINGS.map(unsharpen.compute);
result.start = { preset: $("preset").value, hash: location.hash, warnings: texts("#warnings li"), ...state() };
const unlike = (selector, test) => [...document.querySelectorAll(selector)].filter((e) => !test(e)).map((e) => e.id);
result.unlabelled = unlike("input, select", (e) => e.labels.length);
result.unnamed = unlike(".chart svg, .grid svg", (e) => e.getAttribute("aria-label"));
give("gamma_p", $("gamma_p").max, "input");
give("gamma_n", $("gamma_n").max, "input");
result.extreme = { hash: location.hash, warnings: texts("#warnings li"), said: $("gamma_p").ariaValueText };
$("rewind").click();
result.rewound = state();
$("one").click();
result.one = state();
$("play").click();
result.playing = state();
$("play").click();
result.paused = state();
give("preset", "A counterexample: the bonus can't be matched", "change");
result.counterexample = { answer: text("answer"), words: text("domination") };
document.querySelectorAll("details").forEach((e) => { e.open = true; });
const { clientWidth, scrollWidth } = document.documentElement;
result.width = { frame: innerWidth, room: clientWidth, used: scrollWidth };
location.hash = "#correct=1&gamma_p=nonsense&beta=-3&unknown=2";
setTimeout(() => {
  result.address = { correct: text("correct-value"), gamma_p: text("gamma_p-value") };
  result.summary = text("summary");
  result.broken = texts("main").join(" ").match(/NaN|undefined|Infinity|null/g);
  result.errors = errors;
  parent.postMessage(ENCODED, "*");
}, 1500);
"""


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a reader with a phone finds in the very page that the command writes; one start of Chromium for all."""
    if CHROMIUM is None:
        pytest.skip("needs chromium")
    folder = tmp_path_factory.mktemp("explorer")
    script = READER.replace("SETTINGS", json.dumps(SETTINGS)).replace("ENCODED", ENCODE % "result")
    page = write_explorer(folder / "explore.html")
    page.write_text(page.read_text("utf-8").replace("</body>", f"<script>{{{script}}}</script></body>"), "utf-8")
    (folder / "phone.html").write_text(
        '<iframe src="explore.html" style="border: 0; width: 390px; height: 900px"></iframe><pre id="found"></pre>'
        "<script>onmessage = (e) => { document.getElementById('found').textContent = e.data; };</script>",
        "utf-8",
    )
    command = [CHROMIUM, *QUIET, f"--user-data-dir={folder / 'profile'}", (folder / "phone.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    found = re.search(r'<pre id="found">(.+?)</pre>', done.stdout, flags=re.DOTALL)
    assert found is not None, done.stderr[-2000:]
    return decoded(html.unescape(found[1]))


def differences(found: Any, expected: Any, where: str = "") -> Iterator[str]:
    """Where two trees of numbers differ by more than 1e-9, absolute or relative."""
    if isinstance(expected, dict):
        for key in expected:
            yield from differences(found[key], expected[key], f"{where}.{key}")
    elif isinstance(expected, list) and expected and isinstance(expected[0], dict):
        if len(found) != len(expected):
            yield f"{where}: {len(found)} entries, expected {len(expected)}"
        for i, pair in enumerate(zip(found, expected, strict=False)):
            yield from differences(*pair, f"{where}[{i}]")
    else:
        ours, theirs = np.asarray(found, dtype=float), np.asarray(expected, dtype=float)
        if ours.shape != theirs.shape:
            yield f"{where}: shape {ours.shape}, expected {theirs.shape}"
        elif not np.allclose(ours, theirs, rtol=1e-9, atol=1e-9):
            gap = np.abs(ours - theirs).max()
            yield f"{where}: off by {gap:.3g}, e.g. {ours.reshape(-1)[0]} for {theirs.reshape(-1)[0]}"


@pytest.fixture(scope="module")
def expected() -> list[Any]:
    return [numbers(settings) for settings in SETTINGS]


def check_against_python(results: list[Any], expected: list[Any]) -> None:
    for settings, found, wanted in zip(SETTINGS, results, expected, strict=True):
        found["frontier"] = found["frontier"][:: (PAGE_POINTS - 1) // (FRONTIER_POINTS - 1)]
        wrong = list(differences(found, wanted))
        assert not wrong, (settings, wrong)


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_numbers_equal_python_in_node(tmp_path: Path, expected: list[Any]) -> None:
    check_against_python(run_in_node(f"{json.dumps(SETTINGS)}.map(unsharpen.compute)", tmp_path), expected)


def test_numbers_equal_python_in_chromium(reader: Any, expected: list[Any]) -> None:
    check_against_python(reader["numbers"], expected)


def test_differences_are_found() -> None:
    assert list(differences({"x": [1.0, 2.0]}, {"x": np.array([1.0, 2.0 + 1e-8])}))
    assert list(differences({"x": float("inf")}, {"x": 1.0}))
    assert list(differences([{"a": 1}], [{"a": 1}, {"a": 2}]))
    assert not list(differences({"x": float("inf"), "y": True}, {"x": np.inf, "y": np.True_}))


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_bad_settings_are_refused(tmp_path: Path) -> None:
    bad = [
        {"beta": 0},
        {"beta": "1"},
        {"gamma_p": -1},
        {"correct": 0},
        {"correct": 1.5},
        {"mass": 1},
        {"stage": "both"},
    ]
    attempt = "(s) => { try { unsharpen.compute(s); return null; } catch (error) { return error.message; } }"
    messages = run_in_node(f"{json.dumps([{**START, **each} for each in bad])}.map({attempt})", tmp_path)
    for each, message in zip(bad, messages, strict=True):
        (name,) = each
        assert message.startswith(f"{name} must be ")
        assert str(each[name]) in message


def test_the_page_opens_without_errors(reader: Any) -> None:
    assert reader["errors"] == []
    assert reader["broken"] is None
    assert reader["unlabelled"] == []
    assert reader["unnamed"] == []
    assert reader["start"]["preset"] == "Many solutions"
    assert reader["start"]["step"] == 200


def test_it_fits_a_phone(reader: Any) -> None:
    width = reader["width"]
    assert width["frame"] == 390
    assert width["used"] == width["room"]  # nothing to scroll sideways


def test_a_slider_changes_address_words_and_warnings(reader: Any) -> None:
    assert not any("gamma" in text for text in reader["start"]["warnings"])
    extreme = reader["extreme"]
    assert extreme["hash"] == "#gamma_p=5&gamma_n=5"
    assert extreme["said"] == "5"
    assert any("gamma_p is above beta" in text for text in extreme["warnings"])
    assert any("gamma_n is not below beta" in text for text in extreme["warnings"])


def test_the_run_can_be_stepped_and_played(reader: Any) -> None:
    assert reader["rewound"]["step"] == 0
    assert reader["one"]["step"] == 1
    assert reader["one"]["now"].startswith("Step 1 of 200. GRPO: Pass@1 0.")
    assert (reader["playing"]["play"], reader["paused"]["play"]) == ("Pause", "Play")


def test_the_counterexample_is_told(reader: Any) -> None:
    assert reader["counterexample"]["answer"] == "No."
    for fact in ("Pass@1 0.772", "KL 0.538", "Pass@1 0.946", "KL 0.588", "the answer is yes"):
        assert fact in reader["counterexample"]["words"]


def test_an_address_sets_what_it_may(reader: Any) -> None:
    assert reader["address"] == {"correct": "1", "gamma_p": "0.3"}
    assert reader["summary"].startswith("Beside vanilla RL, differential smoothing has")


def test_the_page_loads_nothing() -> None:
    page = explorer_page()
    assert not re.findall(r"https?:|\b(?:src|href)=|@import|url\(|\bfetch\b|XMLHttpRequest|\bimport\b", page)
    assert "{{" not in page
    assert page.count("<script>") == page.count("</script>") == 1


def test_an_unwritable_path_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(InputError, match="writable path"):
        write_explorer(tmp_path / "file" / "explore.html")
