"""The table at the end of an evaluation, and what its reader should be warned of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from rich.table import Table

from unsharpen.metrics import SampleTable, bootstrap_mean, effective_number, pass_at_k

_KS = (1, 8, 64)


def evaluation_table(tables: Sequence[SampleTable]) -> Table:
    """One column per model: Pass@k and the diversity of correct answers, with 95 % intervals over problems."""
    smallest = min(int(table.num_samples.min()) for table in tables)
    ks = sorted({k for k in _KS if k <= smallest} | {smallest})
    columns = [_column(table, ks) for table in tables]
    shown = Table("", *(table.label for table in tables), caption="means over problems, 95 % bootstrap intervals")
    for name in columns[0]:
        shown.add_row(name, *(column[name] for column in columns))
    return shown


def _column(table: SampleTable, ks: Sequence[int]) -> dict[str, str]:
    counts = [list(counter.values()) for counter in table.answer_counts(correct=True)]
    effective = [effective_number(c) for c in counts if c]
    cells = {"problems": str(table.num_problems), "samples of each": _range(table.num_samples)}
    cells |= {f"Pass@{k}": str(bootstrap_mean(pass_at_k(table.num_samples, table.num_correct, k))) for k in ks}
    cells["distinct correct"] = str(bootstrap_mean([float(len(c)) for c in counts]))
    cells["effective, if any is correct"] = str(bootstrap_mean(effective)) if effective else "none is"
    return cells


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
