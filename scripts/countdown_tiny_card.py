"""Evaluate the shipped CountDown model on held-out problems and write its model card.

python scripts/countdown_tiny_card.py
"""

from __future__ import annotations

import json

import numpy as np
import torch
from make_countdown_tiny import OUTPUT
from transformers import AutoModelForCausalLM, AutoTokenizer

from unsharpen.evaluation.runner import judge
from unsharpen.evaluation.samplers.transformers import SamplingSettings, sample
from unsharpen.metrics import bootstrap_mean, pass_at_k
from unsharpen.tasks import CountDown

NUM_PROBLEMS, NUM_SAMPLES = 256, 128
BANDS = {
    "4 numbers, 2 or more solutions (the embedded task)": {"sizes": (4,), "multiplicity": (2, None)},
    "4 numbers, 6 or more solutions": {"sizes": (4,), "multiplicity": (6, None)},
    "4 numbers, 1 solution": {"sizes": (4,), "multiplicity": (1, 1)},
    "3 numbers, 1 or more solutions": {"sizes": (3,), "multiplicity": (1, None)},
}

CARD = """---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
tags: [countdown, reinforcement-learning, pass-at-k]
---

# countdown-tiny

A decoder (Llama type, {parameters:,} parameters, one token per number and symbol) that proposes solutions of CountDown
problems: `2 3 4 5 = 24 :` is answered by an expression such as `( 5 + 3 + 4 ) * 2`, or rather by any of the expressions
that it was shown. It exists so that reinforcement learning can be studied in minutes on a CPU. It is wide on purpose:
every (problem, distinct solution) pair of its training data is equally likely, so a problem counts as often as it has
solutions, and four batches in five have 4 numbers.

- Data: {pairs_3:,} (problem, solution) pairs with 3 numbers and {pairs_4:,} with 4 numbers, generated; numbers 1-10,
  targets 1-60, each solution written with random order and minimal brackets. One problem in ten is held out by a
  hash of the problem and never trained on.
- Training: {steps:,} steps of {batch_size} examples, Muon (peak rate {muon_rate}) with AdamW ({adam_rate}) for the
  embedding and the norms, seed {seed}, {minutes:.0f} minutes on two CPU cores beside other work. Script:
  `scripts/make_countdown_tiny.py`.
- Limits: it knows the integers 0 to 100 and has seen 1 to 10 as given numbers. It writes no text.

## Scores

{num_problems} held-out problems (100 of 3 numbers), {num_samples} samples each, temperature 1, no top-p or top-k;
95 % bootstrap intervals over problems. Command: `python scripts/countdown_tiny_card.py`.

| problems | Pass@1 | @8 | @64 | @128 | distinct correct in {num_samples} | effective | solutions that exist |
|---|---|---|---|---|---|---|---|
{rows}
"""


def main() -> None:
    model = AutoModelForCausalLM.from_pretrained(OUTPUT, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(OUTPUT, padding_side="left")
    task = CountDown(answer_format="bare")
    rows = []
    for name, options in BANDS.items():
        problems = task.generate(
            NUM_PROBLEMS if options["sizes"] == (4,) else 100,
            seed=1001,
            split="eval",
            numbers=(1, 10),
            targets=(1, 60),
            **options,
        )
        settings = SamplingSettings(max_new_tokens=24, batch_size=1024)
        prompts = [task.prompt(p) for p in problems]
        counts = judge(
            task, problems, sample(model, tokenizer, prompts, num_samples=NUM_SAMPLES, settings=settings, seed=0)
        )
        cells = [
            str(bootstrap_mean(pass_at_k(np.full(len(problems), NUM_SAMPLES), counts["num_correct"], k)))
            for k in (1, 8, 64, 128)
        ]
        effective = [value for value in counts["effective_solutions"] if value is not None]
        cells += [f"{np.mean(v):.1f}" for v in (counts["distinct_correct"], effective, counts["multiplicity"])]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
        print(rows[-1], flush=True)
    record = json.loads((OUTPUT / "training.json").read_text())
    card = CARD.format(
        **record,
        pairs_3=record["pairs"]["3"],
        pairs_4=record["pairs"]["4"],
        minutes=record["seconds"] / 60,
        num_problems=NUM_PROBLEMS,
        num_samples=NUM_SAMPLES,
        rows="\n".join(rows),
    )
    (OUTPUT / "README.md").write_text(card)


if __name__ == "__main__":
    main()
