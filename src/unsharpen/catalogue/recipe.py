"""What a row of the catalogue holds, and what its builder returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from unsharpen.advantages.chain import Transform
from unsharpen.advantages.tokens import TokenTransform
from unsharpen.losses.batch import LossTerm


class Memory(Protocol):
    """What a method carries from batch to batch. Engines save its state with each checkpoint."""

    def state_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave; raises InputError on any other form."""
        ...


SETTINGS: dict[str, str] = {
    "learning_rate_scale": "factor on the learning rate",
    "kl_coef": "coefficient of the KL term to the frozen reference model",
    "loss": "how the loss of tokens is averaged: grpo (per completion), dapo (all tokens), dr_grpo (a constant)",
    "clip_low": "the ratio of probabilities is clipped below 1 - clip_low",
    "clip_high": "and above 1 + clip_high",
    "ratio_level": "token or sequence: of what the ratio is taken",
    "entropy_coef": "coefficient of the mean token entropy in the objective; negative is a penalty",
    "entropy_adaptive": "1: entropy_coef follows entropy_target",
    "entropy_target": "nats per token",
    "entropy_step": "change of entropy_coef per update",
    "entropy_coef_max": "its upper bound",
    "top_entropy_share": "share of the tokens, those of highest entropy, that have a policy loss",
    "guided_share": "share of the wrong completions that a reference solution replaces before the scoring",
    "base_share": "share of the base model's weights in the final model (WiSE-FT)",
    "drop_uniform_groups": "1: groups that are all correct or all wrong have no loss, and count in no mean over tokens",
}
"""The words of :attr:`Recipe.settings`; each engine maps them to its own options, or refuses those that it lacks."""


@dataclass(frozen=True)
class Recipe:
    """What a builder returns: the chain, and what it asks of the engine.

    Attributes:
        transform: rewards [P, G] -> advantages [P, G].
        token_transform: a second step per token, for token-level methods.
        settings: engine settings in neutral words: :data:`SETTINGS`.
        memory: what the chain remembers from batch to batch; made by the builder, so each recipe has its own.
        loss_term: what is added to the policy loss at every update.
        pool_term: a loss on completions that the base model sampled before training; they lie in the file ``pool``.
        pool: that file, in the form that ``unsharpen data presample`` writes.
        pool_share: completions of the pool per sampled completion of a micro-batch.
        excludes: settings that a user must leave at the engine's default, as the method has something in their place.
    """

    transform: Transform
    token_transform: TokenTransform | None = None
    settings: Mapping[str, float | str] = field(default_factory=dict)
    memory: Memory | None = None
    loss_term: LossTerm | None = None
    pool_term: LossTerm | None = None
    pool: str = ""
    pool_share: float = 0.0
    excludes: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        unknown = sorted((set(self.settings) | self.excludes) - SETTINGS.keys())
        assert not unknown, f"no such setting: {unknown}"


@dataclass(frozen=True)
class Row:
    """One line of the catalogue.

    Attributes:
        build: keyword arguments are the coefficients; returns a chain, or a Recipe where the engine has a part.
        summary: one line.
        equation: plain text, in the notation of the documentation.
        paper: arXiv number or other source.
        experimental: what could not be checked against a public source; empty when nothing is open.
    """

    build: Callable[..., Transform | Recipe]
    summary: str
    equation: str
    paper: str
    experimental: str = ""
