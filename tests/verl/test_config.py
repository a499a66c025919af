"""verl's real configuration: what a method changes in it, and what it refuses before anything is built."""

from __future__ import annotations

from typing import Any

import pytest
from omegaconf import OmegaConf
from verl.trainer.ppo.core_algos import get_policy_loss_fn
from verl.utils.config import omega_conf_to_dataclass

from unsharpen import list_methods
from unsharpen.engines._verl_config import MODES, prepare
from unsharpen.engines._verl_settings import DEFAULTS, fields_of
from unsharpen.errors import EngineError, InputError, UnknownNameError

ACTOR = "actor_rollout_ref.actor"
LOGPROBS = "actor_rollout_ref.rollout.calculate_log_probs"
NATIVE = {
    "clip-higher": {"clip_ratio_low": 0.2, "clip_ratio_high": 0.28},
    "gspo": {"policy_loss.loss_mode": "gspo", "clip_ratio_low": 3e-4, "loss_agg_mode": "seq-mean-token-mean"},
    "entropy-bonus": {"entropy_coeff": 1e-3},
    "entropy-penalty": {"entropy_coeff": -1e-3},
    "soft-preference": {"use_kl_loss": True, "kl_loss_coef": 1e-3, "entropy_coeff": 1e-3},
    "clip-cov": {"policy_loss.loss_mode": "clip_cov", "policy_loss.clip_cov_ratio": 2e-4, "clip_ratio_low": 1.0},
    "kl-cov": {"policy_loss.loss_mode": "kl_cov", "policy_loss.kl_cov_ratio": 2e-4, "policy_loss.ppo_kl_coef": 1.0},
    "dapo": {"clip_ratio_high": 0.28, "loss_agg_mode": "token-mean"},
}
"""What verl does by itself -> fields of its actor."""


@pytest.mark.parametrize("mode", MODES)
def test_verl_sees_its_own_mode(compose: Any, mode: str) -> None:
    config = compose({"trainer.v1.trainer_mode": mode, "+unsharpen.gamma_p": 0.2})
    options = prepare(config)
    assert config.trainer.v1.trainer_mode == MODES[mode]
    assert options.method.coefficients["gamma_p"] == 0.2
    assert options.logprobs == ("old" if mode == "unsharpen_sync" else "rollout")


def test_settings_of_a_method_reach_verl(compose: Any) -> None:
    config = compose({"+unsharpen.method": "grpo-low-lr", "+unsharpen.learning_rate_scale": 0.25})
    prepare(config)
    assert config.actor_rollout_ref.actor.optim.lr == pytest.approx(2.5e-4)
    config = compose({"+unsharpen.method": "grpo-kl", "+unsharpen.kl_coef": 0.02})
    prepare(config)
    assert (config.actor_rollout_ref.actor.use_kl_loss, config.actor_rollout_ref.actor.kl_loss_coef) == (True, 0.02)
    config = compose({"+unsharpen.method": "dr-grpo"})
    prepare(config)
    actor = config.actor_rollout_ref.actor
    assert (actor.loss_agg_mode, actor.loss_scale_factor) == ("seq-mean-token-sum-norm", 16)


def test_the_caller_chooses_log_probs(compose: Any) -> None:
    assert prepare(compose({"+unsharpen.logprobs": "rollout"})).logprobs == "rollout"
    assert prepare(compose({LOGPROBS: False})).logprobs == "old"
    overrides = {"trainer.v1.trainer_mode": "unsharpen_separate_async", "+unsharpen.logprobs": "old", LOGPROBS: False}
    assert prepare(compose(overrides)).logprobs == "old"


def test_reference_and_entropies_where_verl_has_them(compose: Any) -> None:
    prepare(compose({"+unsharpen.reference": "base", "actor_rollout_ref.actor.use_kl_loss": True}))
    prepare(compose({"+unsharpen.method": "egsw"}))
    prepare(compose({"+unsharpen.method": "ucb"}))


