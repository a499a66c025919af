"""Figures: what is drawn, and that files come out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unsharpen.errors import InputError, MissingExtraError
from unsharpen.reports import Run, dynamics_figure, load_run, pass_at_k_figure, save, summary_table, to_rich
from unsharpen.reports.plots import BASE_COLOUR, CYCLE, GRPO_COLOUR, colours

MakeRun = Callable[..., Path]


@pytest.fixture
def runs(make_run: MakeRun) -> list[Run]:
    return [load_run(make_run(method, method=method)) for method in ("grpo", "ds-grpo")]


def test_pass_at_k_curves(runs: list[Run], tmp_path: Path) -> None:
    figure = pass_at_k_figure(runs)
    (axes,) = figure.axes
    base, grpo, smoothed = axes.lines
    assert base.get_linestyle() == "--"
    assert [line.get_color() for line in axes.lines] == [BASE_COLOUR, GRPO_COLOUR, CYCLE[0]]
    np.testing.assert_allclose(grpo.get_ydata()[0], runs[0].final.pass_at(1).mean())
    np.testing.assert_allclose(smoothed.get_ydata()[-1], runs[1].final.pass_at(128).mean())
    assert [text.get_text().split("  ")[0] for text in axes.texts[:3]] == ["GRPO", "DS-GRPO", "base"]
    png, svg = save(figure, tmp_path / "out" / "curve.png")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert png.stat().st_size > 20_000
    assert "DS-GRPO" in svg.read_text()


def test_dynamics_panels(runs: list[Run], tmp_path: Path) -> None:
    figure = dynamics_figure(runs)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "Pass@1",
        "Pass@64",
        "Effective correct solutions",
    ]
    drawn = figure.axes[1].lines[0]
    assert drawn.get_xdata().tolist() == [0, 150, 300, 450, 600]
    np.testing.assert_allclose(drawn.get_ydata()[-1], runs[0].final.pass_at(64).mean())
    assert save(figure, tmp_path / "dynamics")[1].stat().st_size > 5_000


def test_dynamics_use_the_largest_k_that_all_have(make_run: MakeRun) -> None:
    figure = dynamics_figure([load_run(make_run(n=40))])
    assert figure.axes[1].get_title(loc="left") == "Pass@20"


def test_names_do_not_overlap_and_are_taken_literally(make_run: MakeRun) -> None:
    runs = [load_run(make_run(f"r{i}", label=f"$run_{i}")) for i in range(5)]
    figure = pass_at_k_figure(runs)
    figure.draw_without_rendering()
    names = [t for t in figure.axes[0].texts if "$run" in t.get_text()]
    heights = sorted(t.get_window_extent().y0 for t in names)
    assert min(np.diff(heights)) > 12
    assert len(set(colours(runs))) == 5


def test_the_same_figure_is_the_same_file(runs: list[Run], tmp_path: Path) -> None:
    first, second = (save(pass_at_k_figure(runs[:1]), tmp_path / name)[1] for name in ("a", "b"))
    assert first.read_text() == second.read_text()


def test_refuses(runs: list[Run], tmp_path: Path) -> None:
    for make in (pass_at_k_figure, dynamics_figure):
        with pytest.raises(InputError, match="at least one run"):
            make([])
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="writable folder"):
        save(pass_at_k_figure(runs[:1]), tmp_path / "file" / "curve")


def test_missing_libraries_are_named(runs: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "rich.text", None)
    with pytest.raises(MissingExtraError, match="reports need matplotlib") as caught:
        pass_at_k_figure(runs)
    assert caught.value.hint == "pip install 'unsharpen[report]'"
    with pytest.raises(MissingExtraError, match="reports need rich"):
        to_rich(summary_table(runs))


def test_import_is_light() -> None:
    heavy = "{'matplotlib', 'rich', 'torch'} & set(sys.modules)"
    code = f"import sys, unsharpen.reports, unsharpen.metrics; print({heavy})"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"
