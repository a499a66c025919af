"""Kept weights, evaluated again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from unsharpen.errors import InputError
from unsharpen.training.config import RunConfig, model_path
from unsharpen.training.kept import KeptModels


@pytest.fixture(scope="module")
def models() -> KeptModels:
    torch.set_num_threads(1)
    return KeptModels(RunConfig(method="grpo", num_eval=6, num_train=8, eval_samples=16))


def test_a_record_says_how_it_was_sampled(models: KeptModels) -> None:
    row = models.evaluate([], temperature=0.5, base_share=0.0, seed=1)
    assert (row["temperature"], row["base_share"], row["max_new_tokens"]) == (0.5, 0.0, 24)
    assert (row["num_problems"], row["num_samples"]) == (6, 16)
    assert len(row["num_correct"]) == len(row["multiplicity"]) == 6
    assert models.evaluate([], temperature=0.5, base_share=0.0, seed=1) == row
    assert models.evaluate([], temperature=5.0, base_share=0.0, seed=1)["num_correct"] < row["num_correct"]


def test_a_share_of_the_base_is_mixed_in(models: KeptModels, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(model_path(RunConfig()))
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(-1.0)
    model.save_pretrained(tmp_path)
    broken = models.evaluate([tmp_path], temperature=1.0, base_share=0.0, seed=1)
    assert sum(broken["num_correct"]) == 0
    nearly = models.evaluate([tmp_path], temperature=1.0, base_share=0.999, seed=1)
    assert sum(nearly["num_correct"]) > 0


def test_the_mean_of_several(models: KeptModels, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(model_path(RunConfig()))
    base = {name: weight.clone() for name, weight in model.state_dict().items()}
    for number, factor in enumerate((0.5, 1.0, 1.5)):
        model.load_state_dict({name: factor * weight for name, weight in base.items()})
        model.save_pretrained(tmp_path / str(number))
    several = models.evaluate([tmp_path / str(i) for i in range(3)], temperature=1.0, base_share=0.0, seed=1)
    one = models.evaluate([], temperature=1.0, base_share=0.0, seed=1)
    assert np.abs(np.subtract(several["num_correct"], one["num_correct"])).max() <= 1  # rounding may turn one sample


def test_what_cannot_be_evaluated(models: KeptModels, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't load the model"):
        models.evaluate([tmp_path], temperature=1.0, base_share=0.0, seed=0)
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match="holds an adapter, which can't be mixed"):
        models.evaluate([tmp_path], temperature=1.0, base_share=0.5, seed=0)