@pytest.mark.parametrize(
    ("overrides", "error", "words"),
    [
        ({"+unsharpen.method": None}, EngineError, r"\+unsharpen.method=ds-grpo"),
        ({"+unsharpen.method": "ds-grop"}, UnknownNameError, "ds-grop"),
        ({"+unsharpen.gama_p": 1}, InputError, "gama_p"),
        ({"algorithm.adv_estimator": "gae"}, EngineError, "algorithm.adv_estimator=grpo; found gae"),
        ({"algorithm.norm_adv_by_std_in_grpo": False}, EngineError, r"\+unsharpen.method=dr-grpo"),
        ({"algorithm.use_kl_in_reward": True}, EngineError, "actor_rollout_ref.actor.use_kl_loss=True"),
        ({"critic.enable": True}, EngineError, "critic.enable=False"),
        ({"actor_rollout_ref.rollout.n": 1}, EngineError, "actor_rollout_ref.rollout.n=1"),
        ({"+unsharpen.logprobs": "rollout", LOGPROBS: False}, EngineError, f"{LOGPROBS}=True"),
        (
            {"trainer.v1.trainer_mode": "unsharpen_colocate_async", LOGPROBS: False},
            EngineError,
            r"\+unsharpen.logprobs=old",
        ),
        ({"+unsharpen.reference": "base"}, EngineError, "reference_logprobs(.|\n)*use_kl_loss=True"),
        ({"+unsharpen.method": "dra-grpo"}, EngineError, "needs embeddings, which verl does not supply"),
        ({"+unsharpen.method": "epo"}, EngineError, "has a loss term"),
        ({"+unsharpen.method": "top-entropy"}, EngineError, "top_entropy_share=0.2, for which verl has no option"),
        ({"+unsharpen.method": "wise-ft"}, EngineError, "model_merger(.|\n)*merge BASE MODEL --delta 0.5 --output DIR"),
        ({"+unsharpen.method": "dapo"}, EngineError, "algorithm.filter_groups.enable=True"),
        ({"+unsharpen.method": "clip-cov", "+unsharpen.share": 0}, EngineError, "share above 0"),
        (
            {"+unsharpen.method": "clip-higher", f"{ACTOR}.clip_ratio_high": 0.25},
            EngineError,
            f"sets {ACTOR}.clip_ratio_high=0.28; found 0.25",
        ),
        (
            {"+unsharpen.method": "kl-cov", f"{ACTOR}.policy_loss.loss_mode": "gspo"},
            EngineError,
            "policy_loss.loss_mode=kl_cov; found gspo",
        ),
        (
            {"+unsharpen.method": "egsw", "algorithm.rollout_correction.bypass_mode": True},
            EngineError,
            "entropies(.|\n)*bypass_mode=False",
        ),
    ],
)
def test_refuses_before_anything_is_built(
    compose: Any, overrides: dict[str, Any], error: type[Exception], words: str
) -> None:
    config = compose(overrides)
    with pytest.raises(error, match=words):
        prepare(config)


def test_the_defaults_of_the_table_are_verls(compose: Any) -> None:
    actor = compose().actor_rollout_ref.actor
    assert {name: OmegaConf.select(actor, name) for name in DEFAULTS} == DEFAULTS


@pytest.mark.parametrize("name", NATIVE)
def test_what_verl_has_itself_is_set_there(compose: Any, name: str) -> None:
    group_filter = {"algorithm.filter_groups.enable": True} if name == "dapo" else {}
    config = compose({"+unsharpen.method": name, **group_filter})
    options = prepare(config)
    actor = config.actor_rollout_ref.actor
    assert {field: OmegaConf.select(actor, field) for field in NATIVE[name]} == NATIVE[name]
    parsed = omega_conf_to_dataclass(actor)  # verl's own class takes it
    get_policy_loss_fn(parsed.policy_loss.loss_mode)
    rest = set(fields_of(options.method, max_response_length=16)) - set(NATIVE[name])
    assert all(OmegaConf.select(actor, field) is not None for field in rest)


def test_every_method_runs_or_says_why_not(compose: Any) -> None:
    refused = {}
    for name in list_methods():
        overrides = {"actor_rollout_ref.actor.use_kl_loss": True, "algorithm.filter_groups.enable": True}
        try:
            prepare(compose({"+unsharpen.method": name, **overrides}))
        except EngineError as error:
            refused[name] = str(error)
    assert set(refused) == {
        *("dra-grpo", "evol-rl"),  # embeddings
        *("entropy-target", "top-entropy", "wise-ft"),  # settings that verl lacks
        *("entropy-advantage", "epo", "diversity-po", "adrpo", "simko", "flow-rl", "rover", "dph"),  # in the loss
    }
    assert all("hint: " in message for message in refused.values())
