"""The command's entry: sub-commands, and how errors are shown."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from unsharpen import __version__
from unsharpen.cli import compare, data, demo, diagnose, eval, merge, methods, metrics, regrade, report, theory, train
from unsharpen.errors import UnsharpenError

app = typer.Typer(
    help="Keep Pass@k while reinforcement learning raises Pass@1.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("train")(train.train)
app.command("metrics")(metrics.metrics)
app.command("regrade")(regrade.regrade)
app.command("report")(report.report)
app.command("diagnose")(diagnose.command)
app.command("eval")(eval.eval_)
app.command("compare")(compare.compare)
app.command("methods")(methods.methods)
app.command("merge")(merge.merge)
app.add_typer(data.app, name="data")
app.add_typer(theory.app, name="theory")


def _version(show: bool) -> None:
    if show:
        typer.echo(f"unsharpen {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def run() -> None:
    """Call the app; errors that the package raises on purpose become a message and exit code 2."""
    try:
        app()
    except UnsharpenError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
