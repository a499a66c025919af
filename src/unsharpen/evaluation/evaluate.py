"""One evaluation from beginning to end: problems, samples, verdicts, and a folder that is never worse than it was."""

from __future__ import annotations

import shlex
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, get_args

from unsharpen.errors import InputError, SamplerError, UnsharpenWarning
from unsharpen.evaluation.folder import WEIGHTS, claim, note
from unsharpen.evaluation.identity import identify_weights
from unsharpen.evaluation.models import Model, find_model
from unsharpen.evaluation.problems import ProblemSet, load_problems, strip_thinking
from unsharpen.evaluation.provenance import source_revision, versions
from unsharpen.evaluation.rows import Row
from unsharpen.evaluation.samplers.base import MAX_SAMPLES, Request, Sample, Sampler, Sampling, sample_seed
from unsharpen.evaluation.samplers.server import Server
from unsharpen.evaluation.store import TORN, SampleStore

Backend = Literal["transformers", "vllm", "openai"]
Progress = Callable[[int, int, int], None]
"""Called with (samples there, samples in all, correct ones of this call)."""

_PACKAGES: Final = ("unsharpen", "numpy", "torch", "transformers", "vllm", "httpx", "math-verify")


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Everything that decides the outcome of an evaluation, and how it is carried out.

    Attributes:
        model: ``"countdown-tiny"``, a folder (a model's or a training run's), a hub id, or a server's name of it.
        task: as for ``unsharpen.tasks.get_task``.
        num_samples: per problem.
        sampling: how to sample.
        backend: what samples; None is ``"openai"`` with a server and ``"transformers"`` without.
        data: the problems; None is the task's own.
        split: of the data.
        limit: the first problems only.
        problem_column: the column of the question.
        answer_column: the column of the answer.
        answer_format: where completions have their answers; None is by the model and the task.
        chat: whether prompts are conversations; None is by the model, and for servers by the answer format.
        system: a system prompt.
        strip_thinking: grade only what follows ``</think>``.
        server: for the backend openai; its ``chat`` is set by the evaluation's.
        embedded: batch_size, device and dtype, for the backend transformers.
        engine: arguments of ``vllm.LLM``, for the backend vllm.
    """

    model: str
    task: str
    sampling: Sampling
    num_samples: int = 64
    backend: Backend | None = None
    data: str | None = None
    split: str | None = None
    limit: int | None = None
    problem_column: str | None = None
    answer_column: str | None = None
    answer_format: str | None = None
    chat: bool | None = None
    system: str | None = None
    strip_thinking: bool = False
    server: Server | None = None
    embedded: Mapping[str, Any] = field(default_factory=dict)
    engine: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1 <= self.num_samples <= MAX_SAMPLES:
            raise InputError(f"num_samples must be 1 to {MAX_SAMPLES}; found {self.num_samples}")
        if self.backend not in (None, *get_args(Backend)):
            raise InputError(f"backend must be one of {', '.join(get_args(Backend))}; found {self.backend!r}")
        if self.backend == "openai" and self.server is None:
            raise InputError("the backend openai needs the address of a server", hint="--base-url http://host:8000/v1")
        if self.backend not in (None, "openai") and self.server is not None:
            raise InputError(f"a base URL is for the backend openai; found {self.backend!r}")

    @property
    def resolved_backend(self) -> Backend:
        """The backend, also where none is named."""
        return self.backend or ("transformers" if self.server is None else "openai")


def evaluate(config: Evaluation, folder: Path, *, progress: Progress = lambda *_: None) -> ProblemSet:
    """Sample what the folder lacks, judge it, and store each sample as soon as it is there.

    The same call continues an evaluation that was interrupted; with a greater ``num_samples`` it adds to one that is
    complete. The model is loaded only where something is missing.

    Args:
        config: what to evaluate, and how.
        folder: new, or of the same evaluation.
        progress: told after each step.

    Raises:
        InputError: a setting is out of range, or the folder holds another evaluation, or one of other weights.
        DataError: the problems or the folder's files can't be read.
        SamplerError: the server or engine fails; what is finished is kept.
    """
    model = find_model(config.model)
    problems = load_problems(
        model,
        config.task,
        data=config.data,
        split=config.split,
        limit=config.limit,
        problem_column=config.problem_column,
        answer_column=config.answer_column,
        answer_format=config.answer_format,
    )
    sampler = make_sampler(config, model, problems)
    try:
        chat = sampler.chat if config.chat is None else config.chat
        prompts = {name: problems.prompt(name, chat=chat, system=config.system) for name in problems.problems}
        with SampleStore(folder) as store:
            if store.torn_bytes:
                told = f"{store.path}: the last line was cut short; its {store.torn_bytes} bytes are now in {TORN}"
                warnings.warn(told, UnsharpenWarning, stacklevel=2)
            claim(folder, _settings(config, model, problems, chat), problems.rows())
            _fill(config, problems, prompts, sampler, store, progress)
    finally:
        sampler.close()
    return problems


def make_sampler(config: Evaluation, model: Model, problems: ProblemSet) -> Sampler:
    """The sampler of a configuration; heavy libraries are imported here."""
    if config.server is not None:
        from unsharpen.evaluation.samplers.openai import OpenAISampler

        bare = getattr(problems.task, "answer_format", None) == "bare"
        chat = not bare if config.chat is None else config.chat
        return OpenAISampler(config.model, config.sampling, replace(config.server, chat=chat))
    if config.resolved_backend == "vllm":
        from unsharpen.evaluation.samplers.vllm import VLLMSampler

        return VLLMSampler(model.path, config.sampling, chat=config.chat, engine=dict(config.engine))
    from unsharpen.evaluation.samplers.embedded import TransformersSampler

    return TransformersSampler(model.path, config.sampling, **config.embedded)


def _fill(
    config: Evaluation,
    problems: ProblemSet,
    prompts: Mapping[str, Any],
    sampler: Sampler,
    store: SampleStore,
    progress: Progress,
) -> None:
    """Ask for everything that is missing, and store it."""
    n = config.num_samples
    requests = [Request(name, prompt, n, store.missing(name, n)) for name, prompt in prompts.items()]
    total, correct = n * len(prompts), 0
    progress(len(store), total, correct)
    if not any(request.missing for request in requests):
        return
    for samples in sampler.sample(requests):
        if any(sample.final is not None for sample in samples):
            note(store.path.parent, reasoning_apart=True)  # grading again needs to know
        rows = judged(config, problems, samples)
        store.append(rows)
        correct += sum(row["correct"] for row in rows)
        progress(len(store), total, correct)
    lacking = total - len(store)
    if lacking:
        raise SamplerError(f"the sampler must give all samples; {lacking} of {total} are missing")


def judged(config: Evaluation, problems: ProblemSet, samples: Sequence[Sample]) -> list[Row]:
    """The rows of finished samples."""
    texts = [sample.completion if sample.final is None else sample.final for sample in samples]
    if config.strip_thinking:
        texts = [strip_thinking(text) for text in texts]
    verdicts = problems.judge([sample.problem_id for sample in samples], texts)
    return [
        {
            "task": problems.task.name,
            "problem_id": sample.problem_id,
            "sample_id": sample.sample_id,
            "model": config.model,
            "completion": sample.completion,
            "finish_reason": sample.finish_reason,
            "num_tokens": sample.num_tokens,
            "logprob": sample.logprob,
            "correct": verdict.correct,
            "reason": verdict.reason,
            "canonical": verdict.canonical,
            "seed": sample_seed(config.sampling.seed, sample.problem_id, sample.sample_id),
        }
        for sample, verdict in zip(samples, verdicts, strict=True)
    ]


def _settings(config: Evaluation, model: Model, problems: ProblemSet, chat: bool) -> dict[str, Any]:
    """What ``settings.json`` holds: enough to repeat the evaluation, and no secret."""
    server = ("base_url", "samples_per_request", "extra") if config.server is not None else ()
    backend = {"transformers": config.embedded, "vllm": {"engine": config.engine}, "openai": {}}
    return {
        "task": problems.task.name,
        "split": problems.split,
        "source": problems.source,
        "model": config.model,
        **({} if config.server is not None else {WEIGHTS: identify_weights(model.path)}),
        "backend": config.resolved_backend,
        "num_samples": config.num_samples,
        **asdict(config.sampling),
        "chat": chat,
        "system": config.system,
        "answer_format": getattr(problems.task, "answer_format", None),
        "strip_thinking": config.strip_thinking,
        **{name: getattr(config.server, name) for name in server},
        **backend[config.resolved_backend],
        "versions": versions(*_PACKAGES),
        "source_revision": source_revision(),
        "command": shlex.join(["unsharpen", *sys.argv[1:]]),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
