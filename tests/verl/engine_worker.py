"""One update of verl's real FSDP2 engine on our advantages; run by ``test_engine.py``, prints what moved."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import Any

import torch
from hydra import compose, initialize_config_module
from settings import words
from tensordict import TensorDict
from verl.utils import tensordict_utils as tu
from verl.utils.config import omega_conf_to_dataclass
from verl.workers.engine_workers import TrainingWorker, TrainingWorkerConfig
from verl.workers.utils.losses import ppo_loss
from verl.workers.utils.padding import response_from_nested

from unsharpen.engines._options import Options
from unsharpen.engines._verl_batch import Columns, batch_of, layout_of, values_of
from unsharpen.methods import get_method

PROMPTS, COMPLETIONS = 4, 4
SMALL_STEP = {"actor_rollout_ref.actor.optim.lr": 1e-4}  # so that the change is that of first order


def worker_of(model: str) -> TrainingWorker:
    with initialize_config_module("verl.trainer.config", version_base=None):
        config = compose("ppo_trainer", overrides=words({"actor_rollout_ref.model.path": model, **SMALL_STEP}))
    actor = omega_conf_to_dataclass(config.actor_rollout_ref.actor)
    actor.model_config = omega_conf_to_dataclass(config.actor_rollout_ref.model)
    actor.engine.use_dynamic_bsz = False
    actor.engine.micro_batch_size_per_gpu = actor.engine.infer_micro_batch_size_per_gpu = 8
    training = TrainingWorkerConfig(
        model_type="language_model",
        model_config=actor.model_config,
        engine_config=actor.engine,
        optimizer_config=actor.optim,
        checkpoint_config=actor.checkpoint,
    )
    worker = TrainingWorker(config=training)
    worker.reset()
    worker.set_loss_fn(partial(ppo_loss, config=actor))
    return worker


def jagged(rows: list[torch.Tensor]) -> torch.Tensor:
    return torch.nested.as_nested_tensor(rows, layout=torch.jagged)


def rollouts() -> TensorDict:
    generator = torch.Generator().manual_seed(0)
    prompts = [torch.randint(5, 100, (4,), generator=generator) for _ in range(PROMPTS) for _ in range(COMPLETIONS)]
    responses = [torch.randint(5, 100, (3 + i % 4,), generator=generator) for i in range(len(prompts))]
    inputs = [torch.cat(pair) for pair in zip(prompts, responses, strict=True)]
    ones = [torch.ones_like(r) for r in responses]
    fields = {
        "prompts": jagged(prompts),
        "responses": jagged(responses),
        "input_ids": jagged(inputs),
        "position_ids": jagged([torch.arange(len(row)) for row in inputs]),
        "response_mask": jagged(ones),
        "loss_mask": jagged(ones),
    }
    return TensorDict(fields, batch_size=len(inputs))


def logprobs_of(worker: TrainingWorker, data: TensorDict) -> torch.Tensor:
    given = data.clone()
    tu.assign_non_tensor(given, calculate_entropy=False, compute_loss=False, temperature=1.0)
    return response_from_nested(worker.infer_batch(given)["log_probs"], data["response_mask"])


def advantages_of(name: str, data: TensorDict, old: torch.Tensor, scores: list[float]) -> torch.Tensor:
    lengths = data["response_mask"].offsets().diff()
    tokens = torch.zeros(int(lengths.sum()))
    tokens[lengths.cumsum(0) - 1] = torch.tensor(scores)
    columns = Columns(
        keys=[f"u{i // COMPLETIONS}_{i % COMPLETIONS}_0" for i in range(len(scores))],
        padding=[False] * len(scores),
        lengths=lengths.numpy(),
        mask=data["response_mask"].values().bool().numpy(),
        scores=tokens.numpy(),
        logprobs=old.values().numpy(),
    )
    options = Options(method=get_method(name))
    layout = layout_of(columns)
    batch = batch_of(columns, layout, options)
    values = values_of(columns, layout, batch, options.method.advantages(batch), options)
    return torch.nested.nested_tensor_from_jagged(torch.from_numpy(values), old.offsets())


def main() -> None:
    model, name = sys.argv[1:]
    torch.manual_seed(0)
    worker, data = worker_of(model), rollouts()
    old = logprobs_of(worker, data)
    scores = [float(i % 3 == 0) for i in range(len(data))]
    given = data.clone()
    given["old_log_probs"], given["advantages"] = old, advantages_of(name, data, old, scores)
    size = len(data)
    tu.assign_non_tensor(
        given, mini_batch_size=size, global_batch_size=size, epochs=1, calculate_entropy=False, temperature=1.0
    )
    worker.train_mini_batch(given)
    new = logprobs_of(worker, data)
    pairs: Any = zip(given["advantages"].unbind(), old.unbind(), new.unbind(), strict=True)
    result = [(float(a[0]), float((n - o).sum())) for a, o, n in pairs]
    print("RESULT " + json.dumps({"engine": type(worker.engine).__name__, "moved": result}))


if __name__ == "__main__":
    main()
