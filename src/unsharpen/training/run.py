"""One run from configuration to report."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import PrinterCallback

from unsharpen.engines.monitor import CollapseMonitor
from unsharpen.errors import UnsharpenWarning
from unsharpen.reports import dynamics_figure, load_run, pass_at_k_figure, save, write_report
from unsharpen.training.build import build_trainer, load_tokenizer, provenance
from unsharpen.training.callbacks import (
    CleanStop,
    Evaluator,
    MetricsWriter,
    NoStepTooMany,
    NothingLeftToTrain,
    Report,
    TimeLimit,
    logged_seconds,
)
from unsharpen.training.config import RunConfig
from unsharpen.training.evaluate import make_evaluate
from unsharpen.training.folder import RunFolder, read_jsonl
from unsharpen.training.problems import Problems, load_problems
from unsharpen.training.trl_arguments import generation_period, grpo_config


@dataclass(frozen=True)
class RunResult:
    """Where a run's results are, whether it came to its end, and whether the user asked it to stop before or at it."""

    folder: RunFolder
    finished: bool
    interrupted: bool = False


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
    try:
        if main_process:
            if problems.decontamination is not None and problems.decontamination.num_removed:
                warnings.warn(str(problems.decontamination), UnsharpenWarning, stacklevel=2)
            folder.claim(config, provenance(config, arguments, problems), resume=resume)
        PartialState().wait_for_everyone()
        finished, interrupted = folder.finished, False
        try:
            if not finished:
                finished, interrupted = _train(config, arguments, problems, tokenizer, folder, report, base_from)
        except Exception:  # an interrupted run stays, to be resumed
            if main_process:
                folder.release()
            raise
        if main_process and folder.evaluated_steps():
            report_on([output], folder.report, title=f"{config.method} on {config.task}")
    finally:
        folder.close()
    return RunResult(folder, finished, interrupted)


def _train(
    config: RunConfig,
    arguments: Any,
    problems: Problems,
    tokenizer: Any,
    folder: RunFolder,
    report: Report,
    base_from: Path | None,
) -> tuple[bool, bool]:
    """Train from the last checkpoint, or from the start; whether the run came to its end, and was asked to stop."""
    trainer = build_trainer(config, arguments, problems, tokenizer)
    checkpoint = folder.last_checkpoint()
    if PartialState().is_main_process:
        folder.rewind(int(checkpoint.name.rsplit("-", 1)[1]) if checkpoint else 0)
        if base_from is not None and not folder.evaluated_steps():
            folder.take_over(read_jsonl(RunFolder(base_from).evaluation)[0])
    PartialState().wait_for_everyone()
    with CleanStop(generation_period(arguments)) as stop:
        trainer.remove_callback(PrinterCallback)
        for callback in (
            *_time_limit(config, arguments, folder),
            MetricsWriter(folder, report),
            *_evaluator(trainer, config, folder, problems),
            CollapseMonitor(),
            stop,
            NoStepTooMany(),
        ):
            trainer.add_callback(callback)
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
    return finished, stop.requested


def _evaluator(trainer: Any, config: RunConfig, folder: RunFolder, problems: Problems) -> list[Evaluator]:
    if config.eval_samples == 0:
        return []
    evaluator = Evaluator(
        make_evaluate(trainer, config, folder, problems),
        every=config.eval_every,
        samples=config.eval_samples,
        samples_during=config.eval_samples_during,
        done=folder.evaluated_steps(),
    )
    return [evaluator]


def _time_limit(config: RunConfig, arguments: Any, folder: RunFolder) -> list[TimeLimit]:
    if config.max_minutes is None:
        return []
    spent = logged_seconds(read_jsonl(folder.metrics))
    return [TimeLimit(60 * config.max_minutes, spent=spent, period=generation_period(arguments))]


def report_on(runs: Sequence[Path], path: Path, *, title: str) -> None:
    """Write the HTML page to ``path`` and its figures (PNG and SVG) beside it."""
    loaded = [load_run(run) for run in runs]
    write_report(loaded, path, title=title)
    save(pass_at_k_figure(loaded), path.with_name("pass-at-k.png"))
    save(dynamics_figure(loaded), path.with_name("dynamics.png"))
