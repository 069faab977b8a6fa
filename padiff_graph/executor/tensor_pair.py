"""One tensor of both sides, laid side by side, before a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from padiff_graph.capture.engine import Array

__all__ = ["TensorKind", "TensorPair"]

TensorKind = Literal["output", "input", "parameter", "buffer"]
"""An output, the gradient of a boundary value or of a parameter, what a buffer becomes."""


@dataclass(frozen=True, slots=True)
class TensorPair:
    """Elements of the first side's tensor and the same elements of the second's, in one shape.

    Attributes:
        first_name, second_name: of a parameter or buffer, else of the value.
        first, second: None stands for a gradient that did not arrive; one of them is there.
        positions: over how many positions a parameter's gradient sums, at most.
        cut: the boundary that a gradient is of, by index; -1 elsewhere.
    """

    kind: TensorKind
    first_name: str
    second_name: str
    first: Array | None
    second: Array | None
    positions: float = 0.0
    cut: int = -1

    @property
    def gradient(self) -> bool:
        """Whether it is a gradient."""
        return self.kind in ("input", "parameter")

    def arrays(self) -> tuple[Array, Array]:
        """Both sides, read now; a gradient that did not arrive is zero."""
        if self.first is None:
            assert self.second is not None
            return np.zeros(self.second.shape, self.second.dtype), np.asarray(self.second)
        if self.second is None:
            return np.asarray(self.first), np.zeros(self.first.shape, self.first.dtype)
        return np.asarray(self.first), np.asarray(self.second)
