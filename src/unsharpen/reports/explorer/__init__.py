"""The interactive page of the theory lab: one file, computed in the browser, nothing loaded from anywhere."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from unsharpen.errors import InputError
from unsharpen.reports.style import CSS

_SCRIPTS = ("compute.js", "charts.js", "words.js", "page.js")


def write_explorer(path: str | Path) -> Path:
    """Write the page as one HTML file that needs no server and no network.

    It shows, for one prompt whose completions the reader chooses, what vanilla RL, an entropy bonus and differential
    smoothing make of the base model; the frontier of :func:`unsharpen.theory.frontier`; the answer of
    :func:`unsharpen.theory.dominate`; and an expected training run. ``window.unsharpen.compute(settings)`` in the page
    returns every number, equal to those functions up to 1e-9.

    Args:
        path: the file to write; an existing one is replaced.

    Returns:
        The path of the file.

    Raises:
        InputError: a path that can't be written.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(explorer_page(), encoding="utf-8")
    except OSError as error:
        raise InputError(f"the page needs a writable path; {target} is not: {error}") from error
    return target


def explorer_page() -> str:
    """The page as text."""
    script = "\n".join(map(_asset, _SCRIPTS))
    return _asset("page.html").replace("{{STYLE}}", CSS + _asset("style.css")).replace("{{SCRIPT}}", script)


def _asset(name: str) -> str:
    return files("unsharpen.reports").joinpath("explorer", name).read_text(encoding="utf-8")
