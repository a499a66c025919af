"""Methods that make rare correct completions count for more: by likelihood, answer, cluster or embedding.

``r_i`` is the reward, ``m_i`` the mean token log-probability under the sampling policy, c of G are correct.
``GRPO(x)_i = (x_i - mean x) / (std x + eps)`` within the group, with TRL's ddof 1 and eps 1e-4 unless set.
"""

from __future__ import annotations

from unsharpen.advantages.baselines import standardize_group, subtract_group_mean
from unsharpen.advantages.chain import Transform, chain
from unsharpen.advantages.rarity import (
    Cluster,
    discount_likely,
    divide_by_answer_frequency,
    favour_unlikely_correct,
    reward_even_answers,
    scale_by_distinctness,
)
from unsharpen.advantages.similarity import discount_similar, reward_majority_and_novelty


def unlikeliness(*, beta: float = 0.25, ddof: int = 1, eps: float = 1e-4) -> Transform:
    """Of the correct completions the likely ones earn less, by rank: at beta .25 up to a quarter.

    Source: arXiv 2506.02355; formula and beta checked against the authors' code. They add 2 PPO epochs per batch, a KL
    term of .1 and groups of 32, without which the effect is weaker. Deviations: TRL's eps (the code has 1e-6); equally
    likely completions share a rank.
    """
    return chain(discount_likely(beta=beta), standardize_group(ddof=ddof, eps=eps, of="input"))


def ucpo(*, tau: float = 0.2, ddof: int = 1, eps: float = 1e-4) -> Transform:
    """Redistribute the advantage of the correct completions towards the unlikely ones; equal rewards keep their sum.

    Source: arXiv 2605.00365; checked against the authors' code. Deviation: TRL's eps (the code has 1e-8). On ten-token
    completions the mean log-probs, and with them the weights, hardly differ.
    """
    return chain(standardize_group(ddof=ddof, eps=eps), favour_unlikely_correct(tau=tau))


def darling(*, floor: float = 0.1, cluster: Cluster = "answers", threshold: float = 0.9) -> Transform:
    """Reward x distinctness among the correct completions, then centred, without a std.

    Source: arXiv 2509.02534; checked against the authors' code for mathematics, which clusters by a classifier of its
    own: here by answer id, or by embedding. A prompt with one correct completion teaches a tenth.
    """
    return chain(scale_by_distinctness(floor=floor, cluster=cluster, threshold=threshold), subtract_group_mean())


def gapo(*, ddof: int = 1, eps: float = 1e-4) -> Transform:
    """Ask for the *uniform* use of the valid answers, whose number L must be known; correctness is what "valid" means.

    Source: arXiv 2511.12596. With G below L the best that a group can do is to use an answer once each.
    """
    return chain(reward_even_answers(), standardize_group(ddof=ddof, eps=eps, of="input"))


def ips(*, floor: float = 1e-6, ddof: int = 1, eps: float = 1e-4) -> Transform:
    """Divide each reward by how often its answer occurs in the group: outcomes then compete by reward alone.

    Source: arXiv 2601.21669. A higher floor bounds the weights; at 1 this is GRPO.
    """
    return chain(divide_by_answer_frequency(floor=floor), standardize_group(ddof=ddof, eps=eps, of="input"))


def dra_grpo(*, ddof: int = 1, eps: float = 1e-4) -> Transform:
    """Divide each reward by the completion's similarity to its group; needs embeddings of the completions.

    Source: arXiv 2505.09655; checked against the authors' code, whose similarity runs over the device's completions
    and here over the prompt's group. They embed with a sentence model (jina or nomic).
    """
    return chain(discount_similar(), standardize_group(ddof=ddof, eps=eps, of="input"))


def evol_rl(*, ddof: int = 1, eps: float = 1e-4) -> Transform:
    """Without labels: the majority answer is right, and among equals the novel completion earns more.

    Source: arXiv 2509.15194; checked against the authors' code. They add clip-higher .28, an entropy bonus and a KL
    term of .001. The reward function's numbers are not used, only the answers that it logs.
    """
    return chain(reward_majority_and_novelty(), standardize_group(ddof=ddof, eps=eps, of="input"))
