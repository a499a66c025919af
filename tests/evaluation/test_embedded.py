"""The sampler in this process: each sample has its own random numbers, whatever it shares a batch with."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from unsharpen.errors import InputError
from unsharpen.evaluation.models import find_model
from unsharpen.evaluation.samplers._seeded import SeededSampling, Thinking, _invert
from unsharpen.evaluation.samplers.base import Request, Sample, Sampling, sample_seed
from unsharpen.evaluation.samplers.embedded import TransformersSampler
from unsharpen.tasks import CountDown

TASK = CountDown(answer_format="bare")
PROMPTS = {p.key: str(TASK.prompt(p)) for p in TASK.generate(3, seed=2, sizes=(3,), numbers=(1, 10))}
SHORT = Sampling(max_new_tokens=14)


@pytest.fixture(scope="module")
def path() -> str:
    torch.set_num_threads(1)
    return find_model("countdown-tiny").path


def draw(
    path: str, sampling: Sampling = SHORT, *, n: int = 6, missing: Any = None, batch_size: int = 64
) -> list[Sample]:
    asked = [Request(k, p, n, tuple(range(n) if missing is None else missing)) for k, p in PROMPTS.items()]
    sampler = TransformersSampler(path, sampling, batch_size=batch_size, device="cpu")
    return [sample for samples in sampler.sample(asked) for sample in samples]


def test_a_resumed_run_repeats_the_batches_and_gives_the_same_samples(path: str) -> None:
    whole = draw(path, batch_size=4)
    assert [(s.problem_id, s.sample_id) for s in whole] == [(key, i) for key in PROMPTS for i in range(6)]
    part = draw(path, batch_size=4, missing=[1, 4])
    assert part == [sample for sample in whole if sample.sample_id in (1, 4)]
    assert draw(path, missing=[]) == []


def test_the_batch_size_changes_no_text_and_more_samples_keep_the_first(path: str) -> None:
    small, large = draw(path, batch_size=5), draw(path, n=9, batch_size=64)
    kept = [sample for sample in large if sample.sample_id < 6]
    assert [s.completion for s in small] == [s.completion for s in kept]
    for one, other in zip(small, kept, strict=True):
        assert one.logprob == pytest.approx(other.logprob, abs=1e-4)


def test_another_seed_gives_other_samples(path: str) -> None:
    assert [s.completion for s in draw(path)] != [s.completion for s in draw(path, Sampling(max_new_tokens=14, seed=1))]


def test_tokens_and_logprobs_equal_a_forward_pass(path: str) -> None:
    """Teacher forcing: the sum of log-softmax of the raw logits at the tokens of the completion and its end."""
    samples = draw(path, Sampling(max_new_tokens=14, temperature=0.7, top_p=0.9))
    sampler = TransformersSampler(path, SHORT, device="cpu")
    tokenizer, model = sampler.tokenizer, AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    for sample in samples:
        prompt = tokenizer(PROMPTS[sample.problem_id])["input_ids"]
        ids = tokenizer(sample.completion, add_special_tokens=False)["input_ids"]
        ids += [tokenizer.eos_token_id] * (sample.finish_reason == "stop")
        with torch.no_grad():
            logits = model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1]
        table = torch.log_softmax(logits.double(), -1)
        assert sample.num_tokens == len(ids)
        assert sample.logprob == pytest.approx(sum(table[i, t].item() for i, t in enumerate(ids)), abs=1e-3)


def test_finish_reasons_stop_texts_and_limits(path: str) -> None:
    for sample in draw(path, Sampling(max_new_tokens=3)):
        assert (sample.finish_reason, sample.num_tokens) == ("length", 3)
    stopped = draw(path, Sampling(max_new_tokens=14, stop=("+", "*")))
    free = draw(path)
    assert any(sample.completion != other.completion for sample, other in zip(stopped, free, strict=True))
    for sample, other in zip(stopped, free, strict=True):
        cut = min((i for i in map(other.completion.find, "+*") if i >= 0), default=None)
        assert sample.completion == other.completion[:cut]
        assert sample.finish_reason == "stop" or cut is None
        assert sample.num_tokens == (other.num_tokens if cut is None else len(other.completion[: cut + 1].split()))


def test_a_cold_or_narrow_distribution_has_one_sample(path: str) -> None:
    for sampling in (Sampling(max_new_tokens=14, temperature=1e-4), Sampling(max_new_tokens=14, top_k=1)):
        for problem_id in PROMPTS:
            assert len({s.completion for s in draw(path, sampling) if s.problem_id == problem_id}) == 1


def test_there_is_no_such_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't load a tokenizer for the model"):
        TransformersSampler(str(tmp_path), SHORT)
    with pytest.raises(InputError, match="no such device: 'abacus'"):
        TransformersSampler(str(tmp_path), SHORT, device="abacus")


# --------------------------------------------------------------------------------- the choice of a token


def test_tokens_are_drawn_by_inversion() -> None:
    """Cumulative .25, .25, .75, 1: 0 and .2499 give token 0, .25 and .7499 token 2, never 1; .75 and .999 token 3."""
    probabilities = torch.tensor([[0.25, 0.0, 0.5, 0.25]]).repeat(6, 1)
    uniforms = torch.tensor([[0.0], [0.2499], [0.25], [0.7499], [0.75], [0.9999999999]], dtype=torch.float64)
    assert _invert(probabilities, uniforms)[:, 0].tolist() == [0, 0, 2, 2, 3, 3]
    ends_with_zero = torch.tensor([[0.5, 0.5, 0.0]])
    assert _invert(ends_with_zero, torch.tensor([[1 - 2**-53]], dtype=torch.float64)).item() == 1


def test_frequencies_equal_probabilities() -> None:
    """20,000 rows of one distribution at temperature 2; each count within 5 standard deviations."""
    logits = torch.log(torch.tensor([0.6, 0.3, 0.1])).repeat(20_000, 1)
    seeds = [sample_seed(0, "p", i) for i in range(20_000)]
    drawn = SeededSampling(Sampling(temperature=2.0), seeds)(torch.zeros(20_000, 1, dtype=torch.long), logits).argmax(
        -1
    )
    roots = [math.sqrt(p) for p in (0.6, 0.3, 0.1)]
    for token, root in enumerate(roots):
        p = root / sum(roots)
        assert abs((drawn == token).sum().item() - 20_000 * p) < 5 * math.sqrt(20_000 * p * (1 - p))


def test_random_numbers_go_on_after_a_block() -> None:
    """600 steps of a fair coin: no step repeats the block before it."""
    chooser = SeededSampling(Sampling(), [3])
    flat = torch.zeros(1, 2)
    steps = [chooser(torch.zeros(1, 1, dtype=torch.long), flat).argmax(-1).item() for _ in range(600)]
    assert steps[:256] != steps[256:512]
    assert 200 < sum(steps) < 400


def test_a_thought_is_closed_at_its_budget() -> None:
    """Opening is token 7, closing 8 9, budget 2: after two tokens of thought comes 8 9, then all is free."""
    thinking = Thinking(2, (7,), (8, 9), [False])
    written: list[int] = []
    for free in (1, 7, 1, 1, None, None, 1, 1, 1):
        forced = thinking.force(0, written[-2:])
        assert (forced is None) == (free is not None)
        written.append(free if forced is None else forced)
    assert written == [1, 7, 1, 1, 8, 9, 1, 1, 1]


def test_a_thought_that_the_prompt_opens_and_the_model_closes() -> None:
    thinking = Thinking(5, (7,), (8,), [True, True])
    assert [thinking.force(0, w) for w in ([], [1], [1, 8], [8, 1])] == [None] * 4
    assert [thinking.force(0, [1]) for _ in range(9)] == [None] * 9
    assert [thinking.force(1, [1]) for _ in range(6)] == [None] * 5 + [8]


def test_a_budget_reaches_the_model(path: str) -> None:
    """After two tokens come the closing ones, here tokens that the shipped model's tokenizer has."""
    sampler = TransformersSampler(path, Sampling(max_new_tokens=8, thinking_budget=2), device="cpu")
    closing = tuple(sampler.tokenizer.encode("1 + 1", add_special_tokens=False))
    sampler._thinking = lambda prompts: Thinking(2, (), closing, [True] * len(prompts))  # type: ignore[method-assign]
    prompts = [Request(k, p, 2, (0, 1)) for k, p in PROMPTS.items()]
    for sample in (sample for samples in sampler.sample(prompts) for sample in samples):
        assert sample.completion.split()[2:5] == ["1", "+", "1"] or sample.num_tokens < 5
