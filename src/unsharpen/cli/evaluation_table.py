"""The table at the end of an evaluation, and what its reader should be warned of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from rich.table import Table

from unsharpen.metrics import SampleTable, bootstrap_mean, effective_number, pass_at_k

_KS = (1, 8, 64)


def evaluation_table(tables: Sequence[SampleTable]) -> Table:
    """One row per model: Pass@k and the diversity of correct answers, with 95 % intervals over problems."""
    smallest = min(int(table.num_samples.min()) for table in tables)
    ks = sorted({k for k in _KS if k <= smallest} | {smallest})
    shown = Table(
        caption="means over problems [95 % bootstrap]; effective: over problems with a correct answer"
    )
    shown.add_column("model")
    for name in ("problems", "samples", *(f"Pass@{k}" for k in ks), "distinct", "effective"):
        shown.add_column(name, justify="right")
    for table in tables:
        counts = [list(counter.values()) for counter in table.answer_counts(correct=True)]
        values = [bootstrap_mean(pass_at_k(table.num_samples, table.num_correct, k)) for k in ks]
        values.append(bootstrap_mean([float(len(c)) for c in counts]))
        effective = [effective_number(c) for c in counts if c]
        cells = [*map(str, values), str(bootstrap_mean(effective)) if effective else "none correct"]
        shown.add_row(table.label, str(table.num_problems), _range(table.num_samples), *cells)
    return shown


def warnings_about(table: SampleTable) -> Iterator[str]:
    """What makes the numbers of a table mean something else than they seem to."""
    n = table.num_samples
    asked = table.settings.get("num_samples")
    wanted = table.settings.get("num_problems")
    if asked is not None and (int(n.min()) < asked or table.num_problems < (wanted or 0)):
        yield f"{table.label}: not complete; {len(table.problem)} of {asked * (wanted or table.num_problems)} samples"
    if table.completions is not None and int(n.min()) > 1:
        different = len(set(zip(table.problem.tolist(), table.completions, strict=True)))
        if different == table.num_problems:
            yield (
                f"{table.label}: all samples of a problem are the same, so Pass@k does not grow with k; "
                "does the server decode greedily, or return one cached answer?"
            )


def _range(numbers: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> str:
    low, high = int(numbers.min()), int(numbers.max())
    return str(low) if low == high else f"{low}-{high}"
