"""Sample with ``transformers`` in this process, the default: on CPU and GPU, each sample from its own numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from unsharpen.errors import InputError, SamplerError
from unsharpen.evaluation.samplers._seeded import SeededSampling, Thinking
from unsharpen.evaluation.samplers._stop import StopTexts
from unsharpen.evaluation.samplers.base import Request, Sample, Sampling, sample_seed
from unsharpen.evaluation.samplers.transformers import _as_text


@dataclass(frozen=True)
class _Place:
    """One place of a batch: a sample, and whether it is wanted or only keeps the batch as it was."""

    request: Request
    sample_id: int
    wanted: bool


class TransformersSampler:
    """Samples from a model in Hugging Face format.

    The token of a step is chosen by a number that depends on the seed, the problem, the sample and the step alone,
    so neither the batch size nor an interruption changes which random numbers a sample gets. Batches are cut from the
    list of all samples, not of the missing ones: a resumed run repeats the batches of an undisturbed one, with the
    same rounding in each, and its samples are the same to the last character.

    Args:
        model: a folder or a hub id.
        sampling: how to sample.
        batch_size: completions in flight at once; it bounds memory.
        device: ``"auto"`` is a GPU if there is one; or what torch calls it.
        dtype: of the weights; ``"auto"`` is the checkpoint's on a GPU and float32 on a CPU.

    Raises:
        InputError: there is no such model, or no such device.
    """

    def __init__(
        self, model: str, sampling: Sampling, *, batch_size: int = 64, device: str = "auto", dtype: str = "auto"
    ) -> None:
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1; found {batch_size}")
        self._name, self._sampling, self._batch_size, self._dtype = model, sampling, batch_size, dtype
        self._device = _device(device)
        self.tokenizer = load_tokenizer(model)
        self.chat = self.tokenizer.chat_template is not None

    def close(self) -> None:
        self.__dict__.pop("model", None)

    @cached_property
    def model(self) -> Any:
        """The model, loaded when it is first needed."""
        dtype: Any = self._dtype
        if dtype == "auto" and self._device.type == "cpu":
            dtype = torch.float32
        try:
            model = AutoModelForCausalLM.from_pretrained(self._name, dtype=dtype)
        except (OSError, ValueError) as error:
            raise InputError(f"can't load the model {self._name!r}: {str(error).splitlines()[0]}") from error
        return model.to(self._device).eval()

    def sample(self, requests: Sequence[Request]) -> Iterator[list[Sample]]:
        places = [
            _Place(r, i, i in wanted) for r in requests for wanted in [set(r.missing)] for i in range(r.num_samples)
        ]
        for start in range(0, len(places), self._batch_size):
            batch = places[start : start + self._batch_size]
            if any(place.wanted for place in batch):
                yield [s for place, s in zip(batch, self._generate(batch), strict=True) if place.wanted]

    def _generate(self, batch: list[_Place]) -> list[Sample]:
        sampling = self._sampling
        prompts = [_as_text(self.tokenizer, p.request.prompt, sampling.chat_template_kwargs) for p in batch]
        templated = not isinstance(batch[0].request.prompt, str)
        encoded = self.tokenizer(
            prompts, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=not templated
        ).to(self._device)
        encoded.pop("token_type_ids", None)
        seeds = [sample_seed(sampling.seed, p.request.problem_id, p.sample_id) for p in batch]
        chooser = SeededSampling(sampling, seeds, self._thinking(prompts))
        width = encoded["input_ids"].shape[1]
        stops = StopTexts(self.tokenizer, sampling.stop, width, len(batch)) if sampling.stop else None
        arguments = {**self._arguments(), "stopping_criteria": [stops] if stops is not None else None}
        try:
            with torch.no_grad():
                sequences = self.model.generate(**encoded, **arguments, logits_processor=[chooser])
        except torch.OutOfMemoryError as error:
            raise SamplerError(
                f"{len(batch)} completions at once do not fit into the memory of {self._device}",
                hint="a smaller --batch-size, in a new --output",
            ) from error
        stopped = [None] * len(batch) if stops is None else stops.lengths
        columns = (sequences[:, width:].tolist(), chooser.logprobs(), stopped)
        return [self._finish(place, *values) for place, *values in zip(batch, *columns, strict=True)]

    def _arguments(self) -> dict[str, Any]:
        """For ``generate``: greedy, as the processor leaves one token, and without settings of the model's own."""
        off: dict[str, Any] = dict.fromkeys(("temperature", "top_p", "top_k", "min_p", "typical_p"))
        arguments = {**off, "do_sample": False, "num_beams": 1, "repetition_penalty": 1.0, "use_cache": True}
        arguments |= {"max_new_tokens": self._sampling.max_new_tokens, "pad_token_id": self.tokenizer.pad_token_id}
        arguments |= {"eos_token_id": self._ends or None}
        return arguments

    @cached_property
    def _ends(self) -> list[int]:
        """The ids that end a completion."""
        configured = self.model.generation_config.eos_token_id
        ends = configured if isinstance(configured, list) else [configured]
        return sorted({int(i) for i in (*ends, self.tokenizer.eos_token_id) if i is not None})

    def _thinking(self, prompts: list[str]) -> Thinking | None:
        """The budget, where one is set: the tokens that close a thought, and which prompts have opened one."""
        if self._sampling.thinking_budget is None:
            return None
        opening, closing = (self.tokenizer.encode(t, add_special_tokens=False) for t in ("<think>", "</think>"))
        opened = [prompt.rfind("<think>") > prompt.rfind("</think>") for prompt in prompts]
        return Thinking(self._sampling.thinking_budget, tuple(opening), tuple(closing), opened)

    def _finish(self, place: _Place, tokens: list[int], logprobs: list[float], stopped: int | None) -> Sample:
        """A sample from a row of the batch; ``stopped`` is its length at a stop text, if one came."""
        ends = set(self._ends)
        end = next((i for i, token in enumerate(tokens) if token in ends), None)
        if stopped is not None and (end is None or stopped <= end):
            length, end = stopped, stopped
        else:
            length = len(tokens) if end is None else end + 1
        text: str = self.tokenizer.decode(tokens[:end], skip_special_tokens=True)
        cut = min((at for at in map(text.find, self._sampling.stop) if at >= 0), default=None)
        return Sample(
            place.request.problem_id,
            place.sample_id,
            text[:cut],
            finish_reason="length" if end is None else "stop",
            num_tokens=length,
            logprob=sum(logprobs[:length]),
        )


def _places(requests: Sequence[Request]) -> Iterator[_Place]:
    for request in requests:
        wanted = set(request.missing)
        for i in range(request.num_samples):
            yield _Place(request, i, i in wanted)


def load_tokenizer(model: str) -> Any:
    """The model's tokenizer with a pad token.

    Raises:
        InputError: it can't be found, or has neither a pad nor an end-of-text token.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(model, padding_side="left")
    except (OSError, ValueError) as error:
        raise InputError(
            f"can't load a tokenizer for the model {model!r}: {str(error).splitlines()[0]}",
            hint="give a folder in Hugging Face format, a hub id, or countdown-tiny; for a server's model, --base-url",
        ) from error
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise InputError(f"the tokenizer of {model!r} has neither a pad token nor an end-of-text token")
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"no such device: {name!r}; {str(error).splitlines()[0]}") from error
    return device
