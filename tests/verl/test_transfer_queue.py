"""Our trainer on verl's real configuration, Ray and TransferQueue: what ``_compute_advantage`` reads and writes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from batches import KEYS, ROLLOUTS, expected, old_logprobs, rows
from torch.testing import assert_close

from unsharpen.errors import EngineError, UnsharpenWarning

GAMMAS = {"+unsharpen.gamma_p": 0.3, "+unsharpen.gamma_n": 0.1}
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def queue(scratch: Path) -> Iterator[Any]:
    """A Ray of this test alone, and verl's queue on it."""
    import ray
    import transfer_queue as tq
    from omegaconf import OmegaConf

    ray.init(num_cpus=4, num_gpus=0, include_dashboard=False, _temp_dir=str(scratch / "q"))
    config = {"backend": {"storage_backend": "SimpleStorage", "SimpleStorage": {"num_data_storage_units": 1}}}
    tq.init(OmegaConf.create(config))
    yield tq
    tq.close()
    ray.shutdown()


@pytest.fixture
def trainer(compose: Any) -> Any:
    from verl.trainer.ppo.v1 import get_trainer_cls

    def make(overrides: dict[str, Any]) -> Any:
        return get_trainer_cls("unsharpen_sync")(config=compose(overrides))

    return make


def put(tq: Any, *, multiple: int = 5, rollout_logprobs: bool = True) -> Any:
    """The rollouts, padded by verl itself, with the log-probs of the trainer."""
    from verl.trainer.ppo.padding_utils import upsample_batch_to_divisible_size
    from verl.utils.tensordict_utils import get_tensordict, list_of_dict_to_tensordict

    tags = [{"prompt_len": 2, "response_len": len(mask), "seq_len": 2 + len(mask)} for *_, mask in ROLLOUTS]
    fields = list_of_dict_to_tensordict(rows(rollout_logprobs=rollout_logprobs))
    batch = tq.kv_batch_put(keys=KEYS, partition_id="train", fields=fields, tags=tags)
    if multiple > 1:
        batch = upsample_batch_to_divisible_size(batch, multiple, eos_token_id=1)
        assert [tag.get("is_padding", False) for tag in batch.tags] == [False] * 8 + [True, True]
    batch.reorder(list(reversed(range(len(batch)))))
    order = {key: i for i, key in enumerate(KEYS)}
    logprobs = [
        old_logprobs(order[key], len(ROLLOUTS[order[key]][4])) if key in order else torch.zeros(1) for key in batch.keys
    ]
    nested = torch.nested.as_nested_tensor(logprobs, layout=torch.jagged)
    entropy = torch.nested.as_nested_tensor([row.abs() for row in logprobs], layout=torch.jagged)
    tq.kv_batch_put(
        keys=batch.keys, partition_id="train", fields=get_tensordict({"old_log_probs": nested, "entropy": entropy})
    )
    return batch


def run(tq: Any, trainer: Any, **options: Any) -> tuple[dict[str, torch.Tensor], dict[str, Any], Any]:
    """Advantages by key, metrics, and all that lies in the queue after it."""
    batch, metrics = put(tq, **options), {}
    keys = list(batch.keys)
    try:
        result = trainer._compute_advantage(batch, metrics)
        assert list(result.keys) == keys
        names = ["advantages", "returns", "response_mask"]
        data = tq.kv_batch_get(keys=keys, partition_id="train", select_fields=names)
        found = {name: dict(zip(keys, data[name].unbind(), strict=True)) for name in names}
        for key in keys:
            assert torch.equal(found["advantages"][key], found["returns"][key])
        return found["advantages"], metrics, found
    finally:
        tq.kv_clear(keys=keys, partition_id="train")


@pytest.mark.parametrize("kind", ["ds-grpo-sum", "ds-grpo-token"])
@pytest.mark.parametrize("which", ["old", "rollout"])
def test_advantages_with_padding_tools_and_several_outputs(queue: Any, trainer: Any, kind: str, which: str) -> None:
    made = trainer({"+unsharpen.method": kind, "+unsharpen.logprobs": which, **GAMMAS})
    assert made.trainer_mode == "sync"
    advantages, metrics, _ = run(queue, made)
    shift = 0.0 if which == "old" else 0.05
    logprobs = [old_logprobs(i, len(mask)) - shift for i, (*_, mask) in enumerate(ROLLOUTS)]
    largest = 0.0
    for key, row in zip(KEYS, expected(kind, logprobs), strict=True):
        assert_close(advantages[key], row, rtol=1e-5, atol=1e-5)
        largest = max(largest, float((advantages[key] - row).abs().max()))
    print(f"{kind}, {which}: largest difference {largest:.1e}")
    padding = advantages.keys() - set(KEYS)
    assert len(padding) == 2
    assert all((advantages[key] == 0).all() for key in padding)
    # u1: 2 of 3, u2: 1 of 2, u3: 1 of 2; no group is uniform; one solution each but for u1, which has two
    assert metrics["unsharpen/pass@1"] == pytest.approx((2 / 3 + 1 / 2 + 1 / 2) / 3)
    assert metrics["unsharpen/pass@3"] == 1
    assert metrics["unsharpen/uniform_groups"] == 0
    assert metrics["unsharpen/distinct_correct"] == pytest.approx(4 / 3)
    assert metrics["unsharpen/shaping_ratio"] > 0
    own = sum(float((row * torch.tensor(ROLLOUTS[i][4])).sum()) for i, row in enumerate(logprobs))
    assert metrics["unsharpen/sampling_logprob"] == pytest.approx(own / 7, rel=1e-5)


