"""The forms of DS-GRPO: what the paper prints, what its code does, and two of our own.

Notation: ``r_i`` reward, ``l_i = log pi_old(y_i | x)`` in nats, ``m_i = l_i / |y_i|``, mean and std over the group.
``GRPO_i = (r_i - mean r) / (std r + eps)``, with TRL's ddof 1 and eps 1e-4 unless set; the method's public code uses
ddof 0 and eps 1e-6. ``reference="base"`` puts the log-probability under the frozen base model in place of pi_old's.
"""

from __future__ import annotations

from unsharpen.advantages.baselines import (
    divide_by_group_mean,
    divide_by_group_std,
    skip_uniform_groups,
    standardize_group,
    subtract_group_mean,
)
from unsharpen.advantages.chain import Transform, chain
from unsharpen.advantages.smoothing import (
    Length,
    Reference,
    centered_smoothing,
    differential_smoothing,
    entropy_smoothing,
)
from unsharpen.advantages.tokens import spread_smoothing_over_tokens
from unsharpen.catalogue.recipe import Recipe
from unsharpen.errors import InputError


def ds_grpo(
    *,
    gamma_p: float = 0.05,
    gamma_n: float = 0.05,
    ddof: int = 1,
    eps: float = 1e-4,
    reference: Reference = "sampling",
) -> Transform:
    """The published default, for long text: ``GRPO_i - gamma_p m_i`` if correct, ``GRPO_i + gamma_n m_i`` if not.

    Source: arXiv 2511.19942, Eq. 6, with the log-probability per token as in the public code of MaxRL (arXiv
    2602.02710), whose .05 / .05 are the defaults. Deviation: ddof and eps are TRL's. On completions of ten tokens the
    mean hardly differs between completions; there use gamma_p about 1 and gamma_n 0, or the summed form.
    """
    smooth = differential_smoothing(gamma_p=gamma_p, gamma_n=gamma_n, length="mean", reference=reference)
    return chain(standardize_group(ddof=ddof, eps=eps), smooth)


def ds_grpo_sum(
    *,
    gamma_p: float = 0.1,
    gamma_n: float = 0.0,
    ddof: int = 1,
    eps: float = 1e-4,
    reference: Reference = "sampling",
) -> Transform:
    """Eq. 6 as printed: ``GRPO_i - gamma_p l_i`` if correct, ``GRPO_i + gamma_n l_i`` if not.

    Source: arXiv 2511.19942, Eq. 6. Deviations: gamma_n 0 by default, since in theory it adds to the collapse, and
    gamma_p from our search on ten-token completions; for long text take a tiny gamma_p. Another project's code of this
    form skips groups with at most one correct completion; this one does not.
    """
    smooth = differential_smoothing(gamma_p=gamma_p, gamma_n=gamma_n, length="sum", reference=reference)
    return chain(standardize_group(ddof=ddof, eps=eps), smooth)


def ds_grpo_token(*, gamma_p: float = 0.01, gamma_n: float = 0.01, ddof: int = 1, eps: float = 1e-4) -> Recipe:
    """Per token: ``A_it = GRPO_i - gamma_p log pi_old(y_it)`` if correct, ``+ gamma_n log pi_old(y_it)`` if not.

    Source: code of arXiv 2511.19942 around its first submission; .01 / .01 are its coefficients. Written as the mean
    form plus a step that spreads its term over the tokens, which comes to the same.
    """
    spread = spread_smoothing_over_tokens(gamma_p=gamma_p, gamma_n=gamma_n)
    return Recipe(ds_grpo(gamma_p=gamma_p, gamma_n=gamma_n, ddof=ddof, eps=eps), spread)


def ds_grpo_reward(
    *, gamma_p: float = 0.01, gamma_n: float = 0.01, length: Length = "mean", reference: Reference = "sampling"
) -> Transform:
    """Shape the score, then centre: ``s_i = r_i -/+ gamma m_i``, ``A_i = s_i - mean s``, without a std.

    Source: first-party code of arXiv 2511.19942, probably that of its CountDown runs; .01 / .01 are its coefficients.
    Uniform groups are trained on by their log-probabilities alone. On completions of ten tokens gamma_p .1, gamma_n 0
    and ``length="sum"`` did far better in our search.
    """
    smooth = differential_smoothing(gamma_p=gamma_p, gamma_n=gamma_n, length=length, reference=reference)
    return chain(smooth, subtract_group_mean())


