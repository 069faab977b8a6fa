"""How far apart two whole runs may be before agreement within the tolerance says nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from padiff_graph.capture.eager_run import GRADIENTS
from padiff_graph.referee.tolerance import Quantity

__all__ = ["Apart", "far_apart", "left_open"]

FAR = {"output": 1e-3, "loss": 1e-3, "buffer": 1e-3, "input": 0.05, "parameter": 0.05}
"""How far apart, relative to the largest value of its kind, a quantity may be before float64 is
asked though the tolerance allows it; chosen above what accumulated rounding reaches in most models,
since each further question costs a run of both models in float64."""


class Apart(Protocol):
    """How far two values are apart."""

    @property
    def error(self) -> float:
        """Largest absolute difference."""
        ...

    @property
    def scale(self) -> float:
        """Largest magnitude."""
        ...


def far_apart(measured: Sequence[tuple[str, Apart]]) -> bool:
    """Whether a quantity is far apart on the scale of its kind.

    Args:
        measured: of each its kind, and how far it is apart.
    """
    scales: dict[str, float] = {}
    for kind, apart in measured:
        scales[kind] = max(scales.get(kind, 0.0), apart.scale)
    return any(apart.error > FAR[kind] * (scales[kind] or 1.0) for kind, apart in measured)


def left_open(quantities: Sequence[Quantity]) -> bool:
    """Whether totals of the eager runs say nothing, though they agree within the tolerance: one is
    far apart on the scale of its kind, or cancels to the last bit, whatever either does with it on
    the way."""
    counted = [quantity for quantity in quantities if quantity.counted]
    return far_apart([(quantity.kind, quantity) for quantity in counted]) or any(
        quantity.kind in GRADIENTS and not quantity.scale for quantity in counted
    )
