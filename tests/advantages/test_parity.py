"""The numbers of other trainers, from their own functions or from their formulas written out here."""

from __future__ import annotations

from collections import defaultdict

import pytest
import torch
from trl.trainer.utils import nanstd

from unsharpen import GroupBatch, get_method
from unsharpen.advantages import chain, divide_by_batch_std, divide_by_group_std, subtract_group_mean

GROUP_SIZES = (2, 3, 4, 5, 7, 8, 16, 24, 32, 64, 100, 128)


def random_rewards(group_size: int, kind: str, num_prompts: int = 65) -> torch.Tensor:
    generator = torch.Generator().manual_seed(group_size)
    uniform = torch.rand((num_prompts, group_size), generator=generator)
    if kind == "binary":
        return (uniform < 0.3).float()
    if kind == "format bonus":
        return torch.where(uniform < 0.3, 1.0, torch.where(uniform < 0.6, 0.1, 0.0))
    return (uniform - 0.2) * {"float": 1.0, "large": 1e4, "small": 1e-4}[kind]


def trl_advantages(rewards: torch.Tensor, num_generations: int, scale_rewards: str) -> torch.Tensor:
    """GRPOTrainer of TRL 1.16, `sum_then_normalize`: lines copied from `_generate_and_score_completions`."""
    mean_grouped_rewards = torch.nanmean(rewards.view(-1, num_generations), dim=1)
    mean_grouped_rewards = mean_grouped_rewards.repeat_interleave(num_generations, dim=0)
    if scale_rewards == "batch":
        std_rewards = nanstd(rewards).expand_as(rewards)
    elif num_generations > 1:
        std_rewards = nanstd(rewards.view(-1, num_generations), dim=1)
        std_rewards = std_rewards.repeat_interleave(num_generations, dim=0)
    else:
        std_rewards = torch.zeros_like(rewards)
    advantages = rewards - mean_grouped_rewards
    if scale_rewards != "none":
        advantages = advantages / (std_rewards + 1e-4)
    return torch.nan_to_num(advantages, nan=0.0)  # unscorable completions get 0


@pytest.mark.parametrize("kind", ["float", "large", "small", "binary", "format bonus"])
@pytest.mark.parametrize("group_size", GROUP_SIZES)
def test_grpo_is_trl_bit_for_bit(group_size: int, kind: str) -> None:
    rewards = random_rewards(group_size, kind)
    batch = GroupBatch(rewards=rewards, correct=rewards > 0.5)
    expected = trl_advantages(rewards.view(-1), group_size, "group").view(-1, group_size)
    assert torch.equal(get_method("grpo").advantages(batch), expected)


@pytest.mark.parametrize("name", ["grpo-low-lr", "grpo-kl", "wise-ft"])
def test_the_controls_are_trl_bit_for_bit(name: str) -> None:
    rewards = random_rewards(8, "float")
    batch = GroupBatch(rewards=rewards, correct=rewards > 0.5)
    assert torch.equal(get_method(name).advantages(batch), trl_advantages(rewards.view(-1), 8, "group").view(-1, 8))


@pytest.mark.parametrize("group_size", GROUP_SIZES)
def test_dr_grpo_is_trl_without_scaling_bit_for_bit(group_size: int) -> None:
    rewards = random_rewards(group_size, "float")
    batch = GroupBatch(rewards=rewards, correct=rewards > 0.5)
    expected = trl_advantages(rewards.view(-1), group_size, "none").view(-1, group_size)
    assert torch.equal(get_method("dr-grpo").advantages(batch), expected)


@pytest.mark.parametrize("group_size", GROUP_SIZES)
def test_the_batch_scale_is_trl(group_size: int) -> None:
    # Not bit for bit: TRL sums the flat tensor, and PyTorch splits that sum otherwise.
    rewards = random_rewards(group_size, "float")
    batch = GroupBatch(rewards=rewards, correct=rewards > 0.5)
    expected = trl_advantages(rewards.view(-1), group_size, "batch").view(-1, group_size)
    found = chain(subtract_group_mean(), divide_by_batch_std())(batch.rewards, batch)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_a_group_of_one_is_0_as_in_trl() -> None:
    rewards = torch.tensor([[0.7], [0.0], [1.0]])
    batch = GroupBatch(rewards=rewards, correct=rewards > 0.5)
    expected = trl_advantages(rewards.view(-1), 1, "group").view(-1, 1)
    assert torch.equal(get_method("grpo").advantages(batch), expected)
    assert expected.tolist() == [[0.0], [0.0], [0.0]]


