"""Samples: in order, reproducible, within their limits, and without a trace in the global random state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from unsharpen.errors import InputError
from unsharpen.evaluation.samplers.transformers import SamplingSettings, sample
from unsharpen.tasks import CountDown
from unsharpen.training.build import load_tokenizer
from unsharpen.training.config import RunConfig, model_path

TASK = CountDown(answer_format="bare")
PROMPTS = [str(TASK.prompt(p)) for p in TASK.generate(5, seed=2, sizes=(3,), numbers=(1, 10))]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return load_tokenizer(RunConfig())


@pytest.fixture(scope="module")
def model() -> Any:
    torch.set_num_threads(1)
    return AutoModelForCausalLM.from_pretrained(model_path(RunConfig()))


def draw(
    model: Any, tokenizer: Any, prompts: Sequence[str] = PROMPTS, *, n: int = 6, seed: int = 0, **settings: Any
) -> list[list[str]]:
    options = SamplingSettings(**{"max_new_tokens": 14, **settings})
    return list(sample(model, tokenizer, prompts, num_samples=n, settings=options, seed=seed))


def test_reproducible_by_the_seed(model: Any, tokenizer: Any) -> None:
    first = draw(model, tokenizer, seed=1)
    torch.rand(3)
    assert draw(model, tokenizer, seed=1) == first
    assert draw(model, tokenizer, seed=2) != first


def test_the_global_random_state_is_kept(model: Any, tokenizer: Any) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    draw(model, tokenizer)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_global_random_state_is_kept_by_a_sampler_that_fails(model: Any, tokenizer: Any) -> None:
    before = torch.get_rng_state()
    model.train()
    with pytest.raises(TypeError):
        draw(model, None)
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
    model.eval()


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_of_the_model_is_kept(model: Any, tokenizer: Any, training: bool) -> None:
    model.train(training)
    draw(model, tokenizer)
    assert model.training is training
    model.eval()


@pytest.mark.parametrize("batch_size", [1, 4, 7, 30, 512])
@pytest.mark.parametrize("n", [1, 3])
def test_n_for_each_prompt_in_order(model: Any, tokenizer: Any, batch_size: int, n: int) -> None:
    """A model that answers with its prompt shows the order, across every batch boundary."""

    class Echo:
        training = False
        device = torch.device("cpu")

        def eval(self) -> None: ...
        def train(self, mode: bool) -> None: ...
        def generate(self, input_ids: Any, **_: Any) -> Any:
            assert len(input_ids) <= batch_size
            return torch.cat([input_ids, input_ids], dim=1)

    prompts = ["1 2 = 3 :", "10 20 30 = 60 :", "4 = 4 :", "1 2 = 3 :", "7 7 7 7 = 28 :"]
    found = draw(Echo(), tokenizer, prompts, n=n, batch_size=batch_size)
    normal = [tokenizer.decode(tokenizer(prompt)["input_ids"], skip_special_tokens=True) for prompt in prompts]
    assert found == [[text] * n for text in normal]


def test_no_prompts_and_no_samples(model: Any, tokenizer: Any) -> None:
    assert draw(model, tokenizer, []) == []
    assert draw(model, tokenizer, n=0) == [[]] * len(PROMPTS)


@pytest.mark.parametrize("limit", [1, 3])
def test_max_new_tokens(model: Any, tokenizer: Any, limit: int) -> None:
    for texts in draw(model, tokenizer, max_new_tokens=limit):
        for text in texts:
            assert len(tokenizer(text, add_special_tokens=False)["input_ids"]) <= limit


def test_temperature_and_top_p_reach_the_model(model: Any, tokenizer: Any) -> None:
    """A temperature near 0 leaves one completion; so does a nucleus of one token."""
    assert max(len(set(texts)) for texts in draw(model, tokenizer, n=20, temperature=3.0)) > 3
    cold = draw(model, tokenizer, n=20, temperature=1e-4)
    narrow = draw(model, tokenizer, n=20, top_p=1e-6)
    assert [len(set(texts)) for texts in cold] == [1] * len(PROMPTS)
    assert cold == narrow


def test_special_tokens_are_left_out(model: Any, tokenizer: Any) -> None:
    for texts in draw(model, tokenizer):
        assert not any(token in text for text in texts for token in tokenizer.all_special_tokens)


@pytest.mark.parametrize(
    "bad",
    [
        *({"temperature": value} for value in (0, -1.0, float("nan"))),
        *({"top_p": value} for value in (0.0, 1.01, float("nan"))),
        {"max_new_tokens": 0},
        {"batch_size": 0},
    ],
)
def test_settings_are_checked(bad: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(bad))):
        SamplingSettings(**bad)
