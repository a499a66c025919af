"""Levers that need no training: temperature, a share of the base's weights (WiSE-FT), the mean of the seeds' weights.

Every finished model is evaluated at each combination, and so is the untouched base at each temperature. A base that is
merely sampled colder gains Pass@1 and loses Pass@k, as a trained model does: that is what a method must beat, and at
equal Pass@1 methods can be compared only along such curves.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from unsharpen.comparison.reading import listed, mapping, positive, whole
from unsharpen.errors import InputError

FOLDER, BASE, AVERAGE = "levers", "base", "average"
_KEYS = ("temperatures", "base_shares", "average_seeds", "methods", "mixed", "seeds", "base_temperatures")


@dataclass(frozen=True)
class Levers:
    """What to try beside what the runs were evaluated at; nothing by default.

    Attributes:
        temperatures: of the sampling, for the base and the models.
        base_shares: for the models.
        average_seeds: the mean of the weights of an arm's seeds too, as one more model (a model soup). It costs as many
            trainings as there are seeds.
        methods: which arms; none named is all.
        mixed: which of them are mixed with the base and averaged too; none named is all.
        seeds: of how many seeds of an arm, the first ones; None is all.
        base_temperatures: more temperatures for the base, which has further to go to a model's Pass@1.

    References:
        WiSE-FT, arXiv 2109.01903; model soups, arXiv 2203.05482; both for RL: WARP, arXiv 2406.16768.
    """

    temperatures: tuple[float, ...] = ()
    base_shares: tuple[float, ...] = ()
    average_seeds: bool = False
    methods: tuple[str, ...] = ()
    mixed: tuple[str, ...] = ()
    seeds: int | None = None
    base_temperatures: tuple[float, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.temperatures or self.base_temperatures or self.base_shares or self.average_seeds)

    def include(self, arm: str) -> bool:
        """Whether an arm takes part; one with several rates has them in its label."""
        return not self.methods or arm.split("_lr-")[0] in self.methods

    def mixes(self, arm: str) -> bool:
        """Whether its weights are mixed with the base's and averaged over seeds."""
        return not self.mixed or arm.split("_lr-")[0] in self.mixed

    def of_the_base(self, own: float) -> list[tuple[float, float]]:
        """(share, temperature) of everything to know about the base, when the runs have sampled at ``own``."""
        return [(0.0, each) for each in sorted({own, *self.temperatures, *self.base_temperatures}, reverse=True)]

    def of_a_model(self, own: float, *, mixed: bool = True) -> list[tuple[float, float]]:
        """The same about a model."""
        shares = sorted({0.0, *(self.base_shares if mixed else ())})
        return list(itertools.product(shares, sorted({own, *self.temperatures}, reverse=True)))


def read_levers(value: Any, labels: Sequence[str]) -> Levers:
    """Levers from a mapping; ``labels`` are those of the study's arms.

    Raises:
        InputError: a temperature that is not above 0, a share outside (0, 1), an unknown arm, or no seeds.
    """
    values = mapping(value, "levers", _KEYS)
    average = values.pop("average_seeds", False)
    if not isinstance(average, bool):
        raise InputError(f"levers: average_seeds must be true or false, found {average!r}")
    seeds = whole(values.pop("seeds"), "levers: seeds", least=1) if "seeds" in values else None
    found: dict[str, Any] = {key: tuple(listed(values[key], f"levers: {key}")) for key in values}
    for key in ("temperatures", "base_temperatures", "base_shares"):
        if key in found:
            found[key] = tuple(positive(entry, f"levers: {key}") for entry in found[key])
    for key, known in (("methods", labels), ("mixed", found.get("methods", labels))):
        if unknown := [arm for arm in found.get(key, ()) if arm not in known]:
            raise InputError(f"levers: {key} must be among {', '.join(known)}; found {unknown[0]!r}")
    if bad := [share for share in found.get("base_shares", ()) if share >= 1]:
        raise InputError(f"levers: base_shares must lie between 0 and 1, found {bad[0]}", hint="1 is the base itself")
    return Levers(average_seeds=average, seeds=seeds, **found)
