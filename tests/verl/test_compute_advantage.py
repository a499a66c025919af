"""verl's own advantage functions against ours, on the same batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from batches import KEYS, ROLLOUTS, expected, old_logprobs, rows
from tensordict import TensorDict
from torch.testing import assert_close
from verl.protocol import DataProto
from verl.trainer.ppo.v1.utils import compute_advantage_for_multi_trajectories

from unsharpen import get_method
from unsharpen.engines._options import Options
from unsharpen.engines._verl_batch import Columns, batch_of, layout_of, values_of


def through_verl() -> torch.Tensor:
    """[N, T] by the path that verl's trainer takes."""
    masks = [torch.tensor(mask) for *_, mask in ROLLOUTS]
    padded = {
        "response_mask": torch.nn.utils.rnn.pad_sequence(masks, batch_first=True),
        "token_level_rewards": torch.nn.utils.rnn.pad_sequence([r["rm_scores"] for r in rows()], batch_first=True),
    }
    data = DataProto(
        batch=TensorDict(padded, batch_size=len(KEYS)),
        non_tensor_batch={"uid": np.array([uid for uid, *_ in ROLLOUTS], dtype=object)},
    )
    result = compute_advantage_for_multi_trajectories(data, batch_keys=KEYS, adv_estimator="grpo", config={})
    return result.batch["advantages"]


def through_ours(method: Any) -> list[torch.Tensor]:
    lengths = [len(mask) for *_, mask in ROLLOUTS]
    columns = Columns(
        keys=KEYS,
        padding=[False] * len(KEYS),
        lengths=np.asarray(lengths),
        mask=np.concatenate([mask for *_, mask in ROLLOUTS]) > 0,
        scores=torch.cat([r["rm_scores"] for r in rows()]).numpy(),
        logprobs=torch.cat([old_logprobs(i, length) for i, length in enumerate(lengths)]).numpy(),
    )
    layout, options = layout_of(columns), Options(method=method)
    batch = batch_of(columns, layout, options)
    values = values_of(columns, layout, batch, method.advantages(batch), options) * columns.mask
    return list(torch.from_numpy(values).split(lengths))


def test_grpo_is_verls_to_the_last_digits() -> None:
    theirs, ours = through_verl(), through_ours(get_method("grpo", ddof=1, eps=1e-6))
    largest = max(float((row - theirs[i, : len(row)]).abs().max()) for i, row in enumerate(ours))
    print(f"largest difference from verl's GRPO: {largest:.1e}")
    assert largest <= 1e-6
    assert float(theirs.abs().max()) > 0.5


@pytest.mark.parametrize("kind", ["ds-grpo-sum", "ds-grpo-token"])
def test_methods_are_verls_grpo_and_their_own_term(kind: str) -> None:
    lengths = [len(mask) for *_, mask in ROLLOUTS]
    logprobs = [old_logprobs(i, length) for i, length in enumerate(lengths)]
    for ours, by_loops in zip(
        through_ours(get_method(kind, gamma_p=0.3, gamma_n=0.1)), expected(kind, logprobs), strict=True
    ):
        assert_close(ours, by_loops, rtol=1e-5, atol=1e-5)
