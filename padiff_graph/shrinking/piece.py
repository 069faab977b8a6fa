"""A piece of both graphs with the numbers that it reads, as plain data: what a small pair of models
is made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from padiff_graph.capture.backend import backend, needed
from padiff_graph.capture.engine import Array
from padiff_graph.capture.graph import Node, Value

__all__ = ["Leaf", "Piece", "SidePiece"]

SHAPE_ROLES = frozenset({"shape", "sections", "ends"})
"""Operands that are lists of extents."""
INPUTS = frozenset({"input", "value"})
"""Kinds of leaves that are inputs of the small model."""


@dataclass(frozen=True)
class Leaf:
    """One tensor that a piece reads and does not compute.

    Attributes:
        kind: "input" or "value" (an input of the small model), "parameter", "buffer", "constant".
        name: how the small model calls it.
        array: its numbers.
        dtype: in graph spelling.
        label: what it is in the user's model.
        trained: whether its gradient is asked for; parameters only.
    """

    kind: str
    name: str
    array: Array
    dtype: str
    label: str = ""
    trained: bool = True

    @property
    def fed(self) -> bool:
        """Whether it is an input of the small model."""
        return self.kind in INPUTS


@dataclass(frozen=True)
class SidePiece:
    """One model's part of a piece.

    Attributes:
        framework: "torch" or "paddle".
        leaves: what is read, by native value.
        nodes: operations in program order.
        outputs: the values that the small model returns.
    """

    framework: str
    leaves: Mapping[Value, Leaf]
    nodes: tuple[Node, ...]
    outputs: tuple[Value, ...]

    @property
    def extents(self) -> set[int]:
        """The extents of all leaves, and those that operations name."""
        known: set[int] = set()

        def noted(extent: int) -> int:
            known.add(extent)
            return extent

        def kept(leaf: Leaf, _sizes: Callable[[int], int]) -> Leaf:
            known.update(leaf.array.shape)
            return leaf

        self.resized(noted, kept)
        return known

    def resized(
        self, sizes: Callable[[int], int], cut: Callable[[Leaf, Callable[[int], int]], Leaf]
    ) -> SidePiece:
        """The piece with other extents, in leaves and in what names them.

        Args:
            sizes: from an extent to what it becomes.
            cut: a leaf with such extents.
        """
        script = needed(backend(self.framework).scripts)
        readers = self._readers()
        nodes = [
            script.resized(node, sizes) if _extents_only(readers.get(node.id, ()), node) else node
            for node in self.nodes
        ]
        leaves = {
            value: _renumbered(leaf, sizes)
            if leaf.kind == "constant" and _shapes(readers.get(value.node, ()))
            else cut(leaf, sizes)
            for value, leaf in self.leaves.items()
        }
        return replace(self, nodes=tuple(nodes), leaves=leaves)

    def _readers(self) -> dict[int, list[str]]:
        """In which roles each node is read."""
        roles: dict[int, list[str]] = {}
        for node in self.nodes:
            for value, role in zip(node.inputs, node.roles, strict=False):
                if value is not None:
                    roles.setdefault(value.node, []).append(role.partition("[")[0])
        return roles


def _extents_only(roles: Sequence[str], node: Node) -> bool:
    """Whether the numbers that an operation names may be extents: a list of numbers is, where it is
    read as one."""
    listed = node.op.rpartition(".")[2] == "full_int_array"
    return not listed or _shapes(roles)


def _shapes(roles: Sequence[str]) -> bool:
    """Whether what is read in these roles is a list of extents."""
    return bool(roles) and SHAPE_ROLES.issuperset(roles)


def _renumbered(leaf: Leaf, sizes: Callable[[int], int]) -> Leaf:
    """A constant whose numbers are extents, with other ones."""
    numbers = [sizes(int(number)) for number in leaf.array.reshape(-1)]
    array = np.array(numbers, leaf.array.dtype).reshape(leaf.array.shape)
    return replace(leaf, array=array)


@dataclass(frozen=True)
class Piece:
    """A piece of both graphs."""

    first: SidePiece
    second: SidePiece

    @property
    def sides(self) -> tuple[SidePiece, SidePiece]:
        """The first and the second."""
        return self.first, self.second

    @property
    def operations(self) -> int:
        """How many operations it has, on the side that has more."""
        return max(len(side.nodes) for side in self.sides)

    @property
    def extents(self) -> list[int]:
        """All extents above one, the largest first."""
        extents = self.first.extents | self.second.extents
        return sorted((extent for extent in extents if extent > 1), reverse=True)

    @property
    def elements(self) -> int:
        """Numbers that it reads, on the side that reads more."""
        return max(sum(leaf.array.size for leaf in side.leaves.values()) for side in self.sides)

    def resized(
        self, sizes: Callable[[int], int], cut: Callable[[Leaf, Callable[[int], int]], Leaf]
    ) -> Piece:
        """Both sides with other extents."""
        return Piece(self.first.resized(sizes, cut), self.second.resized(sizes, cut))


def sliced(array: Array, shape: Sequence[int]) -> Array:
    """The first elements along each axis."""
    return np.ascontiguousarray(array[tuple(slice(extent) for extent in shape)])
