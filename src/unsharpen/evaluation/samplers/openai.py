"""Sample from any server with OpenAI's protocol: vLLM, SGLang, TGI, llama.cpp, ``transformers serve``, hosted ones."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from unsharpen.errors import InputError, SamplerError
from unsharpen.evaluation.formats.common import LARGEST
from unsharpen.evaluation.samplers._http import JsonClient, Refused, Rubbish, Stopped
from unsharpen.evaluation.samplers._threads import in_threads
from unsharpen.evaluation.samplers.base import Request, Sample, Sampling, sample_seed
from unsharpen.evaluation.samplers.server import Server


@dataclass(frozen=True)
class _Chunk:
    """Samples that one request asks for: ``size`` of them from ``first`` on."""

    request: Request
    first: int
    size: int


class OpenAISampler:
    """Samples from a server, many requests at a time.

    Each sample, or each chunk of ``samples_per_request``, has its own seed. A server that honours seeds gives a
    resumed run the samples of an undisturbed one.

    Args:
        model: the server's name of the model.
        sampling: how to sample.
        server: where and how to ask.

    Raises:
        SamplerError: the server can't be reached, or refuses the key.
        InputError: the address is none, or a setting can't be passed on.
    """

    def __init__(self, model: str, sampling: Sampling, server: Server) -> None:
        if sampling.thinking_budget is not None:
            raise InputError(
                "servers have no common field for a thinking budget",
                hint="pass the server's own, e.g. --request thinking_token_budget=4096 for vLLM",
            )
        if sampling.chat_template_kwargs and not server.chat:
            raise InputError("chat_template_kwargs need chat; found a server of plain completions")
        self.chat = server.chat
        self._model, self._sampling, self._server = model, sampling, server
        key = os.environ.get(server.api_key_env)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = JsonClient(server.address, headers, server.retry, server.concurrency)
        self._path = "/chat/completions" if server.chat else "/completions"
        try:
            self._models = self._check()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._client.close()

    def sample(self, requests: Sequence[Request]) -> Iterator[list[Sample]]:
        chunks = [chunk for request in requests for chunk in _chunks(request, self._server.samples_per_request)]
        try:
            for results in in_threads(self._ask, chunks, self._server.concurrency):
                samples = [sample for result in results if isinstance(result, list) for sample in result]
                if samples:  # before the error, if there is one: a sample is never lost to a neighbour's failure
                    yield samples
                for result in results:
                    if isinstance(result, BaseException):
                        raise result
        finally:
            self.close()

    def _check(self) -> list[str]:
        """The names of the server's models, where it tells them."""
        status, answer = self._client.get("/models")
        if status in (401, 403):
            raise SamplerError(
                f"the server at {self._client.base_url} refuses the key: HTTP {status}",
                hint=f"set the API key in the environment variable {self._server.api_key_env}",
            )
        data = answer.get("data") if isinstance(answer, dict) else None
        entries = data if isinstance(data, list) else []
        return [e["id"] for e in entries if isinstance(e, dict) and isinstance(e.get("id"), str)]

    def _body(self, chunk: _Chunk) -> dict[str, Any]:
        sampling, prompt = self._sampling, chunk.request.prompt
        body: dict[str, Any] = {
            "model": self._model,
            **({"messages": prompt} if self._server.chat else {"prompt": prompt}),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_new_tokens,
            "seed": sample_seed(sampling.seed, chunk.request.problem_id, chunk.first),
        }
        optional = {
            "n": chunk.size if chunk.size > 1 else None,
            "stop": list(sampling.stop) or None,
            "top_k": -1 if sampling.top_k == 0 else sampling.top_k,
            "min_p": sampling.min_p,
            "chat_template_kwargs": dict(sampling.chat_template_kwargs) or None,
            "logprobs": (True if self._server.chat else 1) if self._server.logprobs else None,
        }
        body |= {key: value for key, value in optional.items() if value is not None}
        return {key: value for key, value in {**body, **self._server.extra}.items() if value is not None}

    def _ask(self, chunk: _Chunk) -> list[Sample]:
        try:
            return self._client.post(self._path, self._body(chunk), partial(_samples, chunk))
        except Stopped:
            raise
        except SamplerError as error:
            where = f"problem {chunk.request.problem_id!r}: {error.message}"
            raise SamplerError(where, hint=self._hint(error, chunk)) from error

    def _hint(self, error: SamplerError, chunk: _Chunk) -> str | None:
        if isinstance(error, Refused):
            if "logprob" in error.message:
                return "--no-logprobs asks for none"
            if error.status in (400, 404) and self._models and self._model not in self._models:
                return f"the server has the models {', '.join(self._models[:10])}"
        elif chunk.size > 1 and "choices instead of" in error.message:
            return "the server seems not to support n: --samples-per-request 1"
        return error.hint