def test_tokens_that_verl_rejects_have_no_advantage_but_count_in_the_sums(queue: Any, trainer: Any) -> None:
    rejection = {
        "algorithm.rollout_correction.rollout_rs": "token_k1",
        "algorithm.rollout_correction.rollout_rs_threshold": "'0.9_1.1'",  # the two log-probs differ by .05: all stay
    }
    settings = {"+unsharpen.method": "ds-grpo-sum", **GAMMAS}
    everything, *_ = run(queue, trainer({**settings, **rejection}))
    rejection["algorithm.rollout_correction.rollout_rs_threshold"] = "'1.1_1.2'"  # all go
    nothing, _, found = run(queue, trainer({**settings, **rejection}))
    logprobs = [old_logprobs(i, len(mask)) for i, (*_, mask) in enumerate(ROLLOUTS)]
    for key, row in zip(KEYS, expected("ds-grpo-sum", logprobs), strict=True):
        assert_close(everything[key], row, rtol=1e-5, atol=1e-5)
        assert (found["response_mask"][key] == 0).all()
        assert (nothing[key] == 0).all()


def test_plain_grpo_differs_from_verls_by_its_epsilon(queue: Any, trainer: Any) -> None:
    advantages, metrics, _ = run(queue, trainer({"+unsharpen.method": "grpo"}), multiple=1)
    logprobs = [torch.zeros(len(mask)) for *_, mask in ROLLOUTS]
    for key, row in zip(KEYS, expected("grpo", logprobs), strict=True):
        assert_close(advantages[key], row, rtol=1e-5, atol=1e-5)
    assert metrics["unsharpen/shaping_ratio"] == 0


@pytest.mark.parametrize("name", ["ucb-mean", "gapo", "egsw", "batch-exploration", "ips"])
def test_methods_with_answers_entropies_and_solutions_run(queue: Any, trainer: Any, name: str) -> None:
    advantages, *_ = run(queue, trainer({"+unsharpen.method": name}))
    assert all(torch.isfinite(row).all() for row in advantages.values())
    assert max(float(row.abs().max()) for row in advantages.values()) > 0.1


def test_missing_log_probs_and_answers_are_named(queue: Any, trainer: Any) -> None:
    with pytest.raises(EngineError, match=r"`ds-grpo` needs logprobs(.|\n)*calculate_log_probs=True"):
        run(queue, trainer({"+unsharpen.logprobs": "rollout"}), rollout_logprobs=False)
    with pytest.raises(EngineError, match="'word' from the reward function"):
        run(queue, trainer({"+unsharpen.method": "ucb", "+unsharpen.answer_key": "word"}))


def test_known_failures_are_said(trainer: Any) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer({"+unsharpen.method": "ds-grpo-sum", "+unsharpen.gamma_p": 0.1, "+unsharpen.gamma_n": 0.1})
    assert any(issubclass(w.category, UnsharpenWarning) and "gamma_n" in str(w.message) for w in caught)


def test_settings_that_need_more_of_verl_are_checked_by_verl(trainer: Any) -> None:
    with pytest.raises(ValueError, match="log_prob_micro_batch_size"):
        trainer({"+unsharpen.method": "grpo-kl"})  # it asks for a reference model, whose batch size is not set
    made = trainer({"+unsharpen.method": "grpo-kl", "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu": 4})
    assert made.use_reference_policy


def test_the_memory_of_a_method_is_saved_and_restored(
    queue: Any, trainer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from verl.trainer.ppo.v1 import PPOTrainer

    steps: list[int] = []
    monkeypatch.setattr(PPOTrainer, "_save_checkpoint", lambda self: steps.append(self.global_steps))
    monkeypatch.setattr(PPOTrainer, "_load_checkpoint", lambda self: setattr(self, "global_steps", steps[-1]))
    settings = {"+unsharpen.method": "ucb", "trainer.default_local_dir": str(tmp_path)}
    first = trainer(settings)
    run(queue, first)
    first.global_steps = 3
    first._save_checkpoint()
    assert (tmp_path / "global_step_3" / "unsharpen_memory.json").is_file()
    second = trainer(settings)
    assert second.options.method.memory.state_dict() != first.options.method.memory.state_dict()
    second._load_checkpoint()
    assert second.options.method.memory.state_dict() == first.options.method.memory.state_dict()
    by_path = {"trainer.resume_mode": "resume_path", "trainer.resume_from_path": str(tmp_path / "global_step_3")}
    third = trainer({**settings, **by_path})
    third._load_checkpoint()
    assert third.options.method.memory.state_dict() == first.options.method.memory.state_dict()
    steps.append(4)
    with pytest.raises(EngineError, match="global_step_4"):
        second._load_checkpoint()
    steps.append(0)
    second._load_checkpoint()  # from the start there is nothing to continue
