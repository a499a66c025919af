"""Methods that train the success of k attempts together; c of n completions are correct."""

from __future__ import annotations

from unsharpen.advantages.chain import Transform
from unsharpen.advantages.pass_at_k import Scale, credit_best, credit_max_at_k, credit_pass_at_k


def pass_at_k(*, k: int = 4, eps: float = 1e-6) -> Transform:
    """Pass@k as the reward of groups of k, in closed form over all groups; prompts that Pass@k solves teach nothing.

    Source: arXiv 2508.10751; checked against the authors' code. k = 1 is GRPO with ddof 0. For 0/1 rewards, and at
    least k completions per prompt.
    """
    return credit_pass_at_k(k=k, eps=eps)


def pkpo(*, k: int = 4) -> Transform:
    """The best of k as the objective, with the gradient estimator of least variance; any rewards.

    Source: arXiv 2505.15201, ``sloo_minus_one``, times the group size (it is a sum, trainers take the mean). The paper
    also lowers k during training, which a run of two parts can do. Wrong completions get 0, never less.
    """
    return credit_max_at_k(k=k)


def best_of_k(*, scale: Scale = "std", ddof: int = 1, eps: float = 1e-6) -> Transform:
    """Only the group's single best completion learns, by its lead over the second; k is the group size.

    Source: arXiv 2503.19595, and verl's ``grpo_passk``, whose constants these are.
    ``scale="none"`` is the paper's form.
    """
    return credit_best(scale=scale, ddof=ddof, eps=eps)
