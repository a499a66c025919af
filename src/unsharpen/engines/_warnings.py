"""Settings in which training is known to go wrong: said once, before or while it happens, never enforced."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from unsharpen.advantages.guidance import suggest_gammas
from unsharpen.batch import Array, GroupBatch
from unsharpen.errors import InputError, UnsharpenWarning
from unsharpen.methods import Method

_TOO_MUCH = 3.0  # spread of smoothing over the lead of correct completions; what reverses a collapse is .5 to 1.2
_LOUD = 0.5  # size of the advantages of all-wrong groups, in that of the plain ones of other groups
_ENOUGH = 16  # comparisons between correct completions, for a spread known to within a fifth
_SAFE_RATIO = 0.25  # gamma_n / gamma_p
_PATIENCE = 20  # batches whose rewards differ while nothing is correct; hard tasks may begin so
_MULTIPLIES = {"dra-grpo", "ips", "unlikeliness"}
# Where the smoothing term of a method enters: after the division by the group's std?
_SCALED = {
    "ds-grpo": True,
    "ds-grpo-token": True,
    "ds-grpo-sum": True,
    "ds-grpo-reward": False,
    "ds-grpo-robust": False,
}


def known_failures(method: Method, *, kl_coef: float) -> list[str]:
    """What is wrong with a setting before the first sample, in words; empty if nothing is known to be.

    The evidence: ``tests/engines/test_warnings.py`` and the claims 13 and 18 of docs/theory.md.

    Args:
        method: with its coefficients.
        kl_coef: of the KL term in the loss.
    """
    return [text for text in (_wrong_groups(method), _frozen_reference(method, kl_coef)) if text]


def _wrong_groups(method: Method) -> str:
    gamma_p, gamma_n = (float(method.coefficients.get(name, 0.0)) for name in ("gamma_p", "gamma_n"))
    small, large = _all_wrong_probe(method) if gamma_n > 0 else (0.0, 0.0)
    if large > 0 and small > 0.9 * large:  # whatever the log-probs, their size is the same
        return (
            f"{method.name}: gamma_n acts in groups that are all wrong and is then divided by their std, so that any "
            "gamma_n > 0 gives them advantages of full size. In simulations hard prompts lose their Pass@1. "
            "Set gamma_n=0, or end the chain with skip_uniform_groups()."
        )
    if large > 0 and "lengths" not in method.requires and gamma_n > _SAFE_RATIO * gamma_p:
        return (
            f"{method.name}: gamma_n {gamma_n:g} acts on summed log-probs in groups that are all wrong, and is more "
            f"than a quarter of gamma_p {gamma_p:g}. In simulations hard prompts lose their Pass@1. "
            f"Set gamma_n=0, or at most {_SAFE_RATIO * gamma_p:g}."
        )
    return ""


def _frozen_reference(method: Method, kl_coef: float) -> str:
    gamma_p = float(method.coefficients.get("gamma_p", 0.0))
    if method.coefficients.get("reference") != "base" or gamma_p == 0:
        return ""
    if kl_coef == 0:
        return (
            f"{method.name}: reference='base' without a KL term is a fixed reward for being unlikely; its optimum is "
            "the single least likely correct completion. Set reference='sampling', or a KL coefficient."
        )
    if "lengths" not in method.requires and gamma_p > kl_coef:
        return (
            f"{method.name}: with reference='base', gamma_p {gamma_p:g} above the KL coefficient {kl_coef:g} makes the "
            "rarest correct completions the most likely ones. Lower gamma_p, or set reference='sampling'."
        )
    return ""


def too_much_smoothing(method: Method, batch: GroupBatch) -> str | None:
    """What is wrong with the size of gamma_p in this batch, in words; empty if nothing, None if it can't be told."""
    if method.name not in _SCALED or batch.logprobs is None:
        return ""
    try:
        found = suggest_gammas(batch.logprobs, batch.correct, lengths=batch.lengths, mask=batch.mask)
    except InputError:  # no two correct completions to compare
        return None
    if found.num_comparisons < _ENOUGH:
        return None
    gamma_p, sums = float(method.coefficients["gamma_p"]), "lengths" not in method.requires
    fitting = found.gamma_p(length="sum" if sums else "mean", scaled=_SCALED[method.name])
    ratio = found.share * gamma_p / fitting
    if ratio <= _TOO_MUCH:
        return ""
    long = f"; sums of {found.surprise:.0f} nats are large, consider the mean per token" if sums else ""
    return (
        f"{method.name}: smoothing spreads the correct completions of a group by {ratio:.2g} times their lead over the "
        f"group; beyond {_TOO_MUCH:g} it drowns the reward. suggest_gammas gives gamma_p={fitting:.2g}, found "
        f"{gamma_p:g}{long}."
    )


