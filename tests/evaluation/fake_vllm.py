"""A stand-in for vLLM with the signatures of its public interface, to test how it is called."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar


@dataclass
class SamplingParams:
    """The keyword arguments of vllm.SamplingParams that the sampler uses; another is a TypeError there too."""

    n: int = 1
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    stop: str | list[str] | None = None
    max_tokens: int | None = 16
    logprobs: int | None = None


@dataclass
class CompletionOutput:
    index: int
    text: str
    token_ids: Sequence[int]
    cumulative_logprob: float | None
    logprobs: Any
    finish_reason: str | None = None
    stop_reason: int | str | None = None


@dataclass
class RequestOutput:
    request_id: str
    prompt: str | None
    prompt_token_ids: list[int] | None
    prompt_logprobs: Any
    outputs: list[CompletionOutput]
    finished: bool


def text(prompt: Any, seed: int) -> str:
    return hashlib.sha256(f"{prompt}{seed}".encode()).hexdigest()[:8]


class Tokenizer:
    def __init__(self, chat_template: str | None) -> None:
        self.chat_template = chat_template


class LLM:
    """Its constructor, ``get_tokenizer``, ``generate`` and ``chat``."""

    loaded: ClassVar[list[LLM]] = []
    chat_template: str | None = None

    def __init__(self, model: str, *, tensor_parallel_size: int = 1, dtype: str = "auto") -> None:
        if model == "missing":
            raise OSError("missing is not a local folder and is not a valid model identifier")
        self.model, self.tensor_parallel_size = model, tensor_parallel_size
        self.calls: list[tuple[str, list[Any], list[SamplingParams], Any]] = []
        self.loaded.append(self)

    def get_tokenizer(self, lora_request: Any = None) -> Tokenizer:
        return Tokenizer(self.chat_template)

    def generate(
        self,
        prompts: Any,
        sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
        *,
        use_tqdm: bool = True,
        lora_request: Any = None,
    ) -> list[RequestOutput]:
        return self._answer("generate", prompts, sampling_params, None)

    def chat(
        self,
        messages: list[Any],
        sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
        use_tqdm: bool = True,
        lora_request: Any = None,
        chat_template: str | None = None,
        chat_template_content_format: str = "auto",
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        tools: Any = None,
        chat_template_kwargs: dict[str, Any] | None = None,
        mm_processor_kwargs: dict[str, Any] | None = None,
    ) -> list[RequestOutput]:
        return self._answer("chat", messages, sampling_params, chat_template_kwargs)

    def _answer(self, call: str, prompts: list[Any], params: Any, kwargs: Any) -> list[RequestOutput]:
        if len(prompts) != len(params):
            raise ValueError("The lengths of prompts and params must be the same.")
        if any(len(str(prompt)) > 1000 for prompt in prompts):
            raise ValueError("The decoder prompt is longer than the maximum model length")
        self.calls.append((call, list(prompts), list(params), kwargs))
        return [self._output(prompt, p) for prompt, p in zip(prompts, params, strict=True)]

    @staticmethod
    def _output(prompt: Any, params: SamplingParams) -> RequestOutput:
        assert params.seed is not None
        outputs = [
            CompletionOutput(
                i,
                text(prompt, params.seed + i),
                [1, 2, 3],
                -2.5 if params.logprobs is not None else None,
                None,
                "length",
            )
            for i in range(params.n)
        ]
        return RequestOutput("0", None, None, None, outputs, True)


def module() -> ModuleType:
    """A fresh module ``vllm``."""
    made = ModuleType("vllm")
    made.LLM = type("LLM", (LLM,), {"loaded": []})  # type: ignore[attr-defined]
    made.SamplingParams = SamplingParams  # type: ignore[attr-defined]
    return made
