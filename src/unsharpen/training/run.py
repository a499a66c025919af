"""One run from configuration to report."""

from __future__ import annotations

import importlib.metadata
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils import gather_object
from datasets import Dataset
from safetensors import SafetensorError
from transformers import AutoTokenizer, PrinterCallback
from trl.models.utils import unwrap_model_for_generation

from unsharpen.engines.trl import DiverseGRPOTrainer
from unsharpen.errors import InputError, UnsharpenError
from unsharpen.evaluation.runner import judge
from unsharpen.evaluation.samplers.transformers import SamplingSettings, sample
from unsharpen.reports import dynamics_figure, load_run, pass_at_k_figure, save, write_report
from unsharpen.tasks import CountDown
from unsharpen.training.callbacks import (
    CleanStop,
    Evaluator,
    MetricsWriter,
    NoStepTooMany,
    NothingLeftToTrain,
    Report,
)
from unsharpen.training.config import TINY_MODEL, RunConfig
from unsharpen.training.folder import RunFolder, append_jsonl, read_jsonl
from unsharpen.training.problems import Problems, load_problems
from unsharpen.training.trl_arguments import generation_period, grpo_config

_PACKAGES = ("unsharpen", "torch", "transformers", "trl", "accelerate", "datasets", "peft", "numpy")


@dataclass(frozen=True)
class RunResult:
    """Where a run's results are, and whether it came to its end."""

    folder: RunFolder
    finished: bool


def train(
    config: RunConfig,
    output: Path,
    *,
    resume: bool = False,
    report: Report = lambda *_: None,
    base_from: Path | None = None,
) -> RunResult:
    """Train a model as ``config`` says and leave everything in ``output``.

    Args:
        config: the settings of the run.
        output: the run's folder; made here.
        resume: continue the run that the folder holds.
        report: called after every step.
        base_from: a run folder whose evaluation of the same base model on the same problems is taken over.

    Raises:
        UnsharpenError: bad settings or data; nothing has been trained or overwritten then.
    """
    folder = RunFolder(output)
    tokenizer = load_tokenizer(config)
    arguments = grpo_config(config, output)
    problems = load_problems(config, chat=tokenizer.chat_template is not None)
    main_process = PartialState().is_main_process
    if main_process:
        folder.claim(config, provenance(arguments, problems), resume=resume)
    PartialState().wait_for_everyone()
    try:
        finished = folder.finished or _train(config, arguments, problems, tokenizer, folder, report, base_from)
    except Exception:  # an interrupted run stays, to be resumed
        if main_process:
            folder.release()
        raise
    if main_process and folder.evaluated_steps():
        report_on([output], folder.report, title=f"{config.method} on {config.task}")
    return RunResult(folder, finished)


def _train(
    config: RunConfig,
    arguments: Any,
    problems: Problems,
    tokenizer: Any,
    folder: RunFolder,
    report: Report,
    base_from: Path | None,
) -> bool:
    """Train from the last checkpoint, or from the start; whether the run came to its end."""
    trainer = _trainer(config, arguments, problems, tokenizer)
    checkpoint = folder.last_checkpoint()
    if PartialState().is_main_process:
        folder.rewind(int(checkpoint.name.rsplit("-", 1)[1]) if checkpoint else 0)
        if base_from is not None and not folder.evaluated_steps():
            append_jsonl(folder.evaluation, read_jsonl(RunFolder(base_from).evaluation)[0])
    PartialState().wait_for_everyone()
    with CleanStop(generation_period(arguments)) as stop:
        _attach(trainer, config, folder, problems, stop, report)
        try:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        except NothingLeftToTrain:
            trainer.callback_handler.on_train_end(trainer.args, trainer.state, trainer.control)
    finished: bool = trainer.state.global_step >= trainer.state.max_steps
    if finished:
        partial = folder.model.with_name("model.partial")  # a crash leaves a whole model or none
        trainer.save_model(str(partial))
        PartialState().wait_for_everyone()
        if PartialState().is_main_process:
            partial.rename(folder.model)
    return finished


