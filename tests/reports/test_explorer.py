"""The interactive page: its numbers against Python's in real engines, its links to nothing, its words."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.reports.explorer_reference import numbers

from unsharpen.errors import InputError
from unsharpen.reports.explorer import explorer_page, write_explorer

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NODE = shutil.which("node")
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-extensions"),
)
START: dict[str, Any] = {
    **{"correct": 6, "wrong": 6, "mass": 0.3, "lead_correct": 10, "lead_wrong": 10, "beta": 0.5, "gamma": 0.3},
    **{"gamma_p": 0.3, "gamma_n": 0, "group_size": 8, "learning_rate": 0.5, "steps": 40},
    **{"stage": "advantage", "budget_of": "bonus"},
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
            "steps": int(rng.integers(1, 40)),
            "stage": str(rng.choice(["advantage", "reward"])),
            "budget_of": str(rng.choice(["bonus", "vanilla", "smoothed"])),
        }

    return [one() for _ in range(count)]


SETTINGS = [*CORNERS, *random_settings(60, seed=3)]
# In JSON an infinite number needs a name.
ENCODE = "JSON.stringify(%s, (_, x) => (x === Infinity ? 'inf' : x))"


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
    (folder / "compute.js").write_text(page_script(explorer_page()).split("const charts =")[0], "utf-8")
    (folder / "run.js").write_text(f"require('./compute.js');\nconsole.log({ENCODE % script});", "utf-8")
    done = subprocess.run([str(NODE), "run.js"], cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return decoded(done.stdout)


def run_in_chromium(script: str, folder: Path) -> Any:
    """The value of a JavaScript expression inside the very page that the command writes, drawn and all."""
    page = write_explorer(folder / "explore.html")
    probe = f"const out = document.createElement('pre'); out.id = 'probe'; out.textContent = {ENCODE % script};"
    text = page.read_text("utf-8").replace("</body>", f"<script>{probe} document.body.append(out);</script></body>")
    page.write_text(text, "utf-8")
    command = [str(CHROMIUM), *QUIET, f"--user-data-dir={folder / 'profile'}", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, flags=re.DOTALL)
    assert found is not None, done.stderr[-2000:]
    return decoded(found[1].replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))


def page_script(page: str) -> str:
    return page.split("<script>")[1].split("</script>")[0]


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


def check_against_python(results: list[Any]) -> None:
    for settings, found in zip(SETTINGS, results, strict=True):
        expected = numbers(settings, found["ks"])
        wrong = list(differences(found, expected))
        assert not wrong, (settings, wrong)


ALL = f"{json.dumps(SETTINGS)}.map(unsharpen.compute)"


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_numbers_equal_python_in_node(tmp_path: Path) -> None:
    check_against_python(run_in_node(ALL, tmp_path))


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_numbers_equal_python_in_chromium(tmp_path: Path) -> None:
    check_against_python(run_in_chromium(ALL, tmp_path))
