"""What our step costs on verl's driver, beside verl's own advantage step in the same run.

    .venv-verl/bin/python benchmarks/verl_driver.py --completions 8192 --tokens 512

The real trainer on the real TransferQueue; ours calls verl's step first, whose time is taken apart. Needs the
environment of ``make test-verl``; no GPU, no model.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
import warnings
from typing import Any

os.environ |= {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
    "PYTHONWARNINGS": "ignore",
}

import ray
import torch
import transfer_queue as tq
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from tensordict import TensorDict
from verl.trainer.ppo.v1 import PPOTrainer, get_trainer_cls
from verl.utils.tensordict_utils import get_tensordict


def batch_of(completions: int, tokens: int, group_size: int) -> object:
    """A batch in the queue: texts of different lengths, scores, log-probs, and what a reward function returns."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(tokens // 2, tokens + 1, (completions,), generator=generator).tolist()
    keys = [f"u{i // group_size}_{i % group_size}_0" for i in range(completions)]

    def rows(make: object) -> torch.Tensor:
        return torch.nested.as_nested_tensor([make(length) for length in lengths], layout=torch.jagged)  # type: ignore[operator]

    scores = []
    for i, length in enumerate(lengths):
        row = torch.zeros(length)
        row[-1] = float(torch.rand(1, generator=generator) < 0.2 + 0.6 * ((i // group_size) % 7) / 7)
        scores.append(row)
    infos = [
        {"reward_extra_info": {"acc": 1.0, "answer": f"a{i % 5}", "solution": f"s{i % 5}"}} for i in range(completions)
    ]
    fields = {
        "response_mask": rows(lambda n: torch.ones(n, dtype=torch.int64)),
        "rm_scores": torch.nested.as_nested_tensor(scores, layout=torch.jagged),
        "old_log_probs": rows(lambda n: -torch.rand(n, generator=generator)),
        "rollout_log_probs": rows(lambda n: -torch.rand(n, generator=generator)),
    }
    data = get_tensordict({**fields, "uid": [key.split("_")[0] for key in keys], "extra_fields": infos})
    assert isinstance(data, TensorDict)
    tags = [{"seq_len": length} for length in lengths]
    return tq.kv_batch_put(keys=keys, partition_id="train", fields=data, tags=tags)


def clocked(function: Any, spent: list[float]) -> Any:
    def call(*arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            spent.append(time.perf_counter() - start)

    return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--completions", type=int, default=8192)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--group-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--method", default="ds-grpo")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    with initialize_config_module("verl.trainer.config", version_base=None):
        overrides = ["algorithm.adv_estimator=grpo", f"actor_rollout_ref.rollout.n={args.group_size}"]
        overrides += ["trainer.v1.trainer_mode=unsharpen_sync", f"+unsharpen.method={args.method}"]
        overrides += ["actor_rollout_ref.rollout.name=vllm", "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=8"]
        overrides += ["actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=8"]
        config = compose("ppo_trainer", overrides=overrides)
    with tempfile.TemporaryDirectory(prefix="uns-") as folder:
        ray.init(num_cpus=4, num_gpus=0, include_dashboard=False, _temp_dir=folder)
        storage = {"storage_backend": "SimpleStorage", "SimpleStorage": {"num_data_storage_units": 2}}
        tq.init(OmegaConf.create({"backend": storage}))
        trainer = get_trainer_cls("unsharpen_sync")(config=config)
        batch = batch_of(args.completions, args.tokens, args.group_size)
        theirs: list[float] = []
        ours: list[float] = []
        queue: list[float] = []  # of ours, what the queue's transport takes
        step = PPOTrainer._compute_advantage
        for name in ("kv_batch_get", "kv_batch_put"):
            setattr(tq, name, clocked(getattr(tq, name), queue))

        def timed(*arguments: object) -> object:
            start = time.perf_counter()
            before = len(queue)
            result = step(*arguments)
            del queue[before:]
            theirs.append(time.perf_counter() - start)
            return result

        PPOTrainer._compute_advantage = timed
        transport = []
        for _ in range(args.rounds + 1):
            queue.clear()
            start = time.perf_counter()
            trainer._compute_advantage(batch, {})
            ours.append(time.perf_counter() - start - theirs[-1])
            transport.append(sum(queue))
        theirs, ours, transport = theirs[1:], ours[1:], transport[1:]  # the first round warms up
        tq.close()
        ray.shutdown()
    print(f"{args.completions} completions of {args.tokens // 2} to {args.tokens} tokens, groups of {args.group_size}")
    print(f"verl's advantage step    {1000 * statistics.median(theirs):8.0f} ms (median of {args.rounds})")
    print(f"ours, on top of it       {1000 * statistics.median(ours):8.0f} ms, method {args.method}")
    print(f"  of which the queue     {1000 * statistics.median(transport):8.0f} ms")


if __name__ == "__main__":
    main()