def report_on(runs: Sequence[Path], path: Path, *, title: str) -> None:
    """Write the HTML page to ``path`` and its figures (PNG and SVG) beside it."""
    loaded = [load_run(run) for run in runs]
    write_report(loaded, path, title=title)
    save(pass_at_k_figure(loaded), path.with_name("pass-at-k.png"))
    save(dynamics_figure(loaded), path.with_name("dynamics.png"))


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
    """1 for a correct completion, else 0; tells TRL's log which solution it was."""

    def countdown(
        completions: list[Any], nums: list[list[int]], target: list[int], log_extra: Any, **_: Any
    ) -> list[float]:
        texts = [c if isinstance(c, str) else c[-1]["content"] for c in completions]
        verdicts = [task.verify(task.problem(n, t), text) for n, t, text in zip(nums, target, texts, strict=True)]
        log_extra("solution", [v.canonical if v.correct else None for v in verdicts])
        return [float(v.correct) for v in verdicts]

    return countdown


def provenance(arguments: Any, problems: Problems) -> dict[str, Any]:
    """What a reader needs to repeat the run, beside its settings."""
    revision = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    ).stdout.strip()
    return {
        "grpo_config": arguments.to_dict(),
        "num_train_problems": len(problems.train),
        "versions": {"python": sys.version.split()[0], **{name: _version(name) for name in _PACKAGES}},
        "source_revision": revision or None,
        "command": shlex.join(["unsharpen", *sys.argv[1:]]),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _trainer(config: RunConfig, arguments: Any, problems: Problems, tokenizer: Any) -> DiverseGRPOTrainer:
    peft_config = None
    if config.lora is not None:
        peft_config = _lora_config(config.lora)
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
            train_dataset=Dataset.from_list(problems.training_rows()),
            processing_class=tokenizer,
            peft_config=peft_config,
            method=config.resolve_method(),
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


def _attach(
    trainer: DiverseGRPOTrainer,
    config: RunConfig,
    folder: RunFolder,
    problems: Problems,
    stop: CleanStop,
    report: Report,
) -> None:
    arguments = trainer.args
    settings = SamplingSettings(
        temperature=arguments.temperature,
        top_p=arguments.top_p,
        max_new_tokens=arguments.max_completion_length,
        batch_size=1024 if config.is_tiny else arguments.per_device_train_batch_size * 4,
    )
    prompts = [problems.prompt(p) for p in problems.evaluation]
    state = PartialState()

    def evaluate(step: int, num_samples: int) -> None:
        mine = prompts[state.process_index :: state.num_processes]
        with unwrap_model_for_generation(trainer.model_wrapped, trainer.accelerator) as model:
            seed = 7_919 * step + config.seed * 104_729 + state.process_index
            texts = list(
                sample(model, trainer.processing_class, mine, num_samples=num_samples, settings=settings, seed=seed)
            )
        indices = list(range(len(prompts)))[state.process_index :: state.num_processes]
        gathered = sorted(gather_object(list(zip(indices, texts, strict=True))))
        if not state.is_main_process:
            return
        path = folder.samples / f"step-{step:06d}.jsonl" if config.keep_samples else None
        counts = judge(problems.task, problems.evaluation, (t for _, t in gathered), samples_path=path)
        row = {"step": step, "temperature": settings.temperature, "top_p": settings.top_p, **counts}
        append_jsonl(folder.evaluation, row)

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(MetricsWriter(folder, report))
    trainer.add_callback(
        Evaluator(
            evaluate,
            every=config.eval_every,
            samples=config.eval_samples,
            samples_during=config.eval_samples_during,
            done=folder.evaluated_steps(),
        )
    )
    trainer.add_callback(stop)
    trainer.add_callback(NoStepTooMany())
