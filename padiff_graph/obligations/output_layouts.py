"""Outputs that hold the same values with their axes in another order."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.referee.referee import measure

__all__ = ["Layout", "layout_of", "with_layouts"]

RANK = 5
"""Most axes whose orders are tried: 120 of them."""
ROUNDED = 1e-4
"""Difference relative to the largest value that two models' own rounding may leave; chosen above
what float32 leaves of deep equal models."""


@dataclass(frozen=True)
class Layout:
    """An output whose axes stand in another order.

    Attributes:
        name: its place in the first model.
        shapes: its shape in both.
        axes: the order in which the second model has the first's.
    """

    name: str
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    axes: tuple[int, ...]

    @property
    def cause(self) -> Cause:
        """What is to be said of it."""
        tensor = "the output" if self.name == "output" else f"the output {self.name}"
        return Cause.of("outputs.layout", tensor=tensor, axes=self.axes)


def layout_of(name: str, first: Array, second: Array) -> Layout | None:
    """How the axes of an output that differs stand in another order, None where they do not."""
    if sorted(first.shape) != sorted(second.shape) or not 1 < first.ndim <= RANK:
        return None
    plain = tuple(range(first.ndim))
    for axes in itertools.permutations(plain):
        turned = np.transpose(first, axes)
        if axes == plain or turned.shape != second.shape:
            continue
        measured = measure(turned, second)
        if measured.scale > 0.0 and measured.error <= ROUNDED * measured.scale:
            return Layout(name, (first.shape, second.shape), axes)
    return None


def with_layouts(findings: Sequence[Finding], layouts: Iterable[Layout]) -> list[Finding]:
    """The findings with those that say of an output only that its values or shape differ saying how
    its axes stand; a finding for each output of which none speaks, where none fails at all."""
    told = list(findings)
    for layout in layouts:
        at = next((n for n, finding in enumerate(told) if _speaks_of(finding, layout)), None)
        if at is not None:
            told[at] = replace(told[at], reason=layout.cause)
        elif not any(finding.fails for finding in told):
            told.append(Finding("forward", "different", layout.cause))
    return told


def _speaks_of(finding: Finding, layout: Layout) -> bool:
    """Whether a finding is about these values and knows no operation to blame."""
    seen = finding.reason.seen
    if finding.reason.kind != "values.differ" or seen is None:
        return False
    if seen.kind == "values.shape":
        shapes = seen.get("first_shape"), seen.get("second_shape")
        return shapes == layout.shapes
    return seen.kind == "values.transposed" and seen.get("axes") == layout.axes
