"""The evaluation of the weights in hand, on every process that takes part in the run."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from accelerate import PartialState
from accelerate.utils import gather_object
from trl.models.utils import unwrap_model_for_generation

from unsharpen.engines.trl import DiverseGRPOTrainer
from unsharpen.evaluation.runner import judge
from unsharpen.evaluation.samplers.transformers import SamplingSettings, sample
from unsharpen.training.callbacks import Evaluate
from unsharpen.training.config import RunConfig
from unsharpen.training.folder import RunFolder, append_jsonl
from unsharpen.training.problems import Problems

_NOT_RECORDED = {"batch_size"}  # no part of the distribution


def sampling_settings(config: RunConfig, arguments: Any) -> SamplingSettings:
    """How a run samples: the same in training and evaluation; ``arguments`` are the trainer's."""
    return SamplingSettings(
        temperature=arguments.temperature,
        top_p=arguments.top_p,
        top_k=arguments.top_k,
        min_p=arguments.min_p,
        repetition_penalty=arguments.repetition_penalty,
        chat_template_kwargs=arguments.chat_template_kwargs or {},
        max_new_tokens=arguments.max_completion_length,
        batch_size=1024 if config.is_tiny else arguments.per_device_train_batch_size * 4,
    )


def as_recorded(settings: SamplingSettings) -> dict[str, Any]:
    """What of it decides about the samples."""
    return {key: value for key, value in asdict(settings).items() if key not in _NOT_RECORDED}


def make_evaluate(trainer: DiverseGRPOTrainer, config: RunConfig, folder: RunFolder, problems: Problems) -> Evaluate:
    """A function ``(step, samples per problem)`` that appends a line to ``evaluation.jsonl``.

    It samples as the training does: the same temperature, filters, penalties and chat template.

    Each process samples its share of the problems; the first one judges and writes. Shares that are one short repeat a
    problem, so that all processes generate equally often: with weights split over processes each call waits for the
    others. The sampling has its own random numbers, so a run trains the same way however often it is evaluated.
    """
    settings = sampling_settings(config, trainer.args)
    recorded = as_recorded(settings)
    prompts = [problems.prompt(p) for p in problems.evaluation]
    multiplicity = problems.num_solutions(problems.evaluation)
    state = PartialState()

    def evaluate(step: int, num_samples: int) -> None:
        mine = range(state.process_index, len(prompts), state.num_processes)
        missing = -(-len(prompts) // state.num_processes) - len(mine)
        seed = 7_919 * step + config.seed * 104_729 + state.process_index
        with unwrap_model_for_generation(trainer.model_wrapped, trainer.accelerator) as model:
            completions = sample(
                model,
                trainer.processing_class,
                [prompts[i] for i in (*mine, *[0] * missing)],
                num_samples=num_samples,
                settings=settings,
                seed=seed,
            )
            texts = list(zip(mine, list(completions), strict=False))
        gathered = sorted(gather_object(texts))
        if not state.is_main_process:
            return
        path = folder.samples / f"step-{step:06d}.jsonl" if config.keep_samples else None
        counts = judge(
            problems.task,
            problems.evaluation,
            (texts for _, texts in gathered),
            multiplicity=multiplicity,
            samples_path=path,
        )
        append_jsonl(folder.evaluation, {"step": step, **recorded, **counts})

    return evaluate
