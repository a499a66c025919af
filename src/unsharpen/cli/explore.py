"""``unsharpen theory explore``: the interactive page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def explore(
    output: Annotated[Path, typer.Option(help="The page to write; replaced if it exists.")] = Path("explore.html"),
    open_: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> None:
    """Write a page with sliders: what vanilla RL, an entropy bonus and smoothing make of one prompt's answers.

    One file, no server and no network: it computes the formulas of the lab itself. A setting is in the address, so a
    link to the page with it can be shared.
    """
    from unsharpen.reports.explorer import write_explorer

    page = write_explorer(output).resolve()
    typer.echo(f"page: {page}")
    if open_:
        import webbrowser

        if not webbrowser.open(page.as_uri()):
            typer.echo("warning: no browser found; open the file yourself", err=True)
