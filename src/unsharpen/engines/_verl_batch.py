"""From the columns of verl's batch to a GroupBatch, and advantages back to token rows. Imports nothing of verl."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unsharpen.batch import GroupBatch
from unsharpen.engines._identity import answer_id, prompt_id, stable_id
from unsharpen.engines._options import Options
from unsharpen.engines._rollouts import Layout, group_batch, row_sums, token_advantages
from unsharpen.errors import EngineError, InputError


@dataclass(frozen=True, kw_only=True)
class Columns:
    """A batch as verl's TransferQueue gives it, N rows; tokens of all rows stand end to end.

    Attributes:
        keys: [N] ``{uid}_{session}_{output}``: prompt, completion, and part of the completion.
        padding: [N] whether verl added the row to fill up the batch.
        lengths: [N] response tokens, those of tools included.
        mask: tokens that the model sampled, as they were before any rejection.
        scores: tokens of ``rm_scores``: raw rewards, before any KL term.
        logprobs: tokens of ``old_log_probs`` or ``rollout_log_probs``, as the options say; None where absent.
        reference_logprobs: tokens of ``ref_log_prob``; None where absent.
        entropies: tokens; None where absent.
        reward_infos: [N] what the reward function returned beside the score; None where the method needs none.
        extra_infos: [N] the column of that name in the data; None where the method needs none.
        prompts: [N] the conversation of the data; None where the method needs none.
        max_length: tokens at which verl cuts a response; None where it was not said.
    """

    keys: Sequence[str]
    padding: Sequence[bool]
    lengths: Any
    mask: Any
    scores: Any
    logprobs: Any = None
    reference_logprobs: Any = None
    entropies: Any = None
    reward_infos: Sequence[Mapping[str, Any]] | None = None
    extra_infos: Sequence[Mapping[str, Any]] | None = None
    prompts: Sequence[Any] | None = None
    max_length: int | None = None


def layout_of(columns: Columns, *, least: int = 1) -> Layout:
    """Groups by uid, completions by session, parts by output; groups of fewer than ``least`` completions are left out.

    Raises:
        InputError: a key of another form.
    """
    pieces = [key.rsplit("_", 2) for key in columns.keys]
    for key, piece in zip(columns.keys, pieces, strict=True):
        if len(piece) != 3 or not piece[2].isdigit():
            raise InputError(f"verl's keys must read uid_session_output; found {key!r}")
    uids, sessions, outputs = zip(*pieces, strict=True)
    real = [not padding for padding in columns.padding]
    return Layout(uids, completions=sessions, parts=list(map(int, outputs)), real=real, least=least)


def batch_of(columns: Columns, layout: Layout, options: Options) -> GroupBatch:
    """The GroupBatch with what the method requires, and log-probs and lengths where they are there.

    Raises:
        EngineError: a field that the method requires, or a key that the options name, is missing.
    """
    scores = row_sums(columns.scores, np.ones(len(columns.scores), dtype=bool), columns.lengths)
    own = row_sums(columns.mask, columns.mask, columns.lengths)
    fields: dict[str, Any] = {"rewards": scores, "lengths": own.astype(np.int64)}
    fields["correct"] = _deciding(columns, scores, options) >= options.correct_threshold
    for name in ("logprobs", "reference_logprobs"):
        tokens = getattr(columns, name)
        if tokens is not None:
            fields[name] = row_sums(tokens, columns.mask, columns.lengths)
    needs = options.method.requires
    if "entropies" in needs and columns.entropies is not None:
        fields["entropies"] = row_sums(columns.entropies, columns.mask, columns.lengths) / np.maximum(own, 1)
    if "answers" in needs:
        fields["answers"] = [answer_id(a) for a in reported(columns, options.answer_key, by=options.method.name)]
    if "num_solutions" in needs:
        fields["num_solutions"] = _num_solutions(columns, options.method.name)
    if "max_lengths" in needs and columns.max_length is not None:
        fields["max_lengths"] = [columns.max_length] * len(columns.keys)
    if "prompt_ids" in needs:
        fields["prompt_ids"] = _prompt_ids(columns)
    if missing := sorted(needs - fields.keys()):
        raise EngineError(
            f"method `{options.method.name}` needs {', '.join(missing)}; verl's batch came without",
            hint="log-probs: actor_rollout_ref.rollout.calculate_log_probs=True, or +unsharpen.logprobs=old",
        )
    return group_batch(layout, fields)


def reported(columns: Columns, key: str, *, by: str) -> list[Any]:
    """[N] what the reward function returned under ``key``, None for an empty text and at padding.

    Raises:
        EngineError: a row whose reward function returned no such key.
    """
    infos = columns.reward_infos or [{}] * len(columns.keys)
    for row, (info, padding) in enumerate(zip(infos, columns.padding, strict=True)):
        if not padding and key not in info:
            raise EngineError(
                f"{by} needs {key!r} from the reward function; for row {row} it returned "
                + (", ".join(map(str, info)) or "a score alone"),
                hint=f"return a dict with 'score' and {key!r}; or name another: unsharpen.answer_key, correct_key",
            )
    return [None if padding else _said(info, key) for info, padding in zip(infos, columns.padding, strict=True)]


def solutions_of(columns: Columns, layout: Layout, options: Options) -> list[int | None] | None:
    """[P * G] what tells correct solutions apart, for the metrics; None where the reward function does not say."""
    key = options.solution_key
    if columns.reward_infos is None or not any(key in info for info in columns.reward_infos):
        return None
    found = np.empty(len(columns.keys), dtype=object)
    found[:] = [None if (said := _said(info, key)) is None else stable_id(said) for info in columns.reward_infos]
    table: Any = np.where(layout.mask, layout.last(found), np.full(layout.shape, None))
    return list(table.reshape(-1))


def values_of(columns: Columns, layout: Layout, batch: GroupBatch, advantages_PG: Any, options: Options) -> Any:
    """Advantage of each token, end to end, before any mask; 0 in rows that are padding."""
    transform = options.method.recipe.token_transform
    if transform is None or transform.stage == "loss":  # the latter is left to a loss of verl's own
        return np.repeat(layout.spread(np.asarray(advantages_PG)), columns.lengths)
    advantages, correct = (np.asarray(table).reshape(-1) for table in (advantages_PG, batch.correct))
    owners = layout.completion_of_rows()
    return token_advantages(transform, owners, advantages, correct, columns.logprobs, columns.mask, columns.lengths)


def _said(info: Mapping[str, Any], key: str) -> Any:
    value = info.get(key)
    return None if value == "" else value


def _deciding(columns: Columns, scores: Any, options: Options) -> Any:
    if options.correct_key is None:
        return scores
    values = reported(columns, options.correct_key, by="unsharpen.correct_key")
    return np.asarray([-np.inf if value is None else float(value) for value in values])


def _num_solutions(columns: Columns, name: str) -> list[int]:
    infos = columns.extra_infos or [{}] * len(columns.keys)
    for row, (info, padding) in enumerate(zip(infos, columns.padding, strict=True)):
        if not padding and "num_solutions" not in info:
            raise EngineError(
                f"method `{name}` needs num_solutions; extra_info of row {row} has {', '.join(info) or 'nothing'}",
                hint="in the data: extra_info['num_solutions'], how many distinct correct answers the prompt has",
            )
    return [0 if padding else int(info["num_solutions"]) for info, padding in zip(infos, columns.padding, strict=True)]


def _prompt_ids(columns: Columns) -> list[int]:
    """``extra_info['prompt_id']`` or else a number made of the prompt; verl's uids are new in every epoch."""
    prompts = columns.prompts or [None] * len(columns.keys)
    infos = columns.extra_infos or [{}] * len(columns.keys)
    rows = zip(infos, prompts, strict=True)
    return [prompt_id(info, prompt, place="extra_info['prompt_id'] in the data") for info, prompt in rows]
