"""The hook in TRL's loss: off it is plain TRL to the bit, on it is what the formulas say; settings and refusals."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from unsharpen import get_method, list_methods
from unsharpen.engines import _settings
from unsharpen.engines._settings import FIELDS, OURS, with_config
from unsharpen.errors import DataError, EngineError
from unsharpen.losses import LossBatch, LossTerm

from .conftest import Make
from .test_fields import SEQUENCE_LEVEL, run_trainer
from .test_trl import trained

OFF = [
    get_method("entropy-advantage", alpha=0.0),
    get_method("clip-cov", share=0.0),
    get_method("kl-cov", coef=0.0),
    get_method("epo", coef=0.0),
    get_method("diversity-po", coef=0.0),
    get_method("simko", mix=0.0, wrong_scale=1.0),
    get_method("entropy-bonus", coef=0.0),
    get_method("top-entropy", share=1.0),
    get_method("dapo", clip_high=0.2, drop_uniform="off", overlong_penalty=0.0),
]
SMALL = {"max_steps": 2, "gradient_accumulation_steps": 2, "per_device_train_batch_size": 6}


@pytest.fixture(scope="module")
def plain_weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[torch.Tensor]]:
    return {}


@pytest.mark.parametrize("method", OFF, ids=lambda m: m.name)
def test_coefficient_zero_is_plain_grpo_to_the_bit(
    make_trainer: Make, method: Any, plain_weights: dict[str, list[torch.Tensor]]
) -> None:
    if "grpo" not in plain_weights:
        plain_weights["grpo"] = trained(make_trainer(**SMALL))
    ours = trained(make_trainer(method, **SMALL))
    assert all(torch.equal(a, b) for a, b in zip(plain_weights["grpo"], ours, strict=True))


def test_adrpo_without_a_scale_is_grpo_with_kl_to_the_bit(make_trainer: Make) -> None:
    kl = trained(make_trainer(get_method("grpo-kl", kl_coef=0.1), **SMALL))
    ours = trained(make_trainer(get_method("adrpo", beta=0.1, scale=0.0), **SMALL))
    assert all(torch.equal(a, b) for a, b in zip(kl, ours, strict=True))


@pytest.mark.parametrize("loss_type", ["grpo", "dapo", "bnpo", "dr_grpo", "luspo"])
def test_a_term_is_averaged_as_trl_averages_its_own(make_trainer: Make, loss_type: str) -> None:
    # TRL's loss of a token is -A ratio, with one update per batch: a term that is the same doubles the loss
    trainer = make_trainer("entropy-advantage", loss_type=loss_type, **SMALL)
    policy = LossTerm("policy", lambda batch: -batch.advantages * torch.exp(batch.log_ratio))
    object.__setattr__(trainer.method.recipe, "loss_term", policy)
    original, pairs = trainer._hooked_loss, []

    def compare(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        loss = original(model, inputs)
        added = trainer._metrics["train"]["loss_term"][-1] / trainer.current_gradient_accumulation_steps
        pairs.append((loss.item(), 2 * added))
        return loss

    trainer._hooked_loss = compare
    trainer.train()
    assert len(pairs) == 4
    for loss, twice in pairs:
        assert loss == pytest.approx(twice, abs=1e-6)
    assert max(abs(loss) for loss, _ in pairs) > 1e-4


def seen(trainer: Any) -> list[LossBatch]:
    """What the terms saw, as it came."""
    batches: list[LossBatch] = []
    original = trainer._shaped

    def keep(*args: Any) -> LossBatch:
        batches.append(original(*args))
        return batches[-1]

    trainer._shaped = keep
    trainer.train()
    return batches


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_top_log_probs_are_those_of_the_policy_in_training(make_trainer: Make, temperature: float) -> None:
    for batch in seen(make_trainer("simko", temperature=temperature, max_steps=2)):
        top, own = batch.top_logprobs.detach(), batch.logprobs.detach()
        assert top.shape == (*own.shape, 3)
        assert (top.diff(dim=-1) <= 0).all()
        real = batch.mask
        assert (own[real] <= top[..., 0][real] + 1e-4).all()
        greedy = batch.likeliest[real]
        assert torch.equal(greedy, (own - top[..., 0]).abs()[real] < 1e-4)
        assert 0.3 < greedy.float().mean() < 1  # most tokens are the likeliest one, not all


def test_logits_under_adapters_and_checkpointing(make_trainer: Make) -> None:
    from peft import LoraConfig

    lora = LoraConfig(r=4, task_type="CAUSAL_LM", target_modules="all-linear")
    trainer = make_trainer("simko", trainer={"peft_config": lora}, gradient_checkpointing=True, max_steps=2)
    for batch in seen(trainer):
        own, top = batch.logprobs[batch.mask].detach(), batch.top_logprobs[batch.mask].detach()
        assert (own <= top[:, 0] + 1e-4).all()


def test_means_of_the_vocabulary_agree_between_sampling_and_training(make_trainer: Make) -> None:
    # two updates per batch: at the first one the policy is the one that sampled
    first, second = seen(make_trainer("rover", temperature=0.7, max_steps=2, num_iterations=2, learning_rate=1e-2))
    real = first.mask
    assert_close(first.mean_logprobs[real], first.old_mean_logprobs[real], atol=1e-4, rtol=1e-4)
    assert not torch.equal(first.mean_logprobs, first.old_mean_logprobs)  # recorded, not copied
    assert (first.mean_logprobs[real] < -1).all()
    assert (second.mean_logprobs - second.old_mean_logprobs)[real].abs().max() > 1e-2


def test_several_updates_per_batch_see_another_policy(make_trainer: Make) -> None:
    method = get_method("kl-cov", share=0.5)
    batches = seen(make_trainer(method, max_steps=4, num_iterations=2, learning_rate=1e-2))
    ratios = [batch.log_ratio.abs().max().item() for batch in batches]
    assert ratios[0] == pytest.approx(0.0, abs=1e-4)
    assert ratios[1] > 1e-2
    assert method.recipe.loss_term is not None
    assert method.recipe.loss_term(batches[1]).sum() > 0


@pytest.mark.parametrize("name", ["simko", "clip-cov", "rover"])
def test_a_batch_without_any_reward_teaches_nothing(make_trainer: Make, name: str) -> None:
    trainer = make_trainer(name, reward_funcs=lambda completions, **_: [None] * len(completions), max_steps=1)
    before = [p.detach().clone() for p in trainer.model.parameters()]
    trainer.train()
    assert all(torch.equal(p, q) for p, q in zip(before, trainer.model.parameters(), strict=True))


def test_drop_uniform_groups_takes_their_tokens_out(make_trainer: Make) -> None:
    trainer = make_trainer(get_method("dapo", overlong_penalty=0.0), max_steps=3)
    original, dropped = trainer._generate_and_score_completions, 0

    def check(inputs: Any) -> Any:
        nonlocal dropped
        output = original(inputs)
        groups = trainer._correct.reshape(-1, 6)
        mixed = groups.any(1) & ~groups.all(1)
        tokens = output["completion_mask"].reshape(2, -1).sum(1)
        assert ((tokens > 0) == mixed).all()
        assert output["num_items_in_batch"] == output["completion_mask"].sum()
        dropped += int((~mixed).sum())
        return output

    trainer._generate_and_score_completions = check
    trainer.train()
    assert dropped > 0
    assert all(torch.isfinite(p).all() for p in trainer.model.parameters())


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list_methods())
def test_every_setting_has_a_place(name: str) -> None:
    recipe = get_method(name).recipe
    assert set(recipe.settings) | recipe.excludes <= FIELDS.keys() | OURS


def test_settings_reach_trl(make_trainer: Make) -> None:
    trainer = make_trainer("gspo")
    assert (trainer.epsilon_low, trainer.epsilon_high) == (3e-4, 4e-4)
    assert (trainer.importance_sampling_level, trainer.loss_type) == ("sequence", "grpo")
    trainer = make_trainer(get_method("entropy-target", target=0.5))
    assert trainer.use_adaptive_entropy is True
    assert trainer.args.entropy_target == 0.5
    trainer = make_trainer(get_method("soft-preference", alpha=0.3, beta=0.1))
    assert (trainer.beta, trainer.entropy_coef) == (0.1, pytest.approx(0.2))
    assert make_trainer(get_method("entropy-penalty", coef=0.1)).entropy_coef == -0.1
    assert make_trainer("top-entropy").top_entropy_quantile == 0.2


@pytest.mark.parametrize(
    ("method", "fields", "words"),
    [
        (
            "entropy-bonus",
            {"entropy_coef": 0.01},
            r"`entropy-bonus` sets GRPOConfig's entropy_coef to 0.001; found 0.01",
        ),
        ("clip-higher", {"epsilon_high": 0.4}, "sets GRPOConfig's epsilon_high to 0.28; found 0.4"),
        ("gspo", {"loss_type": "bnpo"}, "sets GRPOConfig's loss_type to grpo; found bnpo"),
        ("grpo-kl", {"beta": 0.04}, "sets GRPOConfig's beta to 0.001; found 0.04"),
        ("entropy-bonus-seq", {"entropy_coef": 0.01}, "in a form of its own; found entropy_coef=0.01"),
        ("epo", {"use_adaptive_entropy": True}, "in a form of its own; found use_adaptive_entropy=True"),
        ("diversity-po", {"entropy_coef": 0.01}, "in a form of its own"),
        ("rover", {"beta": 0.1}, "has what beta does in a form of its own"),
        ("simko", {"top_entropy_quantile": 0.2}, "in a form of its own"),
        ("clip-higher", {"loss_type": "cispo"}, "loss_type='cispo' takes epsilon_high for the largest ratio itself"),
        ("kl-cov", {"loss_type": "sapo"}, "`kl-cov` counts on the clip of PPO; loss_type='sapo' does not clip"),
        ("simko", {"loss_type": "vespo"}, "`simko` counts on the clip of PPO; loss_type='vespo' does not clip"),
        ("simko", {"loss_type": "grpo", "importance_sampling_level": "sequence"}, "the ratio of each token; found"),
    ],
)
def test_contradictory_settings_are_refused(
    make_trainer: Make, method: str, fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(EngineError, match=words) as caught:
        make_trainer(method, **fields)
    assert "hint: leave " in str(caught.value)


def test_a_rate_that_an_optimizer_has_can_not_be_scaled(make_trainer: Make) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    with pytest.raises(EngineError, match=r"`grpo-low-lr` scales the learning rate .* found an optimizer"):
        make_trainer("grpo-low-lr", trainer={"optimizers": (optimizer, None)})


def test_without_a_configuration_the_folder_is_trls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_settings, "GRPOConfig", partial(_settings.GRPOConfig, bf16=False))  # there may be no GPU
    _, made = with_config((), {"model": "owner/Model-1B"}, get_method("clip-higher"))
    assert made["args"].output_dir == "Model-1B-GRPO"


def test_the_same_setting_twice_is_no_contradiction(make_trainer: Make) -> None:
    assert make_trainer("clip-higher", epsilon_high=0.28).epsilon_high == 0.28


def test_reference_terms_ask_for_a_reference(make_trainer: Make) -> None:
    trainer = make_trainer("adrpo")
    trainer.beta = 0.0
    with pytest.raises(EngineError, match="`adrpo` needs a reference model, but beta is 0"):
        trainer._check_configuration()


def test_flow_rl_has_the_reference_without_the_engines_kl(make_trainer: Make) -> None:
    trainer = make_trainer("flow-rl", max_steps=1)
    batches = seen(trainer)
    assert batches[0].reference_logprobs is not None
    assert trainer.beta == 1.0
    assert all("kl" not in row for row in trainer.state.log_history)


def test_logits_of_an_unusual_head_are_refused(make_trainer: Make) -> None:
    trainer = make_trainer("simko")
    trainer.model.config.final_logit_softcapping = 30.0
    with pytest.raises(EngineError, match=r"`simko` needs logits .* config sets final_logit_softcapping"):
        trainer._check_loss()
    del trainer.model.config.final_logit_softcapping
    trainer.is_fsdp_enabled = True
    with pytest.raises(EngineError, match="a model split over processes"):
        trainer._check_loss()


def test_means_are_not_to_be_had_with_vllm(make_trainer: Make) -> None:
    trainer = make_trainer("rover")
    trainer.use_vllm = True
    with pytest.raises(EngineError, match="needs the mean log-probs of the sampling distribution"):
        trainer._check_configuration()


# --- every method trains ---------------------------------------------------------------------------------------------

BEYOND = [name for name in list_methods() if name not in SEQUENCE_LEVEL]  # those are in test_fields.py


@pytest.mark.parametrize("name", [n for n in BEYOND if n != "dph"])
def test_two_real_steps(name: str, tmp_path: Path) -> None:
    trainer = run_trainer(name, tmp_path)
    before = [p.detach().clone() for p in trainer.model.parameters()]
    trainer.train()
    assert trainer.state.global_step == 2
    rows = [row for row in trainer.state.log_history if "loss" in row]
    assert all(torch.isfinite(torch.tensor(row["loss"])) for row in rows)
    assert all(torch.isfinite(p).all() for p in trainer.model.parameters())
    assert not all(torch.equal(p, q) for p, q in zip(before, trainer.model.parameters(), strict=True))
    assert all(("loss_term" in row) == ("loss term" in trainer.method.beyond_advantages) for row in rows)


def test_epos_history_is_saved_and_restored(tmp_path: Path) -> None:
    options = {"save_strategy": "steps", "save_steps": 1, "save_total_limit": 9}
    whole = run_trainer("epo", tmp_path / "whole", steps=3, **options)
    whole.train()
    resumed = run_trainer("epo", tmp_path / "resumed", steps=3, save_strategy="no")
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-1"))
    assert resumed.method.memory.state_dict() == whole.method.memory.state_dict()
    assert whole.method.memory.state_dict()["count"] == 3
    for a, b in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(a, b)


# --- the pool --------------------------------------------------------------------------------------------------------


def write_pool(path: Path, trainer: Any, *, temperature: float = 1.0, count: int = 5) -> str:
    """Texts with the log-probs that the untrained model gives them."""
    tokenizer, model = trainer.processing_class, trainer.model
    rows = []
    for i in range(count):
        prompt = tokenizer(trainer.train_dataset[i % len(trainer.train_dataset)]["prompt"])["input_ids"]
        completion = [*tokenizer("1 + 2 * 3"[: 5 + i])["input_ids"], tokenizer.eos_token_id]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
        table = torch.log_softmax(logits.float() / temperature, -1)
        logprobs = table.gather(1, torch.tensor(completion)[:, None])[:, 0].tolist()
        rows.append(
            {"prompt_ids": prompt, "completion_ids": completion, "logprobs": logprobs, "temperature": temperature}
        )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize("divergence", ["forward-kl", "js"])
def test_the_pools_loss_starts_at_0_and_grows(make_trainer: Make, tmp_path: Path, divergence: str) -> None:
    pool = write_pool(tmp_path / "pool.jsonl", make_trainer("grpo"))
    method = get_method("dph", pool=pool, coef=0.01, divergence=divergence)
    trainer = make_trainer(method, max_steps=3, gradient_accumulation_steps=2, per_device_train_batch_size=6)
    trainer.train()
    losses = [row["pool_loss"] for row in trainer.state.log_history if "pool_loss" in row]
    assert len(losses) == 3
    assert losses[0] == pytest.approx(0.0, abs=1e-6)  # the policy is the base model
    assert losses[-1] > losses[0] + 1e-6


def test_a_pool_without_weight_is_plain_grpo_to_the_bit(make_trainer: Make, tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool.jsonl", make_trainer("grpo"))
    clipped = trained(make_trainer("grpo", epsilon=0.2, epsilon_high=0.28, **SMALL))
    ours = trained(make_trainer(get_method("dph", pool=pool, coef=0.0), **SMALL))
    assert all(torch.equal(a, b) for a, b in zip(clipped, ours, strict=True))


def test_a_missing_or_malformed_pool(make_trainer: Make, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="`dph` needs completions that the base model sampled; found no pool"):
        make_trainer("dph")
    for text, words in [
        (None, "can't read the pool"),
        ("", "has no rows"),
        ("{", "row 1 is not JSON"),
        ('{"prompt_ids": [1]}', "found no completion_ids, logprobs, temperature"),
        (
            '{"prompt_ids": [1], "completion_ids": [1, 2], "logprobs": [-1], "temperature": 1}',
            "one number of at most 0",
        ),
        ('{"prompt_ids": [1], "completion_ids": [1], "logprobs": [NaN], "temperature": 1}', "one number of at most 0"),
        ('{"prompt_ids": [1], "completion_ids": [1], "logprobs": [-1], "temperature": 0}', "temperature must be"),
    ]:
        path = tmp_path / "bad.jsonl"
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)
        with pytest.raises(DataError, match=words):
            make_trainer(get_method("dph", pool=str(path)))
    pool = write_pool(tmp_path / "hot.jsonl", make_trainer("grpo"), temperature=0.7)
    with pytest.raises(EngineError, match=r"sampled at temperature 0.7 \(row 1\), training is at 1.0"):
        make_trainer(get_method("dph", pool=pool))
