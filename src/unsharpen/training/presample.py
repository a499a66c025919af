"""Sample the base model before training: what it solves already, and in which words.

The two data sets of the choice of divergence (arXiv 2509.07430): problems that the base model solves in (nearly) every
try, with correct completions and their log-probabilities, and the problems that are left to explore.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from unsharpen.engines._sampling import SamplingLogprobs, recording
from unsharpen.errors import InputError
from unsharpen.tasks.hub import write_rows
from unsharpen.training.build import load_tokenizer
from unsharpen.training.config import RunConfig, model_path
from unsharpen.training.problems import Problems, load_problems

_NEUTRAL: dict[str, Any] = {
    **dict.fromkeys(("min_p", "typical_p", "top_h", "epsilon_cutoff", "eta_cutoff")),
    "num_beams": 1,
    "repetition_penalty": 1.0,
}
"""For ``generate``, in place of the model's own settings, so that it samples from what the log-probs are of."""
POOL, EXPLORE, RECORD = "pool.jsonl", "explore.jsonl", "presample.json"


@dataclass(frozen=True, kw_only=True)
class PresampleSettings:
    """How to sample and what to keep.

    Attributes:
        num_samples: tries per problem, to tell what the model masters.
        mastered: share of the tries that must be correct; 1 is all.
        keep: correct completions of a mastered problem that go into the pool, at most; different ones first.
        temperature: of the sampling, and of the training that the pool is for.
        max_new_tokens: completions are cut there.
        batch_size: completions in flight at once.
    """

    num_samples: int = 8
    mastered: float = 1.0
    keep: int = 1
    temperature: float = 1.0
    max_new_tokens: int = 1024
    batch_size: int = 256

    def __post_init__(self) -> None:
        if self.num_samples < 1 or self.keep < 1 or self.max_new_tokens < 1 or self.batch_size < 1:
            raise InputError(f"presampling needs whole numbers of at least 1; found {self}")
        if not 0 < self.mastered <= 1 or not self.temperature > 0:
            raise InputError(f"presampling needs mastered in (0, 1] and temperature > 0; found {self}")


@dataclass(frozen=True)
class Sampled:
    """One completion with its tokens and their log-probabilities under the base model."""

    prompt_ids: list[int]
    completion_ids: list[int]
    logprobs: list[float]
    text: str


