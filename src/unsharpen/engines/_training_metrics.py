"""What every engine logs about a global batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

from unsharpen.batch import Array, GroupBatch
from unsharpen.metrics import effective_number


def group_metrics(batch: GroupBatch, solutions: Sequence[Hashable | None] | None) -> dict[str, float]:
    """Pass@1, Pass@G, diversity among correct completions, and the share of groups that teach plain GRPO nothing.

    Args:
        batch: the global batch, on any device.
        solutions: [N] identity of each completion's solution in the order of the flattened batch, None where
            unknown; or None, then the two diversity numbers are left out. ``effective_solutions`` is a mean over the
            prompts with two correct completions or more, and left out where there is none.
    """
    xp = batch.xp
    count, correct = batch.num_completions, batch.num_correct
    uniform = (correct == 0) | (correct == count)
    metrics = {
        "pass@1": float(xp.mean(correct / count)),
        f"pass@{batch.rewards.shape[1]}": float(xp.mean(xp.astype(correct > 0, correct.dtype))),
        "uniform_groups": float(xp.mean(xp.astype(uniform, correct.dtype))),
    }
    if batch.logprobs is not None:
        metrics["sampling_logprob"] = float(xp.sum(batch.logprobs) / xp.sum(count))
    return metrics if solutions is None else metrics | _diversity(batch.correct.tolist(), solutions)


def shaping_metrics(batch: GroupBatch, shaped: Array, plain: Array) -> dict[str, float]:
    """What the method changed: mean |A - A_GRPO| / mean |A_GRPO|, and the share of correct completions with A < 0.

    Args:
        batch: the global batch.
        shaped: [P, G] advantages.
        plain: [P, G] those of GRPO.
    """
    xp, scale = batch.xp, float(batch.xp.mean(batch.xp.abs(plain)))
    correct = float(xp.sum(batch.num_correct))
    negative = float(xp.sum(xp.astype(batch.correct & (shaped < 0), batch.rewards.dtype)))
    return {
        "shaping_ratio": float(xp.mean(xp.abs(shaped - plain))) / scale if scale > 0 else float("nan"),
        "negative_correct": negative / correct if correct > 0 else float("nan"),
    }


def _diversity(correct_PG: list[list[bool]], solutions: Sequence[Hashable | None]) -> dict[str, float]:
    group_size = len(correct_PG[0])
    found = [
        Counter(
            solution
            for good, solution in zip(row, solutions[p * group_size :], strict=False)
            if good and solution is not None
        )
        for p, row in enumerate(correct_PG)
    ]
    pairs = [effective_number(list(counts.values())) for counts in found if counts.total() >= 2]
    metrics = {"distinct_correct": sum(map(len, found)) / len(found)}
    return metrics | {"effective_solutions": sum(pairs) / len(pairs)} if pairs else metrics
