"""The sequence-level functions again, as plain loops: sets are enumerated, nothing is rearranged for speed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations

from tests.advantages.naive import Group, Naive, Values, logprob, mean, std


def by_group(function: Callable[[Group], Values]) -> Naive:
    return lambda groups: [function(group) for group in groups]


def token_means(group: Group) -> Values:
    return [logprob(group, i, "mean", "sampling") for i in range(len(group.x))]


def discount_likely(*, beta: float = 0.25) -> Naive:
    def apply(group: Group) -> Values:
        m, size = token_means(group), len(group.x)
        ranks = [sum(other < own for other in m) + (m.count(own) - 1) / 2 for own in m]
        return [v * (1 - beta * rank / size) for v, rank in zip(group.x, ranks, strict=True)]

    return by_group(apply)


def favour_unlikely_correct(*, tau: float = 0.2) -> Naive:
    def apply(group: Group) -> Values:
        m = token_means(group)
        winners = [i for i, right in enumerate(group.correct) if right]
        if len(winners) < 2:
            return group.x
        total = sum(math.exp(m[i]) for i in winners)
        inverse = {i: 1 / max(math.exp(m[i]) / total, 1e-6) for i in winners}
        result = list(group.x)
        for i in winners:
            weight = (1 - tau) / len(winners) + tau * inverse[i] / sum(inverse.values())
            result[i] = group.x[i] * len(winners) * weight
        return result

    return by_group(apply)


def cosine(group: Group, i: int, j: int) -> float:
    if i == j:
        return 1.0
    a, b = group.embeddings[i], group.embeddings[j]
    scale = math.sqrt(sum(v * v for v in a)) * math.sqrt(sum(v * v for v in b))
    return sum(v * w for v, w in zip(a, b, strict=True)) / scale if scale else 0.0


def scale_by_distinctness(*, floor: float = 0.1, cluster: str = "answers", threshold: float = 0.9) -> Naive:
    def apply(group: Group) -> Values:
        def same(i: int, j: int) -> bool:
            if cluster == "answers":
                return group.answers[i] == group.answers[j]
            return cosine(group, i, j) >= threshold

        winners = [i for i, right in enumerate(group.correct) if right]
        result = []
        for i, value in enumerate(group.x):
            factor = floor
            if i in winners and len(winners) > 1:
                others = sum(not same(i, j) for j in winners)
                factor = max(others / (len(winners) - 1), floor)
            result.append(value * factor)
        return result

    return by_group(apply)


def reward_even_answers() -> Naive:
    def apply(group: Group) -> Values:
        valid = Counter(a for a, right in zip(group.answers, group.correct, strict=True) if right)
        return [
            1 - abs(valid[a] / valid.total() - 1 / group.num_solutions) if right else -1.0
            for a, right in zip(group.answers, group.correct, strict=True)
        ]

    return by_group(apply)


def divide_by_answer_frequency(*, floor: float = 1e-6) -> Naive:
    def apply(group: Group) -> Values:
        counts = Counter(group.answers)
        return [v / max(counts[a] / len(group.x), floor) for v, a in zip(group.x, group.answers, strict=True)]

    return by_group(apply)


def discount_similar() -> Naive:
    def apply(group: Group) -> Values:
        everyone = range(len(group.x))
        return [v / (sum(max(cosine(group, i, j), 0) for j in everyone) + 1e-6) for i, v in enumerate(group.x)]

    return by_group(apply)


def reward_majority_and_novelty() -> Naive:
    def apply(group: Group) -> Values:
        readable = [i for i, a in enumerate(group.answers) if a >= 0]
        votes = Counter(group.answers[i] for i in readable)
        majority = min((a for a in votes if votes[a] == max(votes.values())), default=None)
        classes = [
            [i for i in readable if group.answers[i] == majority],
            [i for i in readable if group.answers[i] != majority],
        ]
        rewards = [-1.0] * len(group.x)
        for members, base in zip(classes, (0.5, -1.0), strict=True):
            novelty = {}
            for i in members:
                similar = {j: min(max(cosine(group, i, j), 0), 1) for j in readable if j != i}
                own = [similar[j] for j in members if j != i] or list(similar.values()) or [0.5]
                novelty[i] = 1 - 0.5 * mean(own) - 0.5 * max(similar.values(), default=0.5)
            for i in members:
                spread = max(novelty.values()) - min(novelty.values())
                u = 0.5 if spread < 1e-6 else (novelty[i] - min(novelty.values())) / spread
                rewards[i] = base + 0.5 * (1.0 if len(members) == 1 else u)
        return rewards

    return by_group(apply)


def credit_pass_at_k(*, k: int = 4, eps: float = 1e-6) -> Naive:
    """Form every group of k, let it share its success, standardise over the groups, average over one's own groups."""

    def apply(group: Group) -> Values:
        sets = list(combinations(range(len(group.x)), k))
        success = [float(any(group.correct[i] for i in members)) for members in sets]
        scale = std(success, 0) + eps
        return [
            mean([(s - mean(success)) / scale for s, members in zip(success, sets, strict=True) if i in members])
            for i in range(len(group.x))
        ]

    return by_group(apply)


