"""The TRL engine against plain TRL, against explicit recomputation, and against bad configurations."""

from __future__ import annotations

import contextlib
import importlib.metadata
import math
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from unsharpen import get_method
from unsharpen.engines._release import require_release
from unsharpen.engines.trl import DiverseGRPOTrainer
from unsharpen.errors import EngineError, InputError

from .conftest import TASK, Make, countdown_reward


def weights(trainer: Any) -> list[torch.Tensor]:
    return [p.detach().clone() for p in trainer.model.parameters()]


def trained(trainer: Any) -> list[torch.Tensor]:
    trainer.train()
    return weights(trainer)


@pytest.mark.parametrize(
    "method",
    [
        get_method("grpo"),
        get_method("ds-grpo", gamma_p=0.0, gamma_n=0.0),
        get_method("ds-grpo-sum", gamma_p=0.0, gamma_n=0.0),
        get_method("ds-grpo-token", gamma_p=0.0, gamma_n=0.0),
        get_method("entropy-bonus-seq", gamma=0.0),
        get_method("ucb-con", coef=0.0),
    ],
    ids=lambda m: m.name,
)
def test_coefficient_zero_is_plain_grpo_to_the_bit(make_trainer: Make, method: Any) -> None:
    # eight steps of two prompts: more than one epoch of the twelve prompts
    plain = trained(make_trainer(max_steps=8, gradient_accumulation_steps=2, per_device_train_batch_size=6))
    ours = trained(make_trainer(method, max_steps=8, gradient_accumulation_steps=2, per_device_train_batch_size=6))
    assert all(torch.equal(a, b) for a, b in zip(plain, ours, strict=True))


def test_smoothing_changes_the_weights(make_trainer: Make) -> None:
    plain, ours = trained(make_trainer()), trained(make_trainer(get_method("ds-grpo", gamma_p=0.2)))
    assert not all(torch.equal(a, b) for a, b in zip(plain, ours, strict=True))


def captured(trainer: Any) -> list[dict[str, Any]]:
    """Every batch that the trainer scores, with its rewards and the weights that sampled it."""
    batches: list[dict[str, Any]] = []
    original = trainer._generate_and_score_completions

    def capture(inputs: Any) -> Any:
        output = original(inputs)
        logprobs = recomputed_logprobs(trainer, output)
        batches.append({**output, "rewards": trainer._rewards_table[:, 0].clone(), "recomputed": logprobs})
        return output

    trainer._generate_and_score_completions = capture
    trainer.train()
    return batches


def recomputed_logprobs(trainer: Any, output: dict[str, Any]) -> torch.Tensor:
    """[n, T] by a forward pass over the finished text."""
    logprobs = all_logprobs(trainer, output)
    return logprobs.gather(2, output["completion_ids"][:, :, None]).squeeze(2) * output["completion_mask"]


def recomputed_entropies(trainer: Any, output: dict[str, Any]) -> torch.Tensor:
    """[n] mean token entropy of each completion by a forward pass over the finished text."""
    logprobs, mask = all_logprobs(trainer, output), output["completion_mask"]
    return (-(logprobs.exp() * logprobs).sum(2) * mask).sum(1) / mask.sum(1)


@torch.no_grad()
def all_logprobs(trainer: Any, output: dict[str, Any]) -> torch.Tensor:
    """[n, T, vocabulary]."""
    ids = torch.cat([output["prompt_ids"], output["completion_ids"]], dim=1)
    mask = torch.cat([output["prompt_mask"], output["completion_mask"]], dim=1)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    logits = trainer.model(input_ids=ids, attention_mask=mask, position_ids=positions).logits
    start = output["prompt_ids"].shape[1]
    return torch.log_softmax(logits[:, start - 1 : -1].float() / trainer.temperature, dim=-1)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_smoothing_equals_an_explicit_recomputation(make_trainer: Make, temperature: float) -> None:
    gamma_p, gamma_n = 0.3, 0.05
    method = get_method("ds-grpo-sum", gamma_p=gamma_p, gamma_n=gamma_n)
    for batch in captured(make_trainer(method, temperature=temperature)):
        rewards = batch["rewards"].reshape(-1, 6)
        grpo = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)
        total = batch["recomputed"].sum(1).reshape(-1, 6)
        expected = torch.where(rewards == 1.0, grpo - gamma_p * total, grpo + gamma_n * total)
        assert_close(batch["advantages"].reshape(-1, 6), expected, atol=2e-4, rtol=1e-4)


