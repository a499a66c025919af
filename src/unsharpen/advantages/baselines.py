"""Baselines and scales: what turns rewards into advantages before anything else acts.

"GRPO" means different things in different trainers, so ddof, epsilon and the treatment of groups of one are explicit:

==============  ====  ======  =====================
code            ddof  eps     a group of one gets
==============  ====  ======  =====================
TRL 1.16        1     1e-4    0
verl 0.9        1     1e-6    its raw score
DS-GRPO's       0     1e-6    its raw score
==============  ====  ======  =====================

The last is ``compute_dsgrpo`` in the public code of MaxRL.
"""

from __future__ import annotations

from typing import Literal, get_args

from unsharpen.advantages.chain import Transform, chain
from unsharpen.advantages.pairs import highest
from unsharpen.batch import Array, GroupBatch
from unsharpen.errors import InputError

Spread = Literal["input", "rewards", "correct"]
Singleton = Literal["zero", "keep"]
_ROUNDING = 4  # units in the last place of the largest value; values that are this close are alike


def subtract_group_mean(*, singleton: Singleton = "zero") -> Transform:
    """Centre each group: ``A_i = x_i - mean_j x_j`` over the unmasked completions of the prompt.

    A group of equal values gets exactly 0. In float32 the mean of seven times .1 is not .1, and what is left of the
    difference would become an advantage of unit size through a small std and a small eps, as it does in TRL and verl.

    Args:
        singleton: what a group of one completion gets: ``"zero"`` (its mean is itself) or ``"keep"`` (its raw value,
            verl's rule).

    References:
        GRPO, arXiv 2402.03300; centring alone is Dr. GRPO, arXiv 2503.20783.
    """
    _check_choice("singleton", singleton, Singleton)

    def apply(advantages: Array, batch: GroupBatch) -> Array:
        xp = batch.xp
        centred = advantages - group_mean(advantages, batch)
        centred = xp.where(all_alike(advantages, batch), xp.zeros_like(centred), centred)
        if singleton == "keep":
            centred = xp.where(batch.num_completions == 1, advantages, centred)
        return zero_masked(centred, batch)

    return Transform("subtract_group_mean", apply)


def subtract_leave_one_out_mean() -> Transform:
    """Centre on the *other* completions: ``A_i = x_i - sum_{j != i} x_j / (G - 1) = (G x_i - sum x) / (G - 1)``.

    Raises:
        InputError: (when applied) a group has fewer than 2 completions.

    References:
        RLOO, arXiv 2402.14740.
    """

    def apply(advantages: Array, batch: GroupBatch) -> Array:
        hint = "raise num_generations, or use subtract_group_mean, which gives such groups advantage 0"
        require_completions(batch, 2, by="leave-one-out baseline", hint=hint)
        xp, count = batch.xp, batch.num_completions
        total = xp.sum(zero_masked(advantages, batch), axis=1, keepdims=True)
        return zero_masked((count * advantages - total) / (count - 1), batch)

    return Transform("subtract_leave_one_out_mean", apply, least_completions=2)


def divide_by_group_std(
    *,
    ddof: int = 1,
    eps: float = 1e-4,
    floor: float = 0.0,
    of: Spread = "input",
    singleton: Singleton = "zero",
) -> Transform:
    """Scale each group: ``A_i = x_i / (max(sigma, floor) + eps)``.

    Values that are equal but for rounding have sigma 0. Where the denominator is 0, x stays as it is.

    Args:
        ddof: 0 divides the squared deviations by G, 1 by G - 1. A group of ``ddof`` completions or fewer has sigma 0.
        eps: added to the denominator.
        floor: the least sigma: keeps nearly uniform groups from being blown up.
        of: whose standard deviation: of the incoming values, of the environment ``"rewards"``, or of the 0/1
            ``"correct"`` flags.
        singleton: ``"keep"`` gives a group of one sigma 1, verl's rule, beside ``subtract_group_mean("keep")``.

    References:
        GRPO, arXiv 2402.03300, with TRL's ddof and eps as defaults.
    """
    _check_choice("of", of, Spread)
    _check_choice("singleton", singleton, Singleton)
    if ddof not in (0, 1) or not 0 <= eps < float("inf") or not 0 <= floor < float("inf"):
        raise InputError(f"need ddof 0 or 1 and finite eps, floor >= 0; found ddof {ddof}, eps {eps}, floor {floor}")

    def apply(advantages: Array, batch: GroupBatch) -> Array:
        xp = batch.xp
        source = {"input": advantages, "rewards": batch.rewards}.get(of)
        if source is None:
            source = xp.astype(batch.correct, batch.rewards.dtype)
        sigma = group_std(source, batch, ddof=ddof)
        sigma = xp.where(all_alike(source, batch), xp.zeros_like(sigma), sigma)
        if singleton == "keep":
            sigma = xp.where(batch.num_completions == 1, xp.ones_like(sigma), sigma)
        scale = xp.clip(sigma, floor, None) + eps
        return zero_masked(advantages / xp.where(scale == 0, xp.ones_like(scale), scale), batch)

    return Transform("divide_by_group_std", apply)


def standardize_group(*, ddof: int = 1, eps: float = 1e-4, of: Spread = "rewards") -> Transform:
    """The GRPO advantage: ``A_i = (r_i - mean_j r_j) / (std_j r_j + eps)``.

    The std is that of the rewards themselves, not of their centred values, so TRL's numbers come out bit for bit.
    After a step that has shaped the rewards, ``of="input"`` takes the std of what comes in. A group of equal values
    gets exactly 0 whatever eps is, where TRL and verl divide a rounding residue by eps.

    References:
        GRPO, arXiv 2402.03300.
    """
    return chain(subtract_group_mean(), divide_by_group_std(ddof=ddof, eps=eps, of=of))