def credit_max_at_k(*, k: int = 4) -> Naive:
    def apply(group: Group) -> Values:
        size, sets = len(group.x), list(combinations(range(len(group.x)), k))
        return [
            size
            / len(sets)
            * sum(
                max(group.x[j] for j in members) - max(group.x[j] for j in members if j != i)
                for members in sets
                if i in members
            )
            for i in range(size)
        ]

    return by_group(apply)


def credit_best(*, scale: str = "std", ddof: int = 1, eps: float = 1e-6) -> Naive:
    def apply(group: Group) -> Values:
        first, second = sorted(range(len(group.x)), key=lambda i: group.x[i], reverse=True)[:2]
        result = [0.0] * len(group.x)
        result[first] = group.x[first] - group.x[second]
        if scale == "std":
            result[first] /= std(group.x, ddof) + eps
        return result

    return by_group(apply)


def reward_rare_answers(
    history: Counter[tuple[int, int]], *, coef: float, center: str = "none", offset: float = 0.0
) -> Naive:
    def apply(groups: Sequence[Group]) -> list[Values]:
        result = []
        for group in groups:
            counts = [history[group.prompt_id, a] for a in group.answers]
            bonus = [min(1.0, n**-0.5) if n else 1.0 for n in counts]
            base = offset + (mean(bonus) - offset if center == "mean" else 0.0)
            result.append([v + coef * (b - base) for v, b in zip(group.x, bonus, strict=True)])
        history.update((group.prompt_id, a) for group in groups for a in group.answers)
        return result

    return apply


def penalize_repeats(*, coef: float) -> Naive:
    def apply(group: Group) -> Values:
        counts = Counter(group.answers)
        return [v - coef * (counts[a] - 1) / len(group.x) for v, a in zip(group.x, group.answers, strict=True)]

    return by_group(apply)


def weigh_by_difficulty(*, gamma: float = 0.5) -> Naive:
    return by_group(lambda group: [v * (group.correct.count(False) / len(group.x)) ** gamma for v in group.x])


def seek_risk(*, beta: float = 2.0) -> Naive:
    def apply(group: Group) -> Values:
        if beta == 0:
            return [v - mean(group.x) for v in group.x]
        raised = [math.exp(beta * v) for v in group.x]
        return [(r / mean(raised) - 1) / beta for r in raised]

    return by_group(apply)


def credit_by_sign(*, correct: float, wrong: float) -> Naive:
    return by_group(lambda group: [correct if right else -wrong for right in group.correct])


def weigh_by_entropy(*, alpha: float, temperature: float) -> Naive:
    def apply(group: Group) -> Values:
        raw = [math.exp((v + alpha * h) / temperature) for v, h in zip(group.x, group.entropies, strict=True)]
        return [v * len(raw) * r / sum(raw) for v, r in zip(group.x, raw, strict=True)]

    return by_group(apply)


def divide_by_relative_entropy(*, max_weight: float = 10.0) -> Naive:
    def apply(groups: Sequence[Group]) -> list[Values]:
        average = mean([h for group in groups for h in group.entropies])
        return [
            [v * (min(average / h, max_weight) if h else max_weight) for v, h in zip(g.x, g.entropies, strict=True)]
            for g in groups
        ]

    return apply


def level_correct_modes(*, beta: float) -> Naive:
    def apply(group: Group) -> Values:
        winners = [i for i, right in enumerate(group.correct) if right]
        if not winners:
            return group.x
        z = max(winners, key=lambda i: group.reference_logprobs[i])
        gap = [group.reference_logprobs[z] - own for own in group.reference_logprobs]
        return [group.x[z] + beta * gap[i] if i in winners else v for i, v in enumerate(group.x)]

    return by_group(apply)


def punish_overlong(*, penalty: float = 1.0, share: float = 0.2) -> Naive:
    def one(x: float, length: int, longest: int) -> float:
        start = (1 - share) * longest
        return x if length <= start else x - penalty * min((length - start) / (share * longest), 1.0)

    return lambda groups: [
        [one(x, length, group.max_length) for x, length in zip(group.x, group.lengths, strict=True)] for group in groups
    ]
