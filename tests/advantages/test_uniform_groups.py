"""Groups of equal rewards: a rounding residue must not become an advantage."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from unsharpen import GroupBatch, get_method
from unsharpen.advantages import chain, divide_by_group_std, subtract_group_mean


@pytest.mark.parametrize("num", [3, 6, 7])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_rewards_give_0_without_eps_too(num: int, dtype: type) -> None:
    batch = GroupBatch(rewards=np.full((1, num), 0.1, dtype), correct=np.zeros((1, num), bool))
    assert np.abs(get_method("grpo", eps=0.0).advantages(batch)).max() < 1e-7


@pytest.mark.parametrize("eps", [0.0, 1e-8, 1e-6, 1e-4])
@pytest.mark.parametrize("name", ["grpo", "unlikeliness", "ucpo", "ips", "f-grpo"])
def test_equal_rewards_give_exactly_0_whatever_eps_is(name: str, eps: float) -> None:
    """In float32 the mean of 31 times .7 is off by a rounding error, which a std of that size would make a unit."""
    method = get_method(name, eps=eps)
    for num in range(2, 40):
        for reward in (0.1, 0.7, -1.1, 100.1):
            flags = np.ones((1, num), bool)
            fields: dict[str, Any] = {
                "rewards": np.full((1, num), reward, np.float32),
                "correct": flags,
                "logprobs": np.full((1, num), -3.0, np.float32),
                "lengths": np.full((1, num), 4),
                "answers": np.zeros((1, num), int),
            }
            assert not method.advantages(GroupBatch(**fields)).any(), (num, reward)
            fields = {key: torch.as_tensor(value) for key, value in fields.items()}
            assert not method.advantages(GroupBatch(**fields)).any(), (num, reward)


@pytest.mark.parametrize("eps", [0.0, 1e-6])
def test_equal_rewards_have_std_0(eps: float) -> None:
    shaped = np.linspace(0, 1, 31, dtype=np.float32)[None]
    batch = GroupBatch(rewards=np.full((1, 31), 0.7, np.float32), correct=np.ones((1, 31), bool))
    found = divide_by_group_std(eps=eps, of="rewards")(shaped, batch)
    np.testing.assert_array_equal(found, shaped / np.float32(eps or 1))


def test_values_alike_but_for_rounding_are_equal_and_no_others() -> None:
    near = np.array([[0.3, 0.1 + 0.2, 0.3], [1.0, 1.0, 1 - 1e-14]])
    batch = GroupBatch(rewards=near, correct=near > 0)
    for of in ("input", "rewards"):
        scaled = divide_by_group_std(eps=0.0, of=of)  # type: ignore[arg-type]
        found = chain(subtract_group_mean(), scaled)(batch.rewards, batch)
        assert not found[0].any()
        assert np.abs(found[1]).max() > 0.5
    np.testing.assert_array_equal(divide_by_group_std(eps=0.5)(batch.rewards, batch)[0], near[0] / 0.5)  # sigma 0
