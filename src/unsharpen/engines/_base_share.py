"""WiSE-FT at the end of a training: some of the weights that it began with are mixed into those that it ended with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from transformers import TrainerCallback

from unsharpen.engines._arguments import require_whole_model
from unsharpen.engines._guidance import GuidedTrainer


def weights_of(model: Any) -> dict[str, torch.Tensor]:
    """A copy in main memory of the weights that are trained."""
    return {
        name: weight.detach().to("cpu", copy=True) for name, weight in model.named_parameters() if weight.requires_grad
    }


def mix_in(base: Mapping[str, torch.Tensor], model: Any, share: float) -> None:
    """``W = share W_base + (1 - share) W``, in float32."""
    for name, weight in model.named_parameters():
        if name in base:
            with torch.no_grad():
                weight.copy_(share * base[name].to(weight.device).float() + (1 - share) * weight.float())


class BaseShare(TrainerCallback):
    """Mixes the model as given here into the one that the training ends with.

    Checkpoints that were saved before the end hold the weights as trained.
    """

    def __init__(self, model: Any, share: float) -> None:
        self.share = share
        self._base = weights_of(model)

    def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        mix_in(self._base, model, self.share)


class MergingTrainer(GuidedTrainer):
    """``trl.GRPOTrainer`` that mixes ``base_share`` of the base into the final model, if the method says so."""

    def _keep_base(self) -> None:
        share = float(self.method.recipe.settings.get("base_share", 0.0))
        if not share:
            return
        require_whole_model(
            self.method,
            adapter=hasattr(self.accelerator.unwrap_model(self.model), "peft_config"),
            sharded=self.is_fsdp_enabled or self.is_deepspeed_enabled,
        )
        self.add_callback(BaseShare(self.model, share))
