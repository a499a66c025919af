"""The catalogue: one table, name -> chain, engine settings, paper, equation.

To add a method, write a builder whose keyword arguments are its coefficients, and one row in ``_TABLE``. Everything
else (command line, engines, documentation, the catalogue-wide tests) follows from the row.
"""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin, get_type_hints

from unsharpen.advantages import variants
from unsharpen.advantages.baselines import (
    divide_by_group_mean,
    standardize_group,
    subtract_group_mean,
    subtract_leave_one_out_mean,
)
from unsharpen.advantages.chain import Transform, chain
from unsharpen.advantages.smoothing import Length, entropy_smoothing
from unsharpen.advantages.tokens import TokenTransform, spread_smoothing_over_tokens
from unsharpen.batch import Array, GroupBatch
from unsharpen.errors import InputError, UnknownNameError


@dataclass(frozen=True)
class Recipe:
    """What a builder returns: the chain, and what it asks of the engine.

    Attributes:
        transform: rewards [P, G] -> advantages [P, G].
        token_transform: a second step per token, for token-level methods.
        settings: engine settings in neutral words: ``learning_rate_scale``, ``kl_coef``, ``loss``.
    """

    transform: Transform
    token_transform: TokenTransform | None = None
    settings: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Method:
    """A method with its coefficients filled in; made by :func:`get_method`.

    Attributes:
        name: the catalogue name.
        coefficients: every coefficient with its value.
        recipe: chain and engine settings.
        summary: one line.
        equation: plain text, in the notation of the documentation.
        paper: arXiv number or other source.
        notes: where the form comes from, how it deviates, and when to use it; may be empty.
    """

    name: str
    coefficients: Mapping[str, Any]
    recipe: Recipe
    summary: str
    equation: str
    paper: str
    notes: str = ""

    @property
    def requires(self) -> frozenset[str]:
        """Optional :class:`GroupBatch` fields that the method reads."""
        return self.recipe.transform.requires

    def advantages(self, batch: GroupBatch) -> Array:
        """Advantages [P, G] of ``batch``: finite, 0 where masked, in the dtype of the rewards.

        For a token-level method this is the mean over each completion's tokens; the engine asks for the rest.

        Raises:
            MissingFieldError: the batch lacks a field that the method requires.
        """
        batch.require(self.requires, by=self.name)
        advantages = self.recipe.transform(batch.rewards, batch)
        return batch.xp.astype(advantages, batch.rewards.dtype)


@dataclass(frozen=True)
class _Row:
    build: Callable[..., Transform | Recipe]
    summary: str
    equation: str
    paper: str


def get_method(name: str, **coefficients: Any) -> Method:
    """Look a method up by name and fill in its coefficients.

    Args:
        name: a name that :func:`list_methods` returns.
        **coefficients: override defaults, e.g. ``gamma_p=0.1``.

    Raises:
        UnknownNameError: no such method; close names are offered.
        InputError: unknown coefficient, or a value of the wrong type or range.

    Example:
        >>> batch = GroupBatch(rewards=[[1.0, 0.0]], correct=[[True, False]], logprobs=[[-4.0, -2.0]], lengths=[[4, 2]])
        >>> get_method("ds-grpo", gamma_p=0.5, gamma_n=0.0, eps=0.0, ddof=0).advantages(batch).tolist()
        [[1.5, -1.0]]
    """
    row = _TABLE.get(name)
    if row is None:
        close = difflib.get_close_matches(str(name), _TABLE, n=3, cutoff=0.4)
        raise UnknownNameError(
            f"unknown method {name!r}",
            hint=f"did you mean {' or '.join(close)}?" if close else "`unsharpen methods` lists them all",
        )
    values = default_coefficients(name)
    hints = get_type_hints(row.build)
    for key, value in coefficients.items():
        if key not in values:
            close = difflib.get_close_matches(key, values, n=2, cutoff=0.4)
            raise InputError(
                f"method {name!r} has no coefficient {key!r}; it has {', '.join(values) or 'none'}",
                hint=f"did you mean {' or '.join(close)}?" if close else None,
            )
        values[key] = _checked(name, key, value, hints[key])
    built = row.build(**values)
    recipe = built if isinstance(built, Recipe) else Recipe(built)
    return Method(name, values, recipe, row.summary, row.equation, row.paper, inspect.getdoc(row.build) or "")


