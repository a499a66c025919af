"""Sample with vLLM in this process: all samples of a problem in one request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import Any

from unsharpen.errors import MissingExtraError, SamplerError
from unsharpen.evaluation.samplers.base import Request, Sample, Sampling, runs, sample_seed

_Run = tuple[Request, int, int]


class VLLMSampler:
    """Samples offline with ``vllm.LLM``.

    Written to vLLM's public interface: ``LLM(model=...)``, ``LLM.generate`` and ``LLM.chat`` with one
    ``SamplingParams`` per prompt, ``RequestOutput.outputs`` with ``index``, ``text``, ``token_ids``,
    ``cumulative_logprob`` and ``finish_reason``.

    Args:
        model: a folder or a hub id.
        sampling: how to sample.
        chat: whether to send conversations; None asks the tokenizer for a chat template, which loads the model.
        requests_at_once: problems handed to vLLM in one call; what a call returns is stored before the next.
        engine: further arguments of ``vllm.LLM``, e.g. ``tensor_parallel_size``.

    Raises:
        MissingExtraError: vLLM is not installed.
    """

    def __init__(
        self,
        model: str,
        sampling: Sampling,
        *,
        chat: bool | None = None,
        requests_at_once: int = 64,
        engine: dict[str, Any] | None = None,
    ) -> None:
        try:
            import vllm
        except ImportError as error:
            raise MissingExtraError("the backend vllm needs the package vllm", hint="pip install vllm") from error
        self._vllm: Any = vllm
        self._name, self._sampling, self._engine = model, sampling, engine or {}
        self._at_once = requests_at_once
        self.chat = self._llm.get_tokenizer().chat_template is not None if chat is None else chat

    def close(self) -> None:
        self.__dict__.pop("_llm", None)

    def sample(self, requests: Sequence[Request]) -> Iterator[list[Sample]]:
        wanted = iter([(request, first, size) for request in requests for first, size in runs(request.missing)])
        while batch := list(islice(wanted, self._at_once)):
            outputs = self._ask(batch)
            if len(outputs) != len(batch):
                raise SamplerError(f"vLLM must return {len(batch)} outputs; found {len(outputs)}")
            yield [sample for run, output in zip(batch, outputs, strict=True) for sample in _samples(run, output)]

    @cached_property
    def _llm(self) -> Any:
        try:
            return self._vllm.LLM(model=self._name, **self._engine)
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            raise SamplerError(f"vLLM can't load {self._name!r}: {str(error).splitlines()[0]}") from error

    def _ask(self, batch: list[_Run]) -> list[Any]:
        params = [self._params(*run) for run in batch]
        prompts = [request.prompt for request, _, _ in batch]
        try:
            if isinstance(prompts[0], str):
                outputs = self._llm.generate(prompts, params, use_tqdm=False)
            else:
                kwargs = dict(self._sampling.chat_template_kwargs)
                outputs = self._llm.chat(prompts, params, use_tqdm=False, chat_template_kwargs=kwargs)
        except ValueError as error:  # e.g. a prompt longer than the model's context
            raise SamplerError(f"vLLM refuses: {str(error).splitlines()[0]}") from error
        return list(outputs)

    def _params(self, request: Request, first: int, size: int) -> Any:
        sampling = self._sampling
        budget = {} if sampling.thinking_budget is None else {"thinking_token_budget": sampling.thinking_budget}
        try:
            return self._vllm.SamplingParams(
                n=size,
                seed=sample_seed(sampling.seed, request.problem_id, first),
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                top_k=sampling.top_k or -1,
                min_p=sampling.min_p or 0.0,
                max_tokens=sampling.max_new_tokens,
                stop=list(sampling.stop) or None,
                logprobs=0,
                **budget,
            )
        except TypeError as error:
            raise SamplerError(f"this version of vLLM refuses a setting: {error}") from error


def _samples(run: _Run, output: Any) -> list[Sample]:
    request, first, size = run
    if sorted(completion.index for completion in output.outputs) != list(range(size)):
        raise SamplerError(
            f"problem {request.problem_id!r}: vLLM must return {size} completions; found {len(output.outputs)}"
        )
    return [
        Sample(
            request.problem_id,
            first + completion.index,
            completion.text,
            finish_reason=completion.finish_reason or "",
            num_tokens=len(completion.token_ids),
            logprob=completion.cumulative_logprob,
        )
        for completion in output.outputs
    ]
