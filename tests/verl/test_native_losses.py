"""The losses that a method leaves to verl, against the catalogue's own formulas on the same tokens."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from verl.trainer.ppo.core_algos import get_policy_loss_fn
from verl.utils.config import omega_conf_to_dataclass

from unsharpen.advantages import TokenBatch
from unsharpen.engines._verl_config import prepare
from unsharpen.losses import LossBatch

N, T = 6, 40


def tokens() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Log-probs before and after an update, advantages, mask."""
    generator = torch.Generator().manual_seed(0)
    old = -4 * torch.rand(N, T, generator=generator)
    new = old + 0.1 * torch.randn(N, T, generator=generator)
    advantages = torch.randn(N, 1, generator=generator).expand(N, T).contiguous()
    mask = torch.arange(T) < torch.tensor([[40], [31], [22], [40], [5], [17]])
    return old, new, advantages, mask


def native(compose: Any, overrides: dict[str, Any]) -> tuple[Any, torch.Tensor, dict[str, Any]]:
    """The method, and verl's loss of it with its metrics."""
    config = compose(overrides)
    options = prepare(config)
    actor = omega_conf_to_dataclass(config.actor_rollout_ref.actor)
    old, new, advantages, mask = tokens()
    loss, metrics = get_policy_loss_fn(actor.policy_loss.loss_mode)(
        old_log_prob=old,
        log_prob=new,
        advantages=advantages,
        response_mask=mask,
        loss_agg_mode=actor.loss_agg_mode,
        config=actor,
    )
    return options.method, loss, metrics


def mean(values: torch.Tensor, mask: torch.Tensor) -> float:
    return float((values * mask).sum() / mask.sum())


def test_kl_cov(compose: Any) -> None:
    method, loss, _ = native(compose, {"+unsharpen.method": "kl-cov", "+unsharpen.share": 0.1})
    old, new, advantages, mask = tokens()
    correct = torch.ones(N, dtype=torch.bool)
    batch = LossBatch(logprobs=new, old_logprobs=old, mask=mask, advantages=advantages, correct=correct)
    term = method.recipe.loss_term(batch)
    assert int((term > 0).sum()) == int(0.1 * mask.sum())
    assert float(loss) == pytest.approx(mean(-advantages * (new - old).exp() + term, mask), abs=1e-6)


def test_clip_cov_drops_as_many_tokens(compose: Any) -> None:
    chosen = {"+unsharpen.share": 0.05, "+unsharpen.lower": 0.2, "+unsharpen.upper": 3.0}
    method, _, metrics = native(compose, {"+unsharpen.method": "clip-cov", **chosen})
    _, new, advantages, mask = tokens()
    correct = torch.ones(N, dtype=torch.bool)
    kept = method.recipe.token_transform(advantages, TokenBatch(logprobs=new, mask=mask, correct=correct))
    dropped = int(((kept == 0) & mask).sum())
    assert dropped == int(0.05 * mask.sum())
    assert metrics["actor/pg_clipfrac"] == pytest.approx(dropped / int(mask.sum()))


def test_gspo(compose: Any) -> None:
    _, loss, _ = native(compose, {"+unsharpen.method": "gspo"})
    old, new, advantages, mask = tokens()
    lengths = mask.sum(dim=1)
    ratio = (((new - old) * mask).sum(dim=1) / lengths).exp()
    clipped = ratio.clamp(1 - 3e-4, 1 + 4e-4)
    per_completion = torch.maximum(-advantages[:, 0] * ratio, -advantages[:, 0] * clipped)
    assert float(loss) == pytest.approx(float(per_completion.mean()), abs=1e-6)
