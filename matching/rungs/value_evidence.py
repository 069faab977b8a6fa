"""Values as evidence: equal tensors correspond, unequal ones do not, whatever computed them.

A fingerprint holds statistics of all elements that no reordering changes, so that layouts need not
be known. Whoever runs the models hands them in by native value; matching itself runs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from padiff_graph.capture.graph import Value

__all__ = ["Evidence", "Fingerprint"]

TOLERANCE = 1e-3
"""Of a statistic, against the root mean square: float32 noise through a deep network stays below
it."""


class Fingerprint(NamedTuple):
    """Statistics of a tensor's elements, the same for every order of them."""

    size: int
    mean: float
    magnitude: float
    square: float
    cube: float
    largest: float
    smallest: float

    @classmethod
    def of(cls, array: np.ndarray[Any, Any]) -> Fingerprint:
        """The fingerprint of an array of numbers or bools; elements that are not finite count as
        0."""
        flat = np.asarray(array).reshape(-1)
        if flat.dtype.kind == "c":
            flat = flat.view(flat.real.dtype)
        flat = np.nan_to_num(flat.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        if not flat.size:
            return cls(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        square = math.sqrt(float(np.mean(flat * flat)))
        return cls(
            int(flat.size),
            float(flat.mean()),
            float(np.abs(flat).mean()),
            square,
            float(np.cbrt(np.mean(flat**3))),
            float(flat.max()),
            float(flat.min()),
        )

    def agrees(self, other: Fingerprint, tolerance: float = TOLERANCE) -> bool:
        """Whether both may be the same elements in some order."""
        if self.size != other.size:
            return False
        room = tolerance * max(self.square, other.square) + 1e-30
        # A cube root grows without bound near zero and extremes carry the noise of one element.
        slack = (1.0, 1.0, 1.0, 30.0, 10.0, 10.0)
        return all(
            abs(a - b) <= room * s for a, b, s in zip(self[1:], other[1:], slack, strict=True)
        )

    def distance(self, other: Fingerprint) -> float:
        """How far the steadiest statistics are apart, against the root mean square."""
        return max(abs(a - b) for a, b in zip(self[1:4], other[1:4], strict=True)) / max(
            self.square, other.square, 1e-30
        )

    @property
    def telling(self) -> bool:
        """Whether agreement says much: a constant tensor agrees with any like it."""
        return self.size > 1 and self.largest - self.smallest > 1e-6 * max(self.square, 1e-30)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Fingerprints of native values of both graphs, from runs on the same inputs and weights.

    Attributes:
        first, second: by native value.
        folds: whether one side may hold operations folded into the weights of others (a deployed
            model).
    """

    first: Mapping[Value, Fingerprint] = field(default_factory=dict)
    second: Mapping[Value, Fingerprint] = field(default_factory=dict)
    folds: bool = False