def test_masked_completions_are_trls_unscorable_ones() -> None:
    # TRL marks completions that no reward function scored with NaN and leaves them out of mean and spread.
    rewards = random_rewards(8, "float")
    mask = torch.rand((len(rewards), 8), generator=torch.Generator().manual_seed(0)) < 0.7
    mask[:, :2] = True
    rewards[~mask] = torch.nan
    batch = GroupBatch(rewards=rewards, correct=rewards > 0.5, mask=mask)
    expected = trl_advantages(rewards.view(-1), 8, "group").view(-1, 8)
    assert torch.equal(get_method("grpo").advantages(batch), expected)


def verl_advantages(
    scores: torch.Tensor, index: list[int], *, norm_adv_by_std_in_grpo: bool, epsilon: float = 1e-6
) -> torch.Tensor:
    """`compute_grpo_outcome_advantage` of verl, for scores that are already summed over tokens."""
    id2score: dict[int, list[torch.Tensor]] = defaultdict(list)
    id2mean: dict[int, torch.Tensor] = {}
    id2std: dict[int, torch.Tensor] = {}
    scores = scores.clone()
    for i in range(len(scores)):
        id2score[index[i]].append(scores[i])
    for idx, members in id2score.items():
        if len(members) == 1:
            id2mean[idx] = torch.tensor(0.0)
            id2std[idx] = torch.tensor(1.0)
        else:
            id2mean[idx] = torch.mean(torch.stack(members))
            id2std[idx] = torch.std(torch.stack(members))
    for i in range(len(scores)):
        if norm_adv_by_std_in_grpo:
            scores[i] = (scores[i] - id2mean[index[i]]) / (id2std[index[i]] + epsilon)
        else:
            scores[i] = scores[i] - id2mean[index[i]]
    return scores


@pytest.mark.parametrize("kind", ["float", "binary", "format bonus"])
@pytest.mark.parametrize("scaled", [True, False])
def test_verl(kind: str, scaled: bool) -> None:
    rewards = random_rewards(5, kind, num_prompts=12)
    mask = torch.rand((12, 5), generator=torch.Generator().manual_seed(1)) < 0.6
    mask[:, 2] = True
    mask[:3] = torch.tensor([[False, False, True, False, False]])  # groups of one keep their raw score
    index = torch.arange(12)[:, None].expand(12, 5)[mask].tolist()
    expected = torch.zeros((12, 5))
    expected[mask] = verl_advantages(rewards[mask], index, norm_adv_by_std_in_grpo=scaled)
    center = subtract_group_mean(singleton="keep")
    verl = chain(center, divide_by_group_std(ddof=1, eps=1e-6, singleton="keep")) if scaled else center
    batch = GroupBatch(rewards=rewards, correct=rewards > 0.5, mask=mask)
    found = verl(batch.rewards, batch)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[:3, 2], rewards[:3, 2], rtol=2e-6, atol=0.0)


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("kind", ["float", "binary", "format bonus"])
def test_verl_grpo_passk(kind: str, scaled: bool) -> None:
    """`compute_grpo_passk_outcome_advantage` of verl, its loop written out."""
    rewards = random_rewards(5, kind, num_prompts=12)
    expected = torch.zeros_like(rewards)
    for row, scores in enumerate(rewards):
        top, place = torch.topk(scores, 2)
        lead = top[0] - top[1]
        expected[row, place[0]] = lead / (torch.std(scores) + 1e-6) if scaled else lead
    batch = GroupBatch(rewards=rewards, correct=rewards > 0.5)
    found = get_method("best-of-k", scale="std" if scaled else "none").advantages(batch)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_maxrl_code() -> None:
    # "its GRPO": population standard deviation (ddof 0), eps 1e-6; its own estimator: divided by the mean.
    rewards = random_rewards(8, "binary")
    batch = GroupBatch(rewards=rewards, correct=rewards > 0.5)
    centered = rewards - rewards.mean(1, keepdim=True)
    found = get_method("grpo", ddof=0, eps=1e-6).advantages(batch)
    torch.testing.assert_close(found, centered / (rewards.std(1, keepdim=True, correction=0) + 1e-6))
    torch.testing.assert_close(get_method("maxrl").advantages(batch), centered / (rewards.mean(1, keepdim=True) + 1e-6))
