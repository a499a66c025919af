"""GRPO with what the engine has itself: clipping, averaging, entropy terms. Each is a control for the methods proper.

With one update per batch the policy in training is the one that sampled, every ratio is 1 and nothing is clipped:
clip-higher, GSPO and the clip of DAPO act with several updates only (in TRL ``num_iterations`` or
``steps_per_generation`` above the accumulation steps).
"""

from __future__ import annotations

from typing import Literal

from unsharpen.advantages.baselines import skip_uniform_groups, standardize_group
from unsharpen.advantages.chain import chain
from unsharpen.advantages.lengths import punish_overlong
from unsharpen.catalogue.recipe import Recipe
from unsharpen.errors import InputError

Switch = Literal["on", "off"]


def dapo(
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    token_mean: Switch = "on",
    drop_uniform: Switch = "on",
    overlong_penalty: float = 1.0,
    overlong_share: float = 0.2,
    ddof: int = 1,
    eps: float = 1e-4,
) -> Recipe:
    """Four changes to GRPO, each with a switch of its own; with all off it is GRPO.

    Off: ``clip_high=0.2``, ``token_mean="off"`` (the mean over each completion first), ``drop_uniform="off"``,
    ``overlong_penalty=0``. Source: arXiv 2503.14476 (clip .2/.28, buffer of 4,096 in 20,480 tokens). Deviation: groups
    that are all correct or all wrong are left out of the mean over tokens, and not replaced by sampling until the batch
    is full, so batches may be smaller. With ``token_mean="off"`` they have no loss and still count as completions: TRL
    divides by all of them.
    """
    start = [punish_overlong(penalty=overlong_penalty, share=overlong_share)] if overlong_penalty else []
    end = [skip_uniform_groups()] if drop_uniform == "on" else []
    grpo = standardize_group(ddof=ddof, eps=eps, of="input" if start else "rewards")
    settings = {**_clip(clip_low, clip_high), "loss": "dapo" if token_mean == "on" else "grpo"}
    if end:
        settings["drop_uniform_groups"] = 1
    return Recipe(chain(*start, grpo, *end), settings=settings)


def clip_higher(*, clip_low: float = 0.2, clip_high: float = 0.28, ddof: int = 1, eps: float = 1e-4) -> Recipe:
    """The one part of DAPO that is about diversity: a rare token may grow further before the clip stops it.

    Source: arXiv 2503.14476. A no-op with one update per batch.
    """
    return Recipe(standardize_group(ddof=ddof, eps=eps), settings=_clip(clip_low, clip_high))


def gspo(*, clip_low: float = 3e-4, clip_high: float = 4e-4, ddof: int = 1, eps: float = 1e-4) -> Recipe:
    """One ratio for the whole completion, the geometric mean over its tokens, and a clip to match.

    Source: arXiv 2507.18071, section 5.1; the settings that TRL's documentation gives for it. A no-op with one update
    per batch, but for the mean over each completion.
    """
    settings = {**_clip(clip_low, clip_high), "ratio_level": "sequence", "loss": "grpo"}
    return Recipe(standardize_group(ddof=ddof, eps=eps), settings=settings)


def entropy_bonus(*, coef: float = 1e-3, ddof: int = 1, eps: float = 1e-4) -> Recipe:
    """The engine's own entropy bonus: objective + coef x mean token entropy, over right and wrong completions alike.

    Source: a control in arXiv 2602.06717, whose coef this is. Larger ones tend to look well for a while and then blow
    the policy up (on ten-token completions .1 did by 600 steps).
    """
    return _entropy(coef, 1, ddof, eps)


def entropy_penalty(*, coef: float = 1e-3, ddof: int = 1, eps: float = 1e-4) -> Recipe:
    """The mirror image of the bonus: sharpens on purpose.

    Source: a control in arXiv 2511.19942.
    """
    return _entropy(coef, -1, ddof, eps)


def entropy_target(
    *,
    target: float = 0.2,
    coef: float = 0.0,
    step: float = 0.005,
    coef_max: float = 1.0,
    ddof: int = 1,
    eps: float = 1e-4,
) -> Recipe:
    """An entropy bonus that acts while the mean token entropy is at or below a target, and grows as long as it is.

    Source: Skywork-OR1, arXiv 2505.22312 (target .2 nats, step .005), as TRL has it. Set the target near the entropy
    of the first batches, which the engine logs.
    """
    if min(target, coef) < 0 or not step > 0 or coef_max < coef:
        raise InputError(
            f"need target >= 0, 0 <= coef <= coef_max and step > 0; found {target}, {coef}, {coef_max} and {step}"
        )
    settings = {
        "entropy_adaptive": 1,
        "entropy_target": target,
        "entropy_coef": coef,
        "entropy_step": step,
        "entropy_coef_max": coef_max,
    }
    return Recipe(standardize_group(ddof=ddof, eps=eps), settings=settings)


def top_entropy(*, share: float = 0.2, ddof: int = 1, eps: float = 1e-4) -> Recipe:
    """Learn from the most uncertain tokens only, where reasoning forks.

    Source: arXiv 2506.01939 (the 80/20 rule), as TRL has it: the quantile is that of the micro-batch. share 1 is GRPO.
    """
    if not 0 < share <= 1:
        raise InputError(f"share must be in (0, 1], found {share}")
    return Recipe(standardize_group(ddof=ddof, eps=eps), settings={"top_entropy_share": share})


def soft_preference(*, alpha: float = 2e-3, beta: float = 1e-3, ddof: int = 1, eps: float = 1e-4) -> Recipe:
    """KL is cross-entropy to the reference less entropy; weigh the two apart: ``E[r] + alpha H(pi) - beta H(pi, ref)``.

    As ``beta H(pi, ref) = beta KL + beta H(pi)``, this is the engine's KL term with beta and its entropy bonus with
    alpha - beta, and alpha = beta is ``grpo-kl``. The optimum is ``pi ~ pi_ref^(beta/alpha) exp(r/alpha)``: alpha sets
    the spread, beta only how near to the reference. Source: arXiv 2511.08594.
    """
    if min(alpha, beta) < 0:
        raise InputError(f"alpha and beta must be at least 0, found {alpha} and {beta}")
    settings = {"kl_coef": beta, "entropy_coef": alpha - beta}
    return Recipe(standardize_group(ddof=ddof, eps=eps), settings=settings)


def _entropy(coef: float, sign: int, ddof: int, eps: float) -> Recipe:
    if coef < 0:
        raise InputError(f"coef must be at least 0, found {coef}", hint="bonus and penalty are two methods")
    return Recipe(standardize_group(ddof=ddof, eps=eps), settings={"entropy_coef": sign * coef})


def _clip(clip_low: float, clip_high: float) -> dict[str, float | str]:
    if not 0 <= clip_low <= 1 or clip_high < 0:
        raise InputError(f"need clip_low in [0, 1] and clip_high >= 0; found {clip_low} and {clip_high}")
    return {"clip_low": clip_low, "clip_high": clip_high}
