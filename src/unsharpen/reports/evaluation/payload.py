"""What the page's script gets: counts of every problem, and as many samples as a page can hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsharpen.reports.evaluation.model import Model

Integers = NDArray[np.int64]
_BROWSED = 400  # problems whose samples are in the page
_TEXT_BUDGET = 6_000_000  # characters of completions
_GROUPS = 12  # per problem and model
_PER_GROUP = 3  # samples
_LOOKED_AT = 50  # samples of a solution among which different texts are looked for
_LONGEST, _SHORTEST = 4_000, 200  # characters of one completion
_PROBLEM_BUDGET, _PROBLEM_LONGEST = 1_000_000, 1_000
_NAME_LONGEST = 200


@dataclass(frozen=True)
class Caps:
    """What the page leaves out, in numbers."""

    browsed: int
    problems: int
    groups: int
    per_group: int
    longest: int

    @property
    def text(self) -> str:
        """One sentence."""
        scope = (
            f"Samples of {self.browsed:,} of {self.problems:,} problems are in this page, spread evenly over the "
            "difficulty; the counts are those of all."
            if self.browsed < self.problems
            else "Every problem has samples in this page, not all of them."
        )
        texts = "one text" if self.per_group == 1 else f"at most {self.per_group} different texts"
        return (
            f"{scope} At most {self.groups} solutions per problem and model are listed, each with {texts} of at most "
            f"{self.longest:,} characters; what is left out is counted."
        )


def payload(models: Sequence[Model]) -> tuple[dict[str, Any], Caps]:
    """The page's data, and what it leaves out. Problems are those of any model, the reference's first."""
    ids = list(dict.fromkeys(name for model in models for name in model.table.problem_ids))
    rows = [np.asarray([model.position.get(name, -1) for name in ids]) for model in models]
    browsed = _browsed(models[0], rows[0], len(ids))
    caps = _caps(models, len(browsed), len(ids))
    return {
        "models": [_model(model, where) for model, where in zip(models, rows, strict=True)],
        "ids": [name[:_NAME_LONGEST] for name in ids],
        "texts": _problem_texts(models, rows),
        "multiplicity": _multiplicity(models, rows),
        "samples": _samples(models, rows, browsed, caps),
    }, caps


def to_script(data: Any) -> str:
    r"""JSON that can't end the script element that holds it, whatever the texts are; ASCII alone.

    >>> print(to_script("</script><!--\u2028"))
    "\u003c/script\u003e\u003c!--\u2028"
    """
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def _model(model: Model, where: Integers) -> dict[str, Any]:
    table = model.table
    return {
        "label": model.label,
        "ks": list(model.curve),
        "curves": {
            name: [[round(x, 5) for x in (i.value, i.low, i.high)] for i in curve]
            for name, curve in model.curves.items()
        },
        "n": _at(table.num_samples, where),
        "c": _at(table.num_correct, where),
        "distinct": _at(model.distinct, where) if model.knows_solutions else None,
        "effective": _at(np.round(model.effective, 2), where) if model.knows_solutions else None,
    }


def _at(column: NDArray[Any], where: Integers) -> list[int | float | None]:
    """Values of the page's problems; None where the model did not answer one or it is undefined."""
    values = [None if row < 0 else column[row] for row in where]
    return [None if v is None or np.isnan(v) else int(v) if float(v).is_integer() else float(v) for v in values]


def _browsed(reference: Model, where: Integers, problems: int) -> list[int]:
    """The problems whose samples are in the page: all, or some spread evenly over the reference's difficulty."""
    if problems <= _BROWSED:
        return list(range(problems))
    rate = np.where(where < 0, 2.0, (reference.table.num_correct / reference.table.num_samples)[where])
    order = np.argsort(rate, kind="stable")
    return sorted(int(i) for i in order[np.linspace(0, problems - 1, _BROWSED).round().astype(int)])