def ds_grpo_centered(*, kappa: float = 0.2, clip: float = 3.0, all_correct_weight: float = 0.1) -> Transform:
    """Scale-free: ``A_i = (r_i - mean r - kappa w z_i) / max(std of the correct flags, .25)``.

    ``z_i`` is the log-probability's z-score within the correct completions of the group, on a scale of the batch,
    clipped; ``w`` is ``all_correct_weight`` in groups without a wrong completion, else 1; wrong completions keep their
    advantage. Source: ours, from the collapse law in the theory notes.
    """
    smooth = centered_smoothing(kappa=kappa, clip=clip, all_correct_weight=all_correct_weight)
    return chain(subtract_group_mean(), smooth, _floored_binary_std())


def ds_maxrl(*, kappa: float = 0.2, clip: float = 3.0, all_correct_weight: float = 0.1, eps: float = 1e-6) -> Transform:
    """MaxRL with centred smoothing: ``A_i = (r_i - mean r) / (mean r + eps) - kappa w z_i / p``; for 0/1 rewards.

    ``z_i`` and ``w`` are those of ``ds-grpo-centered``, p is the share of correct completions. Up to the scale of z, it
    climbs ``log p + kappa H(pi(. | correct))``: the likelihood of being right, and the entropy of the right answers.
    Hard prompts weigh as much as MaxRL makes them, for both. Source: ours.
    """
    smooth = centered_smoothing(kappa=kappa, clip=clip, all_correct_weight=all_correct_weight, per_success=True)
    return chain(subtract_group_mean(), divide_by_group_mean(eps=eps), smooth)


def ds_grpo_robust(
    *, gamma_p: float = 0.2, gamma_n: float = 0.0, length: Length = "sum", reference: Reference = "sampling"
) -> Transform:
    """``s_i = r_i -/+ gamma l_i``, ``A_i = (s_i - mean s) / max(std of the correct flags, .25)``, uniform groups 0.

    The std of the *flags* does not change with gamma, the floor keeps nearly uniform groups from being blown up, and
    groups that are all correct or all wrong teach nothing, as in plain GRPO. Source: ours, from simulations in the
    theory notes; gamma_p from our search on ten-token completions. For long text use ``length="mean"``.
    """
    smooth = differential_smoothing(gamma_p=gamma_p, gamma_n=gamma_n, length=length, reference=reference)
    return chain(smooth, subtract_group_mean(), _floored_binary_std(), skip_uniform_groups())


def entropy_bonus_seq(*, gamma: float = 0.02, length: Length = "sum", ddof: int = 1, eps: float = 1e-4) -> Recipe:
    """Smoothing for all: surprise is rewarded in wrong completions too, so variety is bought with correctness.

    Source: the control of arXiv 2511.19942. In theory it helps Pass@1 only where correct completions are on average
    more surprising than wrong ones (many solutions), and hurts where there are few.
    """
    return _entropy(gamma, 1, length, ddof, eps)


def entropy_penalty_seq(*, gamma: float = 0.02, length: Length = "sum", ddof: int = 1, eps: float = 1e-4) -> Recipe:
    """The mirror image of the bonus: sharpens on purpose, which raises Pass@1 where solutions are few.

    Source: the control of arXiv 2511.19942.
    """
    return _entropy(gamma, -1, length, ddof, eps)


def _entropy(gamma: float, sign: int, length: Length, ddof: int, eps: float) -> Recipe:
    if gamma < 0:
        raise InputError(f"gamma must be at least 0, found {gamma}", hint="bonus and penalty are two methods")
    smooth = entropy_smoothing(gamma=sign * gamma, length=length)
    return Recipe(
        chain(standardize_group(ddof=ddof, eps=eps), smooth), excludes=frozenset({"entropy_coef", "entropy_adaptive"})
    )


def _floored_binary_std() -> Transform:
    return divide_by_group_std(of="correct", ddof=0, eps=0.0, floor=0.25)
