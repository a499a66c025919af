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
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from unsharpen.engines.trl import DiverseGRPOTrainer
from unsharpen.tasks import CountDown

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def save_model(path: Path, **special: Any) -> Path:
    """A Qwen2 of 2 layers and width 32 with a byte-level tokenizer."""
    torch.manual_seed(0)
    task = CountDown()
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([str(task.prompt(task.problem([3, 5, 8], 24)))] * 3, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, **special)
    tokenizer.save_pretrained(path)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    Qwen2ForCausalLM(config).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def chat_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It has an end-of-text token and no pad token, as many have."""
    return save_model(tmp_path_factory.mktemp("models") / "chat", eos_token="<|im_end|>", chat_template=TEMPLATE)


@pytest.fixture
def prompts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The prompts that were generated from, as the model saw them."""
    seen: list[str] = []
    generate = Qwen2ForCausalLM.generate

    def spy(self: Any, *arguments: Any, **options: Any) -> Any:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(self.test_tokenizer)
        for ids, mask in zip(options["input_ids"], options["attention_mask"], strict=True):
            seen.append(tokenizer.decode(ids[mask.bool()]))
        return generate(self, *arguments, **options)

    monkeypatch.setattr(Qwen2ForCausalLM, "generate", spy)
    return seen


@pytest.mark.parametrize("lora", [(), ("--lora", "r=2")], ids=["full", "lora"])
def test_a_chat_model_trains(
    tmp_path: Path,
    data: Path,
    chat_model: Path,
    prompts: list[str],
    monkeypatch: pytest.MonkeyPatch,
    lora: tuple[str, ...],
) -> None:
    monkeypatch.setattr(Qwen2ForCausalLM, "test_tokenizer", str(chat_model), raising=False)

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
    assert set(prompts) <= expected
    assert len(prompts) == 2 * 16 + 2 * 8 * 4  # two steps, two evaluations
    assert "<answer>" in prompts[0]
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


def test_other_answer_formats(
    tmp_path: Path, data: Path, chat_model: Path, prompts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Qwen2ForCausalLM, "test_tokenizer", str(chat_model), raising=False)
    for answer_format in ("boxed", "bare"):
        prompts.clear()
        arguments = ("--model", chat_model, "--data", data, "--answer-format", answer_format, "--steps", 1)
        train(tmp_path / answer_format, *arguments)
        task = CountDown(answer_format=answer_format)  # type: ignore[arg-type]
        texts = {str(task.prompt(problem)) for problem in task.load(str(data))}
        if answer_format == "boxed":
            texts = {f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n" for text in texts}
        assert set(prompts) <= texts


def test_a_base_model_without_a_template_gets_plain_prompts(
    tmp_path: Path, data: Path, prompts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = save_model(tmp_path / "base", eos_token="<|im_end|>")
    monkeypatch.setattr(Qwen2ForCausalLM, "test_tokenizer", str(model), raising=False)
    train(tmp_path / "run", "--model", model, "--data", data, "--steps", 1)
    task = CountDown()
    assert set(prompts) <= {str(task.prompt(problem)) for problem in task.load(str(data))}


def test_a_model_without_pad_and_end_of_text_is_refused(tmp_path: Path, data: Path) -> None:
    model = save_model(tmp_path / "endless", chat_template=TEMPLATE)
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
