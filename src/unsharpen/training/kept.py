"""The evaluation of weights that were kept: as their run evaluated them, or at another temperature, or mixed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from unsharpen.engines._base_share import mix_in, weights_of
from unsharpen.errors import InputError
from unsharpen.evaluation.runner import judge
from unsharpen.evaluation.samplers.transformers import sample
from unsharpen.training.build import load_tokenizer
from unsharpen.training.config import RunConfig, model_path
from unsharpen.training.evaluate import as_recorded, sampling_settings
from unsharpen.training.problems import load_problems
from unsharpen.training.trl_arguments import grpo_config


class KeptModels:
    """Evaluates weights on the evaluation problems of a run, with its number of samples per problem.

    Args:
        config: of the run; of several runs with the same base model, problems and sampling, any.
    """

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self._tokenizer = load_tokenizer(config)
        self._problems = load_problems(config, chat=self._tokenizer.chat_template is not None)
        self._prompts = [self._problems.prompt(p) for p in self._problems.evaluation]
        self._multiplicity = self._problems.num_solutions(self._problems.evaluation)
        self._settings = sampling_settings(config, grpo_config(config, Path()))

    def evaluate(self, models: Sequence[Path], *, temperature: float, base_share: float, seed: int) -> dict[str, Any]:
        """A record as in ``evaluation.jsonl``.

        Args:
            models: folders of weights: none is the base model, of several their mean is taken.
            temperature: of the sampling.
            base_share: how much of the base is mixed into them, in [0, 1).
            seed: of the sampling.

        Raises:
            InputError: weights that can't be loaded, or an adapter where weights are to be mixed.
        """
        base = model_path(self._config)
        for model in models if base_share or len(models) > 1 else ():
            if (model / "adapter_config.json").exists():
                raise InputError(f"{model} holds an adapter, which can't be mixed", hint="temperatures can be tried")
        weights = self._load(str(models[0]) if models else base)
        for number, model in enumerate(models[1:], start=2):
            mix_in(weights_of(self._load(str(model))), weights, 1 / number)
        if base_share and models:
            mix_in(weights_of(self._load(base)), weights, base_share)
        settings = dataclasses.replace(self._settings, temperature=temperature)
        weights.to("cuda" if torch.cuda.is_available() else "cpu")
        texts = sample(
            weights,
            self._tokenizer,
            self._prompts,
            num_samples=self._config.eval_samples,
            settings=settings,
            seed=seed * 104_729 + 1,
        )
        counts = judge(self._problems.task, self._problems.evaluation, texts, multiplicity=self._multiplicity)
        return {"base_share": base_share, **as_recorded(settings), **counts}

    @staticmethod
    def _load(path: str) -> Any:
        try:
            return AutoModelForCausalLM.from_pretrained(path)
        except (OSError, ValueError) as error:
            raise InputError(f"can't load the model {path!r}: {str(error).splitlines()[0]}") from error
