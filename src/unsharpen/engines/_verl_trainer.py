"""verl's three trainers with a method of the catalogue as their advantage. Imported by ``engines/verl.py`` alone.

All that they do: settle the configuration before verl builds anything, let verl compute its advantages (and with them
its rollout correction), and put the method's in their place. Rollouts, workers, loss and optimiser stay verl's.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transfer_queue as tq
from tensordict import TensorDict
from verl.trainer.ppo.utils import need_critic, need_reference_policy
from verl.trainer.ppo.v1 import PPOTrainerColocateAsync, PPOTrainerSeparateAsync, PPOTrainerSync, register_trainer
from verl.utils.config import validate_config

from unsharpen.engines._options import Options
from unsharpen.engines._training_metrics import group_metrics, shaping_metrics
from unsharpen.engines._verl_batch import Columns, batch_of, layout_of, solutions_of, values_of
from unsharpen.engines._verl_config import prepare
from unsharpen.engines._warnings import FailureWatch
from unsharpen.errors import EngineError
from unsharpen.methods import get_method

MEMORY_FILE = "unsharpen_memory.json"
_LOGPROBS = {"old": "old_log_probs", "rollout": "rollout_log_probs"}


class _Unsharpened:
    """What is added to each of verl's trainers; comes before it in the order of classes."""

    config: Any
    global_steps: int
    options: Options

    def __init__(self, config: Any) -> None:
        self.options = prepare(config)
        # again, since the method's settings may have asked for a reference model
        validate_config(config, use_reference_policy=need_reference_policy(config), use_critic=need_critic(config))
        super().__init__(config)  # type: ignore[call-arg]
        actor = config.actor_rollout_ref.actor
        self._watch = FailureWatch(self.options.method, kl_coef=actor.kl_loss_coef if actor.use_kl_loss else 0.0)

    def _compute_advantage(self, batch: Any, metrics: dict[str, Any]) -> Any:
        columns = self._columns(batch)  # before the response mask is overwritten by rejection sampling
        keys, where = batch.keys, batch.partition_id
        result = super()._compute_advantage(batch, metrics)  # type: ignore[misc]
        layout = layout_of(columns, least=self.options.method.least_completions)
        groups = batch_of(columns, layout, self.options)
        shaped = self.options.method.advantages(groups)
        plain = get_method("grpo").advantages(groups)
        self._watch(groups, shaped, plain)
        found = group_metrics(groups, solutions_of(columns, layout, self.options)) | shaping_metrics(
            groups, shaped, plain
        )
        found["skipped_groups"] = layout.num_skipped
        metrics.update({f"unsharpen/{name}": value for name, value in found.items()})
        values = torch.from_numpy(values_of(columns, layout, groups, shaped, self.options).astype(np.float32))
        offsets = torch.from_numpy(np.concatenate([[0], np.cumsum(columns.lengths)]))
        nested = torch.nested.nested_tensor_from_jagged(values * self._kept_tokens(columns, keys, where), offsets)
        fields = TensorDict({"advantages": nested, "returns": nested}, batch_size=len(keys))
        tq.kv_batch_put(keys=keys, partition_id=where, fields=fields)
        return result

    def _kept_tokens(self, columns: Columns, keys: Any, where: Any) -> Any:
        """The response mask as verl left it, end to end; rejection sampling alone changes it."""
        if not (self.config.algorithm.get("rollout_correction") or {}).get("rollout_rs"):
            return torch.from_numpy(columns.mask)
        name = "response_mask"
        return tq.kv_batch_get(keys=keys, partition_id=where, select_fields=[name])[name].values()

    def _columns(self, batch: Any) -> Columns:
        """The batch as it lies in verl's TransferQueue, with what the method needs."""
        needs, logprobs = self.options.method.requires, _LOGPROBS[self.options.logprobs or "old"]
        wanted = ["response_mask", "rm_scores", logprobs, "extra_fields"]
        wanted += ["ref_log_prob"] if "reference_logprobs" in needs else []
        wanted += ["entropy"] if "entropies" in needs else []
        wanted += ["extra_info"] if needs & {"num_solutions", "prompt_ids"} else []
        wanted += ["raw_prompt"] if "prompt_ids" in needs else []
        data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=wanted)
        if "rm_scores" not in data:
            raise EngineError("verl's batch came without rm_scores", hint="is there a reward function or reward model?")

        def tokens(name: str) -> Any:
            return data[name].values().float().numpy() if name in data else None

        def rows(name: str) -> Any:  # lists of objects come as one of several classes, by storage
            values = data.get(name, None)
            return values if values is None else list(values.tolist() if hasattr(values, "tolist") else values)

        extras = rows("extra_fields")
        return Columns(
            keys=batch.keys,
            padding=[bool(tag.get("is_padding", False)) for tag in batch.tags],
            lengths=data["response_mask"].offsets().diff().numpy(),
            mask=data["response_mask"].values().bool().numpy(),
            scores=tokens("rm_scores"),
            logprobs=tokens(logprobs),
            reference_logprobs=tokens("ref_log_prob"),
            entropies=tokens("entropy"),
            reward_infos=None if extras is None else [extra.get("reward_extra_info") or {} for extra in extras],
            extra_infos=rows("extra_info"),
            prompts=rows("raw_prompt"),
            max_length=int(self.config.data.max_response_length),
        )

    # --- memory ----------------------------------------------------------------------------------------------------

    def _save_checkpoint(self) -> None:
        memory = self.options.method.memory
        if memory is not None:  # first, since verl calls a checkpoint complete when its last file is there
            folder = Path(self.config.trainer.default_local_dir) / f"global_step_{self.global_steps}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / MEMORY_FILE).write_text(json.dumps(memory.state_dict()), encoding="utf-8")
        super()._save_checkpoint()  # type: ignore[misc]

    def _load_checkpoint(self) -> None:
        super()._load_checkpoint()  # type: ignore[misc]
        memory = self.options.method.memory
        if memory is None or self.global_steps == 0:
            return
        trainer = self.config.trainer
        by_hand = trainer.resume_mode == "resume_path"
        folder = (
            trainer.resume_from_path
            if by_hand
            else os.path.join(trainer.default_local_dir, f"global_step_{self.global_steps}")
        )
        path = Path(folder) / MEMORY_FILE
        try:
            memory.load_state_dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise EngineError(
                f"method `{self.options.method.name}` continues from its memory, and {path} can't be read: {error}",
                hint="resume with the method that wrote the checkpoint, or start anew (trainer.resume_mode=disable)",
            ) from error


@register_trainer("unsharpen_sync")
class UnsharpenSync(_Unsharpened, PPOTrainerSync):
    """verl's synchronous trainer with a method of the catalogue."""


@register_trainer("unsharpen_colocate_async")
class UnsharpenColocateAsync(_Unsharpened, PPOTrainerColocateAsync):
    """verl's asynchronous trainer on shared GPUs with a method of the catalogue."""


@register_trainer("unsharpen_separate_async")
class UnsharpenSeparateAsync(_Unsharpened, PPOTrainerSeparateAsync):
    """verl's asynchronous trainer with GPUs of its own for rollouts, with a method of the catalogue."""
