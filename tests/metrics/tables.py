"""Small random tables for the tests of metrics."""

from __future__ import annotations

import numpy as np

from unsharpen.metrics import SampleTable


def random_table(
    seed: int = 0, *, problems: int = 12, samples: int = 16, answers: int = 5, label: str = "m", ragged: bool = False
) -> SampleTable:
    """Answer 0 of each problem is right; some samples have no answer, and each problem its own accuracy."""
    rng = np.random.default_rng(seed)
    rows = []
    for p in range(problems):
        chance = rng.dirichlet(np.full(answers, 0.7))
        for i in range(samples + (p % 3 if ragged else 0)):
            answer = int(rng.choice(answers, p=chance))
            unreadable = answer > 0 and rng.random() < 0.1
            rows.append(
                {
                    "problem_id": f"p{p}",
                    "correct": answer == 0 or (answer == 1 and p % 2 == 0),  # two right solutions of even problems
                    "canonical": None if unreadable else f"a{answer}",
                    "completion": f"think {rng.integers(3)} then {i % 4} so {answer}",
                    "logprob": float(-rng.random() * 10),
                    "num_tokens": int(rng.integers(1, 20)),
                }
            )
    about = {f"p{p}": {"multiplicity": 1 + p % 7} for p in range(problems)}
    return SampleTable.from_rows(rows, label=label, problems=about)