def test_token_method_equals_an_explicit_recomputation(make_trainer: Make) -> None:
    method = get_method("ds-grpo-token", gamma_p=0.3, gamma_n=0.1)
    for batch in captured(make_trainer(method)):
        rewards = batch["rewards"].reshape(-1, 6)
        grpo = ((rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)).reshape(-1, 1)
        correct = (batch["rewards"] == 1.0)[:, None]
        logprobs = batch["recomputed"]
        expected = torch.where(correct, grpo - 0.3 * logprobs, grpo + 0.1 * logprobs) * batch["completion_mask"]
        assert_close(batch["advantages"], expected, atol=2e-4, rtol=1e-4)


def test_logs_what_happened(make_trainer: Make) -> None:
    trainer = make_trainer(get_method("ds-grpo", gamma_p=0.2, gamma_n=0.0))
    batches = captured(trainer)
    logs = [row for row in trainer.state.log_history if "reward" in row]
    assert len(logs) == len(batches) == 3
    for row, batch in zip(logs, batches, strict=True):
        correct = batch["rewards"].reshape(-1, 6) == 1.0
        assert row["pass@1"] == pytest.approx(correct.float().mean().item())
        assert row["pass@6"] == pytest.approx(correct.any(1).float().mean().item())
        uniform = correct.all(1) | ~correct.any(1)
        assert row["uniform_groups"] == pytest.approx(uniform.float().mean().item())
        assert row["sampling_logprob"] == pytest.approx(batch["recomputed"].sum(1).mean().item(), abs=1e-3)
        assert row["shaping_ratio"] > 0
        assert 0 <= row["distinct_correct"] <= 6 if correct.any() else "distinct_correct" not in row
    assert list(trainer._logs["advantages"])[-12:] == pytest.approx(batches[-1]["advantages"].tolist())


def test_unscored_completions_are_left_out(make_trainer: Make) -> None:
    def partly(completions: list[str], **kwargs: Any) -> list[float | None]:
        return [None if i % 6 == 0 else float(i % 2) for i in range(len(completions))]

    for batch in captured(make_trainer("grpo", reward_funcs=partly)):
        advantages = batch["advantages"].reshape(-1, 6)
        assert (advantages[:, 0] == 0).all()
        assert_close(advantages.sum(1), torch.zeros(2), atol=1e-5, rtol=0)
        # five scored completions, rewards 1 0 1 0 1: mean .6, std sqrt(.3)
        assert_close(advantages[:, 1], torch.full((2,), 0.4 / (math.sqrt(0.3) + 1e-4)), atol=1e-5, rtol=0)


def test_a_group_without_any_reward_gets_advantage_0(make_trainer: Make) -> None:
    def first_prompt_only(completions: list[str], nums: list[list[int]], **kwargs: Any) -> list[float | None]:
        kwargs["log_extra"]("solution", [str(i) for i in range(len(completions))])
        return [float(i % 2) if n == nums[0] else None for i, n in enumerate(nums)]

    trainer = make_trainer(get_method("ds-grpo-sum"), reward_funcs=first_prompt_only)
    for batch in captured(trainer):
        advantages = batch["advantages"].reshape(-1, 6)
        assert (advantages[1] == 0).all()
        assert (advantages[0] != 0).all()
    logs = [row for row in trainer.state.log_history if "distinct_correct" in row]
    assert [row["distinct_correct"] for row in logs] == [3, 3, 3]  # of the prompt that was scored

    trainer = make_trainer("ds-grpo", reward_funcs=lambda completions, **_: [None] * len(completions))
    for batch in captured(trainer):
        assert (batch["advantages"] == 0).all()


