"""Presampling draws from the distribution that its log-probs are of, whatever the model's generation_config says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from unsharpen.training.build import load_tokenizer
from unsharpen.training.config import RunConfig, model_path
from unsharpen.training.presample import PresampleSettings, _generate


def test_the_models_own_settings_play_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    model = AutoModelForCausalLM.from_pretrained(model_path(RunConfig())).eval()
    tokenizer = load_tokenizer(RunConfig())
    prompts = [list(tokenizer("3 5 8 2 = 18\n")["input_ids"])] * 16
    settings = PresampleSettings(max_new_tokens=14)

    def sampled() -> list[Any]:
        torch.manual_seed(0)
        return _generate(model, tokenizer, prompts, settings)

    plain = sampled()
    assert any(one.completion_ids[-1] == tokenizer.eos_token_id for one in plain)
    for name, value in (("repetition_penalty", 3.0), ("min_p", 0.9), ("typical_p", 0.1), ("eos_token_id", [2])):
        monkeypatch.setattr(model.generation_config, name, value)
    assert sampled() == plain
