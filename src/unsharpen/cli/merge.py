"""``unsharpen merge``: the model between two checkpoints."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from unsharpen.training.config import TINY_MODEL


def merge(
    early: Annotated[str, typer.Argument(help="Folder of the early checkpoint, a hub id, or countdown-tiny.")],
    late: Annotated[str, typer.Argument(help="Folder of the late checkpoint, or a hub id.")],
    output: Annotated[Path, typer.Option(help="The new folder.")],
    delta: Annotated[float, typer.Option(help="Share of EARLY, from 0 (all LATE) to 1 (all EARLY).")] = 0.5,
    force: Annotated[bool, typer.Option("--force", help="Replace the folder.")] = False,
) -> None:
    """Interpolate the weights of two checkpoints (WiSE-FT): delta x EARLY + (1 - delta) x LATE.

    Costs no training: sharpening raises Pass@1 and loses Pass@k along the way, and a model between a checkpoint of
    early training (or the base) and the last one often keeps more of both. Evaluate a few values of --delta.
    """
    from unsharpen.weights import interpolate

    count = interpolate(_folder(early), _folder(late), output, delta=delta, force=force)
    typer.echo(f"{count} tensors in {output}, {delta:g} x {early} + {1 - delta:g} x {late}")


def _folder(name: str) -> Path:
    return Path(str(files("unsharpen") / "assets" / TINY_MODEL)) if name == TINY_MODEL else Path(name)
