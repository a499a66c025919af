"""Loss terms: pure functions of one micro-batch that an engine adds to its own policy loss."""

from unsharpen.losses.batch import LossBatch, LossTerm
from unsharpen.losses.divergences import push_to_forward_kl, push_to_jensen_shannon
from unsharpen.losses.entropy import EntropyHistory, hold_entropy_window, reward_entropy_of_correct, track_entropy
from unsharpen.losses.penalties import scale_kl_by_advantage, tether_covariant_tokens
from unsharpen.losses.replacements import balance_flow, value_uniform_policy
from unsharpen.losses.top_tokens import redistribute_to_top_tokens

__all__ = [
    "EntropyHistory",
    "LossBatch",
    "LossTerm",
    "balance_flow",
    "hold_entropy_window",
    "push_to_forward_kl",
    "push_to_jensen_shannon",
    "redistribute_to_top_tokens",
    "reward_entropy_of_correct",
    "scale_kl_by_advantage",
    "tether_covariant_tokens",
    "track_entropy",
    "value_uniform_policy",
]
