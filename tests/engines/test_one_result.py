"""One method, one result: the same rollouts through TRL, verl's columns, slime's data and the plain function."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unsharpen import GroupBatch, get_method
from unsharpen.engines import slime
from unsharpen.engines._options import Options
from unsharpen.engines._verl_batch import Columns, batch_of, layout_of, values_of

from .conftest import Make
from .slime_worker import arguments

G = 6
METHODS = ["ds-grpo", "ds-grpo-sum", "ds-grpo-centered", "ds-grpo-token", "unlikeliness", "ucpo"]

pytestmark = pytest.mark.filterwarnings("ignore::unsharpen.errors.UnsharpenWarning")


def trl_rollouts(trainer: Any) -> list[dict[str, Any]]:
    """What each step of a real TRL trainer sampled and scored, and the advantages that its loss gets."""
    steps: list[dict[str, Any]] = []
    group_batch, generate = trainer._group_batch, trainer._generate_and_score_completions

    def spy(output: Any, token_logprobs: Any, *arguments: Any) -> Any:
        steps.append({"logprobs": token_logprobs.clone(), "mask": output["completion_mask"].bool()})
        return group_batch(output, token_logprobs, *arguments)

    def capture(inputs: Any) -> Any:
        output = generate(inputs)
        steps[-1] |= {"advantages": output["advantages"], "rewards": trainer._rewards_table[:, 0].clone()}
        return output

    trainer._group_batch, trainer._generate_and_score_completions = spy, capture
    trainer.train()
    return steps


def by_token(step: dict[str, Any], advantages: Any) -> Any:
    """[N, T], 0 where there is no token."""
    table = np.asarray(advantages, dtype=np.float32)
    return np.where(step["mask"], table if table.ndim == 2 else table[:, None], 0)


def through_plain_function(step: dict[str, Any], method: Any) -> Any:
    shape = (-1, G)
    rewards = step["rewards"].numpy().reshape(shape)
    batch = GroupBatch(
        rewards=rewards,
        correct=rewards >= 0.5,
        logprobs=(step["logprobs"] * step["mask"]).sum(1).numpy().reshape(shape),
        lengths=step["mask"].sum(1).numpy().reshape(shape),
    )
    table = by_token(step, method.advantages(batch).reshape(-1))
    if method.recipe.token_transform is None:
        return table
    surprise = step["logprobs"].numpy() - (batch.logprobs / batch.lengths).reshape(-1, 1)
    gammas = [method.coefficients[name] for name in ("gamma_p", "gamma_n")]
    term = np.where(batch.correct.reshape(-1, 1), -gammas[0] * surprise, gammas[1] * surprise)
    return np.where(step["mask"], table + term, 0)


def through_verl(step: dict[str, Any], method: Any) -> Any:
    """Rows shuffled, and with a row of padding, as after verl's balancing of the batch."""
    count = len(step["rewards"])
    order = np.random.default_rng(0).permutation(count)
    mask = step["mask"].numpy()[order]
    lengths = mask.sum(1)
    flat = np.append(step["logprobs"].numpy()[order][mask], np.float32(0))
    scores = np.zeros(lengths.sum() + 1, dtype=np.float32)
    scores[np.cumsum(lengths) - 1] = step["rewards"].numpy()[order]
    columns = Columns(
        keys=[*(f"prompt_{i // G}_{i % G}_0" for i in order), "pad_0_0"],
        padding=[False] * count + [True],
        lengths=np.append(lengths, 1),
        mask=np.append(np.ones(lengths.sum(), dtype=bool), False),
        scores=scores,
        logprobs=flat,
    )
    layout, options = layout_of(columns), Options(method=method)
    batch = batch_of(columns, layout, options)
    values = values_of(columns, layout, batch, method.advantages(batch), options)
    table = np.zeros(mask.shape, dtype=np.float32)
    table[mask] = values[:-1]
    return table[np.argsort(order)]


def through_slime(step: dict[str, Any], method: Any) -> Any:
    order = np.random.default_rng(1).permutation(len(step["rewards"])).tolist()
    data = {
        "log_probs": [step["logprobs"][i][step["mask"][i]] for i in order],
        "loss_masks": [step["mask"][i][step["mask"][i]].int() for i in order],
        "sample_indices": order,
        "rollout_ids": order,
        "rewards": [0.0] * len(order),
        "local_raw_reward": [float(step["rewards"][i]) for i in order],
    }
    section = {"method": method.name, **method.coefficients}
    slime.advantages(arguments(n_samples_per_prompt=G, **section), data)
    table = np.zeros(tuple(step["mask"].shape), dtype=np.float32)
    for row, values in zip(order, data["advantages"], strict=True):
        table[row, : len(values)] = values
    return table


@pytest.mark.parametrize("name", METHODS)
def test_all_engines_give_the_advantages_of_the_plain_function(
    make_trainer: Make, name: str, record_property: Any
) -> None:
    method = get_method(name, **({"gamma_p": 0.3, "gamma_n": 0.1} if name.startswith("ds-grpo-token") else {}))
    largest = 0.0
    for step in trl_rollouts(make_trainer(method, max_steps=2, temperature=0.8)):
        expected = through_plain_function(step, method)
        assert np.abs(expected).max() > 0.1
        for found in (by_token(step, step["advantages"]), through_verl(step, method), through_slime(step, method)):
            largest = max(largest, float(np.abs(found - expected).max()))
    record_property("largest difference", largest)
    print(f"{name}: largest difference between engines {largest:.1e}")
    assert largest <= 1e-6 * max(1.0, float(np.abs(expected).max()))