def divide_by_batch_std(*, ddof: int = 1, eps: float = 1e-4) -> Transform:
    """Scale by one standard deviation for the whole batch: ``A_i = x_i / (std of all rewards + eps)``.

    Uniform groups then do not change the scale of the others, and hard prompts are not blown up.

    References:
        TRL's ``scale_rewards="batch"``; REINFORCE++, arXiv 2501.03262.
    """
    if ddof not in (0, 1) or not 0 <= eps < float("inf"):
        raise InputError(f"need ddof 0 or 1 and a finite eps >= 0; found ddof {ddof}, eps {eps}")

    def apply(advantages: Array, batch: GroupBatch) -> Array:
        xp = batch.xp
        count = xp.sum(batch.num_completions)
        deviation = zero_masked(batch.rewards - xp.sum(batch.rewards) / count, batch)
        sigma = xp.sqrt(xp.sum(deviation * deviation) / xp.clip(count - ddof, 1, None))
        return advantages / xp.where(sigma + eps == 0, xp.ones_like(sigma), sigma + eps)

    return Transform("divide_by_batch_std", apply)


def divide_by_group_mean(*, eps: float = 1e-6) -> Transform:
    """Scale by the success rate: ``A_i = x_i / (mean_j r_j + eps)``, the estimator of MaxRL for 0/1 rewards.

    Raises:
        InputError: (when applied) a reward is neither 0 nor 1.

    References:
        MaxRL, arXiv 2602.02710 (its public code: eps 1e-6). Deviation: a group of one gets 0, as its mean is itself;
        the code gives it ``r / eps``.
    """
    if not 0 < eps < float("inf"):
        raise InputError(f"eps must be positive and finite, found {eps}")

    def apply(advantages: Array, batch: GroupBatch) -> Array:
        require_binary(batch, by="maxrl")
        return advantages / (group_mean(batch.rewards, batch) + eps)

    return Transform("divide_by_group_mean", apply, binary_rewards=True)


def skip_uniform_groups() -> Transform:
    """Give advantage 0 to every group in which all completions are correct, or none is.

    Without shaping such groups have advantage 0 anyway. With shaping this rule decides whether they teach at all.
    """

    def apply(advantages: Array, batch: GroupBatch) -> Array:
        xp, correct = batch.xp, batch.num_correct
        mixed = (correct > 0) & (correct < batch.num_completions)
        return xp.where(mixed, advantages, xp.zeros_like(advantages))

    return Transform("skip_uniform_groups", apply)


def all_alike(values_PG: Array, batch: GroupBatch) -> Array:
    """[P, 1] bool: the unmasked values of the group are equal, up to 4 units in the last place of the largest one."""
    xp = batch.xp
    greatest, least = highest(values_PG, batch.mask), -highest(-values_PG, batch.mask)
    size = xp.maximum(xp.abs(greatest), xp.abs(least))
    return least >= greatest - _ROUNDING * float(xp.finfo(values_PG.dtype).eps) * size


def group_std(values_PG: Array, batch: GroupBatch, *, ddof: int) -> Array:
    """[P, 1] standard deviation of the unmasked values of each group; 0 where it has ``ddof`` values or fewer."""
    xp, count = batch.xp, batch.num_completions
    deviation = zero_masked(values_PG - group_mean(values_PG, batch), batch)
    variance = xp.sum(deviation * deviation, axis=1, keepdims=True) / count
    if ddof:
        variance = variance * (count / xp.clip(count - ddof, 1, None))
    return xp.sqrt(variance)


def require_binary(batch: GroupBatch, *, by: str) -> None:
    """Raise unless every unmasked reward is 1 where correct and 0 where not."""
    xp = batch.xp
    bad = batch.mask & (batch.rewards != 0) & (batch.rewards != 1)
    if bool(xp.any(bad)):
        example = float(xp.reshape(batch.rewards, (-1,))[int(xp.argmax(xp.astype(xp.reshape(bad, (-1,)), xp.int32)))])
        raise InputError(
            f"`{by}` is defined for rewards that are exactly 0 or 1; found {example}",
            hint="drop format bonuses and penalties from the reward, or choose another method",
        )
    if bool(xp.any(batch.mask & ((batch.rewards == 1) != batch.correct))):
        raise InputError(
            f"`{by}` needs reward 1 for correct completions and 0 for others; the batch's `correct` says otherwise",
            hint="let one function decide both, with a threshold between 0 and 1",
        )


def require_completions(batch: GroupBatch, least: int, *, by: str, hint: str) -> None:
    """Raise unless every group has at least ``least`` unmasked completions."""
    xp = batch.xp
    small = xp.reshape(batch.num_completions < least, (-1,))
    if bool(xp.any(small)):
        row = int(xp.argmax(xp.astype(small, xp.int32)))
        raise InputError(
            f"{by} needs at least {least} completions per prompt; {int(xp.sum(small))} of {small.shape[0]} groups have "
            f"{'1' if least == 2 else 'fewer'} (first: row {row})",
            hint=hint,
        )


def group_mean(values_PG: Array, batch: GroupBatch) -> Array:
    """[P, 1] mean of the unmasked values of each group."""
    return batch.xp.sum(zero_masked(values_PG, batch), axis=1, keepdims=True) / batch.num_completions


def zero_masked(values_PG: Array, batch: GroupBatch) -> Array:
    """The values, 0 where the batch is padding."""
    return batch.xp.where(batch.mask, values_PG, batch.xp.zeros_like(values_PG))


def _check_choice(name: str, value: str, choices: object) -> None:
    if value not in get_args(choices):
        raise InputError(f"`{name}` must be one of {', '.join(map(repr, get_args(choices)))}; found {value!r}")
