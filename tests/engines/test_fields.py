"""What the TRL engine supplies beyond rewards and log-probs, and every sequence-level method on the shipped model."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch.testing import assert_close

from unsharpen import GroupBatch, get_method, list_methods
from unsharpen.engines import _fields
from unsharpen.engines._fields import MEMORY_FILE, FieldTrainer, text_of
from unsharpen.engines._identity import NO_ANSWER, answer_id, prompt_id, stable_id
from unsharpen.errors import EngineError, InputError
from unsharpen.methods import default_coefficients
from unsharpen.training.build import build_trainer, load_tokenizer
from unsharpen.training.config import RunConfig
from unsharpen.training.problems import Problems
from unsharpen.training.trl_arguments import grpo_config

from .conftest import TASK, Make
from .test_trl import recomputed_entropies

SEQUENCE_LEVEL = [name for name in list_methods() if not get_method(name).beyond_advantages]
BY_EMBEDDING = {"dra-grpo", "evol-rl"}  # no option of the command line supplies these
MIXED = {"sizes": (4,), "numbers": (1, 10), "targets": (1, 60), "multiplicity": (2, None)}  # solved one time in three
PROBLEMS = Problems(TASK, TASK.generate(8, seed=5, **MIXED), [], chat=False)


def letters(texts: list[str]) -> np.ndarray:
    """[n, D] how often each sign occurs."""
    return np.array([[text.count(sign) + 0.1 for sign in "+-*/123456789"] for text in texts])


def run_trainer(method: str, output: Path, steps: int = 2, **trl: Any) -> Any:
    """The trainer of ``unsharpen train``, 2 prompts x 4 completions a step."""
    small = {
        "per_device_train_batch_size": 8,
        "gradient_accumulation_steps": 1,
        "num_generations": 4,
        "max_completion_length": 14,
        "max_steps": steps,
        "learning_rate": 1e-3,
        **trl,
    }
    coefficients = {"k": 2} if "k" in default_coefficients(method) else {}  # with 4, few groups of 4 would teach
    config = RunConfig(method=method, method_args=coefficients, trl=small)
    return build_trainer(config, grpo_config(config, output), PROBLEMS, load_tokenizer(config))


def kept_batches(trainer: Any) -> list[GroupBatch]:
    """The batches that the method sees, as they come."""
    batches: list[GroupBatch] = []
    original = trainer._group_batch

    def keep(*args: Any) -> GroupBatch:
        batches.append(original(*args))
        return batches[-1]

    trainer._group_batch = keep
    return batches


@pytest.mark.parametrize("method", SEQUENCE_LEVEL)
def test_two_real_steps(method: str, tmp_path: Path) -> None:
    if method in BY_EMBEDDING:
        with pytest.raises(EngineError, match=f"method `{method}` needs embeddings .* no `embed`") as caught:
            run_trainer(method, tmp_path)
        assert "hint: embed=..., a callable that takes a list of texts" in str(caught.value)
        return
    trainer = run_trainer(method, tmp_path)
    batches = kept_batches(trainer)
    before = [p.detach().clone() for p in trainer.model.parameters()]
    trainer.train()
    assert trainer.state.global_step == len(batches) == 2
    for batch, row in zip(batches, trainer.state.log_history, strict=False):
        assert all(getattr(batch, name) is not None for name in get_method(method).requires)
        assert np.isfinite(row["loss"])
    # the same batches, through a method of its own, give what the loss was given
    again = get_method(method, **trainer.method.coefficients)
    expected = [again.advantages(batch).reshape(-1) for batch in batches]
    assert_close(torch.tensor(list(trainer._logs["advantages"])), expected[-1], rtol=1e-6, atol=1e-6)
    after = list(trainer.model.parameters())
    assert all(torch.isfinite(p).all() for p in after)
    moved = not all(torch.equal(p, q) for p, q in zip(before, after, strict=True))
    assert moved == any(bool((advantages != 0).any()) for advantages in expected)
    assert moved or method in {"best-of-k", "pass-at-k"}  # which learn nothing from groups that are mostly correct


@pytest.mark.parametrize("method", sorted(BY_EMBEDDING | {"darling"}))
def test_methods_by_embedding(make_trainer: Make, method: str) -> None:
    coefficients = {"cluster": "embeddings"} if method == "darling" else {}
    trainer = make_trainer(get_method(method, **coefficients), trainer={"embed": letters}, max_steps=2)
    batches = kept_batches(trainer)
    trainer.train()
    expected = torch.tensor(letters(list(trainer._logs["completion"])), dtype=torch.float32)  # of the last step
    assert_close(batches[-1].embeddings, expected.reshape(2, 6, 13))


def test_answers_prompts_and_solutions(make_trainer: Make, rows: list[dict[str, Any]]) -> None:
    by_prompt = {row["prompt"]: {**row, "num_solutions": 3 + i} for i, row in enumerate(rows)}
    data = {"train_dataset": Dataset.from_list(list(by_prompt.values()))}
    for name in ("gapo", "ucb"):
        trainer = make_trainer(name, trainer=data, max_steps=2)
        batches = kept_batches(trainer)
        trainer.train()
        prompts, texts = list(trainer._logs["prompt"]), list(trainer._logs["completion"])  # of the last step
        for p, start in enumerate((0, 6)):
            row = by_prompt[prompts[start]]
            problem = TASK.problem(row["nums"], row["target"])
            canonical = [TASK.verify(problem, text).canonical for text in texts[start : start + 6]]
            assert batches[-1].answers[p].tolist() == [answer_id(c) for c in canonical]
            if name == "gapo":
                assert batches[-1].num_solutions[p] == row["num_solutions"]
            else:
                assert batches[-1].prompt_ids[p] == stable_id(row["prompt"])
        assert batches[-1].answers.dtype == torch.int64


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_entropies_equal_an_explicit_recomputation(make_trainer: Make, temperature: float) -> None:
    trainer = make_trainer("egsw", temperature=temperature, max_steps=2)
    batches = kept_batches(trainer)
    expected = []
    original = trainer._generate_and_score_completions

    def capture(inputs: Any) -> Any:
        output = original(inputs)
        expected.append(recomputed_entropies(trainer, output))
        return output

    trainer._generate_and_score_completions = capture
    trainer.train()
    for batch, entropies in zip(batches, expected, strict=True):
        assert_close(batch.entropies.reshape(-1), entropies, atol=1e-4, rtol=1e-4)
        assert entropies.min() > 0.01


@pytest.mark.parametrize(
    ("method", "words", "hint"),
    [
        ("gapo", "needs num_solutions; the training data has no such column", "a column `num_solutions`"),
        ("dra-grpo", "needs embeddings of the completions; found no `embed`", "embed=..., a callable"),
    ],
)
def test_what_is_missing_is_named_before_the_first_step(make_trainer: Make, method: str, words: str, hint: str) -> None:
    with pytest.raises(EngineError, match=words) as caught:
        make_trainer(method)
    assert hint in str(caught.value)


def test_entropies_are_not_to_be_had_with_vllm(make_trainer: Make) -> None:
    trainer = make_trainer("egsw")
    trainer.use_vllm = True
    with pytest.raises(EngineError, match=r"entropies of the sampling distribution; .* not to be had with use_vllm"):
        trainer._check_configuration()
    trainer.use_vllm, trainer.rollout_func = False, len
    with pytest.raises(EngineError, match="rollout_func"):
        trainer._check_configuration()


def test_answers_that_no_reward_function_logs(make_trainer: Make) -> None:
    def silent(completions: list[str], **kwargs: Any) -> list[float]:
        return [0.0] * len(completions)

    trainer = make_trainer("batch-exploration", reward_funcs=silent)
    with pytest.raises(EngineError, match="needs the completions' answers; no reward function logged any") as caught:
        trainer.train()
    assert "log_extra('answer', answers)" in str(caught.value)
    assert trainer.state.global_step == 0

    def short(completions: list[str], **kwargs: Any) -> list[float]:
        kwargs["log_extra"]("code", ["a"])
        return [0.0] * len(completions)

    trainer = make_trainer("ips", reward_funcs=short, trainer={"answer_column": "code"})
    with pytest.raises(InputError, match=r"must give 12 answers, one per completion; found 1"):
        trainer.train()


def test_solutions_are_gathered_whichever_process_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(logged: dict[str, Any], others: dict[int, list[Any]]) -> Any:
        """On two processes with two completions each; `others` is what the second one adds to a gathered list."""
        monkeypatch.setattr(_fields, "gather_object", lambda values: values + others[len(values)])
        trainer: Any = SimpleNamespace(_pending_extra_logs=logged, solution_column="solution")
        return FieldTrainer._solution_ids(trainer, 2)

    assert found({}, {1: [-1]}) is None
    assert found({}, {1: [2], 2: ["a", "b"]}) == [None, None, "a", "b"]
    assert found({"solution": ["c", None]}, {1: [-1], 2: [None, None]}) == ["c", None, None, None]
    with pytest.raises(InputError, match=r"log_extra\('solution', ...\) must give 2 solutions, .* found 3"):
        found({}, {1: [3]})


def test_embeddings_of_another_shape(make_trainer: Make) -> None:
    trainer = make_trainer("dra-grpo", trainer={"embed": lambda texts: np.ones(len(texts))})
    with pytest.raises(InputError, match=r"`embed` must return an array \[n, D\] for n texts; found shape \(12,\)"):
        trainer.train()


def test_methods_without_such_needs_ask_for_nothing(make_trainer: Make) -> None:
    trainer = make_trainer("grpo", max_steps=1)
    batches = kept_batches(trainer)
    trainer.train()
    for name in ("answers", "entropies", "embeddings", "num_solutions", "prompt_ids"):
        assert getattr(batches[0], name) is None


# --- identities ------------------------------------------------------------------------------------------------------


def test_ids_are_the_same_everywhere() -> None:
    assert stable_id("1+2*3") == 3351540723789110440
    assert 0 <= stable_id("") < 2**63
    conversation = [{"role": "user", "content": "3 5 8"}]
    assert stable_id(conversation) == stable_id([{"content": "3 5 8", "role": "user"}])
    assert stable_id(conversation) != stable_id([{"role": "user", "content": "3 5 9"}])
    assert stable_id(frozenset({"a", "b"})) == stable_id(frozenset({"b", "a"}))
    assert answer_id(None) == NO_ANSWER == -1
    assert answer_id(3) == answer_id("3") != answer_id((3,))


def test_a_prompt_id_column_goes_before_the_prompt() -> None:
    assert prompt_id({"prompt_id": "a"}, "x", place="") == stable_id("a")
    assert prompt_id({}, "x", place="") == stable_id("x")
    seen = [{"role": "user", "content": [{"type": "image", "image": object()}]}]
    assert prompt_id({"prompt_id": 7}, seen, place="") == stable_id(7)
    with pytest.raises(EngineError, match=r"a prompt holds something else: .* object(.|\n)*a column `prompt_id`"):
        prompt_id({}, seen, place="a column `prompt_id`")


def test_the_text_of_a_conversation() -> None:
    assert text_of("plain") == "plain"
    assert text_of([{"content": "one"}, {"content": None}, {"role": "tool"}, {"content": "two"}]) == "one   two"


# --- memory ----------------------------------------------------------------------------------------------------------


def test_a_resumed_run_counts_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    # 8 prompts, 2 a step: six steps go through the data more than once
    options = {"save_strategy": "steps", "save_steps": 1, "save_total_limit": 9}
    whole = run_trainer("ucb-con", tmp_path / "whole", steps=6, **options)
    whole.train()
    for step in (1, 4):
        resumed = run_trainer("ucb-con", tmp_path / "resumed", steps=6, save_strategy="no")
        resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{step}"))
        assert json.dumps(resumed.method.memory.state_dict()) == json.dumps(whole.method.memory.state_dict())
        for a, b in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
            assert torch.equal(a, b)
    counts = whole.method.memory.state_dict()["counts"]
    assert sum(sum(answers.values()) for answers in counts.values()) == 6 * 8
    saved = json.loads((tmp_path / "whole" / "checkpoint-2" / MEMORY_FILE).read_text())
    assert sum(sum(answers.values()) for answers in saved["counts"].values()) == 2 * 8


def test_a_checkpoint_without_a_memory_can_not_be_resumed_with_one(tmp_path: Path) -> None:
    run_trainer("grpo", tmp_path, save_strategy="steps", save_steps=1).train()
    assert not (tmp_path / "checkpoint-1" / MEMORY_FILE).exists()
    trainer = run_trainer("ucb", tmp_path)
    with pytest.raises(EngineError, match="method `ucb` continues from its memory") as caught:
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))
    assert MEMORY_FILE in str(caught.value)
    (tmp_path / "checkpoint-1" / MEMORY_FILE).write_text("[]")
    with pytest.raises(EngineError, match="the state of answer counts must be"):
        run_trainer("ucb", tmp_path).train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))


def test_an_evaluation_counts_nothing(tmp_path: Path) -> None:
    trainer = run_trainer("ucb", tmp_path, per_device_eval_batch_size=8)
    trainer.evaluate(eval_dataset=trainer.train_dataset)
    assert trainer.method.memory.state_dict() == {"counts": {}}