def list_methods() -> list[str]:
    """All method names, in the order of the catalogue."""
    return list(_TABLE)


def default_coefficients(name: str) -> dict[str, Any]:
    """The coefficients of a method with their defaults."""
    return {key: parameter.default for key, parameter in inspect.signature(_TABLE[name].build).parameters.items()}


def _checked(method: str, key: str, value: Any, expected: Any) -> Any:
    """``value`` as ``expected`` (int, float or a Literal of strings); text from a command line is converted."""
    if get_origin(expected) is Literal:
        if value in get_args(expected):
            return value
        wanted = "one of " + ", ".join(map(repr, get_args(expected)))
    else:
        wanted = {int: "a whole number", float: "a finite number"}[expected]
        try:
            number = expected(value)
            if not isinstance(value, bool) and math.isfinite(number) and float(number) == float(value):
                return number
        except (TypeError, ValueError, OverflowError):
            pass
    raise InputError(f"{method}: {key} must be {wanted}, found {value!r}")


# --- builders: keyword arguments are the coefficients; a chain, or a Recipe where the engine has a part ------------


def _grpo(*, ddof: int = 1, eps: float = 1e-4) -> Transform:
    return standardize_group(ddof=ddof, eps=eps)


def _dr_grpo() -> Recipe:
    return Recipe(subtract_group_mean(), settings={"loss": "dr_grpo"})


def _rloo() -> Transform:
    return subtract_leave_one_out_mean()


def _maxrl(*, eps: float = 1e-6) -> Transform:
    return chain(subtract_group_mean(), divide_by_group_mean(eps=eps))


def _grpo_low_lr(*, learning_rate_scale: float = 0.3, ddof: int = 1, eps: float = 1e-4) -> Recipe:
    if learning_rate_scale <= 0:
        raise InputError(f"learning_rate_scale must be above 0, found {learning_rate_scale}")
    return Recipe(_grpo(ddof=ddof, eps=eps), settings={"learning_rate_scale": learning_rate_scale})


def _grpo_kl(*, kl_coef: float = 1e-3, ddof: int = 1, eps: float = 1e-4) -> Recipe:
    if kl_coef < 0:
        raise InputError(f"kl_coef must be at least 0, found {kl_coef}")
    return Recipe(_grpo(ddof=ddof, eps=eps), settings={"kl_coef": kl_coef})


def _ds_grpo_token(*, gamma_p: float = 0.01, gamma_n: float = 0.01, ddof: int = 1, eps: float = 1e-4) -> Recipe:
    """Per token: ``A_it = GRPO_i - gamma_p log pi_old(y_it)`` if correct, ``+ gamma_n log pi_old(y_it)`` if not.

    Source: code of arXiv 2511.19942 around its first submission; .01 / .01 are its coefficients. Written as the mean
    form plus a step that spreads its term over the tokens, which comes to the same.
    """
    spread = spread_smoothing_over_tokens(gamma_p=gamma_p, gamma_n=gamma_n)
    return Recipe(variants.ds_grpo(gamma_p=gamma_p, gamma_n=gamma_n, ddof=ddof, eps=eps), spread)


def _entropy_bonus_seq(*, gamma: float = 0.02, length: Length = "sum", ddof: int = 1, eps: float = 1e-4) -> Transform:
    return _entropy(gamma, 1, length, ddof, eps)


def _entropy_penalty_seq(*, gamma: float = 0.02, length: Length = "sum", ddof: int = 1, eps: float = 1e-4) -> Transform:
    return _entropy(gamma, -1, length, ddof, eps)


def _entropy(gamma: float, sign: int, length: Length, ddof: int, eps: float) -> Transform:
    if gamma < 0:
        raise InputError(f"gamma must be at least 0, found {gamma}", hint="bonus and penalty are two methods")
    return chain(_grpo(ddof=ddof, eps=eps), entropy_smoothing(gamma=sign * gamma, length=length))


