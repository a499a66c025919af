"""WiSE-FT: the model that a training ends with is a mixture with the one that it began with, tensor by tensor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from torch.testing import assert_close
from transformers import AutoModelForCausalLM

from unsharpen import get_method
from unsharpen.engines._base_share import BaseShare
from unsharpen.errors import EngineError, InputError
from unsharpen.training.config import RunConfig, model_path

from .conftest import Make


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def trained(trainer: Any, **options: Any) -> dict[str, torch.Tensor]:
    trainer.train(**options)
    return weights(trainer.model)


def test_the_final_model_is_the_mixture(make_trainer: Make) -> None:
    base = weights(AutoModelForCausalLM.from_pretrained(model_path(RunConfig())))
    plain = trained(make_trainer("grpo"))
    mixed = trained(make_trainer(get_method("wise-ft", base_share=0.25)))
    for name, weight in mixed.items():
        assert_close(weight, 0.25 * base[name] + 0.75 * plain[name])
        assert not torch.equal(weight, plain[name])
        assert not torch.equal(weight, base[name])


def test_a_resumed_run_mixes_in_the_base_and_not_its_checkpoint(make_trainer: Make, tmp_path: Path) -> None:
    method = get_method("wise-ft", base_share=0.25)
    saving = {"save_strategy": "steps", "save_steps": 1, "output_dir": str(tmp_path / "run")}
    whole = trained(make_trainer(method, **saving))
    checkpoint = str(tmp_path / "run" / "checkpoint-1")
    again = trained(make_trainer(method, **saving), resume_from_checkpoint=checkpoint)
    assert all(torch.equal(again[name], weight) for name, weight in whole.items())


def test_bfloat16_weights_are_mixed_in_float32() -> None:
    model = torch.nn.Linear(64, 64).bfloat16()
    callback = BaseShare(model, 0.3)
    base = weights(model)
    with torch.no_grad():
        model.weight += torch.randn(64, 64).bfloat16()
    model.bias.requires_grad_(False)
    late = weights(model)
    callback.on_train_end(None, None, None, model=model)
    expected = (0.3 * base["weight"].float() + 0.7 * late["weight"].float()).bfloat16()
    assert torch.equal(model.weight, expected)


def test_a_share_of_0_is_grpo(make_trainer: Make) -> None:
    method = get_method("wise-ft", base_share=0.0)
    assert method.recipe.settings == {}
    callbacks = make_trainer(method).callback_handler.callbacks
    assert not any(isinstance(callback, BaseShare) for callback in callbacks)


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_bad_shares(share: float) -> None:
    with pytest.raises(InputError, match="base_share must be at least 0 and less than 1"):
        get_method("wise-ft", base_share=share)


def test_models_that_cannot_be_mixed_here(make_trainer: Make) -> None:
    adapter = {"peft_config": LoraConfig(r=2, target_modules=["q_proj"])}
    with pytest.raises(
        EngineError, match=r"but only an adapter is trained(.|\n)*`unsharpen merge .* --delta 0.5 --output DIR`"
    ):
        make_trainer("wise-ft", trainer=adapter)
    trainer = make_trainer("wise-ft")
    trainer.is_deepspeed_enabled = True
    with pytest.raises(EngineError, match="split over processes"):
        trainer._check_configuration()