def _caps(models: Sequence[Model], browsed: int, problems: int) -> Caps:
    """As many and as long samples as the budget allows: fewer per solution before shorter ones."""
    kept = [model.table.completions for model in models if model.table.completions is not None]
    longest = min(_LONGEST, max((len(text) for texts in kept for text in texts), default=0))
    solutions = max(1, browsed * len(kept) * _GROUPS)
    per_group = int(np.clip(_TEXT_BUDGET // (solutions * max(1, longest)), 1, _PER_GROUP))
    room = _TEXT_BUDGET // (solutions * per_group)
    return Caps(browsed, problems, _GROUPS, per_group, int(np.clip(room, _SHORTEST, _LONGEST)))


def _problem_texts(models: Sequence[Model], rows: Sequence[Integers]) -> list[str | None] | None:
    known = [(m, where) for m, where in zip(models, rows, strict=True) if m.table.problem_texts is not None]
    if not known:
        return None
    room = min(_PROBLEM_LONGEST, max(80, _PROBLEM_BUDGET // len(rows[0])))
    out: list[str | None] = []
    for i in range(len(rows[0])):
        texts = (m.table.problem_texts[where[i]] for m, where in known if where[i] >= 0 and m.table.problem_texts)
        text = next(texts, None)
        out.append(None if text is None else shortened(text, room))
    return out


def _multiplicity(models: Sequence[Model], rows: Sequence[Integers]) -> list[int | None] | None:
    for model, where in zip(models, rows, strict=True):
        if model.table.multiplicity is not None:
            return [None if row < 0 else int(model.table.multiplicity[row]) for row in where]
    return None


def _samples(
    models: Sequence[Model], rows: Sequence[Integers], browsed: Sequence[int], caps: Caps
) -> dict[str, list[Any]]:
    """Problem index -> for each model its groups of samples, or None where it has none."""
    found = [_by_problem(model.table.problem, where[browsed]) for model, where in zip(models, rows, strict=True)]
    return {
        str(i): [
            _groups(model, samples[place], caps) if where[i] >= 0 else None
            for model, where, samples in zip(models, rows, found, strict=True)
        ]
        for place, i in enumerate(browsed)
    }


def _by_problem(problem: Integers, wanted: Integers) -> list[Integers]:
    """The samples of each wanted problem, in order."""
    order = np.argsort(problem, kind="stable")
    starts = np.searchsorted(problem[order], wanted, side="left")
    ends = np.searchsorted(problem[order], wanted, side="right")
    return [order[a:b] for a, b in zip(starts, ends, strict=True)]


def _groups(model: Model, samples: Integers, caps: Caps) -> dict[str, Any]:
    """Samples of one problem by solution: correct ones first, the more frequent first."""
    table = model.table
    members: dict[tuple[bool, int], list[int]] = {}
    for sample in samples.tolist():
        members.setdefault((not table.correct[sample], int(table.answers[sample])), []).append(sample)
    order = sorted(members, key=lambda key: (key[0], -len(members[key])))
    shown = order[: caps.groups]
    rest = [len(members[key]) for key in order[caps.groups :]]
    return {
        "groups": [_group(model, key, members[key], caps) for key in shown],
        "rest": [len(rest), sum(rest)],
    }


def _group(model: Model, key: tuple[bool, int], samples: list[int], caps: Caps) -> dict[str, Any]:
    table, (wrong, answer) = model.table, key
    reasons: dict[str, int] = {}
    for reason in [table.reasons[i][:_NAME_LONGEST] for i in samples] if table.reasons is not None else []:
        reasons[reason] = reasons.get(reason, 0) + 1
    texts = dict.fromkeys(table.completions[i] for i in samples[:_LOOKED_AT]) if table.completions is not None else {}
    return {
        "correct": not wrong,
        "name": None if answer < 0 else shortened(table.answer_names[answer], _NAME_LONGEST),
        "count": len(samples),
        "reasons": sorted(reasons.items(), key=lambda item: -item[1])[:4],
        "texts": [shortened(text, caps.longest) for text in list(texts)[: caps.per_group]],
    }


def shortened(text: str, room: int) -> str:
    """The text, or its beginning and its end, where the answer is, with what is left out counted.

    >>> shortened("a" * 50 + "b" * 50, 30).split(chr(10))
    ['aaaaaaaaaa', '[… 70 characters left out …]', 'bbbbbbbbbbbbbbbbbbbb']
    """
    if len(text) <= room:
        return text
    head = room // 3
    return f"{text[:head]}\n[… {len(text) - room:,} characters left out …]\n{text[len(text) - (room - head) :]}"
