"""Seconds per step of the embedded model, where they go, and what the shaping costs.

    python benchmarks/trl_step.py --rounds 5 --steps 12
    python benchmarks/trl_step.py --rounds 3 --steps 7 --config runs/countdown/chains.yaml   # another model

Plain ``trl.GRPOTrainer`` and ``DiverseGRPOTrainer`` take turns in one process, each with a fresh model; the ratio is
taken round by round, so that a machine that drifts does not decide the result.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections import defaultdict
from pathlib import Path

import torch
from datasets import Dataset
from transformers import PrinterCallback
from transformers import logging as transformers_logging
from trl import GRPOTrainer

from unsharpen.engines.trl import DiverseGRPOTrainer
from unsharpen.training.build import load_tokenizer, model_path, task_reward
from unsharpen.training.config import RunConfig, load_yaml
from unsharpen.training.problems import load_problems
from unsharpen.training.trl_arguments import grpo_config

PARTS = ("_generate_single_turn", "_calculate_rewards", "_compute_loss")


def timed_steps(kind: str, config: RunConfig, spent: dict[str, float]) -> list[float]:
    """Seconds of every step but the first two."""
    tokenizer = load_tokenizer(config)
    problems = load_problems(config, chat=tokenizer.chat_template is not None)
    with tempfile.TemporaryDirectory() as output:
        common = {
            "args": grpo_config(config, Path(output)),
            "train_dataset": Dataset.from_list(problems.training_rows()),
            "processing_class": tokenizer,
        }
        reward = task_reward(problems.task, ["nums", "target"])
        if kind == "plain":
            trainer = GRPOTrainer(model_path(config), reward, **common)
        else:
            trainer = DiverseGRPOTrainer(model_path(config), reward, method=config.resolve_method(), **common)
        trainer.remove_callback(PrinterCallback)
        for part in PARTS:
            _clock(trainer, part, spent)
        trainer.train()
    return [row["step_time"] for row in trainer.state.log_history if "step_time" in row][2:]


def _clock(trainer: object, name: str, spent: dict[str, float]) -> None:
    original = getattr(trainer, name)

    def clocked(*args: object, **kwargs: object) -> object:
        start = time.perf_counter()
        try:
            return original(*args, **kwargs)
        finally:
            spent[name] += time.perf_counter() - start

    setattr(trainer, name, clocked)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--method", default="ds-grpo-robust")
    parser.add_argument("--config", type=Path, help="settings of `unsharpen train`, or of `compare`, in YAML")
    args = parser.parse_args()
    settings = load_yaml(args.config) if args.config else {}
    settings = {"num_train": 1024, **settings.get("settings", settings), "method": args.method}
    trl = {**settings.get("trl", {}), "max_steps": args.steps, "save_strategy": "no"}
    config = RunConfig.from_dict({**settings, "trl": trl})
    warnings.filterwarnings("ignore")
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()

    ratios, ours, plain = [], [], []
    spent: dict[str, float] = defaultdict(float)
    for turn in range(args.rounds):
        order = ("plain", "ours") if turn % 2 == 0 else ("ours", "plain")
        times = {kind: timed_steps(kind, config, spent if kind == "ours" else defaultdict(float)) for kind in order}
        ratios.append(statistics.median(times["ours"]) / statistics.median(times["plain"]))
        ours += times["ours"]
        plain += times["plain"]
        print(f"round {turn}: ratio {ratios[-1]:.3f}", flush=True)
    total_steps = args.rounds * args.steps
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} threads"
    print(f"{where}; {config.model}")
    print(f"plain GRPOTrainer   {statistics.median(plain):.3f} s a step (median)")
    print(f"DiverseGRPOTrainer  {statistics.median(ours):.3f} s a step (median), method {args.method}")
    print(f"ratio: median {statistics.median(ratios):.3f}, range {min(ratios):.3f} to {max(ratios):.3f}")
    for part in PARTS:
        print(f"  {part:24s} {spent[part] / total_steps:.3f} s a step")


if __name__ == "__main__":
    main()
