"""How vLLM is called, on a stand-in with its signatures; vLLM itself needs a GPU."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from tests.evaluation import fake_vllm
from tests.evaluation.fake_vllm import text

from unsharpen.errors import MissingExtraError, SamplerError
from unsharpen.evaluation.samplers.base import Request, Sampling, sample_seed
from unsharpen.evaluation.samplers.vllm import VLLMSampler


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> Any:
    module = fake_vllm.module()
    monkeypatch.setitem(sys.modules, "vllm", module)
    return module


def test_all_samples_of_a_problem_are_one_request(vllm: Any) -> None:
    sampling = Sampling(temperature=0.6, top_p=0.95, top_k=20, min_p=0.1, max_new_tokens=99, stop=("\n",), seed=5)
    sampler = VLLMSampler("model", sampling, requests_at_once=2, engine={"tensor_parallel_size": 2})
    asked = [Request(name, f"prompt {name}", 4, (0, 1, 2, 3)) for name in "abc"]
    batches = list(sampler.sample(asked))
    assert [len(batch) for batch in batches] == [8, 4]
    for sample in (sample for batch in batches for sample in batch):
        seed = sample_seed(5, sample.problem_id, sample.sample_id)
        assert sample.completion == text(f"prompt {sample.problem_id}", seed)
        assert (sample.finish_reason, sample.num_tokens, sample.logprob) == ("length", 3, -2.5)
    (llm,) = vllm.LLM.loaded
    assert (llm.model, llm.tensor_parallel_size) == ("model", 2)
    assert [(call, len(prompts)) for call, prompts, _, _ in llm.calls] == [("generate", 2), ("generate", 1)]
    assert llm.calls[0][2][0] == vllm.SamplingParams(
        n=4, seed=sample_seed(5, "a", 0), temperature=0.6, top_p=0.95, top_k=20, min_p=0.1, max_tokens=99, stop=["\n"],
        logprobs=0,
    )  # fmt: skip


def test_missing_samples_are_the_ones_of_an_undisturbed_run(vllm: Any) -> None:
    sampler = VLLMSampler("model", Sampling())
    whole = {s.sample_id: s for batch in sampler.sample([Request("a", "p", 8, tuple(range(8)))]) for s in batch}
    part = [s for batch in sampler.sample([Request("a", "p", 8, (1, 2, 6))]) for s in batch]
    assert part == [whole[1], whole[2], whole[6]]
    assert [params.n for params in vllm.LLM.loaded[0].calls[-1][2]] == [2, 1]
    assert list(sampler.sample([Request("a", "p", 8, ())])) == []


@pytest.mark.parametrize(
    ("template", "chat", "wanted"), [("{{x}}", None, True), (None, None, False), (None, True, True)]
)
def test_conversations_go_through_the_chat_template(
    vllm: Any, template: str | None, chat: bool | None, wanted: bool
) -> None:
    vllm.LLM.chat_template = template
    sampler = VLLMSampler("model", Sampling(chat_template_kwargs={"enable_thinking": False}), chat=chat)
    assert sampler.chat is wanted
    if wanted:
        messages = [{"role": "user", "content": "?"}]
        list(sampler.sample([Request("a", messages, 1, (0,))]))
        call, prompts, _, kwargs = vllm.LLM.loaded[0].calls[0]
        assert (call, prompts, kwargs) == ("chat", [messages], {"enable_thinking": False})


def test_failures_are_named(vllm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SamplerError, match="vLLM can't load 'missing'"):
        VLLMSampler("missing", Sampling())
    with pytest.raises(SamplerError, match="longer than the maximum model length"):
        list(VLLMSampler("model", Sampling()).sample([Request("a", "x" * 2000, 1, (0,))]))
    with pytest.raises(SamplerError, match=r"refuses a setting: .*thinking_token_budget"):
        list(VLLMSampler("model", Sampling(thinking_budget=9)).sample([Request("a", "x", 1, (0,))]))
    monkeypatch.setattr(vllm.LLM, "_output", lambda *_: fake_vllm.RequestOutput("0", None, None, None, [], True))
    with pytest.raises(SamplerError, match="must return 1 completions; found 0"):
        list(VLLMSampler("model", Sampling()).sample([Request("a", "x", 1, (0,))]))


def test_without_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MissingExtraError, match="needs the package vllm"):
        VLLMSampler("model", Sampling())
