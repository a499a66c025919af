"""A golden row, and how it is checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unsharpen import GroupBatch, get_method


@dataclass(frozen=True)
class Row:
    name: str
    fields: dict[str, Any]
    expected: list[list[float]]
    coefficients: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return "-".join([self.name, *map(str, self.coefficients)])

    def check(self) -> None:
        found = get_method(self.name, **self.coefficients).advantages(GroupBatch(**self.fields))
        np.testing.assert_allclose(found, self.expected, rtol=1e-12, atol=1e-12)
