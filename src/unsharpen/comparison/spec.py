"""What is compared with what: methods, learning rates, seeds and budget, from YAML or from options."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from unsharpen.comparison.levers import Levers, read_levers
from unsharpen.comparison.reading import listed, mapping, name, positive, whole
from unsharpen.errors import InputError
from unsharpen.methods import get_method
from unsharpen.training.config import TINY_MODEL, RunConfig

DEFAULT_STEPS, DEFAULT_STEPS_ANY = 200, 300
"""Steps of a cell when no budget is given: for the shipped model, and for others, as with `unsharpen train`."""

_MANY_STEPS = 1_000_000  # the budget is in minutes
_OWN = {"method", "method_args", "seed", "eval_set", "max_minutes"}
_SETTINGS = [f.name for f in dataclasses.fields(RunConfig) if f.name not in _OWN]


@dataclass(frozen=True)
class Rate:
    """A learning rate, and by how much a run at that rate is longer: ``Rate(1.5e-4, 2)``.

    ``None`` leaves the rate to the defaults of `unsharpen train`.
    """

    learning_rate: float | None = None
    budget_scale: float = 1.0

    @property
    def suffix(self) -> str:
        """What tells runs at this rate from others in a folder name."""
        parts = [] if self.learning_rate is None else [f"lr-{self.learning_rate:g}"]
        return "_".join([*parts, f"x{self.budget_scale:g}"] if self.budget_scale != 1 else parts)


@dataclass(frozen=True)
class Budget:
    """What a cell may cost: optimiser steps, or minutes of training (evaluations not counted)."""

    steps: int | None = None
    minutes: float | None = None

    def limits(self, scale: float) -> tuple[int, float | None]:
        """(max_steps, max_minutes) of a run that may cost ``scale`` times the budget."""
        if self.minutes is not None:
            return _MANY_STEPS, self.minutes * scale
        assert self.steps is not None
        return max(1, round(self.steps * scale)), None


@dataclass(frozen=True)
class Arm:
    """One row of the table: a method with its coefficients, trained once per seed and learning rate.

    ``candidates`` are the coefficients that the tuning tries; ``tuned_rates`` the rates, None for the study's.
    """

    label: str
    method: str
    method_args: Mapping[str, Any]
    seeds: tuple[int, ...]
    rates: tuple[Rate, ...]
    budget_scale: float
    candidates: tuple[Mapping[str, Any], ...]
    tuned_rates: tuple[Rate, ...] | None


@dataclass(frozen=True)
class Tuning:
    """How coefficients and rates are chosen, on the validation problems, before the test runs.

    Attributes:
        seed: of the tuning runs; not one of the test seeds.
        budget: of one tuning run.
        rates: learning rates to try.
        settings: settings of `unsharpen train` that differ from the study's.
        tolerance: by how much Pass@1 may lie below the reference's.
        max_k: the area is the mean Pass@k over k = 1, 2, 4, ..., max_k.
        rate_by: "each" tries every rate with every coefficient; "chosen" the coefficients at the first rate, and then
            the other rates with those chosen; "reference" takes the rate that is best for the reference.
    """

    seed: int
    budget: Budget
    rates: tuple[Rate, ...]
    settings: Mapping[str, Any]
    tolerance: float = 0.03
    max_k: int = 64
    rate_by: Literal["each", "chosen", "reference"] = "each"


@dataclass(frozen=True)
class Study:
    """A whole comparison; made by :func:`read_study`."""

    settings: Mapping[str, Any]
    budget: Budget
    arms: tuple[Arm, ...]
    reference: str
    best_reference: str | None = None
    tuning: Tuning | None = None
    levers: Levers = field(default_factory=Levers)

    def arm(self, label: str) -> Arm:
        """The arm of that name."""
        return next(arm for arm in self.arms if arm.label == label)

    def config(self, arm: Arm, args: Mapping[str, Any], rate: Rate, seed: int, *, tuning: bool = False) -> RunConfig:
        """The configuration of one run.

        Raises:
            UnsharpenError: a setting or coefficient that `unsharpen train` would refuse; the message names the arm.
        """
        stage = self.tuning if tuning else None
        settings = {**self.settings, **(stage.settings if stage else {})}
        max_steps, minutes = (stage or self).budget.limits(arm.budget_scale * rate.budget_scale)
        trl = {**mapping(settings.pop("trl", None), "settings: trl"), "max_steps": max_steps}
        trl |= {} if rate.learning_rate is None else {"learning_rate": rate.learning_rate}
        chosen: dict[str, Any] = {
            "method": arm.method,
            "method_args": dict(args),
            "seed": seed,
            "max_minutes": minutes,
            "trl": trl,
        }
        try:
            return RunConfig(**settings, **chosen, eval_set="validation" if tuning else "test")
        except InputError as error:
            raise type(error)(f"{arm.label}: {error.message}", hint=error.hint) from error


@dataclass
class _Reader:
    """Reads the parts of a study; ``usual`` are the seeds and rates of arms that have none of their own."""

    seeds: tuple[int, ...]
    rates: tuple[Rate, ...]
    arms: list[Arm] = field(default_factory=list)

    def arm(self, label: str, value: Any) -> Arm:
        where = f"methods: {label}"
        allowed = ("method", "method_args", "seeds", "learning_rates", "budget_scale", "tune", "tune_learning_rates")
        values = mapping(value, where, allowed)
        args = mapping(values.get("method_args"), f"{where}: method_args")
        method = values.get("method", label)
        get_method(method)
        return Arm(
            label=name(label, "a key of methods"),
            method=method,
            method_args=args,
            seeds=read_seeds(values["seeds"], f"{where}: seeds") if "seeds" in values else self.seeds,
            rates=_rates(values["learning_rates"], where) if "learning_rates" in values else self.rates,
            budget_scale=positive(values.get("budget_scale", 1.0), f"{where}: budget_scale"),
            candidates=tuple({**args, **more} for more in _candidates(values.get("tune"), f"{where}: tune")),
            tuned_rates=_rates(values["tune_learning_rates"], where) if "tune_learning_rates" in values else None,
        )


def read_study(values: Mapping[str, Any]) -> Study:
    """The study that plain data describe; ``runs/countdown/compare.yaml`` shows every key.

    Raises:
        InputError: an unknown or missing key, a bad value, an unknown method, or settings that contradict each other.
    """
    keys = ("settings", "steps", "minutes", "seeds", "learning_rates", "reference", "best_reference", "methods", "tune",
            "levers")  # fmt: skip
    values = mapping(values, "a comparison", keys)
    settings = _settings(values.get("settings"), "settings")
    reader = _Reader(
        read_seeds(values.get("seeds", 3), "seeds"),
        _rates(values["learning_rates"], "a comparison") if "learning_rates" in values else (Rate(),),
    )
    methods = mapping(values.get("methods"), "methods")
    if not methods:
        raise InputError("a comparison needs methods", hint="for example: unsharpen compare grpo ds-grpo-robust")
    arms = tuple(reader.arm(label, value) for label, value in methods.items())
    steps = DEFAULT_STEPS if settings.get("model", TINY_MODEL) == TINY_MODEL else DEFAULT_STEPS_ANY
    study = Study(
        settings=settings,
        budget=_budget(values, "a comparison", steps),
        arms=arms,
        reference=_label(values.get("reference"), arms, "reference") or _usual_reference(arms),
        best_reference=_label(values.get("best_reference"), arms, "best_reference"),
        levers=read_levers(values.get("levers"), [arm.label for arm in arms]),
    )
    if "tune" in values:
        study = dataclasses.replace(study, tuning=_tuning(values["tune"], study, reader.rates))
    return study


def read_seeds(value: Any, where: str) -> tuple[int, ...]:
    """A number of seeds (3 is 0, 1, 2), or a list of them."""
    if isinstance(value, int) and not isinstance(value, bool):
        return tuple(range(whole(value, where, least=1)))
    seeds = tuple(whole(seed, where, least=0) for seed in listed(value, where))
    if len(set(seeds)) < len(seeds):
        raise InputError(f"{where} must differ, found {list(seeds)}")
    return seeds


def _rates(value: Any, where: str) -> tuple[Rate, ...]:
    where += ": learning_rates"
    rates = []
    for entry in listed(value, where):
        values = mapping(entry, where, ("rate", "budget_scale")) if isinstance(entry, Mapping) else {"rate": entry}
        scale = positive(values.get("budget_scale", 1.0), f"{where}: budget_scale")
        rates.append(Rate(positive(values.get("rate"), where), scale))
    if len({rate.suffix for rate in rates}) < len(rates):
        raise InputError(f"{where} must differ, found {[rate.suffix for rate in rates]}")
    return tuple(rates)


def _settings(value: Any, where: str) -> dict[str, Any]:
    settings = mapping(value, where, _SETTINGS)
    trl = mapping(settings.get("trl"), f"{where}: trl")
    for key, instead in (("max_steps", "steps"), ("num_train_epochs", "steps"), ("learning_rate", "learning_rates")):
        if key in trl:
            raise InputError(f"{where}: trl: {key} is what the comparison sets", hint=f"use `{instead}`")
    if settings.get("eval_samples") == 0:
        raise InputError(f"{where}: a comparison needs evaluations; found eval_samples 0")
    return settings


def _budget(values: Mapping[str, Any], where: str, steps: int) -> Budget:
    if values.get("steps") is not None and values.get("minutes") is not None:
        raise InputError(f"{where} takes steps or minutes as its budget, found both")
    if values.get("minutes") is not None:
        return Budget(minutes=positive(values["minutes"], f"{where}: minutes"))
    given = values.get("steps")
    return Budget(steps=steps if given is None else whole(given, f"{where}: steps", least=1))


def _candidates(value: Any, where: str) -> list[dict[str, Any]]:
    """A list of coefficients, or a mapping of coefficients to lists of values, of which all combinations are meant."""
    if value is None:
        return [{}]
    if isinstance(value, Mapping):
        lists = {key: listed(entry, f"{where}: {key}") for key, entry in mapping(value, where).items()}
        return [dict(zip(lists, combination, strict=True)) for combination in itertools.product(*lists.values())]
    found = [mapping(entry, where) for entry in listed(value, where)]
    if any(found.count(entry) > 1 for entry in found):
        raise InputError(f"{where} must hold different coefficients, found {found}")
    return found


def _tuning(value: Any, study: Study, rates: tuple[Rate, ...]) -> Tuning:
    allowed = ("seed", "steps", "minutes", "learning_rates", "settings", "tolerance", "max_k", "rate_by")
    values = mapping(value, "tune", allowed)
    seed = whole(values.get("seed", 100), "tune: seed", least=0)
    if any(seed in arm.seeds for arm in study.arms):
        raise InputError(f"tune: seed must not be one of the seeds that are compared, found {seed}")
    settings = _settings(values.get("settings"), "tune: settings")
    tolerance = values.get("tolerance", 0.03)
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 <= tolerance < 1:
        raise InputError(f"tune: tolerance must be a number from 0 to 1, found {tolerance!r}")
    rate_by = values.get("rate_by", "each")
    if rate_by not in ("each", "chosen", "reference"):
        raise InputError(f"tune: rate_by must be 'each', 'chosen' or 'reference', found {rate_by!r}")
    max_k = whole(values.get("max_k", 64), "tune: max_k", least=1)
    samples = {**study.settings, **settings}.get("eval_samples", RunConfig().eval_samples)
    if type(samples) is int and max_k > samples:
        raise InputError(f"tune: max_k must be at most the samples per problem ({samples}), found {max_k}")
    budget = _budget(values, "tune", max(1, (study.budget.steps or DEFAULT_STEPS) // 2))
    own = _rates(values["learning_rates"], "tune") if "learning_rates" in values else rates
    return Tuning(seed, budget, own, settings, float(tolerance), max_k, rate_by)


def _label(value: Any, arms: tuple[Arm, ...], where: str) -> str | None:
    labels = [arm.label for arm in arms]
    if value is not None and value not in labels:
        raise InputError(f"{where} must be one of the methods ({', '.join(labels)}), found {value!r}")
    return None if value is None else str(value)


def _usual_reference(arms: tuple[Arm, ...]) -> str:
    """The first plain GRPO, or else the first arm."""
    return next((arm.label for arm in arms if arm.method == "grpo"), arms[0].label)