# --- the table -----------------------------------------------------------------------------------------------------

_DS_PAPER = "arXiv 2511.19942"
_TABLE: dict[str, _Row] = {
    "grpo": _Row(
        _grpo,
        "Group-relative advantages, scaled by the group's standard deviation",
        "A_i = (r_i - mean r) / (std r + eps)",
        "arXiv 2402.03300",
    ),
    "dr-grpo": _Row(
        _dr_grpo,
        "Centre only, and divide the loss by a constant length",
        "A_i = r_i - mean r; loss summed over tokens / (completions x max length)",
        "arXiv 2503.20783",
    ),
    "rloo": _Row(
        _rloo,
        "Baseline: the mean of the other completions",
        "A_i = (G r_i - sum r) / (G - 1)",
        "arXiv 2402.14740",
    ),
    "maxrl": _Row(
        _maxrl,
        "Divide by the success rate: hard prompts weigh more",
        "A_i = (r_i - mean r) / (mean r + eps), r in {0, 1}",
        "arXiv 2602.02710",
    ),
    "grpo-low-lr": _Row(
        _grpo_low_lr,
        "Control: GRPO with a smaller learning rate",
        "GRPO; learning rate x learning_rate_scale",
        "control",
    ),
    "grpo-kl": _Row(
        _grpo_kl,
        "Control: GRPO with a KL penalty to the base model",
        "GRPO; loss + kl_coef KL(pi, pi_ref)",
        "control",
    ),
    "ds-grpo": _Row(
        variants.ds_grpo,
        "Differential smoothing with the mean token log-prob, after scaling (the published default)",
        "A_i = GRPO_i - gamma_p m_i if correct, + gamma_n m_i if not; m_i = log pi_old(y_i) / |y_i|",
        f"{_DS_PAPER}, Eq. 6, mean form",
    ),
    "ds-grpo-sum": _Row(
        variants.ds_grpo_sum,
        "Differential smoothing with the summed log-prob, after scaling (Eq. 6 as printed)",
        "A_i = GRPO_i - gamma_p l_i if correct, + gamma_n l_i if not; l_i = log pi_old(y_i)",
        f"{_DS_PAPER}, Eq. 6",
    ),
    "ds-grpo-token": _Row(
        _ds_grpo_token,
        "Differential smoothing token by token",
        "A_it = GRPO_i - gamma_p log pi_old(y_it) if correct, + gamma_n log pi_old(y_it) if not",
        f"{_DS_PAPER}, early code",
    ),
    "ds-grpo-reward": _Row(
        variants.ds_grpo_reward,
        "Differential smoothing of the score, then centred, without scaling",
        "s_i = r_i - gamma_p m_i if correct, + gamma_n m_i if not; A_i = s_i - mean s",
        f"{_DS_PAPER}, code, probably for CountDown",
    ),
    "ds-grpo-centered": _Row(
        variants.ds_grpo_centered,
        "Scale-free smoothing: z-score of the log-prob within the correct class",
        "A_i = (r_i - mean r - kappa w z_i) / max(std correct, .25); z_i = clip((l_i - mean l) / batch scale)",
        "unsharpen (theory notes)",
    ),
    "ds-grpo-robust": _Row(
        variants.ds_grpo_robust,
        "Smoothed score through a floored binary std, uniform groups skipped",
        "s_i = r_i - gamma_p l_i if correct, + gamma_n l_i if not; A_i = (s_i - mean s) / max(std correct, .25)",
        "unsharpen (theory notes)",
    ),
    "entropy-bonus-seq": _Row(
        _entropy_bonus_seq,
        "Control: reward surprise in every completion, right or wrong",
        "A_i = GRPO_i - gamma l_i",
        f"control in {_DS_PAPER}",
    ),
    "entropy-penalty-seq": _Row(
        _entropy_penalty_seq,
        "Control: punish surprise in every completion",
        "A_i = GRPO_i + gamma l_i",
        f"control in {_DS_PAPER}",
    ),
}
