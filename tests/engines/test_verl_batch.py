"""What is read from a batch of verl, without verl: columns as its TransferQueue gives them."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from unsharpen import get_method, list_methods
from unsharpen.engines._identity import answer_id, stable_id
from unsharpen.engines._options import NAMES, Options, read_options
from unsharpen.engines._verl_batch import Columns, batch_of, layout_of, reported, solutions_of, values_of
from unsharpen.errors import EngineError, InputError, MissingExtraError, UnknownNameError
from unsharpen.methods import default_coefficients

LENGTHS = np.asarray([2, 3, 1, 2, 1])
FLOATS = {"dtype": np.float32}
#  u1 has the completions 0 (two outputs, the second stands first) and 1, u_2 has one; the last row is padding
COLUMNS = Columns(
    keys=["u1_0_1", "u1_1_0", "u_2_5_0", "u1_0_0", "pad77_0_0"],
    padding=[False, False, False, False, True],
    lengths=LENGTHS,
    mask=np.asarray([1, 1, 1, 0, 1, 1, 1, 1, 0], dtype=bool),
    scores=np.asarray([0, 1, 0, 0, -1, 0.1, 0, 1, 0], **FLOATS),
    logprobs=np.asarray([-1, -2, -3, -50, -4, -5, -6, -7, 0], **FLOATS),
    reward_infos=[
        {"acc": 1, "answer": "1+2", "solution": "1+2"},
        {"acc": 0, "answer": "", "solution": None},
        {"acc": 0, "answer": "3", "solution": ""},
        {"acc": 1, "answer": "stale", "solution": "stale"},
        {},
    ],
    extra_infos=[{"num_solutions": n, "prompt_id": i} for n, i in [(4, "a"), (4, "a"), (2, "b"), (4, "a"), (9, "x")]],
)


def options(name: str = "ds-grpo-sum", coefficients: dict[str, Any] | None = None, **values: Any) -> Options:
    return Options(method=get_method(name, **(coefficients or {})), **values)


def test_a_batch_with_ragged_groups_parts_and_padding() -> None:
    layout = layout_of(COLUMNS)
    batch = batch_of(COLUMNS, layout, options())
    assert batch.mask.tolist() == [[True, True], [True, False]]
    assert batch.rewards[batch.mask].tolist() == pytest.approx([1, -1, 0.1])
    assert batch.correct.tolist() == [[True, False], [False, False]]
    assert batch.logprobs.tolist() == [[-16, -7], [-5, 0]]  # -1-2-6-7; -3-4 without the tool's token; -5
    assert batch.lengths[batch.mask].tolist() == [4, 2, 1]
    assert solutions_of(COLUMNS, layout, options()) == [stable_id("1+2"), None, None, None]


def test_advantages_reach_the_tokens_of_their_rows() -> None:
    layout, chosen = layout_of(COLUMNS), options(coefficients={"gamma_p": 0.5})
    batch = batch_of(COLUMNS, layout, chosen)
    advantages = chosen.method.advantages(batch)
    (a, b), (c, _) = advantages.tolist()
    values = values_of(COLUMNS, layout, batch, advantages, chosen)
    assert values.tolist() == pytest.approx([a, a, b, b, b, c, a, a, 0])
    assert a > 8  # GRPO about .7, and .5 x 16 nats


def test_correctness_by_threshold_and_key() -> None:
    layout = layout_of(COLUMNS)

    def correct(**values: Any) -> list[bool]:
        batch = batch_of(COLUMNS, layout, options(**values))
        return list(batch.correct[batch.mask].tolist())

    assert correct(correct_threshold=0.1) == [True, False, True]
    assert correct(correct_threshold=-1.0) == [True, True, True]
    assert correct(correct_key="acc") == [True, False, False]
    with pytest.raises(EngineError, match=r"correct_key needs 'accuracy' .* row 0 it returned acc, answer, solution"):
        correct(correct_key="accuracy")


def test_answers_prompts_and_solutions() -> None:
    layout = layout_of(COLUMNS)
    batch = batch_of(COLUMNS, layout, options("ucb"))
    assert batch.answers[batch.mask].tolist() == [answer_id("1+2"), answer_id(None), answer_id("3")]
    assert batch.prompt_ids.tolist() == [stable_id("a"), stable_id("b")]
    assert batch_of(COLUMNS, layout, options("gapo")).num_solutions.tolist() == [4, 2]
    prompts = [[{"role": "user", "content": word}] for word in "aabax"]
    batch = batch_of(replace(COLUMNS, extra_infos=None, prompts=prompts), layout, options("ucb"))
    assert batch.prompt_ids.tolist() == [stable_id(prompts[0]), stable_id(prompts[2])]
    with pytest.raises(EngineError, match="'wish' from the reward function"):
        reported(COLUMNS, "wish", by="ucb")
    with pytest.raises(EngineError, match="num_solutions; extra_info of row 0 has nothing"):
        batch_of(replace(COLUMNS, extra_infos=None), layout, options("gapo"))
    images = [[{"role": "user", "content": [{"type": "image", "image": object()}]}]] * 5
    with pytest.raises(EngineError, match=r"a prompt holds something else(.|\n)*extra_info\['prompt_id'\]"):
        batch_of(replace(COLUMNS, extra_infos=None, prompts=images), layout, options("ucb"))
    assert batch_of(replace(COLUMNS, prompts=images), layout, options("ucb")).prompt_ids.tolist() == (
        [stable_id("a"), stable_id("b")]
    )


def test_solutions_are_what_the_reward_function_says() -> None:
    layout = layout_of(COLUMNS)
    assert solutions_of(replace(COLUMNS, reward_infos=[{}] * 5), layout, options()) is None
    zeros = replace(COLUMNS, reward_infos=[{"solution": 0}, {"solution": 0}, {"solution": None}, {}, {}])
    assert solutions_of(zeros, layout, options()) == [stable_id(0), stable_id(0), None, None]


def test_groups_too_small_for_the_method_are_left_out() -> None:
    chosen = options("rloo")
    layout = layout_of(COLUMNS, least=2)
    assert (layout.shape, layout.num_skipped) == ((1, 2), 1)
    batch = batch_of(COLUMNS, layout, chosen)
    values = values_of(COLUMNS, layout, batch, chosen.method.advantages(batch), chosen)
    assert values.tolist() == [2, 2, -2, -2, -2, 0, 2, 2, 0]  # rewards 1 and -1; u_2 has one completion
    with pytest.raises(InputError, match="at least 3 completion"):
        layout_of(COLUMNS, least=3)


def test_mean_entropies_are_over_own_tokens() -> None:
    entropies = np.asarray([1, 1, 2, 99, 4, 0.5, 3, 3, 99], **FLOATS)
    columns = replace(COLUMNS, entropies=entropies)
    batch = batch_of(columns, layout_of(columns), options("egsw"))
    # of the last output where there are several: 1 and 1; 2 and 4 without the tool's token; .5
    assert batch.entropies[batch.mask].tolist() == [1, 3, 0.5]


def test_missing_log_probs_and_entropies_are_named() -> None:
    with pytest.raises(EngineError, match="`ds-grpo` needs logprobs"):
        batch_of(replace(COLUMNS, logprobs=None), layout_of(COLUMNS), options("ds-grpo"))
    with pytest.raises(EngineError, match="`egsw` needs entropies"):
        batch_of(COLUMNS, layout_of(COLUMNS), options("egsw"))


@pytest.mark.parametrize("key", ["u1", "u1_0", "u1_0_x"])
def test_keys_of_another_form(key: str) -> None:
    with pytest.raises(InputError, match=f"uid_session_output; found '{key}'"):
        layout_of(replace(COLUMNS, keys=[key, *COLUMNS.keys[1:]]))


def test_options_beside_coefficients() -> None:
    found = read_options(
        {"method": "ds-grpo", "gamma_p": "0.2", "correct_threshold": 0, "logprobs": "rollout"}, example="e"
    )
    assert found.method.coefficients["gamma_p"] == 0.2
    assert (found.correct_threshold, found.logprobs, found.answer_key) == (0, "rollout", "answer")
    for name in list_methods():
        assert not NAMES & default_coefficients(name).keys()


@pytest.mark.parametrize(
    ("section", "error", "words"),
    [
        (None, EngineError, "no `unsharpen` section"),
        ({"gamma_p": 0.1}, EngineError, "name of a method"),
        ("ds-grpo", EngineError, "unsharpen='ds-grpo'"),
        ({"method": "ds-grop"}, UnknownNameError, "ds-grop"),
        ({"method": "ds-grpo", "gama_p": 0.1}, InputError, "no coefficient 'gama_p'"),
        ({"method": "ds-grpo", "gamma_p": -1}, InputError, "gamma_p"),
        ({"method": "ds-grpo", "correct_threshold": "high"}, EngineError, "correct_threshold must be a number"),
        ({"method": "ds-grpo", "logprobs": "new"}, EngineError, "one of old, rollout; found 'new'"),
    ],
)
def test_bad_options(section: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        read_options(section, example="+unsharpen.method=ds-grpo")


def test_without_verl_the_import_says_so() -> None:  # it is never installed beside trl
    with pytest.raises(MissingExtraError, match="needs verl, which is not installed") as caught:
        importlib.import_module("unsharpen.engines.verl")
    assert "docs/verl.md" in str(caught.value)


def test_a_loss_that_verl_has_itself_leaves_plain_advantages_to_it() -> None:
    layout, chosen = layout_of(COLUMNS), options("clip-cov")
    batch = batch_of(COLUMNS, layout, chosen)
    advantages = chosen.method.advantages(batch)
    (a, b), (c, _) = advantages.tolist()
    assert values_of(COLUMNS, layout, batch, advantages, chosen).tolist() == pytest.approx([a, a, b, b, b, c, a, a, 0])


def test_the_length_limit_reaches_methods_that_punish_length() -> None:
    layout = layout_of(COLUMNS)
    batch = batch_of(replace(COLUMNS, max_length=4), layout, options("dapo"))
    assert batch.max_lengths.tolist() == [4, 4]
    with pytest.raises(EngineError, match="needs max_lengths; verl's batch came without"):
        batch_of(COLUMNS, layout, options("dapo"))
