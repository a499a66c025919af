"""The slime hook, called as slime calls it: on the samples of one process, with its arguments and its rollout data."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from unsharpen import GroupBatch, get_method
from unsharpen.engines.slime import advantages
from unsharpen.errors import EngineError, InputError, UnsharpenWarning

from .slime_worker import arguments, rollout, take

pytestmark = pytest.mark.filterwarnings("ignore::unsharpen.errors.UnsharpenWarning")


def called(data: dict[str, Any], **options: Any) -> list[torch.Tensor]:
    advantages(arguments(**options), data)
    assert [a.tolist() for a in data["advantages"]] == [r.tolist() for r in data["returns"]]
    found: list[torch.Tensor] = data["advantages"]
    return found


def plain(data: dict[str, Any], method: Any, threshold: float = 0.5) -> Any:
    """[6, 4] what the plain function gives, in the order of the samples' numbers."""
    order = np.argsort(data["sample_indices"])
    masks = [data["loss_masks"][i] for i in order]
    totals = [float((data["log_probs"][i] * data["loss_masks"][i]).sum()) for i in order]
    rewards = np.asarray([data["local_raw_reward"][i] for i in order], dtype=np.float32).reshape(6, 4)
    batch = GroupBatch(
        rewards=rewards,
        correct=rewards >= threshold,
        logprobs=np.asarray(totals, dtype=np.float32).reshape(6, 4),
        lengths=np.asarray([int(m.sum()) for m in masks]).reshape(6, 4),
    )
    return method.advantages(batch)


@pytest.mark.parametrize("name", ["ds-grpo", "ds-grpo-sum", "ds-grpo-robust", "unlikeliness", "ucpo", "grpo"])
def test_advantages_are_those_of_the_plain_function(name: str) -> None:
    data = rollout()
    found = called(data, method=name)
    expected = plain(data, get_method(name)).reshape(-1)
    for sample, index in enumerate(data["sample_indices"]):
        row = found[sample]
        assert row.shape == data["log_probs"][sample].shape
        assert_close(row, torch.full_like(row, float(expected[index])), rtol=1e-6, atol=1e-6)


def test_token_methods_shape_each_token() -> None:
    data = rollout()
    found = called(data, method="ds-grpo-token", gamma_p=0.3, gamma_n=0.1)
    grpo = plain(data, get_method("grpo")).reshape(-1)
    for sample, index in enumerate(data["sample_indices"]):
        gamma = 0.3 if data["local_raw_reward"][sample] >= 0.5 else -0.1
        expected = (float(grpo[index]) - gamma * data["log_probs"][sample]) * data["loss_masks"][sample]
        assert_close(found[sample], expected, rtol=1e-5, atol=1e-5)


def test_whose_log_probs() -> None:
    data = rollout()
    trainers, samplers = called(data, method="ds-grpo-sum"), called(data, method="ds-grpo-sum", logprobs="rollout")
    assert not torch.allclose(torch.cat(trainers), torch.cat(samplers))
    left_out = {**rollout(), "log_probs": None}  # as slime does when it makes one step per rollout
    assert_close(called(left_out, method="ds-grpo-sum"), samplers)
    with pytest.raises(EngineError, match="no 'log_probs', found"):
        called(left_out, method="ds-grpo-sum", logprobs="old")


def in_two(first: float, second: float) -> tuple[dict[str, Any], int]:
    """A rollout whose first correct sample stands in two halves, with these rewards; and which one it is."""
    data = rollout()
    cut = data["local_raw_reward"].index(1.0)
    for name in ("log_probs", "rollout_log_probs", "loss_masks"):
        row = data[name][cut]
        data[name][cut : cut + 1] = [row[:1], row[1:]]
    for name in ("sample_indices", "rollout_ids", "local_raw_reward"):
        data[name].insert(cut, data[name][cut])
    data["local_raw_reward"][cut : cut + 2] = [first, second]
    return data, cut


@pytest.mark.parametrize(
    ("first", "second", "whose"), [(1.0, 1.0, "same"), (0.5, 0.5, "sum"), (1.0, 0.0, "sum"), (0.0, 1.0, "sum")]
)
def test_several_samples_of_one_rollout_are_one_completion(first: float, second: float, whose: str) -> None:
    split, cut = in_two(first, second)
    expected = called(rollout(), method="ds-grpo-sum")
    found = called(split, method="ds-grpo-sum", rollout_reward=whose)
    assert_close(torch.cat(found[cut : cut + 2]), expected[cut])
    assert_close([*found[:cut], *found[cut + 2 :]], [*expected[:cut], *expected[cut + 1 :]])


def test_whose_reward_the_samples_of_a_rollout_have_must_be_said() -> None:
    with pytest.raises(EngineError, match=r"a rollout has several samples(.|\n)*rollout_reward: `sum`"):
        called(in_two(0.5, 0.5)[0], method="ds-grpo-sum")
    with pytest.raises(EngineError, match="rollout_reward=same the samples of a rollout need one reward; found 0"):
        called(in_two(0.0, 1.0)[0], method="ds-grpo-sum", rollout_reward="same")
    with pytest.raises(EngineError, match="rollout of several samples"):
        called(in_two(1.0, 1.0)[0], method="ds-grpo-token", rollout_reward="same")
    with pytest.raises(EngineError, match="rollout_reward must be sum or same; found 'mean'"):
        called(rollout(), method="grpo", rollout_reward="mean")