def test_correctness_by_name_callable_and_threshold(make_trainer: Make) -> None:
    def length(completions: list[str], **kwargs: Any) -> list[float]:
        return [len(c) / 100 for c in completions]

    def judge(completions: list[str], nums: Any, target: Any, **kwargs: Any) -> list[bool]:
        return [TASK.verify(TASK.problem(n, t), c).correct for n, t, c in zip(nums, target, completions, strict=True)]

    both = [length, countdown_reward]
    for correctness in ("countdown_reward", judge, countdown_reward):
        trainer = make_trainer("ds-grpo-sum", reward_funcs=both, trainer={"correctness": correctness})
        trainer.train()
        table, correct = trainer._rewards_table, trainer._correct
        assert torch.equal(correct, table[:, 1] == 1.0)
    with pytest.raises(EngineError, match="length, countdown_reward"):
        make_trainer("ds-grpo", reward_funcs=both)
    with pytest.raises(EngineError, match="accuracy"):
        make_trainer("ds-grpo", reward_funcs=both, trainer={"correctness": "accuracy"})

    async def later(completions: list[str], **kwargs: Any) -> list[bool]:
        return [True] * len(completions)

    with pytest.raises(EngineError, match="`correctness` must be a plain callable; found an async one"):
        make_trainer("ds-grpo", trainer={"correctness": later})


def test_a_correctness_callable_gets_what_reward_functions_get(make_trainer: Make) -> None:
    given: dict[str, Any] = {}

    def judge(completions: list[str], **kwargs: Any) -> list[bool]:
        given.update(kwargs)
        return [True] * len(completions)

    trainer = make_trainer("grpo", trainer={"correctness": judge}, max_steps=1)
    trainer.train()
    assert given["trainer_state"] is trainer.state
    assert "environments" not in given
    trainer.environments = ["one"]
    trainer._correctness(torch.zeros(1, 1), [{"nums": [1]}], ["prompt"], ["text"], [[1]])
    assert (given["environments"], given["nums"]) == (["one"], [[1]])


def test_settings_reach_trl_and_leave_the_caller_alone(make_trainer: Make) -> None:
    trainer = make_trainer(get_method("grpo-low-lr", learning_rate_scale=0.25), learning_rate=8e-4)
    assert trainer.args.learning_rate == 2e-4
    trainer = make_trainer("grpo-kl")
    assert trainer.beta == 1e-3
    assert trainer.ref_model is not None
    assert make_trainer("dr-grpo").loss_type == "dr_grpo"


