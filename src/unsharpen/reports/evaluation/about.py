"""The lines under the heading of the page about evaluations: how the samples were made, and where that differs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Any

from unsharpen.reports.evaluation.model import Model
from unsharpen.reports.evaluation.payload import shortened

_SHOWN = ("task", "split", "temperature", "top_p")
_DECIDE = (
    *("source", "top_k", "min_p", "max_new_tokens", "stop", "chat", "system", "chat_template_kwargs"),
    *("thinking_budget", "strip_thinking", "answer_format", "backend"),
)
"""Further settings that a comparison should share; shown where they differ."""
_LONGEST, _LONGEST_VALUE = 2_000, 60
_ABSENT = "not recorded"


def about_html(models: Sequence[Model]) -> str:
    """What all evaluations share, and on a line of its own each setting that differs, with whose it is."""
    shared, own = [], []
    for name in _SHOWN + _DECIDE:
        values = _values(models, name)
        if len(set(values.values())) > 1:
            own.append(f"{name} {_each(values)}")
        elif name in _SHOWN and _ABSENT not in values.values():
            shared += [f"{name} {value}" for value in list(values.values())[:1]]
    sizes = {model.label: _range([int(n) for n in _ends(model)]) for model in models}
    if len(set(sizes.values())) > 1:
        own.append(f"samples of each problem {_each(sizes)}")
    facts = shortened(" · ".join([*shared, _sizes(models)]), _LONGEST)
    lines = [f'<p class="quiet">{escape(facts)}</p>']
    if own:
        lines.append(f"<p><strong>Not the same for all:</strong> {escape(shortened('; '.join(own), _LONGEST))}</p>")
    return "\n".join(lines)


def _values(models: Sequence[Model], name: str) -> dict[str, str]:
    """Label -> a setting as text. A model that never recorded one that is only shown where it differs is left out."""
    settings = {model.label: model.table.settings for model in models}
    kept = {label: held for label, held in settings.items() if name in _SHOWN or name in held}
    return {label: _text(held.get(name), _ABSENT if name in _SHOWN else "none") for label, held in kept.items()}


def _text(value: Any, absent: str) -> str:
    if value is None:
        return absent
    return shortened(value if isinstance(value, str) else json.dumps(value, default=str), _LONGEST_VALUE)


def _each(values: dict[str, str]) -> str:
    """Every value with the models that have it."""
    labels: dict[str, list[str]] = {}
    for label, value in values.items():
        labels.setdefault(value, []).append(label)
    return ", ".join(f"{value} ({', '.join(those)})" for value, those in labels.items())


def _sizes(models: Sequence[Model]) -> str:
    problems = sorted({model.table.num_problems for model in models})
    samples = sorted({int(n) for model in models for n in _ends(model)})
    return f"{_range(problems)} problems · {_range(samples)} samples each"


def _ends(model: Model) -> tuple[int, int]:
    return int(model.table.num_samples.min()), int(model.table.num_samples.max())


def _range(values: Sequence[int]) -> str:
    return f"{values[0]:,}" if values[0] == values[-1] else f"{values[0]:,} to {values[-1]:,}"