def test_a_group_too_small_for_the_method_has_no_advantage() -> None:
    data, whole = rollout(), rollout()
    alone = [i for i, index in enumerate(data["sample_indices"]) if index // 4 == 0]
    for name, values in data.items():  # three of the first prompt's four are lost
        data[name] = [value for i, value in enumerate(values) if i not in alone[1:]]
    found, expected = called(data, method="rloo"), called(whole, method="rloo")
    kept = [i for i in range(24) if i not in alone[1:]]
    assert not found[kept.index(alone[0])].any()
    assert_close(
        [row for i, row in zip(kept, found, strict=True) if i not in alone],
        [row for i, row in enumerate(expected) if i not in alone],
    )


def test_another_slime_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = rollout()
    moved["group_ids"] = moved.pop("rollout_ids")  # as 0.3.0 calls them
    with pytest.raises(EngineError, match=r"does not know this slime: .* no rollout_data\['rollout_ids'\]"):
        advantages(arguments(method="grpo"), moved)
    changed = arguments(method="grpo")
    del changed.kl_coef
    with pytest.raises(EngineError, match=r"no args\.kl_coef"):
        advantages(changed, rollout())
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.4.0")
    with pytest.raises(EngineError, match=r"supports slime 0\.3; found slime 0\.4\.0") as caught:
        advantages(arguments(method="grpo"), rollout())
    assert "v0.3.1" in str(caught.value)
    assert "pip" not in str(caught.value)


def test_rewards_are_raw() -> None:
    data = rollout()
    old_slime = {key: value for key, value in rollout().items() if key != "local_raw_reward"}
    with pytest.raises(EngineError, match="raw rewards") as caught:
        advantages(arguments(method="grpo", rewards_normalization=True), old_slime)
    assert "--disable-rewards-normalization" in str(caught.value)
    old_slime["rewards"] = data["local_raw_reward"]
    assert_close(called(old_slime, method="grpo"), called(data, method="grpo"))


def test_known_failures_are_said_once() -> None:
    with pytest.warns(UnsharpenWarning, match="gamma_n"):
        called(rollout(), method="ds-grpo-sum", gamma_p=0.1, gamma_n=0.1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "name of a method"),
        ({"method": "ucb"}, "needs answers, which slime does not supply"),
        ({"method": "epo"}, "has a loss term .hold_entropy_window., which slime does not carry"),
        ({"method": "clip-cov"}, "has a token step"),
        ({"method": "egsw"}, "needs entropies"),
        ({"method": "grpo-kl"}, "sets kl_coef=0.001, which has to be set before slime starts"),
        ({"method": "wise-ft"}, "sets base_share=0.5, which has to be set before slime starts"),
        ({"method": "grpo", "normalize_advantages": True}, "--normalize-advantages"),
        ({"method": "grpo", "kl_coef": 0.1}, "--kl-coef"),
        ({"method": "grpo", "context_parallel_size": 2}, "--context-parallel-size"),
        ({"method": "grpo", "n_samples_per_prompt": 1}, "--n-samples-per-prompt=1"),
        ({"method": "grpo", "correct_key": "acc"}, "unsharpen.correct_key"),
        ({"method": "grpo", "answer_key": "final"}, "unsharpen.answer_key"),
        ({"method": "clip-higher"}, "set --eps-clip"),
        ({"method": "gspo"}, "set --advantage-estimator gspo yourself|set --eps-clip"),
        ({"method": "ds-grpo", "reference": "base"}, "no 'ref_log_probs'"),
    ],
)
def test_refuses_what_it_cannot_do(options: dict[str, Any], words: str) -> None:
    with pytest.raises(EngineError, match=words):
        advantages(arguments(**options), rollout())


def test_a_reference_is_used() -> None:
    data = rollout()
    data["ref_log_probs"] = [row - 1 for row in data["log_probs"]]
    own, reference = called(data, method="ds-grpo"), called(data, method="ds-grpo", reference="base")
    gammas = torch.tensor([0.05 if reward >= 0.5 else -0.05 for reward in data["local_raw_reward"]])
    assert_close([r[0] for r in reference], [a[0] + g for a, g in zip(own, gammas, strict=True)])


def test_a_sample_without_a_number() -> None:
    data = rollout()
    data["sample_indices"][3] = None
    with pytest.raises(InputError, match=r"Sample\.index"):
        advantages(arguments(method="grpo"), data)


def test_groups_spread_over_two_processes(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    worker = Path(__file__).with_name("slime_worker.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, str(worker), str(rank), str(port), str(tmp_path)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        for process in processes:
            _, errors = process.communicate(timeout=240)
            assert process.returncode == 0, errors[-3000:]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    alone = [row.tolist() for row in called(rollout(), method="ds-grpo-sum", gamma_p=0.1, gamma_n=0.1)]
    for rank in range(2):
        found = json.loads((tmp_path / f"{rank}.json").read_text())
        assert len(found["advantages"]) == len(take(rank)) > 1
        for row, index in zip(found["advantages"], take(rank), strict=True):
            assert row == pytest.approx(alone[index], rel=1e-6)
        assert any("gamma_n" in text for text in found["warnings"]) == (rank == 0)
