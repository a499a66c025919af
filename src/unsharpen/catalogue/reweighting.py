"""Methods that weigh whole prompts, verdicts or completions; p = c / G is the prompt's success rate."""

from __future__ import annotations

from unsharpen.advantages.baselines import standardize_group, subtract_group_mean
from unsharpen.advantages.chain import Transform, chain
from unsharpen.advantages.reweighting import (
    credit_by_sign,
    divide_by_relative_entropy,
    level_correct_modes,
    seek_risk,
    weigh_by_difficulty,
    weigh_by_entropy,
)
from unsharpen.advantages.smoothing import Length
from unsharpen.catalogue.recipe import Recipe
from unsharpen.catalogue.smoothing import ds_grpo_robust
from unsharpen.errors import InputError


def f_grpo(*, gamma: float = 0.5, ddof: int = 1, eps: float = 1e-4) -> Transform:
    """GRPO that learns less from prompts that mostly succeed.

    Source: arXiv 2602.06717 (gamma .5 for GRPO). A strong control: costs nothing, needs nothing.
    """
    return chain(standardize_group(ddof=ddof, eps=eps), weigh_by_difficulty(gamma=gamma))


def rs_grpo(*, beta: float = 2.0) -> Transform:
    """Between the mean reward (beta 0, then Dr. GRPO's advantage) and the best reward (large beta) as the objective.

    Source: arXiv 2509.24261; checked against the authors' code, whose recommended beta this is.
    """
    return seek_risk(beta=beta)


def w_reinforce(*, weight: float = 0.1) -> Transform:
    """Negative reinforcement, with a little positive: wrong completions -1, correct ones +weight, no baseline.

    Source: arXiv 2506.01347; checked against the authors' code (weight .1). For 0/1 rewards.
    """
    return credit_by_sign(correct=weight, wrong=1.0)


def psr() -> Transform:
    """Positive sample reinforcement: correct completions +1, wrong ones are dropped. Sharpens; a control.

    Source: arXiv 2506.01347; checked against the authors' code. For 0/1 rewards.
    """
    return credit_by_sign(correct=1.0, wrong=0.0)


def nsr() -> Transform:
    """Negative sample reinforcement: wrong completions -1, correct ones are dropped.

    Source: arXiv 2506.01347; checked against the authors' code. For 0/1 rewards. Without any pull towards correct
    completions long runs may drift.
    """
    return credit_by_sign(correct=0.0, wrong=1.0)


def egsw(*, alpha: float = 0.3, temperature: float = 1.0, ddof: int = 1, eps: float = 1e-4) -> Transform:
    """GRPO's advantage x a softmax weight of advantage and entropy: good and uncertain completions count for more.

    Source: arXiv 2503.22456, for whole trajectories.
    """
    return chain(standardize_group(ddof=ddof, eps=eps), weigh_by_entropy(alpha=alpha, temperature=temperature))


def edge_grpo(*, guided: float = 0.0, max_weight: float = 10.0, ddof: int = 1, eps: float = 1e-4) -> Recipe:
    """GRPO's advantage x (mean entropy of the batch / entropy of the completion), and corrected completions.

    Source: arXiv 2507.21848; checked against the authors' code. ``guided`` is its guided error correction, where the
    training data has reference solutions (a column ``reference_solution``): that share of the wrong completions is
    replaced by the reference, which is then scored and trained on as if it had been sampled (the code: a quarter).
    Deviations: the code lets another half think again, and tells another quarter the answer; neither is here. It bounds
    no weight, but its mean entropy includes padding, and so is seldom small.
    """
    if not 0 <= guided <= 1:
        raise InputError(f"guided must be in [0, 1], found {guided}")
    settings = {"guided_share": guided} if guided else {}
    weigh = divide_by_relative_entropy(max_weight=max_weight)
    return Recipe(chain(standardize_group(ddof=ddof, eps=eps), weigh), settings=settings)


def mara(*, beta: float = 1e-3) -> Recipe:
    """Lift the correct completions that the base model finds unlikely, exactly as much as the KL term holds them down.

    Source: arXiv 2510.20817, Eq. 11. beta is the KL coefficient too: the engine keeps a reference model. Deviations:
    the threshold on the reward is the engine's ``correct_threshold``; centred and not divided by a std, which would
    break the match with the KL term.
    """
    return Recipe(chain(level_correct_modes(beta=beta), subtract_group_mean()), settings={"kl_coef": beta})


def ds_grpo_f(*, gamma_p: float = 0.1, gamma_n: float = 0.0, length: Length = "sum", focal: float = 1.0) -> Transform:
    """``ds-grpo-robust``, then F-GRPO's weight: rare correct completions and hard prompts both count for more.

    Source: ours. Of the compositions in our prototype (CountDown, ten-token completions, one seed) it kept most of the
    base model's Pass@128; the coefficients are that run's. focal 0 is ds-grpo-robust. For long text ``length="mean"``.
    """
    return chain(ds_grpo_robust(gamma_p=gamma_p, gamma_n=gamma_n, length=length), weigh_by_difficulty(gamma=focal))
