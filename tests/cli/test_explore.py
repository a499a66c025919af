"""``unsharpen theory explore``."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import pytest
from tests.cli.command import unsharpen

from unsharpen.reports.explorer import explorer_page


def test_the_page_is_written_where_it_should(tmp_path: Path) -> None:
    page = tmp_path / "new" / "page.html"
    done = unsharpen("theory", "explore", "--output", page)
    assert (done.code, done.out, done.err) == (0, f"page: {page}\n", "")
    assert page.read_text("utf-8") == explorer_page()


@pytest.mark.parametrize("found", [True, False])
def test_it_opens_in_a_browser_if_there_is_one(found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or found)
    done = unsharpen("theory", "explore", "--output", tmp_path / "a b.html", "--open")
    assert done.code == 0
    assert opened == [f"file://{tmp_path}/a%20b.html"]
    assert ("no browser" in done.err) is not found


def test_a_path_that_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    done = unsharpen("theory", "explore", "--output", tmp_path / "file" / "page.html")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: the page needs a writable path")
