"""Time of every sequence-level method on 4,096 prompts x 16 completions, NumPy and PyTorch, and how it grows.

Run with the package installed: ``python benchmarks/advantages.py``. The column of verl is its own GRPO function on the
same data, in the same process; it is filled where verl can be imported. verl needs an environment of its own, so run
this file there too (``PYTHONPATH=src``; NumPy, PyTorch and array-api-compat are all that the rest needs).
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
import torch

from unsharpen import GroupBatch, get_method, list_methods

PROMPTS, GROUP_SIZE, DIMENSIONS = 4096, 16, 32
GROWTH = (1, 2, 4, 8, 16)  # times 65,536 completions: up to 1,048,576
GROWING = ("grpo", "ds-grpo-robust", "unlikeliness", "ucpo", "pass-at-k", "pkpo", "darling", "ucb", "dra-grpo")


def random_fields(num_prompts: int, group_size: int) -> dict[str, np.ndarray]:
    """Every field, in the precision in which engines hand them on."""
    rng = np.random.default_rng(0)
    shape = (num_prompts, group_size)
    correct = rng.random(shape) < rng.random((num_prompts, 1))
    lengths = rng.integers(8, 2048, shape)
    return {
        "rewards": correct.astype(np.float32),
        "correct": correct,
        "logprobs": (-0.3 * lengths * rng.random(shape)).astype(np.float32),
        "reference_logprobs": (-0.4 * lengths * rng.random(shape)).astype(np.float32),
        "lengths": lengths,
        "entropies": rng.random(shape, dtype=np.float32) + np.float32(0.01),
        "answers": rng.integers(-1, 6, shape),
        "embeddings": rng.standard_normal((*shape, DIMENSIONS), dtype=np.float32),
        "num_solutions": rng.integers(1, 9, num_prompts),
        "prompt_ids": np.arange(num_prompts),
        "max_lengths": np.full(num_prompts, 2048),
    }


def best_time(work: Callable[[], Any], repeats: int) -> float:
    """Milliseconds, the best of some repeats after a first one: what is left when the neighbours are quiet."""
    work()
    best = float("inf")
    for _ in range(repeats):
        start = perf_counter()
        work()
        best = min(best, perf_counter() - start)
    return best * 1000


def method_time(name: str, fields: dict[str, Any], repeats: int) -> float:
    """Milliseconds for the advantages of a batch that was not seen before, its validation included."""
    method = get_method(name)
    own = {key: fields[key] for key in ("rewards", "correct", *method.requires)}
    return best_time(lambda: method.advantages(GroupBatch(**own)), repeats)


def verl_time(fields: dict[str, np.ndarray], repeats: int) -> float | None:
    """Milliseconds of verl's own GRPO function on these rewards, one token per completion; None without verl."""
    try:
        from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage
    except ImportError:
        return None
    num_prompts, group_size = fields["rewards"].shape
    rewards = torch.from_numpy(fields["rewards"]).reshape(-1, 1)
    mask, index = torch.ones_like(rewards), np.repeat(np.arange(num_prompts).astype(str), group_size)
    return best_time(lambda: compute_grpo_outcome_advantage(rewards.clone(), mask, index), repeats)


def as_tensors(fields: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in fields.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a 64th of the data, once: to see that it runs")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    prompts, repeats = (PROMPTS // 64, 1) if options.quick else (PROMPTS, options.repeats)

    threads = os.environ.get("OMP_NUM_THREADS", "default")
    print(f"{platform.machine()}, {torch.get_num_threads()} PyTorch threads (OMP_NUM_THREADS {threads}), ", end="")
    print(f"numpy {np.__version__}, torch {torch.__version__}\n")
    fields = random_fields(prompts, GROUP_SIZE)
    tensors = as_tensors(fields)
    verl = verl_time(fields, repeats)
    if verl is None:
        print("verl is not installed here: its column is left out\n")
    else:
        print(f"verl's GRPO loop: {verl:,.1f} ms\n")

    print(f"Milliseconds for {prompts:,} prompts x {GROUP_SIZE} completions, best of {repeats}\n")
    print("| method | NumPy | PyTorch |" + (" verl's GRPO / NumPy |" if verl else ""))
    print("|---|---|---|" + ("---|" if verl else ""))
    for name in (n for n in list_methods() if not get_method(n).beyond_advantages):  # the rest acts on tokens
        ours, theirs = method_time(name, fields, repeats), method_time(name, tensors, repeats)
        print(f"| `{name}` | {ours:.2f} | {theirs:.2f} |" + (f" {verl / ours:,.0f} |" if verl else ""))

    print(f"\nGrowth, NumPy: milliseconds by the number of completions, groups of {GROUP_SIZE}\n")
    sizes = [factor * prompts for factor in GROWTH]
    print("| method | " + " | ".join(f"{size * GROUP_SIZE:,}" for size in sizes) + " |")
    print("|---|" + "---|" * len(sizes))
    grown = {size: random_fields(size, GROUP_SIZE) for size in sizes}
    for name in GROWING:
        row = [method_time(name, grown[size], max(1, repeats // 2)) for size in sizes]
        print(f"| `{name}` | " + " | ".join(f"{value:.1f}" for value in row) + " |", flush=True)


if __name__ == "__main__":
    main()
