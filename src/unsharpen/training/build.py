"""What a run is made of: tokenizer, reward, trainer, and the record of where it came from."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from importlib.resources import files
from typing import Any

from datasets import Dataset
from safetensors import SafetensorError
from transformers import AutoTokenizer

from unsharpen.engines.trl import DiverseGRPOTrainer, with_settings
from unsharpen.errors import InputError, UnsharpenError
from unsharpen.evaluation.provenance import source_revision, versions
from unsharpen.tasks import CountDown
from unsharpen.training.config import TINY_MODEL, RunConfig
from unsharpen.training.problems import Problems

_PACKAGES = ("unsharpen", "torch", "transformers", "trl", "accelerate", "datasets", "peft", "numpy")


def model_path(config: RunConfig) -> str:
    """The path or hub id to load."""
    if config.model == TINY_MODEL:
        return str(files("unsharpen") / "assets" / TINY_MODEL)
    return config.model


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


def countdown_reward(task: CountDown) -> Any:
    """1 for a correct completion, else 0; tells TRL's log which solution it was, and what the answer was if any."""

    def countdown(
        completions: list[Any], nums: list[list[int]], target: list[int], log_extra: Any, **_: Any
    ) -> list[float]:
        texts = [c if isinstance(c, str) else c[-1]["content"] for c in completions]
        verdicts = [task.verify(task.problem(n, t), text) for n, t, text in zip(nums, target, texts, strict=True)]
        log_extra("solution", [v.canonical if v.correct else None for v in verdicts])
        log_extra("answer", [v.canonical for v in verdicts])
        return [float(v.correct) for v in verdicts]

    return countdown


def provenance(config: RunConfig, arguments: Any, problems: Problems) -> dict[str, Any]:
    """What a reader needs to repeat the run, beside its settings."""
    values = with_settings(arguments, config.resolve_method()).to_dict()
    usual = {f.name: f.default for f in dataclasses.fields(arguments) if f.default is not dataclasses.MISSING}
    return {
        "grpo_config": {name: values[name] for name, default in usual.items() if values[name] != default},
        "num_train_problems": len(problems.train),
        "versions": versions(*_PACKAGES),
        "source_revision": source_revision(),
        "command": shlex.join(["unsharpen", *sys.argv[1:]]),
    }


def build_trainer(config: RunConfig, arguments: Any, problems: Problems, tokenizer: Any) -> DiverseGRPOTrainer:
    """The trainer of a run.

    Raises:
        InputError: too few problems for one step, a model that can't be read, or settings that a library refuses.
    """
    method = config.resolve_method()
    peft_config = None if config.lora is None else _lora_config(config.lora)
    per_step = arguments.generation_batch_size // arguments.num_generations
    if len(problems.train) < per_step:
        raise InputError(
            f"a step takes {per_step} different problems; there are {len(problems.train)} for training",
            hint="more problems, or a smaller per_device_train_batch_size or gradient_accumulation_steps by --set",
        )
    try:
        return DiverseGRPOTrainer(
            model_path(config),
            countdown_reward(problems.task),
            args=arguments,
            train_dataset=Dataset.from_list(problems.training_rows(num_solutions="num_solutions" in method.requires)),
            processing_class=tokenizer,
            peft_config=peft_config,
            method=method,
        )
    except UnsharpenError:
        raise
    except (OSError, SafetensorError) as error:
        raise InputError(f"can't load the model {config.model!r}: {str(error).splitlines()[0]}") from error
    except (ImportError, TypeError, ValueError) as error:
        raise InputError(f"the trainer refuses these settings: {error}") from error


def _lora_config(values: Any) -> Any:
    from peft import LoraConfig

    try:
        return LoraConfig(**{"task_type": "CAUSAL_LM", "target_modules": "all-linear", **values})
    except TypeError as error:
        raise InputError(f"peft.LoraConfig refuses these settings: {error}", hint="for example --lora r=16") from error
