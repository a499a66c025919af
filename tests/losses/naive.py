"""Loss terms again, token by token on plain lists."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from unsharpen.losses import LossBatch


def random_fields(seed: int, *, rows: int = 4, columns: int = 5, top: int = 3) -> dict[str, np.ndarray]:
    """Every field of a LossBatch in float64; completions of different lengths, one without any token."""
    rng = np.random.default_rng(seed)
    lengths = np.array([columns, 3, 0, 1][:rows])
    mask = np.arange(columns) < lengths[:, None]
    logprobs = -rng.gamma(1.0, 1.0, (rows, columns))
    shares = np.sort(rng.dirichlet(np.ones(top + 4), (rows, columns)), axis=-1)[..., ::-1][..., :top]
    return {
        "logprobs": logprobs,
        "old_logprobs": logprobs + rng.normal(scale=0.2, size=logprobs.shape),
        "mask": mask,
        "advantages": np.repeat(np.array([[1.2], [-0.7], [0.4], [0.9]])[:rows], columns, axis=1),
        "correct": np.array([True, False, True, True])[:rows],
        "entropies": rng.gamma(1.0, 0.7, (rows, columns)),
        "reference_logprobs": logprobs + rng.normal(scale=0.5, size=logprobs.shape),
        "top_logprobs": np.log(shares),
        "likeliest": rng.random(logprobs.shape) < 0.6,
        "mean_logprobs": -4 + rng.normal(scale=0.1, size=logprobs.shape),
        "old_mean_logprobs": -4 + rng.normal(scale=0.1, size=logprobs.shape),
    }


def tensors(fields: dict[str, np.ndarray], *grad: str) -> dict[str, torch.Tensor]:
    made = {name: torch.tensor(np.ascontiguousarray(values)) for name, values in fields.items()}
    for name in grad:
        made[name].requires_grad_(True)
    return made


def loop(fields: dict[str, np.ndarray], token: Any) -> np.ndarray:
    """[N, T] of ``token(i, t)`` at unmasked places, 0 elsewhere."""
    out = np.zeros(fields["mask"].shape)
    for i, t in zip(*np.nonzero(fields["mask"]), strict=True):
        out[i, t] = token(int(i), int(t))
    return out


def mean(fields: dict[str, np.ndarray], name: str, i: int) -> float:
    values = fields[name][i][fields["mask"][i]]
    return float(values.mean()) if len(values) else 0.0


def covariances(fields: dict[str, np.ndarray]) -> np.ndarray:
    mask = fields["mask"]
    a, logp = (fields[name] - fields[name][mask].mean() for name in ("advantages", "logprobs"))
    return loop(fields, lambda i, t: a[i, t] * logp[i, t])


def batch(fields: dict[str, Any], **options: float) -> LossBatch:
    return LossBatch(**fields, **options)


def js(u: float) -> float:
    return u * math.log(u) - (u + 1) * math.log((u + 1) / 2)
