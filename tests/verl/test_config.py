"""verl's real configuration: what a method changes in it, and what it refuses before anything is built."""

from __future__ import annotations

from typing import Any

import pytest

from unsharpen.engines._verl_config import MODES, prepare
from unsharpen.errors import EngineError, InputError, UnknownNameError

LOGPROBS = "actor_rollout_ref.rollout.calculate_log_probs"


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
