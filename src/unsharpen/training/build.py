"""What a run is made of: tokenizer, reward, trainer, and the record of where it came from."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from datasets import Dataset
from safetensors import SafetensorError
from transformers import AutoTokenizer

from unsharpen.engines.trl import DiverseGRPOTrainer, with_settings
from unsharpen.errors import InputError, UnsharpenError
from unsharpen.evaluation.provenance import source_revision, versions
from unsharpen.tasks import MathTask, Task, verify_many
from unsharpen.training.config import TINY_MODEL, RunConfig, base_weights, model_path
from unsharpen.training.problems import Problems

_PACKAGES = ("unsharpen", "torch", "transformers", "trl", "accelerate", "datasets", "peft", "numpy", "math-verify")


def load_tokenizer(config: RunConfig) -> Any:
    """The model's tokenizer with a pad token.

    Raises:
        InputError: the model can't be found, or has neither a pad nor an end-of-text token.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(model_path(config), padding_side="left")
    except (OSError, ValueError) as error:
        raise InputError(
            f"can't load a tokenizer for the model {config.model!r}: {str(error).splitlines()[0]}",
            hint=f"give a folder in Hugging Face format, a hub id, or {TINY_MODEL!r}",
        ) from error
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise InputError(
                f"the tokenizer of {config.model!r} has neither a pad token nor an end-of-text token",
                hint="add one: tokenizer.pad_token = ...; tokenizer.save_pretrained(...)",
            )
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def task_reward(task: Task[Any], columns: Sequence[str]) -> Any:
    """1 for a correct completion, else 0; tells TRL's log which solution it was, and what the answer was if any.

    Args:
        task: the verifier.
        columns: of the training rows, those that make up a problem.
    """

    def reward(completions: list[Any], log_extra: Any, **data: Any) -> list[float]:
        rows = zip(*(data[name] for name in columns), strict=True)
        problems = [task.from_row(dict(zip(columns, row, strict=True))) for row in rows]
        verdicts = verify_many(task, problems, _texts(completions))
        log_extra("solution", [v.canonical if v.correct else None for v in verdicts])
        log_extra("answer", [v.canonical for v in verdicts])
        return [float(v.correct) for v in verdicts]

    reward.__name__ = "math" if isinstance(task, MathTask) else task.name
    return reward


def format_reward(task: MathTask, bonus: float) -> Any:
    """The bonus for a completion with a complete answer, right or wrong."""

    def answer_format(completions: list[Any], **_: Any) -> list[float]:
        return [bonus if task.answer(text) is not None else 0.0 for text in _texts(completions)]

    return answer_format


def _texts(completions: list[Any]) -> list[str]:
    return [c if isinstance(c, str) else c[-1]["content"] for c in completions]


def provenance(config: RunConfig, arguments: Any, problems: Problems) -> dict[str, Any]:
    """What a reader needs to repeat the run, beside its settings."""
    clean = problems.decontamination
    return {
        "grpo_config": changed_fields(with_settings(arguments, config.resolve_method())),
        "num_train_problems": len(problems.train),
        "removed_train_problems": None
        if clean is None
        else {"same_text": len(clean.same_text), "shared_words": len(clean.shared_words)},
        "weights": base_weights(config),
        "versions": versions(*_PACKAGES),
        "source_revision": source_revision(),
        "command": shlex.join(["unsharpen", *sys.argv[1:]]),
    }


def changed_fields(arguments: Any) -> dict[str, Any]:
    """Fields of a GRPOConfig -> their values as plain data, where those are not TRL's defaults."""
    values = arguments.to_dict()
    usual = {f.name: f.default for f in dataclasses.fields(arguments) if f.default is not dataclasses.MISSING}
    return {name: values[name] for name, default in usual.items() if values[name] != default}


def require_enough(problems: Problems, arguments: Any) -> None:
    """Raise InputError if there are fewer training problems than a batch takes."""
    per_step = arguments.generation_batch_size // arguments.num_generations
    if len(problems.train) < per_step:
        raise InputError(
            f"a step takes {per_step} different problems; there are {len(problems.train)} for training",
            hint="more problems, or a smaller per_device_train_batch_size or gradient_accumulation_steps by --set",
        )


def build_trainer(config: RunConfig, arguments: Any, problems: Problems, tokenizer: Any) -> DiverseGRPOTrainer:
    """The trainer of a run.

    Raises:
        InputError: too few problems for one step, a model that can't be read, or settings that a library refuses.
    """
    method = config.resolve_method()
    peft_config = None if config.lora is None else lora_config(config.lora)
    require_enough(problems, arguments)
    rewards = [task_reward(problems.task, list(problems.task.to_row(problems.train[0])))]
    if config.format_bonus and isinstance(problems.task, MathTask):
        rewards.append(format_reward(problems.task, config.format_bonus))
    try:
        return DiverseGRPOTrainer(
            model_path(config),
            rewards,
            args=arguments,
            train_dataset=Dataset.from_list(problems.training_rows(num_solutions="num_solutions" in method.requires)),
            processing_class=tokenizer,
            peft_config=peft_config,
            method=method,
            correctness=rewards[0].__name__,
        )
    except UnsharpenError:
        raise
    except (OSError, SafetensorError) as error:
        raise InputError(f"can't load the model {config.model!r}: {str(error).splitlines()[0]}") from error
    except (ImportError, TypeError, ValueError) as error:
        raise InputError(f"the trainer refuses these settings: {error}") from error


def lora_config(values: Any) -> Any:
    """``peft.LoraConfig`` of these fields, on all linear layers unless they say otherwise.

    Raises:
        InputError: a field that peft does not know, or a value that it refuses.
    """
    from peft import LoraConfig

    try:
        return LoraConfig(**{"task_type": "CAUSAL_LM", "target_modules": "all-linear", **values})
    except (TypeError, ValueError) as error:
        raise InputError(f"peft.LoraConfig refuses these settings: {error}", hint="for example --lora r=16") from error
