"""Which coefficients and learning rate each method gets, by a rule that is fixed before the runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unsharpen.comparison.cells import Cell, tuning_cells
from unsharpen.comparison.spec import Rate, Study, Tuning
from unsharpen.comparison.store import Store
from unsharpen.errors import InputError
from unsharpen.reports import Run, load_run
from unsharpen.training.folder import write_atomically

Chosen = dict[str, tuple[Mapping[str, Any], Rate]]
"""Label of an arm -> coefficients and rate."""


@dataclass(frozen=True)
class Scored:
    """A tuning run: Pass@1, and the mean Pass@k over k = 1, 2, 4, ..., max_k."""

    cell: Cell
    pass_1: float
    area: float


def rule(study: Study) -> str:
    """The rule of the choice in words."""
    tuning = _tuning(study)
    order = {
        "each": "Coefficients and learning rate are chosen together.",
        "chosen": "Coefficients are chosen at the method's first learning rate, and the others tried with those.",
        "reference": "The learning rate of all methods is the one chosen for the reference.",
    }
    return (
        f"The reference ({study.reference}) gets the setting with the highest Pass@1 on the validation problems. "
        f"{order[tuning.rate_by]} "
        f"A method gets, of its settings whose Pass@1 is at least the reference's less {tuning.tolerance:g}, the one "
        f"with the largest mean Pass@k over k = 1, 2, 4, ..., {tuning.max_k}; if there is none, the one with the "
        "highest Pass@1. Of equals the one named first. A method with one setting gets that one."
    )


def reference_cells(study: Study) -> list[Cell]:
    """The first tuning runs: those of the reference."""
    return tuning_cells(study, [study.reference])


def other_cells(study: Study, reference: Scored, store: Store) -> Iterator[list[Cell]]:
    """The tuning runs of all methods that have a choice, once the reference's setting is known.

    Yields what must be run before the next list is asked for: with ``rate_by: chosen`` the coefficients first, and
    then the rates.
    """
    tuning = _tuning(study)
    arms = [arm for arm in study.arms if arm.label != study.reference]
    fixed = (reference.cell.rate,) if tuning.rate_by == "reference" else None
    rates = {arm.label: fixed or arm.tuned_rates or tuning.rates for arm in arms}
    arms = [arm for arm in arms if len(arm.candidates) * len(rates[arm.label]) > 1]
    if tuning.rate_by != "chosen":
        yield [cell for arm in arms for cell in tuning_cells(study, [arm.label], rates[arm.label])]
        return
    first = {arm.label: tuning_cells(study, [arm.label], rates[arm.label][:1]) for arm in arms}
    yield [cell for cells in first.values() for cell in cells]
    later = []
    for label, cells in first.items():
        best = pick(_scores(cells, store, tuning), reference.pass_1, tuning.tolerance)
        if best is not None:
            later += [c for c in tuning_cells(study, [label], rates[label][1:]) if c.args == best.cell.args]
    yield later


def best_reference(study: Study, store: Store) -> Scored:
    """The setting of the reference.

    Raises:
        InputError: all of its runs have failed.
    """
    cells = reference_cells(study)
    scored = [scores for cell in cells if (scores := score(cell, store, _tuning(study))) is not None]
    if not scored:
        reasons = {store.failure(cell) for cell in cells}
        raise InputError(
            f"all tuning runs of the reference {study.reference} have failed: {'; '.join(map(str, reasons))}",
            hint="--retry-failed tries them again",
        )
    return max(scored, key=lambda s: s.pass_1)


def choose(study: Study, store: Store) -> Chosen:
    """The setting of every method, from the records of the tuning runs; also written to ``tuning/choices.json``.

    A method all of whose tuning runs have failed is missing.

    Raises:
        InputError: the file says otherwise; the rule or the runs have been changed since.
    """
    tuning, reference = _tuning(study), best_reference(study, store)
    chosen: Chosen = {study.reference: (reference.cell.args, reference.cell.rate)}
    table = {study.reference: _scores(reference_cells(study), store, tuning)}
    others = [cell for cells in other_cells(study, reference, store) for cell in cells]
    for arm in study.arms:
        cells = [cell for cell in others if cell.arm == arm.label]
        if arm.label == study.reference:
            continue
        if not cells:
            rates = (reference.cell.rate,) if tuning.rate_by == "reference" else arm.tuned_rates or tuning.rates
            chosen[arm.label] = (arm.candidates[0], rates[0])
            continue
        table[arm.label] = _scores(cells, store, tuning)
        best = pick(table[arm.label], reference.pass_1, tuning.tolerance)
        if best is not None:
            chosen[arm.label] = (best.cell.args, best.cell.rate)
    ordered = {arm.label: chosen[arm.label] for arm in study.arms if arm.label in chosen}
    _write_choices(store.root / "tuning" / "choices.json", rule(study), ordered, table)
    return ordered


def pick(scored: Sequence[Scored], reference_pass_1: float, tolerance: float) -> Scored | None:
    """The choice among the runs of one method: most area at no cost in Pass@1, else the best Pass@1."""
    if not scored:
        return None
    free = [s for s in scored if s.pass_1 >= reference_pass_1 - tolerance]
    return max(free, key=lambda s: s.area) if free else max(scored, key=lambda s: s.pass_1)


def score(cell: Cell, store: Store, tuning: Tuning) -> Scored | None:
    """What a tuning run has reached; None if it has failed."""
    folder = store.record(cell)
    return None if folder is None else _scored(cell, load_run(folder), tuning.max_k)


def _scored(cell: Cell, run: Run, max_k: int) -> Scored:
    ks = [1 << i for i in range(max_k.bit_length())]
    return Scored(cell, float(run.final.pass_at(1).mean()), float(np.mean([run.final.pass_at(k).mean() for k in ks])))


def _scores(cells: Sequence[Cell], store: Store, tuning: Tuning) -> list[Scored]:
    return [scores for cell in cells if (scores := score(cell, store, tuning)) is not None]


def _tuning(study: Study) -> Tuning:
    assert study.tuning is not None
    return study.tuning


def _write_choices(path: Path, words: str, chosen: Chosen, table: Mapping[str, Sequence[Scored]]) -> None:
    def setting(args: Mapping[str, Any], rate: Rate) -> dict[str, Any]:
        return {"method_args": dict(args), "learning_rate": rate.learning_rate, "budget_scale": rate.budget_scale}

    choices = {label: setting(*values) for label, values in chosen.items()}
    tried = {
        label: [
            {**setting(s.cell.args, s.cell.rate), "pass@1": round(s.pass_1, 5), "area": round(s.area, 5)}
            for s in scored
        ]
        for label, scored in table.items()
    }
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))["choices"]
        changed = [label for label in before if label in choices and before[label] != choices[label]]
        if changed:
            raise InputError(
                f"{path} gives {', '.join(changed)} another setting than the tuning runs do now",
                hint="the rule or the candidates have changed since; delete the file and the test runs to choose again",
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps({"rule": words, "choices": choices, "tried": tried}, indent=2) + "\n")
