"""One compared tensor of a report with the numbers that people ask for."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ComparedTensor"]


@dataclass(frozen=True, slots=True)
class ComparedTensor:
    """An output of both models, or what a matched layer yields on the same values.

    Attributes:
        first, second: names of an output; module paths of a layer.
        op: the layer's operation in the second model; "" for an output.
        verdict: "within" or "beyond" the tolerance for an output; the region's for a layer.
        cosine: of the angle between both; None where one is zero or not finite.
        relative_l2: norm of the difference against the norm of the second.
        error: largest absolute difference.
        index: where that is, in `shape`; () where nothing differs.
        shape: as both are laid side by side.
    """

    first: str
    second: str
    op: str
    verdict: str
    cosine: float | None
    relative_l2: float
    error: float
    index: tuple[int, ...]
    shape: tuple[int, ...]
