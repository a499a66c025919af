"""``unsharpen methods``: the catalogue."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from unsharpen.cli.methods_page import methods_page
from unsharpen.errors import InputError
from unsharpen.losses import LossTerm
from unsharpen.methods import Method, get_method, list_methods
from unsharpen.training.config import TINY_COEFFICIENTS


def methods(
    name: Annotated[str | None, typer.Argument(help="Show one method in full.")] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="The catalogue as a page of documentation: docs/methods.md.")
    ] = False,
) -> None:
    """List the methods: what they do, from which paper, what they need, and their default coefficients.

    A method marked experimental rests in part on what could not be checked; `unsharpen methods NAME` says on what.
    """
    if markdown:
        if name is not None:
            raise InputError(f"--markdown writes the whole catalogue; found the name {name!r} too")
        typer.echo(methods_page(), nl=False)
        return
    console = Console()
    if name is not None:
        _show(console, name)
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    for each in list_methods():
        method = get_method(each)
        needs, beyond = f"needs {_needs(method.requires)}", ", ".join(method.beyond_advantages)
        facts = (method.paper, needs, beyond and f"with a {beyond}", _coefficients(method.coefficients))
        table.add_row(Text(each, "bold"), Text(method.summary).append(" (experimental)" * bool(method.experimental)))
        table.add_row("", Text(" · ".join(fact for fact in facts if fact), "dim"))
    console.print(table)


def _show(console: Console, name: str) -> None:
    method = get_method(name)
    console.print(f"[bold]{method.name}[/bold]: {method.summary}", highlight=False)
    on_tiny = _coefficients(TINY_COEFFICIENTS[name]) if name in TINY_COEFFICIENTS else "the same"
    for label, text in (
        ("equation", method.equation),
        ("paper", method.paper),
        ("needs", _needs(method.requires)),
        ("coefficients", _coefficients(method.coefficients)),
        ("for the shipped model", on_tiny),
        ("engine settings", _coefficients(method.recipe.settings) or "none"),
        ("chain", method.recipe.transform.name),
        ("token step", _token_step(method)),
        ("loss term", _loss_term(method.recipe.loss_term)),
        ("pool term", _loss_term(method.recipe.pool_term)),
        ("leaves to itself", ", ".join(sorted(method.recipe.excludes))),
        ("memory", "saved with each checkpoint" if method.memory else "none"),
        ("experimental", method.experimental),
    ):
        if not text:
            continue
        console.print(f"  {label}: {text}", highlight=False, markup=False)
    if method.notes:
        for paragraph in method.notes.replace("``", "").split("\n\n"):
            console.print(f"\n{' '.join(paragraph.split())}", highlight=False, markup=False)


def _token_step(method: Method) -> str:
    step = method.recipe.token_transform
    if step is None:
        return ""
    when = "at every update" if step.stage == "loss" else "once, on what was sampled"
    return f"{step.name}, {when}{_reads(step.requires)}"


def _loss_term(term: LossTerm | None) -> str:
    if term is None:
        return ""
    instead = {"the policy loss": term.replaces_policy_loss, "the KL term": term.replaces_kl}
    replaced = " and ".join(name for name, is_replaced in instead.items() if is_replaced)
    return f"{term.name}{_reads(term.requires)}" + (f"; in place of {replaced}" if replaced else "")


def _reads(fields: frozenset[str]) -> str:
    return f"; reads {', '.join(sorted(fields))}" if fields else ""


def _needs(fields: frozenset[str]) -> str:
    return ", ".join(sorted(fields)) or "rewards only"


def _coefficients(values: object) -> str:
    return ", ".join(f"{key}={value}" for key, value in dict(values).items())  # type: ignore[call-overload]
