"""Credit for the success of k attempts together, instead of each attempt on its own."""

from __future__ import annotations

from typing import Literal, get_args

from array_api_compat import array_namespace

from unsharpen.advantages.baselines import group_std, require_binary, require_completions, zero_masked
from unsharpen.advantages.chain import Transform
from unsharpen.advantages.pairs import highest, positions, sum_over_group
from unsharpen.batch import Array, GroupBatch
from unsharpen.errors import InputError

Scale = Literal["std", "none"]


def credit_pass_at_k(*, k: int = 4, eps: float = 1e-6) -> Transform:
    """The advantage of a completion when groups of k are drawn from its n and share one 0/1 reward.

    ::

        rho = 1 - C(n - c, k) / C(n, k),   s = sqrt(rho (1 - rho)) + eps
        A+ = (1 - rho) / s,   A- = (1 - rho - C(n - c - 1, k - 1) / C(n - 1, k - 1)) / s

    rho is the unbiased Pass@k of the group. The advantages of a group sum to 0; with k = 1 this is GRPO with ddof 0.
    A group in which every k completions hold a correct one (n - c < k) has nothing to learn and gets 0. The incoming
    values are ignored.

    Args:
        k: attempts that count together; at least 1.
        eps: added to the denominator.

    Raises:
        InputError: (when applied) a reward is neither 0 nor 1, or a group has fewer than k completions.

    References:
        Pass@k training, arXiv 2508.10751; checked against the authors' code (eps 1e-6).
    """
    _check(k, 1, eps)

    def apply(advantages: Array, batch: GroupBatch) -> Array:
        require_binary(batch, by="pass-at-k")
        require_completions(batch, k, by=f"pass-at-k with k = {k}", hint=_hint(k))
        xp, n, c = batch.xp, batch.num_completions, batch.num_correct
        failure = _without(n - c, n, k)
        s = xp.sqrt((1 - failure) * failure) + eps
        s = xp.where(s == 0, xp.ones_like(s), s)  # only without eps: the numerators are 0 there
        right = failure / s
        wrong = (failure - _without(n - c - 1, n - 1, k - 1)) / s
        return zero_masked(xp.where(batch.correct, right, wrong), batch)

    return Transform("credit_pass_at_k", apply, least_completions=k, binary_rewards=True)


def credit_max_at_k(*, k: int = 4) -> Transform:
    """What a completion adds to the best of k: an unbiased, low-variance gradient of ``E[max of k rewards]``.

    ::

        A_i = n / C(n, k) * sum over the k-sets I that hold i of (max_I x - max_{I without i} x)

    Never negative, 0 for the worst; with 0/1 rewards ``k C(n - c, k - 1) / C(n - 1, k - 1)`` if correct, else 0.
    The published estimator is a *sum* over the n completions; the factor n makes it the mean that trainers take.

    Args:
        k: at least 2; for 1 use :func:`~unsharpen.advantages.subtract_leave_one_out_mean`.

    Raises:
        InputError: (when applied) a group has fewer than k completions.

    References:
        PKPO, arXiv 2505.15201, the estimator ``sloo_minus_one`` (Eq. 33), compared with two re-implementations.
    """
    _check(k, 2, 0.0)

    def apply(advantages: Array, batch: GroupBatch) -> Array:
        require_completions(batch, k, by=f"pkpo with k = {k}", hint=_hint(k))
        xp, n, position = batch.xp, batch.num_completions, positions(batch)

        def below(j: int) -> Array:  # is j below i in the order of values, ties by position?
            value = advantages[:, j : j + 1]
            return (value < advantages) | ((value == advantages) & (position > j))

        rank = sum_over_group(below, batch)
        weight = xp.ones_like(rank) * (k - 1) / (n - k + 1)  # C(rank, k - 2) / C(n - 1, k - 1), by factors
        for t in range(k - 2):
            weight = weight * xp.clip(rank - t, 0, None) / (n - 1 - t)
        gain = sum_over_group(
            lambda j: weight[:, j : j + 1] * xp.clip(advantages - advantages[:, j : j + 1], 0, None), batch
        )
        return zero_masked(k * gain, batch)

    return Transform("credit_max_at_k", apply, least_completions=k)


def credit_best(*, scale: Scale = "std", ddof: int = 1, eps: float = 1e-6) -> Transform:
    """Only the group's best completion learns: ``x_best - x_second``, 0 for all others and where two are best.

    This is the leave-one-out advantage of "the group's best counts", with k the group size. With 0/1 rewards only
    groups with exactly one correct completion teach.

    Args:
        scale: ``"std"`` divides by the group's standard deviation plus eps, as verl's ``grpo_passk`` does by default;
            ``"none"`` is the form of the paper.
        ddof: of the standard deviation.
        eps: added to it.

    Raises:
        InputError: (when applied) a group has fewer than 2 completions.

    References:
        arXiv 2503.19595; verl 0.9's ``grpo_passk`` (ddof 1, eps 1e-6). It knows no k below the group size.
    """
    if scale not in get_args(Scale) or ddof not in (0, 1) or not 0 <= eps < float("inf"):
        raise InputError(f"need scale 'std' or 'none', ddof 0 or 1, finite eps >= 0; found {scale!r}, {ddof}, {eps}")

    def apply(advantages: Array, batch: GroupBatch) -> Array:
        require_completions(batch, 2, by="best-of-k", hint="raise num_generations")
        xp = batch.xp
        first = highest(advantages, batch.mask)
        best = batch.mask & (advantages == first)
        alone = xp.sum(xp.astype(best, advantages.dtype), axis=1, keepdims=True) == 1
        lead = first - highest(advantages, batch.mask & ~best)
        if scale == "std":
            sigma = group_std(advantages, batch, ddof=ddof) + eps
            lead = lead / xp.where(sigma == 0, xp.ones_like(sigma), sigma)
        return xp.where(best & alone, lead, xp.zeros_like(lead))

    return Transform("credit_best", apply, least_completions=2)


def _without(failures: Array, n: Array, k: int) -> Array:
    """[P, 1] ``C(failures, k) / C(n, k)``: the share of k-sets that hold failures only; 0 where there are too few."""
    xp = array_namespace(n)
    share = xp.ones_like(n)
    for i in range(k):
        share = share * xp.clip(failures - i, 0, None) / (n - i)
    return share


def _hint(k: int) -> str:
    return f"raise num_generations to at least {k}, or lower k"


def _check(k: int, least: int, eps: float) -> None:
    if k < least or not 0 <= eps < float("inf"):
        hint = "k = 1 is the method `rloo`" if k == 1 else None
        raise InputError(f"need k >= {least} and a finite eps >= 0; found k = {k}, eps = {eps}", hint=hint)
