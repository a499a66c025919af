"""Run by the two-process test, once alone and once under a launcher: trains on fixed rollouts, dumps advantages.

Rollouts come from a table, not from the model, so that one process and two see the same completions. Of the three
groups of 4 the second is spread over both processes, so the test fails unless groups are put together across processes.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import torch
from accelerate import PartialState
from datasets import Dataset
from trl import GRPOConfig

from unsharpen import get_method
from unsharpen.engines.trl import DiverseGRPOTrainer
from unsharpen.tasks import CountDown
from unsharpen.training.build import load_tokenizer, task_reward
from unsharpen.training.config import RunConfig, model_path

PROMPTS = [((1, 2, 3), 6), ((2, 3, 4), 9), ((1, 4, 5), 10), ((2, 5, 6), 13), ((1, 6, 7), 14), ((3, 4, 5), 12)]
COMPLETIONS = ["1 + 2 + 3", "2 * 3 + 1", "3 * 2 * 1", "4 + 3 + 2", "5 + 4 + 1", "2 + 5 + 6", "(1 + 1)", "6"]


def main() -> None:
    output, per_device, method = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    torch.set_num_threads(1)
    state = PartialState()
    config = RunConfig()
    tokenizer = load_tokenizer(config)
    task = CountDown(answer_format="bare")
    problems = [task.problem(*p) for p in PROMPTS]
    calls = 0

    def rollout(prompts: list[str], trainer: Any) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        start = state.process_index * len(prompts)
        texts = [COMPLETIONS[(start + i) * 3 * calls % len(COMPLETIONS)] for i in range(len(prompts))]
        ids = [[*tokenizer(t)["input_ids"], tokenizer.eos_token_id] for t in texts]
        logprobs = [[-0.1 * (start + i + 1) - 0.01 * t for t in range(len(row))] for i, row in enumerate(ids)]
        return {"prompt_ids": [tokenizer(p)["input_ids"] for p in prompts], "completion_ids": ids, "logprobs": logprobs}

    trainer = DiverseGRPOTrainer(
        model_path(config),
        task_reward(task, ["nums", "target"]),
        args=GRPOConfig(
            output,
            per_device_train_batch_size=per_device,
            num_generations=4,
            max_steps=3,
            learning_rate=1e-3,
            gradient_checkpointing=False,
            bf16=False,
            use_cpu=True,
            report_to="none",
            disable_tqdm=True,
            save_strategy="no",
            logging_steps=1,
            dataloader_pin_memory=False,
        ),
        train_dataset=Dataset.from_list([{"prompt": task.prompt(p), **task.to_row(p)} for p in problems]),
        processing_class=tokenizer,
        rollout_func=rollout,
        method=get_method(method),
    )
    seen = []
    original = trainer._generate_and_score_completions

    def capture(inputs: Any) -> Any:
        result = original(inputs)
        gathered = trainer.accelerator.gather(result["advantages"].double())
        seen.append({"advantages": gathered.tolist(), "solutions": trainer._solutions})
        return result

    trainer._generate_and_score_completions = capture
    trainer.train()
    if state.is_main_process:
        weights = [p.detach().double().sum().item() for p in trainer.model.parameters()]
        logs = [
            {k: r[k] for k in ("pass@1", "distinct_correct", "shaping_ratio") if k in r}
            for r in trainer.state.log_history
        ]
        with open(os.path.join(output, "result.json"), "w", encoding="utf-8") as file:
            memory = None if trainer.method.memory is None else trainer.method.memory.state_dict()
            json.dump({"batches": seen, "weights": weights, "logs": logs, "memory": memory}, file)
    state.wait_for_everyone()
    state.destroy_process_group()  # else gloo's threads may still run when Python ends, and abort the process


if __name__ == "__main__":
    main()
