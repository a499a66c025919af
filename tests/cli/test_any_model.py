"""A chat model of random weights, in Hugging Face format, as a user would bring one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AutoPeftModelForCausalLM
from safetensors.torch import load_file
from tests.cli.command import SMALL, lines, train, unsharpen
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationMixin,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from unsharpen.engines.trl import DiverseGRPOTrainer
from unsharpen.tasks import CountDown

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


KINDS = {"qwen2": (Qwen2Config, Qwen2ForCausalLM), "qwen3": (Qwen3Config, Qwen3ForCausalLM)}


def save_model(path: Path, kind: str, **special: Any) -> Path:
    """2 layers of width 32 with a byte-level tokenizer; to a qwen2, transformers always gives a pad token."""
    config_class, model_class = KINDS[kind]
    torch.manual_seed(0)
    task = CountDown()
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([str(task.prompt(task.problem([3, 5, 8], 24)))] * 3, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, **special)
    tokenizer.save_pretrained(path)
    config = config_class(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    model_class(config).save_pretrained(path)
    return path


@pytest.fixture(scope="module", params=KINDS)
def chat_model(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """The qwen3 has an end-of-text token and no pad token, as many have."""
    path = tmp_path_factory.mktemp("models") / request.param
    save_model(path, request.param, eos_token="<|im_end|>", chat_template=TEMPLATE)
    assert (AutoTokenizer.from_pretrained(path).pad_token is None) == (request.param == "qwen3")
    return path


@pytest.fixture
def prompts(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The prompts that were generated from, as the model saw them."""
    seen: list[list[int]] = []
    generate = GenerationMixin.generate

    def spy(self: Any, *arguments: Any, **options: Any) -> Any:
        for ids, mask in zip(options["input_ids"], options["attention_mask"], strict=True):
            seen.append(ids[mask.bool()].tolist())
        return generate(self, *arguments, **options)

    monkeypatch.setattr(GenerationMixin, "generate", spy)
    return seen


def texts(model: Path, prompts: list[list[int]]) -> set[str]:
    return set(AutoTokenizer.from_pretrained(model).batch_decode(prompts))


@pytest.mark.parametrize("lora", [(), ("--lora", "r=2")], ids=["full", "lora"])
def test_a_chat_model_trains(
    tmp_path: Path,
    data: Path,
    chat_model: Path,
    prompts: list[list[int]],
    monkeypatch: pytest.MonkeyPatch,
    lora: tuple[str, ...],
) -> None:

    def alternating(self: CountDown, problem: Any, completion: str) -> Any:  # random weights never solve anything
        correct = sum(completion.encode()) % 2 == 0
        return verify(self, problem, f"<answer>{self.solutions(problem)[0]}</answer>" if correct else completion)

    verify = CountDown.verify
    monkeypatch.setattr(CountDown, "verify", alternating)
    output = tmp_path / "run"
    train(output, "--model", chat_model, "--data", data, "--set", "learning_rate=1e-2", *lora)

    task = CountDown()
    problems = task.load(str(data))
    expected = {f"<|im_start|>user\n{task.prompt(problem)}<|im_end|>\n<|im_start|>assistant\n" for problem in problems}
    assert texts(chat_model, prompts) <= expected
    assert len(prompts) == 2 * 16 + 2 * 8 * 4  # two steps, two evaluations
    assert all("<answer>" in text for text in expected)
    assert [row["step"] for row in lines(output / "metrics.jsonl")] == [1, 2]
    assert lines(output / "metrics.jsonl")[0]["grad_norm"] > 0
    for row in lines(output / "samples" / "step-000002.jsonl"):
        assert "<|im_end|>" not in row["completion"]
    if lora:
        adapter = load_file(output / "model" / "adapter_model.safetensors")
        assert any(tensor.any() for name, tensor in adapter.items() if "lora_B" in name)
        assert json.loads((output / "model" / "adapter_config.json").read_text("utf-8"))["r"] == 2
        AutoPeftModelForCausalLM.from_pretrained(output / "model")
        AutoPeftModelForCausalLM.from_pretrained(output / "checkpoint-2")
    else:
        AutoModelForCausalLM.from_pretrained(output / "model")
        before, after = (load_file(path / "model.safetensors") for path in (chat_model, output / "model"))
        assert any(not torch.equal(before[name], after[name]) for name in before)


def test_other_answer_formats(tmp_path: Path, data: Path, chat_model: Path, prompts: list[list[int]]) -> None:
    for answer_format in ("boxed", "bare"):
        prompts.clear()
        arguments = ("--model", chat_model, "--data", data, "--answer-format", answer_format, "--steps", 1)
        train(tmp_path / answer_format, *arguments)
        task = CountDown(answer_format=answer_format)  # type: ignore[arg-type]
        expected = {str(task.prompt(problem)) for problem in task.load(str(data))}
        if answer_format == "boxed":
            expected = {f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n" for text in expected}
        assert texts(chat_model, prompts) <= expected


def test_a_base_model_without_a_template_gets_plain_prompts(
    tmp_path: Path, data: Path, prompts: list[list[int]]
) -> None:
    model = save_model(tmp_path / "base", "qwen3", eos_token="<|im_end|>")
    train(tmp_path / "run", "--model", model, "--data", data, "--steps", 1)
    task = CountDown()
    assert texts(model, prompts) <= {str(task.prompt(problem)) for problem in task.load(str(data))}


def test_a_model_without_pad_and_end_of_text_is_refused(tmp_path: Path, data: Path) -> None:
    model = save_model(tmp_path / "endless", "qwen3", chat_template=TEMPLATE)
    done = unsharpen("train", "--output", tmp_path / "run", *SMALL, "--model", model, "--data", data)
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert "neither a pad token nor an end-of-text token" in done.err
    assert not (tmp_path / "run").exists()


def test_lora_depends_on_the_seed_alone(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = []
    for name in ("a", "b"):
        torch.rand(5)
        train(tmp_path / name, "--data", data, "--lora", "r=2", "--set", "learning_rate=1e-2", "--steps", 1)
        weights.append(load_file(tmp_path / name / "model" / "adapter_model.safetensors"))
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    monkeypatch.setattr(DiverseGRPOTrainer, "__init__", lambda *_, **__: pytest.fail("trained again"))
    train(tmp_path / "a", "--data", data, "--lora", "r=2", "--set", "learning_rate=1e-2", "--steps", 1, "--resume")