def _chunks(request: Request, size: int) -> Iterator[_Chunk]:
    """The chunks of a fixed grid in which something is missing."""
    for first in sorted({i - i % size for i in request.missing}):
        yield _Chunk(request, first, min(size, request.num_samples - first))


def _samples(chunk: _Chunk, answer: Any) -> list[Sample]:
    """The missing samples of a chunk from the server's answer, checked."""
    if not isinstance(answer, dict):
        raise Rubbish(f"the answer must be an object; found {type(answer).__name__}")
    choices = answer.get("choices")
    if not isinstance(choices, list):
        told = answer.get("error", answer.get("detail", f"its keys are {list(answer)[:10]}"))
        raise Rubbish(f"the answer has no list of choices: {str(told)[:300]}")
    if len(choices) != chunk.size:
        raise Rubbish(f"the answer has {len(choices)} choices instead of {chunk.size}")
    usage = answer.get("usage")
    total = usage.get("completion_tokens") if isinstance(usage, dict) and chunk.size == 1 else None
    missing = set(chunk.request.missing)
    num_tokens = total if type(total) is int and 0 <= total <= LARGEST else None
    parsed = [_choice(chunk, position, choice, num_tokens) for position, choice in enumerate(choices)]
    if {sample.sample_id for sample in parsed} != set(range(chunk.first, chunk.first + chunk.size)):
        raise Rubbish("the choices must have the indices 0 to n-1")
    return [sample for sample in parsed if sample.sample_id in missing]


def _choice(chunk: _Chunk, position: int, choice: Any, num_tokens: int | None) -> Sample:
    if not isinstance(choice, dict):
        raise Rubbish(f"a choice must be an object; found {type(choice).__name__}")
    index = choice.get("index", position)
    finish = choice.get("finish_reason")
    if "message" in choice:
        text, final = _message(choice["message"])
    else:
        text, final = choice.get("text"), None
    if not isinstance(text, str) or type(index) is not int or not isinstance(finish, str | None):
        raise Rubbish(f"a choice needs a text, an index and a finish_reason; found {str(choice)[:200]}")
    counted, logprob = _logprobs(choice.get("logprobs"))
    return Sample(
        chunk.request.problem_id,
        chunk.first + index,
        text,
        finish_reason=finish or "",
        num_tokens=counted if num_tokens is None else num_tokens,
        logprob=logprob,
        final=final,
    )


def _message(message: Any) -> tuple[Any, str | None]:
    """(text, part to grade); reasoning that the server has set apart comes first, in think tags."""
    if not isinstance(message, dict) or "content" not in message:
        raise Rubbish(f"a message needs a content; found {str(message)[:200]}")
    content = message["content"] or ""
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    if isinstance(reasoning, str) and isinstance(content, str):
        return f"<think>{reasoning}</think>{content}", content
    return content, None


def _logprobs(table: Any) -> tuple[int | None, float | None]:
    """(tokens, their sum) from either form of the protocol: ``content`` of chat, ``token_logprobs`` of completions."""
    if not isinstance(table, dict):
        return None, None
    values = table.get("token_logprobs")
    if isinstance(content := table.get("content"), list):
        values = [entry.get("logprob") if isinstance(entry, dict) else None for entry in content]
    if not isinstance(values, list) or not all(type(v) in (int, float) and not math.isnan(v) for v in values):
        return None, None
    return len(values), math.fsum(values)
