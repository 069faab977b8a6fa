"""Both trainings over their steps: loss, gradient norm, how far weights are apart, and the band in
which two right runs part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import RenderableType
from rich.table import Table

__all__ = ["TrainingStep", "training_table"]

UNKNOWN = "-"


@dataclass(frozen=True)
class TrainingStep:
    """One step of both trainings.

    Attributes:
        step: 1 for the first.
        loss: of both; None where a training step returned none.
        gradient_norm: of all gradients that the updates came to, of both.
        apart: the largest difference of a weight after the step.
        loss_band, weights_band: how far two right runs may part in them, for the parameter that is
            furthest apart; None where that was not asked (all is within the tolerance, or told).
    """

    step: int
    loss: tuple[float, float] | None
    gradient_norm: tuple[float, float]
    apart: float
    loss_band: float | None = None
    weights_band: float | None = None


def training_table(
    steps: Sequence[TrainingStep], frameworks: tuple[str, str]
) -> RenderableType | None:
    """A row a step; None where there was no training."""
    if not steps:
        return None
    banded = any(step.weights_band is not None for step in steps)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    heads = ["step", f"loss {frameworks[0]}", frameworks[1], "gradients", frameworks[1]]
    for head in [*heads, "weights apart", *(["band"] if banded else [])]:
        table.add_column(head, justify="right")
    for step in steps:
        losses = [UNKNOWN] * 2 if step.loss is None else [f"{loss:.5g}" for loss in step.loss]
        norms = [f"{norm:.4g}" for norm in step.gradient_norm]
        cells = [str(step.step), *losses, *norms, f"{step.apart:.2g}"]
        if banded:
            cells.append(UNKNOWN if step.weights_band is None else f"{step.weights_band:.2g}")
        table.add_row(*cells)
    return table
