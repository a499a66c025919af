"""Training on tables: softmax policies moved by the advantages of a catalogue method, nothing approximated.

Each step samples a group per prompt from the current policy, hands it to the very ``Method.advantages`` that a trainer
calls, and moves the logits by ``A_y (e_y - pi)``, averaged over the group and over the prompts that share a table.
A guide and not a promise: a language model shares strategies in ways that no table does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unsharpen.batch import GroupBatch
from unsharpen.errors import InputError
from unsharpen.methods import Method, get_method
from unsharpen.theory._checks import Bools, Floats, checked, finite, log_sum, mean, number, whole
from unsharpen.theory.measures import entropy, within

# What a table can stand for: one token a completion, one update a batch.
_SETTINGS = {"learning_rate_scale", "kl_coef", "loss"}


@dataclass(frozen=True)
class Trajectory:
    """A training run, recorded at R steps for P prompts.

    Attributes:
        steps: [R] steps done; the first is 0, the base policy.
        logit: [R, P] logit of Pass@1.
        effective: [R, P] effective number of correct completions.
        entropy: [R, P] H(q), nats.
        log_policy: [P, n] the policy at the end.
        held_out: [P] prompts that were not trained on.
    """

    steps: NDArray[np.int64]
    logit: Floats
    effective: Floats
    entropy: Floats
    log_policy: Floats
    held_out: Bools

    def pass_at(self, k: int) -> Floats:
        """[R, P] exact Pass@k: ``1 - (1 - C)^k``."""
        return np.asarray(-np.expm1(-whole("k", k) * np.logaddexp(0.0, self.logit)))


def simulate(
    log_base: ArrayLike,
    correct: ArrayLike,
    method: str | Method = "grpo",
    *,
    group_size: int = 16,
    learning_rate: float = 1.0,
    steps: int = 200,
    every: int = 10,
    seed: int = 0,
) -> Trajectory:
    """Train every prompt with logits of its own.

    ``theta_p += eta / G * sum_g A_pg (e_{y_pg} - pi_p)``

    Args:
        log_base: [n] or [P, n] nats; copies of one prompt are independent repetitions.
        correct: [n] or [P, n] bool.
        method: catalogue name, or ``get_method(name, ...)`` with coefficients. Completions have length 1, so mean and
            summed log-probs are the same; of the engine settings, ``learning_rate_scale`` and ``kl_coef`` act. A
            method with a memory has the same memory afterwards as before: what it saw here is forgotten.
        group_size: G.
        learning_rate: eta.
        steps: updates.
        every: steps between records.
        seed: of the samples.

    Returns:
        Trajectory.

    Raises:
        InputError: malformed base, or a method with an engine setting that a table can't stand for.

    Example:
        >>> base, correct = np.log([0.3, 0.1, 0.6]), [True, True, False]
        >>> run = simulate(base, correct, "grpo", steps=100)
        >>> bool(run.pass_at(1)[-1, 0] > 0.99), bool(run.effective[-1, 0] < run.effective[0, 0])
        (True, True)
    """
    log_p, flags = checked(log_base, correct)
    log_p, flags = np.atleast_2d(log_p), np.atleast_2d(flags)
    if log_p.ndim != 2:
        raise InputError(f"simulate takes [n] or [P, n], found shape {log_p.shape}")
    rows, held_out = np.arange(len(log_p)), np.zeros(len(log_p), dtype=bool)
    return _train(log_p, flags, method, rows, held_out, group_size, learning_rate, steps, every, seed)


def simulate_shared(
    log_base: ArrayLike,
    correct: ArrayLike,
    method: str | Method = "grpo",
    *,
    types: ArrayLike,
    held_out: ArrayLike,
    group_size: int = 16,
    learning_rate: float = 1.0,
    steps: int = 200,
    every: int = 10,
    seed: int = 0,
) -> Trajectory:
    """Train prompts that share strategies, and watch the ones that are never trained on.

    Completion j is *strategy* j. Prompts of one type share a table of logits, so what training prefers on some it
    prefers on all; which strategy solves which prompt differs. ``theta_t += eta * mean over the trained prompts of
    type t of their gradients``, as in :func:`simulate`. Here diversity pays: a strategy that fails on a held-out
    prompt has a substitute, or has none.

    Args:
        log_base: [P, n] nats.
        correct: [P, n] bool.
        types: [P] whole numbers.
        held_out: [P] bool.
        method: as in :func:`simulate`.
        group_size: likewise.
        learning_rate: likewise.
        steps: likewise.
        every: likewise.
        seed: likewise.

    Returns:
        Trajectory over all prompts; select with its ``held_out``.

    Raises:
        InputError: as in :func:`simulate`; shapes that do not match; a type without a trained prompt.

    Example:
        >>> from unsharpen.theory import shared_world
        >>> world = shared_world(multiplicity="high", seed=0)
        >>> run = simulate_shared(
        ...     world.log_base, world.correct, "grpo", types=world.types, held_out=world.held_out, steps=5, every=5
        ... )
        >>> run.pass_at(8)[:, world.held_out].shape == (2, world.held_out.sum())
        True
    """
    log_p, flags = checked(log_base, correct)
    kinds, unseen = np.asarray(types), np.asarray(held_out)
    if log_p.ndim != 2 or kinds.shape != log_p.shape[:1] or unseen.shape != kinds.shape:
        raise InputError(
            "simulate_shared takes log_base [P, n] with types and held_out [P]; found shapes "
            f"{log_p.shape}, {kinds.shape} and {unseen.shape}"
        )
    if not np.issubdtype(kinds.dtype, np.integer) or unseen.dtype != np.bool_:
        raise InputError(f"types must be integers and held_out bool, found {kinds.dtype} and {unseen.dtype}")
    values, rows = np.unique(kinds, return_inverse=True)
    untrained = np.setdiff1d(np.arange(len(values)), rows[~unseen])
    if untrained.size:
        raise InputError(f"every type needs a prompt that is not held out; type {values[untrained[0]]} has none")
    return _train(log_p, flags, method, rows, unseen, group_size, learning_rate, steps, every, seed)


def _train(
    log_base: Floats,
    flags: Bools,
    method: str | Method,
    rows: NDArray[np.intp],
    held_out: Bools,
    group_size: int,
    learning_rate: float,
    steps: int,
    every: int,
    seed: int,
) -> Trajectory:
    chosen, scale, kl_coef = _settings(method)
    size, total, every = whole("group_size", group_size), whole("steps", steps, least=0), whole("every", every)
    rate = number("learning_rate", learning_rate, above=0.0) * scale
    rng = np.random.default_rng(whole("seed", seed, least=0))
    train = np.flatnonzero(~held_out)
    base, known, table = log_base[train], flags[train], rows[train]
    share = 1 / np.bincount(table)[table][:, None]
    theta = np.zeros((int(rows.max()) + 1, log_base.shape[1]))
    recorder = _Recorder(log_base, flags, rows)
    recorder(0, theta)
    with _memory_kept(chosen):
        for step in range(1, total + 1):
            log_pi = _policy(base, theta[table])
            drawn = _sample(rng, log_pi, size)
            batch = _batch(chosen.requires, drawn, log_pi, base, known)
            gradient = _score(np.asarray(chosen.advantages(batch), dtype=np.float64), drawn, log_pi)
            if kl_coef:
                gap = log_pi - base
                gradient -= kl_coef * np.exp(log_pi) * (gap - mean(log_pi, gap)[:, None])
            with np.errstate(over="ignore", invalid="ignore"):
                np.add.at(theta, table, rate * share * gradient)
            finite(theta, what="the table of logits", hint="a smaller learning rate or coefficient")
            if step % every == 0 or step == total:
                recorder(step, theta)
    done, logit, effective, spread = map(np.asarray, zip(*recorder.records, strict=True))
    return Trajectory(done, logit, effective, spread, _policy(log_base, theta[rows]), held_out)


@contextmanager
def _memory_kept(method: Method) -> Iterator[None]:
    """Prompt ids start at 0 in every run, so what a method learned of them here must reach no other run."""
    if method.memory is None:
        yield
        return
    held = method.memory.state_dict()
    try:
        yield
    finally:
        method.memory.load_state_dict(held)


def _settings(method: str | Method) -> tuple[Method, float, float]:
    """The method, its factor on the learning rate, and its KL coefficient."""
    chosen = get_method(method) if isinstance(method, str) else method
    settings = chosen.recipe.settings
    if unknown := sorted(set(settings) - _SETTINGS):
        raise InputError(
            f"a table can't stand for the engine setting {', '.join(unknown)} of method {chosen.name!r}",
            hint=f"settings that act here: {', '.join(sorted(_SETTINGS))}",
        )
    if parts := {part: name for part, name in chosen.beyond_advantages.items() if part != "token step"}:
        part, name = next(iter(parts.items()))
        raise InputError(
            f"a table can't stand for the {part} `{name}` of method {chosen.name!r}",
            hint="in a table a completion is one action; train a model, or choose a method of advantages alone",
        )
    step = chosen.recipe.token_transform
    if step is not None and step.stage == "loss":
        raise InputError(f"a table can't stand for the token step `{step.name}` of method {chosen.name!r}")
    return chosen, float(settings.get("learning_rate_scale", 1.0)), float(settings.get("kl_coef", 0.0))


class _Recorder:
    """Collects (step, logit, effective, entropy) of all prompts."""

    def __init__(self, log_base: Floats, flags: Bools, rows: NDArray[np.intp]) -> None:
        self.log_base, self.flags, self.rows = log_base, flags, rows
        self.records: list[tuple[Any, ...]] = []

    def __call__(self, step: int, theta: Floats) -> None:
        log_pi = _policy(self.log_base, theta[self.rows])
        log_q = within(log_pi, self.flags)
        logit = log_sum(log_pi, self.flags) - log_sum(log_pi, ~self.flags)
        self.records.append((step, logit, np.exp(-log_sum(2 * log_q, self.flags)), entropy(log_q)))


def _policy(log_base: Floats, theta: Floats) -> Floats:
    scores = log_base + theta
    return np.asarray(scores - log_sum(scores, keepdims=True))


def _sample(rng: np.random.Generator, log_pi: Floats, size: int) -> NDArray[np.intp]:
    """[P, G] completions drawn by inverting the distribution function."""
    steps = np.cumsum(np.exp(log_pi), axis=1)
    point = rng.random((len(log_pi), size, 1)) * steps[:, None, -1:]
    return np.asarray((point >= steps[:, None, :]).sum(-1))


def _batch(requires: frozenset[str], drawn: NDArray[np.intp], log_pi: Floats, base: Floats, flags: Bools) -> GroupBatch:
    """What an engine would fill in, as far as the method reads it."""
    correct = np.take_along_axis(flags, drawn, axis=1)
    supply: dict[str, Callable[[], Any]] = {
        "logprobs": lambda: np.take_along_axis(log_pi, drawn, axis=1),
        "reference_logprobs": lambda: np.take_along_axis(base, drawn, axis=1),
        "lengths": lambda: np.ones(drawn.shape, dtype=np.int64),
        "answers": lambda: drawn,
        "embeddings": lambda: np.eye(log_pi.shape[1])[drawn],  # every completion is a direction of its own
        "entropies": lambda: np.broadcast_to(entropy(log_pi)[:, None], drawn.shape),
        "num_solutions": lambda: flags.sum(axis=1),
        "prompt_ids": lambda: np.arange(len(drawn)),
    }
    fields = {name: supply[name]() for name in requires if name in supply}  # the method names what is missing
    return GroupBatch(rewards=correct.astype(np.float64), correct=correct, **fields)


def _score(advantages: Floats, drawn: NDArray[np.intp], log_pi: Floats) -> Floats:
    """[P, n] mean over the group of ``A (e_y - pi)``."""
    prompts, n = log_pi.shape
    cells = (drawn + n * np.arange(prompts)[:, None]).reshape(-1)
    hits = np.bincount(cells, weights=advantages.reshape(-1), minlength=prompts * n).reshape(prompts, n)
    return np.asarray((hits - np.exp(log_pi) * advantages.sum(axis=1, keepdims=True)) / drawn.shape[1])
