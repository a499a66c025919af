"""A rollout in slime's form, and one of two processes that hold half of it each. Run by ``test_slime.py``."""

from __future__ import annotations

import json
import sys
import types
import warnings
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch


def arguments(**values: Any) -> Namespace:
    """Slime's arguments that the hook reads; what is none of them is an option of unsharpen's section."""
    ours = Namespace(
        n_samples_per_prompt=4,
        use_rollout_logprobs=False,
        rewards_normalization=False,
        normalize_advantages=False,
        kl_coef=0.0,
        use_kl_loss=False,
        kl_loss_coef=0.0,
        context_parallel_size=1,
    )
    section = {key: value for key, value in values.items() if not hasattr(ours, key)}
    for key in values.keys() - section.keys():
        setattr(ours, key, values[key])
    ours.unsharpen = section or None
    return ours


def rollout() -> dict[str, Any]:
    """24 samples of 6 prompts in the order that slime's balancing leaves them in."""
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(24, generator=generator).tolist()
    lengths = torch.randint(2, 9, (24,), generator=generator).tolist()
    logprobs = [-torch.rand(length, generator=generator) * 2 for length in lengths]
    masks = [torch.ones(length, dtype=torch.int) for length in lengths]
    masks[5][1] = 0  # a token that a tool returned
    rewards = (torch.rand(24, generator=generator) < 0.5).float().tolist()
    rewards[0] = 0.1 if rewards[0] == 0 else rewards[0]
    return {
        "log_probs": logprobs,
        "rollout_log_probs": [row - 0.1 for row in logprobs],
        "loss_masks": masks,
        "sample_indices": order,
        "rollout_ids": [1000 + index for index in order],
        "local_raw_reward": rewards,
        "rewards": [0.0] * 24,  # slime's own normalisation; must not be read
    }


def take(rank: int) -> list[int]:
    """The samples of one of two processes: unequal shares, groups torn apart."""
    return [i for i in range(24) if (i % 3 == 0) == (rank == 0)]


def main() -> None:
    rank, port, output = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    torch.distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    world = torch.distributed.group.WORLD
    core = types.ModuleType("megatron.core")
    core.mpu = types.SimpleNamespace(
        get_data_parallel_group_gloo=lambda with_context_parallel: world,
        get_data_parallel_rank=lambda: rank,
        get_tensor_model_parallel_rank=lambda: 0,
    )
    sys.modules |= {"megatron": types.ModuleType("megatron"), "megatron.core": core}

    from unsharpen.engines.slime import advantages

    data = {name: [values[i] for i in take(rank)] for name, values in rollout().items()}
    with warnings.catch_warnings(record=True) as caught:
        advantages(arguments(method="ds-grpo-sum", gamma_p=0.1, gamma_n=0.1), data)
    found = {"advantages": [row.tolist() for row in data["advantages"]], "warnings": [str(w.message) for w in caught]}
    (output / f"{rank}.json").write_text(json.dumps(found))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
