"""What the reader of an evaluation should be warned of."""

from __future__ import annotations

from collections.abc import Iterator

from unsharpen.metrics import SampleTable


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
