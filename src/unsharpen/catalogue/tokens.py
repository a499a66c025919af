"""GRPO with a step on the advantages of single tokens, or with a term in the loss.

These take every completion's GRPO advantage as it is. Terms that compare the policy in training with the one that
sampled need several updates per batch; their notes say so. In TRL its importance ratio for vLLM and its off-policy mask
act on the policy loss alone, not on what is added to it or put in its place.
"""

from __future__ import annotations

from typing import Literal

from unsharpen.advantages.baselines import standardize_group, subtract_group_mean
from unsharpen.advantages.chain import chain
from unsharpen.advantages.token_entropy import add_entropy, drop_covariant_tokens
from unsharpen.catalogue.recipe import Recipe
from unsharpen.errors import InputError
from unsharpen.losses.divergences import push_to_forward_kl, push_to_jensen_shannon
from unsharpen.losses.entropy import (
    EntropyHistory,
    Shape,
    hold_entropy_window,
    reward_entropy_of_correct,
    track_entropy,
)
from unsharpen.losses.penalties import scale_kl_by_advantage, tether_covariant_tokens
from unsharpen.losses.replacements import balance_flow, value_uniform_policy
from unsharpen.losses.top_tokens import redistribute_to_top_tokens

_NATIVE_ENTROPY = frozenset({"entropy_coef", "entropy_adaptive"})
_OPEN_CLIP = {"clip_low": 1.0, "clip_high": 1.0}


def entropy_advantage(*, alpha: float = 0.4, kappa: float = 2.0, ddof: int = 1, eps: float = 1e-4) -> Recipe:
    """More advantage for tokens at which the policy is unsure; it learns faster there, right or wrong.

    Source: arXiv 2506.14758 (alpha .4 and kappa 2 for GRPO), read in re-implementations of it for verl. The entropy is
    that of the policy at each update.
    """
    return Recipe(
        standardize_group(ddof=ddof, eps=eps), add_entropy(alpha=alpha, kappa=kappa), excludes=_NATIVE_ENTROPY
    )


def clip_cov(
    *, share: float = 2e-4, lower: float = 1.0, upper: float = 5.0, ddof: int = 1, eps: float = 1e-4
) -> Recipe:
    """Leave a few of the tokens that would cost most entropy out of each update.

    Source: arXiv 2505.22617; checked against verl's ``clip_cov``. The bounds fit long text, where log-probabilities
    spread over several nats; look at the covariances of your own first. The PPO clip is open (1 / 1), as in the
    authors' recipe. Deviation: the choice among the candidates is even instead of random, and is made per micro-batch,
    in which at least one token goes if there is a candidate.
    """
    dropped = drop_covariant_tokens(share=share, lower=lower, upper=upper)
    return Recipe(standardize_group(ddof=ddof, eps=eps), dropped, settings=_OPEN_CLIP)


def kl_cov(*, coef: float = 1.0, share: float = 2e-4, ddof: int = 1, eps: float = 1e-4) -> Recipe:
    """Hold the tokens that would cost most entropy at their old probability.

    Source: arXiv 2505.22617; checked against verl's ``kl_cov`` (share 2e-4 for 32B, 2e-3 for 7B models). No clip, as
    there. A no-op with one update per batch, whose ratios are all 1.
    """
    return Recipe(
        standardize_group(ddof=ddof, eps=eps),
        settings={"clip_low": 1.0, "clip_high": 1e6},
        loss_term=tether_covariant_tokens(coef=coef, share=share),
    )


def epo(
    *,
    coef: float = 1e-3,
    smooth: float = 1.0,
    penalty: float = 0.1,
    low: float = 0.8,
    high: float = 1.2,
    shape: Shape = "constant",
    ddof: int = 1,
    eps: float = 1e-4,
) -> Recipe:
    """An entropy bonus with a penalty outside a window around the entropy of all batches so far.

    Source: arXiv 2509.22576; checked against the authors' code, whose constants these are. There the penalty is a
    constant inside ``torch.where``: it has no gradient, and what trains is the entropy bonus. That is the default here
    too; ``shape="distance"`` (ours) pulls stray tokens back. Deviations: the history is one number per batch, not one
    per turn of an agent, and the weight does not change during training.
    """
    history = EntropyHistory()
    window = hold_entropy_window(history, coef=coef, smooth=smooth, penalty=penalty, low=low, high=high, shape=shape)
    grpo = chain(standardize_group(ddof=ddof, eps=eps), track_entropy(history))
    return Recipe(grpo, memory=history, loss_term=window, excludes=_NATIVE_ENTROPY)


