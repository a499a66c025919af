"""How large gamma should be: from sampled groups, on no scale but their own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsharpen.advantages.baselines import standardize_group
from unsharpen.advantages.smoothing import Length
from unsharpen.batch import Array, GroupBatch
from unsharpen.errors import InputError

SHARE = 0.25
_THRESHOLD = 0.5  # share above which diversity rises, at least; see suggest_gammas
_LEAST_SPREAD = 1e-3  # nats; below it differences between log-probs are rounding, not preference
_FEW = 30  # comparisons; the spread is then known to within 1 / sqrt(60), 13 %
_OUTLYING = 2.0  # times the spread that the median suggests
_BY_LENGTH = 0.5  # share of the variance


@dataclass(frozen=True)
class GammaSuggestion:
    """Coefficients of differential smoothing for one model on one kind of prompts; made by :func:`suggest_gammas`.

    Attributes:
        share: what was asked for: spread of the smoothing term over the lead of correct completions.
        pass_at_1: mean over all groups.
        num_groups: groups with both correct and wrong completions; all below is measured in them.
        num_comparisons: correct completions beyond the first of their group.
        num_compared: correct completions of groups that have two or more of them.
        lead: how far a correct completion is above the mean of its group, mean ``r - mean r`` for rewards 0 and 1.
        scaled_lead: the same divided by the group's std, as in GRPO.
        spread: standard deviation of the summed log-prob among the correct completions of a group, nats.
        spread_mean: of the log-prob per token, nats; None without lengths.
        surprise: mean of ``-log pi`` over the correct completions, nats.
        warnings: reasons to doubt the numbers, in words.
    """

    share: float
    pass_at_1: float
    num_groups: int
    num_comparisons: int
    num_compared: int
    lead: float
    scaled_lead: float
    spread: float
    spread_mean: float | None
    surprise: float
    warnings: tuple[str, ...]

    def gamma_p(self, *, length: Length, scaled: bool) -> float:
        """``share * lead / spread`` for any form.

        Args:
            length: of the log-prob, ``"mean"`` or ``"sum"``.
            scaled: whether smoothing comes after the division by the group's std.

        Raises:
            InputError: the mean form without lengths.
        """
        spread = self.spread if length == "sum" else self.spread_mean
        if spread is None:
            raise InputError("the mean form needs the spread of the log-prob per token", hint="pass lengths=...")
        return self.share * (self.scaled_lead if scaled else self.lead) / spread

    @property
    def sum(self) -> float:
        """gamma_p of ``ds-grpo-sum``."""
        return self.gamma_p(length="sum", scaled=True)

    @property
    def mean(self) -> float | None:
        """gamma_p of ``ds-grpo`` and ``ds-grpo-token``; None without lengths."""
        return None if self.spread_mean is None else self.gamma_p(length="mean", scaled=True)

    @property
    def robust(self) -> float:
        """gamma_p of ``ds-grpo-robust``, and of ``ds-grpo-reward`` with ``length="sum"``."""
        return self.gamma_p(length="sum", scaled=False)

    @property
    def centered(self) -> float:
        """Kappa of ``ds-grpo-centered``.

        Its z-scores have root mean square 1 over the correct completions of groups with two or more, of which
        ``num_comparisons`` are free: their spread, as it is measured here, is ``sqrt(num_compared / num_comparisons)``.
        """
        return self.share * self.lead * math.sqrt(self.num_comparisons / self.num_compared)

    def explain(self) -> str:
        """The measurements, the suggestions and the reasons, as plain text."""
        per_token = "" if self.spread_mean is None else f" summed, {self.spread_mean:.3g} nats per token"
        forms = [
            *([] if self.mean is None else [("ds-grpo", "gamma_p", self.mean)]),
            ("ds-grpo-sum", "gamma_p", self.sum),
            ("ds-grpo-robust", "gamma_p", self.robust),
            ("ds-grpo-centered", "kappa", self.centered),
        ]
        return "\n".join(
            [
                f"Measured in {self.num_groups} groups with both correct and wrong completions "
                f"(Pass@1 of all: {self.pass_at_1:.3g}):",
                f"  a correct completion leads its group by {self.lead:.3g}, after the group's std by "
                f"{self.scaled_lead:.3g};",
                f"  log-probs of the correct completions of a group spread by {self.spread:.3g} nats{per_token}.",
                f"For smoothing that spreads by {self.share:.3g} times that lead:",
                *(f"  {name + ':':18}{key} = {value:.3g}" for name, key, value in forms),
                "gamma_n: 0. It adds to the collapse, and in groups that are all wrong it can cost a hard prompt its "
                "Pass@1.",
                *_reasons(self),
                *(f"warning: {text}" for text in self.warnings),
            ]
        )


def suggest_gammas(
    log_probs: Array, correct: Array, *, lengths: Array = None, mask: Array = None, share: float = SHARE
) -> GammaSuggestion:
    """Suggest gamma_p for each form of differential smoothing, from groups sampled before training.

    A correct completion of a group with success rate c leads by ``1 - c``; smoothing adds ``-gamma_p l``. What spreads
    the correct completions apart is ``gamma_p`` times the std of l among them, so gamma_p is chosen by::

        gamma_p = share * lead / spread,    spread = pooled std of l within the correct completions of a group

    Whatever multiplies all log-probs divides gamma_p. The default share comes from the collapse threshold
    ``gamma* = (1-C) E_q[q u] / E_q[q u^2]`` (:func:`unsharpen.theory.critical_gamma`; u is the centred log-prob). As a
    share that is ``gamma* spread / (1-C)``: for normal log-probs ``spread / (1 + spread^2)``, at most 1/2; for few and
    unequal solutions .5 to 1.2. The lead falls as Pass@1 rises while gamma_p stays, so a share of 1/4 becomes 1/2 once
    the lead has halved, and 1 at a quarter: it slows the collapse at first and turns it round later. More buys more
    diversity and costs Pass@1. On the embedded task 1/4 gives .15 to .21 for ``ds-grpo-robust``, where a search chose
    .2, and 1 to 3 times what it chose for the forms that divide by the std first: a start for a search, not its result.

    Args:
        log_probs: [P, G] summed log-probabilities of the completions under the policy that sampled them, nats.
        correct: [P, G] bool.
        lengths: [P, G] completion tokens, for the mean form.
        mask: [P, G] bool, True for real completions; None when all are.
        share: above 0.

    Returns:
        GammaSuggestion; its ``explain()`` says why.

    Raises:
        InputError: malformed arrays; no group with both correct and wrong ones, or none of these with two correct
            ones; correct completions that are all equally likely; share not above 0.

    References:
        Ours, from the collapse threshold in docs/theory.md; not in a paper.

    Example:
        >>> log_probs = [[-2.0, -6.0, -5.0, -9.0], [-3.0, -7.0, -4.0, -8.0]]
        >>> correct = [[True, True, False, False], [True, True, False, False]]
        >>> found = suggest_gammas(log_probs, correct)  # lead .5; spread sqrt(8), from two pairs 4 nats apart
        >>> round(found.robust, 4), round(found.centered, 4)  # in pairs z-scores of 1 have a spread of sqrt(2)
        (0.0442, 0.0884)
    """
    if not (isinstance(share, int | float) and not isinstance(share, bool) and 0 < share < math.inf):
        raise InputError(f"share must be finite and above 0, found {share!r}", hint=f"{SHARE} is the default")
    batch = _batch(log_probs, correct, lengths, mask)
    mixed = (batch.num_correct > 0) & (batch.num_correct < batch.num_completions)
    chosen = batch.correct & mixed
    per_group = chosen.sum(axis=1)
    comparisons = int(np.maximum(per_group - 1, 0).sum())
    _need_comparisons(mixed, comparisons)
    deviation = _centred(batch.logprobs, chosen)
    spread = _pooled(deviation, comparisons)
    if spread < _LEAST_SPREAD:
        raise InputError(
            f"the correct completions of a group must differ in log-prob; found a spread of {spread:.2g} nats",
            hint="all equally likely, or one completion over and over: there is nothing to smooth",
        )
    centred = batch.rewards - batch.rewards.sum(axis=1, keepdims=True) / batch.num_completions
    per_token, by_length = None, 0.0
    if batch.lengths is not None:
        sizes = np.where(chosen, batch.lengths, 1).astype(np.float64)
        per_token = _pooled(_centred(batch.logprobs / sizes, chosen), comparisons)
        by_length = _explained(deviation, _centred(sizes, chosen))
    return GammaSuggestion(
        share=float(share),
        pass_at_1=float((batch.num_correct / batch.num_completions).mean()),
        num_groups=int(mixed.sum()),
        num_comparisons=comparisons,
        num_compared=int(per_group[per_group > 1].sum()),
        lead=float(centred[chosen].mean()),
        scaled_lead=float(standardize_group()(batch.rewards, batch)[chosen].mean()),
        spread=spread,
        spread_mean=per_token,
        surprise=float(-batch.logprobs[chosen].mean()),
        warnings=_doubts(comparisons, spread, _standing(deviation, chosen), by_length),
    )


def _batch(log_probs: Array, correct: Array, lengths: Array, mask: Array) -> GroupBatch:
    """The arguments as NumPy arrays, whatever library or device they come from, validated."""
    given = {"correct": correct, "logprobs": log_probs, "lengths": lengths, "mask": mask}
    found: dict[str, Any] = {
        name: value.tolist() if hasattr(value, "tolist") else value for name, value in given.items()
    }
    try:
        rewards = np.asarray(found["correct"], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"`correct` must be a rectangular array of flags, [P, G]: {error}") from error
    if rewards.ndim != 2:
        raise InputError(f"`correct` must have shape [P, G], found {rewards.shape}", hint="one group: [[...]]")
    return GroupBatch(rewards=rewards, **found)


def _need_comparisons(mixed: Any, comparisons: int) -> None:
    hint = "more completions per prompt, or prompts that are neither too easy nor too hard"
    if not mixed.any():
        raise InputError(
            f"need groups with both correct and wrong completions; all {mixed.size} groups have one kind only",
            hint=hint,
        )
    if comparisons == 0:
        raise InputError(
            f"need groups with 2 correct completions and a wrong one; {int(mixed.sum())} groups have 1 and none has 2",
            hint=hint,
        )


def _centred(values: Any, chosen: Any) -> NDArray[np.float64]:
    """Deviations from the mean of the chosen ones of each group; 0 elsewhere."""
    count = np.maximum(chosen.sum(axis=1, keepdims=True), 1)
    return np.where(chosen, values - np.where(chosen, values, 0.0).sum(axis=1, keepdims=True) / count, 0.0)


def _pooled(deviation: NDArray[np.float64], comparisons: int) -> float:
    return math.sqrt(float((deviation**2).sum()) / comparisons)


def _explained(deviation: NDArray[np.float64], lengths: NDArray[np.float64]) -> float:
    """Share of the variance of the log-prob that a line in the length explains, within groups."""
    total = float((deviation**2).sum() * (lengths**2).sum())
    return float((deviation * lengths).sum()) ** 2 / total if total > 0 else 0.0


def _standing(deviation: NDArray[np.float64], chosen: Any) -> NDArray[np.float64]:
    """Deviations of completions that have a group to deviate from, freed of their own part in its mean."""
    count = np.broadcast_to(chosen.sum(axis=1, keepdims=True), chosen.shape)
    compared = chosen & (count > 1)
    return np.asarray(deviation[compared] / np.sqrt(1 - 1 / count[compared]))


def _doubts(comparisons: int, spread: float, deviations: NDArray[np.float64], by_length: float) -> tuple[str, ...]:
    found = []
    if comparisons < _FEW:
        found.append(
            f"only {comparisons} comparisons between correct completions: the spread is known to within about "
            f"{100 / math.sqrt(2 * comparisons):.0f} %. Sample more groups."
        )
    typical = 1.4826 * float(np.median(np.abs(deviations)))
    if typical > 0 and spread > _OUTLYING * typical:
        found.append(
            f"a few outliers make the spread {spread / typical:.1f} times what the middle of the log-probs suggests, "
            "and the gammas smaller. Look at them: truncated or degenerate completions?"
        )
    if by_length > _BY_LENGTH:
        found.append(
            f"{100 * by_length:.0f} % of the variance of the summed log-prob is length: the sum would reward long "
            "completions for being long. Prefer the mean form."
        )
    return tuple(found)


def _reasons(found: GammaSuggestion) -> list[str]:
    pull, later = 1 + found.robust * found.surprise, found.share / _THRESHOLD
    fall = f"; this one gets there when the lead is down to {100 * later:.0f} % of today's" if later < 1 else ""
    return [
        f"Why: diversity rises when the share exceeds about {_THRESHOLD:g} (very many solutions) to 1 (a few unequal "
        f"ones), and the lead falls as training succeeds{fall}.",
        "All forms but ds-grpo-centered also pull harder towards correctness, since a surprising correct completion "
        f"gains on the wrong ones too (in ds-grpo-robust {pull:.2g} times as hard): while Pass@1 is low they slow the "
        "collapse rather than turn it round.",
    ]
