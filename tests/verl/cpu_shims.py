"""What lets unmodified verl train on a CPU: a platform, and a rollout engine around ``generate``.

Loaded in each process by VERL_USE_EXTERNAL_MODULES. Ray hands out one "GPU" that is none, FSDP runs on gloo, and the
engine that verl registers for cuda is chosen by VERL_ENGINE_DEVICE. Nothing here knows of unsharpen.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

import ray
import torch
import transfer_queue
from verl.plugin.platform import platform_manager
from verl.plugin.platform.platform_base import PlatformBase
from verl.plugin.platform.platform_manager import PlatformRegistry
from verl.utils import distributed
from verl.workers.rollout import base, replica
from verl.workers.rollout.replica import RolloutReplica, RolloutReplicaRegistry, TokenOutput

NAME = "generate"


class Device:
    """``torch.cpu`` with the rest of what verl calls on ``torch.cuda``, which then does nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(torch.cpu, name, lambda *_, **__: 0)

    def mem_get_info(self) -> tuple[int, int]:
        return 0, 1

    def get_device_name(self) -> str:
        return "CPU"


@PlatformRegistry.register(platform="cpu")
class Cpu(PlatformBase):
    device_name = "cpu"
    vendor_name = "test"
    device_module = Device()

    def _nothing(self, *_: Any, **__: Any) -> Any:
        return None

    set_device = synchronize = manual_seed = manual_seed_all = set_allocator_settings = empty_cache = _nothing
    profiler_start = profiler_stop = cudart = _nothing

    def is_available(self) -> bool:
        return True

    def current_device(self) -> Any:
        return "cpu"

    def device_count(self) -> int:
        return 1

    def get_device_capability(self, device_index: int = 0) -> tuple[None, None]:
        return None, None

    def communication_backend_name(self) -> str:
        return "gloo"

    def visible_devices_envvar(self) -> str:
        return "CUDA_VISIBLE_DEVICES"

    def nvtx_range(self, msg: str) -> Any:
        return contextlib.nullcontext()

    def ray_resource_name(self) -> str:
        return "GPU"

    def ray_noset_envvars(self) -> list[str]:
        return []

    def is_ipc_supported(self) -> bool:
        return False


platform_manager._current_platform = None

_initialize = distributed.initialize_global_process_group_ray


def _initialize_on_gloo(timeout_second: int | None = None, backend: str | None = None) -> None:
    """For verl would ask for a backend of the CPU and one of the accelerator, here twice the same."""
    _initialize(timeout_second, backend or "gloo")


distributed.initialize_global_process_group_ray = _initialize_on_gloo


class Server:
    """Samples with ``generate`` from the weights that it was last sent; log-probs at the sampling temperature."""

    def __init__(self, model_path: str, response_length: int, seed: int) -> None:
        from transformers import AutoModelForCausalLM

        torch.set_num_threads(1)
        self.model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32).eval()
        self.response_length, self.global_steps = response_length, 0
        torch.manual_seed(seed)

    def load(self, weights: dict[str, torch.Tensor], global_steps: int) -> None:
        missing = self.model.load_state_dict(weights, strict=False)
        assert set(missing.missing_keys) <= {"lm_head.weight"}, missing  # tied to the embedding
        assert not missing.unexpected_keys, missing
        self.global_steps = global_steps

    @torch.no_grad()
    def generate(self, prompt_ids: list[int], sampling_params: dict[str, Any], **_: Any) -> TokenOutput:
        temperature = float(sampling_params["temperature"])
        greedy = temperature == 0
        output = self.model.generate(
            torch.tensor([prompt_ids]),
            max_new_tokens=self.response_length,
            do_sample=not greedy,
            temperature=None if greedy else temperature,
            top_k=0,
            top_p=1.0,
            return_dict_in_generate=True,
            output_logits=True,
        )
        tokens = output.sequences[0, len(prompt_ids) :]
        logits = torch.cat(output.logits).float() / (1.0 if greedy else temperature)
        logprobs = torch.log_softmax(logits, -1).gather(1, tokens[:, None]).squeeze(1)
        stopped = int(tokens[-1]) == self.model.config.eos_token_id
        return TokenOutput(
            token_ids=tokens.tolist(),
            log_probs=logprobs.tolist(),
            stop_reason="completed" if stopped else "length",
            extra_fields={"global_steps": self.global_steps},
        )

    def ignore(self, *_: Any, **__: Any) -> None:
        """For the calls that free and take GPU memory, and profile."""

    wake_up = sleep = clear_kv_cache = release_kv_cache = resume_kv_cache = ignore
    abort_all_requests = resume_generation = start_profile = stop_profile = ignore


class Replica(RolloutReplica):
    async def launch_servers(self) -> None:
        name = f"generate_server_{self.replica_rank}"
        server = ray.remote(Server).options(name=name, num_cpus=0, max_concurrency=1)
        handle = server.remote(self.model_config.path, self.config.response_length, self.config.seed)
        self.servers, self._server_handle, self._server_address = [handle], handle, name


class Adapter(base.BaseRollout):
    """The trainer's side: sends the weights over."""

    async def resume(self, tags: list[str]) -> None:
        pass

    async def release(self) -> None:
        pass

    async def update_weights(self, weights: Any, global_steps: int = 0, **_: Any) -> None:
        state = {name: tensor.detach().cpu().clone() for name, tensor in weights}
        rank = int(os.environ["RANK"])
        await ray.get_actor(f"generate_server_{rank}").load.remote(state, global_steps)


RolloutReplicaRegistry.register(NAME, lambda: Replica)
base._ROLLOUT_REGISTRY[(NAME, "async")] = f"{__name__}.Adapter"
assert replica.RolloutReplicaRegistry.get(NAME) is Replica


# --- what the trainer writes, for a test to recompute ----------------------------------------------------------------

_put = transfer_queue.kv_batch_put


def _put_and_tell(*args: Any, **kwargs: Any) -> Any:
    """``kv_batch_put`` that also appends advantages, with what they were made of, to the file DUMP_ADVANTAGES."""
    result, fields = _put(*args, **kwargs), kwargs.get("fields")
    path = os.environ.get("DUMP_ADVANTAGES")
    if path and fields is not None and "advantages" in fields:
        names = ["advantages", "response_mask", "rm_scores", "old_log_probs"]
        data = transfer_queue.kv_batch_get(kwargs["keys"], kwargs["partition_id"], names)
        line = {"keys": list(kwargs["keys"]), **{n: [row.tolist() for row in data[n].unbind()] for n in names}}
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
    return result


transfer_queue.kv_batch_put = _put_and_tell
