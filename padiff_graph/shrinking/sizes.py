"""Smaller extents for a piece: which axes go together, and what their numbers become."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.shrinking.piece import Leaf, Piece, sliced

__all__ = ["Resize", "candidates"]

SCOPES = ("all", "activations", "channels")
"""Which axes of that extent are meant: all, those of inputs, those of inputs and the first two of
weights (a kernel's own extents stay)."""
CHANNELS = 2
"""Axes of a weight in front of those of its kernel."""


@dataclass(frozen=True)
class Resize:
    """One way of making a piece smaller.

    Attributes:
        extents: what each extent becomes.
        scope: one of `SCOPES`.
    """

    extents: Mapping[int, int]
    scope: str

    def __str__(self) -> str:
        pairs = ", ".join(f"{old} to {new}" for old, new in self.extents.items())
        return pairs if self.scope == "all" else f"{pairs} ({self.scope})"

    def of(self, piece: Piece) -> Piece:
        """The piece with these extents."""
        return piece.resized(lambda extent: self.extents.get(extent, extent), self._cut)

    def _cut(self, leaf: Leaf, sizes: Callable[[int], int]) -> Leaf:
        shape = list(leaf.array.shape)
        axes = range(len(shape))
        if not leaf.fed and self.scope == "activations":
            axes = range(0)
        elif not leaf.fed and self.scope == "channels":
            axes = range(min(CHANNELS, len(shape)))
        for axis in axes:
            shape[axis] = sizes(shape[axis])
        array = sliced(leaf.array, shape)
        if leaf.fed and array.dtype.kind in "iu":
            array = self._within(array)
        return replace(leaf, array=array)

    def _within(self, numbers: Array) -> Array:
        """Indices of what became smaller stay inside it."""
        largest = int(numbers.max(initial=0))
        for old, new in self.extents.items():
            if new <= largest < old:
                return np.minimum(numbers, new - 1).astype(numbers.dtype)
        return numbers


def candidates(piece: Piece, extent: int) -> Iterator[tuple[int, tuple[Resize, ...]]]:
    """Smaller extents in place of one, the smallest first, each with the ways to reach it."""
    size = 1
    while size < extent:
        yield size, tuple(_ways(piece, extent, size))
        size *= 2


def _ways(piece: Piece, extent: int, size: int) -> Iterator[Resize]:
    """By itself, and together with extents that are products with it."""
    multiples = [other for other in piece.extents if other > extent and other % extent == 0]
    together = [{extent: size}]
    if multiples:
        joined = {other: other // extent * size for other in multiples}
        together.append({extent: size, **joined})
        squares = {
            other: other // extent**2 * size**2 for other in multiples if other % extent**2 == 0
        }
        if squares:
            together.append({extent: size, **joined, **squares})
    for scope in SCOPES:
        yield from (Resize(extents, scope) for extents in together)