def loud_wrong_groups(method: Method, batch: GroupBatch, shaped: Array, plain: Array) -> str | None:
    """What gamma_n does to all-wrong groups of this batch, if too much; empty if nothing, None if it can't be told.

    Args:
        method: that made the advantages.
        batch: the global batch.
        shaped: [P, G] advantages.
        plain: [P, G] those of GRPO.
    """
    if not method.coefficients.get("gamma_n", 0) > 0:
        return ""
    ours, grpo, correct, mask = (np.asarray(x.tolist()) for x in (shaped, plain, batch.correct, batch.mask))
    wrong, mixed = mask & ~correct.any(axis=1, keepdims=True), np.abs(grpo) > 0
    if not (wrong.any() and mixed.any()):
        return None
    ratio = float(np.sqrt((ours[wrong] ** 2).mean()) / np.abs(grpo[mixed]).mean())
    if ratio <= _LOUD:
        return ""
    return (
        f"{method.name}: groups that are all wrong have advantages {ratio:.2g} times as large as GRPO gives to other "
        "groups, all from gamma_n. Hard prompts may lose their Pass@1. Lower gamma_n; 0 is safe."
    )


def negative_rewards(method: Method, batch: GroupBatch) -> str | None:
    """What is wrong with rewards below 0 for a method that multiplies them; empty if nothing, None if none came."""
    if method.name not in _MULTIPLIES:
        return ""
    if not bool((batch.rewards < 0).any()):
        return None
    return (
        f"{method.name}: it multiplies rewards, and below 0 its effect is reversed: what is common is favoured. Add a "
        "constant to all rewards, so that the least is 0."
    )


def rewards_differ(batch: GroupBatch) -> bool:
    """Whether the completions of any prompt have different rewards."""
    rewards, mask = (np.asarray(x.tolist()) for x in (batch.rewards, batch.mask))
    most, least = np.where(mask, rewards, -np.inf).max(axis=1), np.where(mask, rewards, np.inf).min(axis=1)
    return bool((most > least).any())


class FailureWatch:
    """Says what is known to go wrong as :class:`UnsharpenWarning`, each thing once.

    Args:
        method: with its coefficients; what is wrong with it is said at once, the rest by the first batch that shows it.
        kl_coef: of the KL term in the loss.
        speaks: of several processes one should.
    """

    def __init__(self, method: Method, *, kl_coef: float, speaks: bool = True) -> None:
        self.method = method
        self._open = {"negative rewards", "nothing correct", "smoothing", "wrong groups"} if speaks else set()
        self._num_without = 0  # batches
        for text in known_failures(method, kl_coef=kl_coef) if speaks else ():
            warnings.warn(text, UnsharpenWarning, stacklevel=3)

    def __call__(self, batch: GroupBatch, shaped: Array, plain: Array) -> None:
        """Look at the advantages [P, G] of a batch, ours and those of GRPO."""
        for check in sorted(self._open):
            if check == "negative rewards":
                text = negative_rewards(self.method, batch)
            elif check == "nothing correct":
                text = self._nothing_correct(batch)
            elif check == "smoothing":
                text = too_much_smoothing(self.method, batch)
            else:
                text = loud_wrong_groups(self.method, batch, shaped, plain)
            if text is not None:
                self._open.remove(check)
            if text:
                warnings.warn(text, UnsharpenWarning, stacklevel=2)

    def _nothing_correct(self, batch: GroupBatch) -> str | None:
        """What is wrong if nothing was ever correct; empty once something was, None if it can't be told yet."""
        if bool((batch.correct & batch.mask).any()):
            return ""
        self._num_without += rewards_differ(batch)
        if self._num_without < _PATIENCE:
            return None
        return (
            f"{self.method.name}: no completion was correct in {_PATIENCE} batches whose rewards differ within groups. "
            "Rewards for form alone can do that while the tasks are too hard. Else look at correct_threshold and at "
            "which reward it is compared with (correctness; in verl and slime correct_key)."
        )


def _all_wrong_probe(method: Method) -> tuple[float, float]:
    """Spread of the advantages of two all-wrong groups; the log-probs of the first differ four times less."""
    steps = np.array([-3.0, -1.0, 1.0, 3.0])
    logprobs = np.stack([-10 + steps / 4, -10 + steps])
    fields: dict[str, Any] = {
        "logprobs": logprobs,
        "reference_logprobs": logprobs,
        "lengths": np.full((2, 4), 10),
        "entropies": np.ones((2, 4)),
        "answers": np.tile(np.arange(4), (2, 1)),
        "num_solutions": np.ones(2, dtype=np.int64),
        "prompt_ids": np.arange(2),
    }
    if not method.requires <= fields.keys():
        return 0.0, 0.0
    wanted = {name: fields[name] for name in method.requires}
    batch = GroupBatch(rewards=np.zeros((2, 4)), correct=np.zeros((2, 4), dtype=bool), **wanted)
    small, large = np.asarray(method.advantages(batch)).std(axis=1)
    return float(small), float(large)