def test_reference_anchor_needs_and_uses_the_reference(make_trainer: Make) -> None:
    method = get_method("ds-grpo", reference="base")
    with pytest.raises(EngineError, match="reference_logprobs"):
        make_trainer(method)
    for batch in captured(make_trainer(method, beta=0.01, max_steps=1)):
        # before the first update the reference and the sampling policy are the same model
        rewards = batch["rewards"].reshape(-1, 6)
        grpo = ((rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)).reshape(-1)
        mean = batch["recomputed"].sum(1) / batch["completion_mask"].sum(1)
        expected = torch.where(batch["rewards"] == 1.0, grpo - 0.05 * mean, grpo + 0.05 * mean)
        assert_close(batch["advantages"], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"scale_rewards": "none"}, "dr-grpo"),
        ({"multi_objective_aggregation": "normalize_then_sum"}, "multi_objective_aggregation"),
        ({"mask_truncated_completions": True}, "needs reference_logprobs(.|\n)*mask_truncated_completions"),
    ],
)
def test_refuses_settings_that_fight_the_method(make_trainer: Make, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(EngineError, match=words):
        make_trainer(get_method("ds-grpo", reference="base"), beta=0.1, **fields)


def test_a_method_without_its_log_probs_fails_before_the_first_step(make_trainer: Make) -> None:
    trainer = make_trainer("ds-grpo")
    trainer.use_transformers_continuous_batching = True
    with pytest.raises(EngineError, match="continuous batching"):
        trainer._check_configuration()
    needs = get_method("grpo")
    hungry = type(needs)(**{**vars(needs), "recipe": get_method("ds-grpo-centered").recipe})
    assert hungry.requires == {"logprobs"}


def test_holes_in_vllms_log_probs_are_filled_from_the_old_ones(make_trainer: Make) -> None:
    trainer = make_trainer("ds-grpo")
    trainer.use_vllm = True  # no vLLM here: the batch is what TRL makes of its answers, NaN where it gave none
    nan = float("nan")
    output = {
        "sampling_per_token_logps": torch.tensor([[-1.0, nan, -3.0], [-math.inf, -5.0, 0.0]]),
        "old_per_token_logps": torch.tensor([[-1.5, -2.5, -3.5], [-4.5, -5.5, -9.0]]),
    }
    trainer._lengths = torch.tensor([3, 2])
    filled = trainer._token_logprobs(output)
    assert filled.tolist() == [[-1.0, -2.5, -3.0], [-4.5, -5.0, 0.0]]
    assert "sampling_per_token_logps" in output  # TRL's importance sampling reads it
    del output["old_per_token_logps"]
    with pytest.raises(
        EngineError, match="`ds-grpo` needs sampling log-probs; this rollout came without, or with some"
    ):
        trainer._token_logprobs(output)


def test_holes_that_nothing_fills_matter_only_to_methods_that_read_them(
    make_trainer: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer("grpo")
    trainer._lengths = torch.tensor([1])
    whole = {"sampling_per_token_logps": torch.tensor([[-1.0]])}
    assert trainer._token_logprobs({"sampling_per_token_logps": torch.tensor([[-math.inf]])}) is None
    assert trainer._token_logprobs({**whole}).tolist() == [[-1.0]]
    monkeypatch.setattr("unsharpen.engines.trl.gather", lambda flag: torch.cat([flag, torch.tensor([True])]))
    assert trainer._token_logprobs({**whole}) is None  # another process has some


def test_tokens_of_an_environment_count_in_nothing(make_trainer: Make) -> None:
    trainer = make_trainer("ds-grpo")
    trainer._lengths = torch.tensor([3, 2])
    output = {
        "sampling_per_token_logps": torch.tensor([[-1.0, float("nan"), -3.0], [-4.0, -5.0, 0.0]]),
        "tool_mask": torch.tensor([[1, 0, 1], [0, 0, 0]]),  # TRL masks the second one as a whole
    }
    assert trainer._sampled_tokens(output, 3).sum(1).tolist() == [2, 2]
    assert trainer._token_logprobs(output).tolist() == [[-1.0, 0.0, -3.0], [-4.0, -5.0, 0.0]]


def test_nan_reward_is_an_error(make_trainer: Make) -> None:
    def broken(completions: list[str], **kwargs: Any) -> list[float]:
        return [0.0, float("nan"), *([0.0] * (len(completions) - 2))]

    trainer = make_trainer("grpo", reward_funcs=broken)
    with pytest.raises(InputError, match="'broken' returned NaN for completion 1"):
        trainer.train()


def test_the_model_is_left_as_it_was(make_trainer: Make) -> None:
    trainer = make_trainer("ds-grpo", max_steps=1)
    trainer.train()
    assert "generate" not in vars(trainer.accelerator.unwrap_model(trainer.model_wrapped))


def test_a_generate_of_the_users_own_is_used_and_kept(make_trainer: Make) -> None:
    trainer = make_trainer("ds-grpo", max_steps=2)
    original, calls = trainer.model.generate, []

    def generate(*args: Any, **kwargs: Any) -> Any:
        calls.append(len(args))
        return original(*args, **kwargs)

    trainer.model.generate = generate
    trainer.train()
    assert len(calls) == 2
    assert vars(trainer.model)["generate"] is generate


def test_is_a_grpo_trainer() -> None:
    from trl import GRPOTrainer

    assert issubclass(DiverseGRPOTrainer, GRPOTrainer)


def test_another_release_of_trl_is_refused_by_name(make_trainer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.17.0" if name == "trl" else real(name))
    with pytest.raises(EngineError, match=r"supports trl 1\.16; found trl 1\.17\.0"):
        make_trainer("grpo")


@pytest.mark.parametrize(
    ("found", "supported", "fits"),
    [("1.16.0", "1.16", True), ("1.160", "1.16", False), ("1.16", "1.16", True), ("0.9.1.dev0", "0.9", True)],
)
def test_releases(found: str, supported: str, fits: bool) -> None:
    with contextlib.nullcontext() if fits else pytest.raises(EngineError, match=supported):
        require_release("engine", found, supported)