def presample(config: RunConfig, output: Path, settings: PresampleSettings) -> dict[str, int]:
    """Write ``pool.jsonl``, ``explore.jsonl`` and ``presample.json`` into the folder; returns the counts.

    Raises:
        InputError: a model or problems that can't be read; no mastered problem, or none that is left.
    """
    tokenizer = load_tokenizer(config)
    problems = load_problems(config, chat=tokenizer.chat_template is not None)
    try:
        model = AutoModelForCausalLM.from_pretrained(model_path(config))
    except (OSError, ValueError) as error:
        raise InputError(f"can't load the model {config.model!r}: {str(error).splitlines()[0]}") from error
    model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    torch.manual_seed(config.seed)
    pool: list[dict[str, Any]] = []
    explore: list[dict[str, Any]] = []
    solved = 0
    for problem, tries in zip(problems.train, _groups(model, tokenizer, problems, settings), strict=True):
        verdicts = [problems.task.verify(problem, one.text) for one in tries]
        num_correct = sum(verdict.correct for verdict in verdicts)
        solved += num_correct
        if num_correct < settings.mastered * settings.num_samples:
            explore.append(dict(problems.task.to_row(problem)))
            continue
        correct = [(v.canonical, one) for v, one in zip(verdicts, tries, strict=True) if v.correct]
        first = dict(reversed(correct))  # of each solution the first try
        others = [one for canonical, one in correct if first[canonical] is not one]
        chosen = [*first.values(), *others][: settings.keep]
        prompt = problems.prompt(problem)
        pool.extend(_row(prompt, one, settings.temperature, config.model) for one in chosen)
    rate = solved / max(1, len(problems.train) * settings.num_samples)
    _check(pool, explore, rate, settings)
    counts = {"pool": len(pool), "explore": len(explore), "problems": len(problems.train)}
    output.mkdir(parents=True, exist_ok=True)
    write_rows(output / EXPLORE, explore)
    write_rows(output / POOL, pool)
    record = {**vars(settings), "model": config.model, "seed": config.seed, "pass@1": rate, **counts}
    (output / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return counts


def _check(pool: list[Any], explore: list[Any], rate: float, settings: PresampleSettings) -> None:
    if not pool:
        raise InputError(
            f"no problem was solved in {settings.mastered:g} of {settings.num_samples} tries (Pass@1 {rate:.2f}); the "
            "pool would be empty",
            hint="lower --mastered, or give more or easier problems",
        )
    if not explore:
        raise InputError(
            f"every problem was solved in {settings.mastered:g} of {settings.num_samples} tries; none is left to train "
            "on",
            hint="raise --mastered, or give harder problems",
        )


def _row(prompt: Any, one: Sampled, temperature: float, model: str) -> dict[str, Any]:
    return {
        "prompt": prompt,
        "completion": one.text,
        "prompt_ids": one.prompt_ids,
        "completion_ids": one.completion_ids,
        "logprobs": one.logprobs,
        "temperature": temperature,
        "model": model,
    }


def _groups(model: Any, tokenizer: Any, problems: Problems, settings: PresampleSettings) -> Iterator[list[Sampled]]:
    """For each training problem its tries."""
    prompts = [_prompt_ids(tokenizer, problems.prompt(p)) for p in problems.train for _ in range(settings.num_samples)]
    size = settings.batch_size
    chunks = (prompts[start : start + size] for start in range(0, len(prompts), size))
    flat = (one for chunk in chunks for one in _generate(model, tokenizer, chunk, settings))
    for _ in problems.train:
        yield [next(flat) for _ in range(settings.num_samples)]


def _prompt_ids(tokenizer: Any, prompt: Any) -> list[int]:
    """As the trainer tokenises it."""
    if isinstance(prompt, str):
        return list(tokenizer(prompt)["input_ids"])
    text = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _generate(model: Any, tokenizer: Any, prompts: list[list[int]], settings: PresampleSettings) -> list[Sampled]:
    encoded = tokenizer.pad({"input_ids": prompts}, padding_side="left", return_tensors="pt").to(model.device)
    ends = _ends(model, tokenizer)
    recorder = SamplingLogprobs(settings.temperature)
    with recording(model, recorder), torch.no_grad():
        sequences = model.generate(
            input_ids=encoded["input_ids"],
            attention_mask=encoded["attention_mask"],
            do_sample=True,
            temperature=settings.temperature,
            top_p=1.0,
            top_k=0,
            max_new_tokens=settings.max_new_tokens,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=sorted(ends) or None,
            **_NEUTRAL,
        )
    completions = [_until_end(row, ends) for row in sequences[:, encoded["input_ids"].shape[1] :].tolist()]
    texts = tokenizer.batch_decode(completions, skip_special_tokens=True)
    logprobs = recorder.collect(completions)
    return [Sampled(*one) for one in zip(prompts, completions, logprobs, texts, strict=True)]


def _ends(model: Any, tokenizer: Any) -> set[int]:
    """The ids that end a completion, as in the trainer: those of the model and that of the tokenizer."""
    configured = model.generation_config.eos_token_id
    ends = configured if isinstance(configured, list) else [configured]
    return {int(i) for i in (*ends, tokenizer.eos_token_id) if i is not None}


def _until_end(ids: list[int], ends: set[int]) -> list[int]:
    end = next((place for place, token in enumerate(ids) if token in ends), len(ids) - 1)
    return ids[: end + 1]
