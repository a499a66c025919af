"""Outcome-based exploration (arXiv 2509.06941): GRPO plus a bonus or penalty by answer, right or wrong.

``N_i`` is how often the prompt was given answer i in earlier batches; the count lives in the method, and engines
save it with each checkpoint. Two methods made by ``get_method`` share nothing.
"""

from __future__ import annotations

from unsharpen.advantages.baselines import standardize_group
from unsharpen.advantages.chain import Transform, chain
from unsharpen.advantages.exploration import AnswerCounts, Center, penalize_repeats, reward_rare_answers
from unsharpen.catalogue.recipe import Recipe


def ucb(*, coef: float = 0.2, ddof: int = 1, eps: float = 1e-4) -> Recipe:
    """A bonus for every answer, the larger the fewer times it was given to this prompt: never negative.

    Source: arXiv 2509.06941; coef .2 from the paper's setting. It explores during training, and does little for the
    variety of the trained model.
    """
    return _historical(coef, "none", 0.0, ddof, eps)


def ucb_mean(*, coef: float = 0.2, ddof: int = 1, eps: float = 1e-4) -> Recipe:
    """The UCB bonus minus its mean over the group: answers given more often than the others lose.

    Source: arXiv 2509.06941; coef as for ``ucb``.
    """
    return _historical(coef, "mean", 0.0, ddof, eps)


def ucb_con(*, coef: float = 0.2, offset: float = 0.5, ddof: int = 1, eps: float = 1e-4) -> Recipe:
    """The UCB bonus minus a constant: at .5, answers given more than four times are pushed down.

    Source: arXiv 2509.06941; coef .2, offset .5 (and 1 on its easy data).
    """
    return _historical(coef, "none", offset, ddof, eps)


def batch_exploration(*, coef: float = 0.2, ddof: int = 1, eps: float = 1e-4) -> Transform:
    """A penalty for answers that others of the group give too; needs no memory, and acts on what the model samples now.

    Source: arXiv 2509.06941; coef as for ``ucb``. Wrong answers are spread as well as correct ones.
    """
    return chain(standardize_group(ddof=ddof, eps=eps), penalize_repeats(coef=coef))


def _historical(coef: float, center: Center, offset: float, ddof: int, eps: float) -> Recipe:
    memory = AnswerCounts()
    bonus = reward_rare_answers(memory, coef=coef, center=center, offset=offset)
    return Recipe(chain(standardize_group(ddof=ddof, eps=eps), bonus), memory=memory)
