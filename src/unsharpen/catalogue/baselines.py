"""GRPO, its relatives that only change baseline and scale, and the controls that change an engine setting."""

from __future__ import annotations

from unsharpen.advantages.baselines import (
    divide_by_group_mean,
    standardize_group,
    subtract_group_mean,
    subtract_leave_one_out_mean,
)
from unsharpen.advantages.chain import Transform, chain
from unsharpen.catalogue.recipe import Recipe
from unsharpen.errors import InputError


def grpo(*, ddof: int = 1, eps: float = 1e-4) -> Transform:
    """The method that every other one is measured against, with TRL's ddof and eps.

    Source: arXiv 2402.03300. MaxRL's code and verl use other constants: see ``unsharpen.advantages.baselines``.
    """
    return standardize_group(ddof=ddof, eps=eps)


def dr_grpo() -> Recipe:
    """No division by the std (which favours prompts that are nearly solved or unsolved) and none by the length.

    Source: arXiv 2503.20783; the same as TRL's ``scale_rewards="none"`` with ``loss_type="dr_grpo"``.
    """
    return Recipe(subtract_group_mean(), settings={"loss": "dr_grpo"})


def rloo() -> Transform:
    """An unbiased baseline: each completion against the others of its group; not scaled.

    Source: arXiv 2402.14740. Up to the factor G / (G - 1) it is Dr. GRPO's advantage.
    """
    return subtract_leave_one_out_mean()


def maxrl(*, eps: float = 1e-6) -> Transform:
    """Weigh prompts by 1 / success rate, as maximum likelihood would; for rewards that are exactly 0 or 1.

    Source: arXiv 2602.02710 and its code. Prompts without a correct completion give 0.
    """
    return chain(subtract_group_mean(), divide_by_group_mean(eps=eps))


def grpo_low_lr(*, learning_rate_scale: float = 0.3, ddof: int = 1, eps: float = 1e-4) -> Recipe:
    """Take smaller steps. Compare with it before you believe in any remedy.

    For the same number of steps it learns less, and so keeps more. At equal progress arXiv 2602.06717, whose control it
    is, still finds more Pass@256 than with plain GRPO; in ``runs/countdown`` half the rate for twice the steps has the
    highest Pass@1 and no more variety.
    """
    if learning_rate_scale <= 0:
        raise InputError(f"learning_rate_scale must be above 0, found {learning_rate_scale}")
    return Recipe(grpo(ddof=ddof, eps=eps), settings={"learning_rate_scale": learning_rate_scale})


def grpo_kl(*, kl_coef: float = 1e-3, ddof: int = 1, eps: float = 1e-4) -> Recipe:
    """Stay near the base model by a KL penalty in the loss (the engine keeps a reference model).

    Source: arXiv 2402.03300; 1e-3 is the control of arXiv 2602.06717.
    """
    if kl_coef < 0:
        raise InputError(f"kl_coef must be at least 0, found {kl_coef}")
    return Recipe(grpo(ddof=ddof, eps=eps), settings={"kl_coef": kl_coef})


def wise_ft(*, base_share: float = 0.5, ddof: int = 1, eps: float = 1e-4) -> Recipe:
    """GRPO, and at the end a share of the base model's weights: ``W = base_share W_base + (1 - base_share) W``.

    Training is GRPO's; only the final model differs, so several shares can be tried on one run: ``unsharpen merge``.
    Source: WiSE-FT, arXiv 2109.01903; arXiv 2504.10478 takes an early checkpoint of fine-tuning in place of the base.
    """
    return Recipe(grpo(ddof=ddof, eps=eps), settings=share_of_base(base_share))


def share_of_base(base_share: float) -> dict[str, float | str]:
    """The engine setting; raises InputError unless the share is at least 0 and less than 1."""
    if not 0 <= base_share < 1:
        raise InputError(f"base_share must be at least 0 and less than 1, found {base_share}")
    return {"base_share": base_share} if base_share else {}
