"""What a row of the catalogue holds, and what its builder returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from unsharpen.advantages.chain import Transform
from unsharpen.advantages.tokens import TokenTransform


class Memory(Protocol):
    """What a method carries from batch to batch. Engines save its state with each checkpoint."""

    def state_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave; raises InputError on any other form."""
        ...


@dataclass(frozen=True)
class Recipe:
    """What a builder returns: the chain, and what it asks of the engine.

    Attributes:
        transform: rewards [P, G] -> advantages [P, G].
        token_transform: a second step per token, for token-level methods.
        settings: engine settings in neutral words: ``learning_rate_scale``, ``kl_coef``, ``loss``.
        memory: what the chain remembers from batch to batch; made by the builder, so each recipe has its own.
    """

    transform: Transform
    token_transform: TokenTransform | None = None
    settings: Mapping[str, float | str] = field(default_factory=dict)
    memory: Memory | None = None


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