def diversity_po(*, coef: float = 0.01, ddof: int = 1, eps: float = 1e-4) -> Recipe:
    """An entropy objective on correct completions only.

    Source: arXiv 2505.23433: the estimator from a summary. Deviation: the mean over tokens is the engine's (the paper
    takes it per completion; with ``loss_type="grpo"`` the two are the same).
    """
    return Recipe(
        standardize_group(ddof=ddof, eps=eps),
        loss_term=reward_entropy_of_correct(coef=coef),
        excludes=_NATIVE_ENTROPY,
    )


def adrpo(*, beta: float = 0.04, scale: float = 0.04, ddof: int = 1, eps: float = 1e-4) -> Recipe:
    """A KL coefficient for each completion, beta - scale A: free the good ones, hold the bad ones.

    Source: arXiv 2510.18053, beta0 - A. With advantages of size 1 that coefficient is mostly A; scale brings it to the
    size of beta. scale 0 is ``grpo-kl``. A negative coefficient pushes away from the reference without bound: watch
    the KL.
    """
    if beta <= 0:
        raise InputError(f"beta must be above 0, found {beta}")
    return Recipe(
        standardize_group(ddof=ddof, eps=eps),
        settings={"kl_coef": beta},
        loss_term=scale_kl_by_advantage(scale=scale),
    )


def simko(
    *,
    num_top: int = 3,
    mix: float = 0.01,
    quantile: float = 0.8,
    wrong_scale: float = 1.1,
    ddof: int = 1,
    eps: float = 1e-4,
) -> Recipe:
    """At uncertain tokens, share a correct token's gain with the likeliest ones, and blame a wrong likeliest one more.

    Source: arXiv 2510.14807; checked against the authors' code, whose constants these are. Needs the likeliest tokens
    at every update: the engine keeps the logits of a micro-batch, [completions, tokens, vocabulary], so use small ones.
    TRL's importance ratio for vLLM and its off-policy mask act on GRPO's loss, not on this term.
    """
    term = redistribute_to_top_tokens(num_top=num_top, mix=mix, quantile=quantile, wrong_scale=wrong_scale)
    return Recipe(standardize_group(ddof=ddof, eps=eps), loss_term=term, excludes=frozenset({"top_entropy_share"}))


def flow_rl(*, beta: float = 15.0, max_weight: float = 10.0, ddof: int = 1, eps: float = 1e-4) -> Recipe:
    """Match a distribution, ``pi ~ pi_ref exp(beta A)`` per token of mean length, instead of maximising the reward.

    Source: arXiv 2509.15207; checked against the authors' code: its first form has a three-layer network for log Z on
    the prompt's hidden states, its recipe for verl has none, which is the form here. As the advantages of a group have
    mean 0, that log Z is small. The engine keeps a reference model and leaves its own KL term out. TRL's importance
    ratio for vLLM and its off-policy mask don't act on this loss.
    """
    return Recipe(
        standardize_group(ddof=ddof, eps=eps),
        settings={"kl_coef": 1.0, "loss": "grpo"},
        loss_term=balance_flow(beta=beta, max_weight=max_weight),
        excludes=_NATIVE_ENTROPY,
    )


def rover(*, rho: float = 1.0, future: float = 1.0) -> Recipe:
    """Value a policy that chooses tokens uniformly, and act on that: a regression in place of policy gradients.

    Source: arXiv 2509.24981; checked against the authors' code (rho 1; rewards centred in the group, as for CountDown
    there). Needs the logits of a micro-batch at every update and plain ``generate``. With one update per batch it is
    Dr. GRPO's gradient, twice; use several. TRL's off-policy mask does not act on it.
    """
    term = value_uniform_policy(rho=rho, future=future)
    return Recipe(subtract_group_mean(), loss_term=term, excludes=_NATIVE_ENTROPY | {"kl_coef"})


def dph(
    *,
    divergence: Literal["forward-kl", "js"] = "forward-kl",
    coef: float = 0.01,
    pool: str = "",
    pool_share: float = 0.25,
    ddof: int = 1,
    eps: float = 1e-4,
) -> Recipe:
    """GRPO on hard problems, and a divergence that covers modes on what the base model already solved.

    ``unsharpen data presample`` makes the two data sets: ``pool.jsonl``, correct completions of the base model with
    their log-probabilities, for ``pool=``, and ``explore.jsonl``, the problems to train on. Source: arXiv 2509.07430;
    checked against the authors' code: forward KL with coef .01 to .05, JS (its generator form) with .05 to .2, clip
    .2/.28, no other KL term. Deviation: each micro-batch has a share of the pool with a mean over tokens of its own.
    """
    if pool_share <= 0:
        raise InputError(f"pool_share must be above 0, found {pool_share}")
    term = push_to_forward_kl if divergence == "forward-kl" else push_to_jensen_shannon
    return Recipe(
        standardize_group(ddof=ddof, eps=eps),
        settings={"clip_low": 0.2, "clip_high": 0.28},
        pool_term=term(coef=coef),
        pool=pool,
        pool_share=pool_share,
        excludes=frozenset({"kl_coef"}),
    )
