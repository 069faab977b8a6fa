"""The normal form of a graph of equal blocks, from that of the same graph with few of them.

A rewrite sees what is near: where the normal forms of three blocks in a row are the same, and read
the same of themselves and of the one before, so is that of every block behind them, whatever
number there is. It is written down once, and stamped out with the ids, names and paths of each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from padiff_graph.capture.graph import Value
from padiff_graph.capture.normal.form import Edge, Location, NormalGraph, NormalNode
from padiff_graph.capture.normal.repeated_blocks import KEPT, Blocks

__all__ = ["Finished", "Uneven", "stamped"]

EQUAL = 3
"""Blocks in a row, the last ones in front of the last of all, whose normal forms must be the same:
two could be by chance where a rewrite takes turns."""

Fact = TypeVar("Fact")


class Uneven(Exception):
    """The normal forms of equal blocks are not equal: a rewrite took several of them together."""


class Finished(NamedTuple):
    """A normal form, and which rewrites made it.

    Attributes:
        rewritten: for each use of a rewrite its name, and the native operation it was used at.
    """

    graph: NormalGraph
    rewritten: Sequence[tuple[str, int]]


def stamped(blocks: Blocks, short: Finished) -> Finished:
    """The finished normal form of all blocks, its `graph` and `unread` yet those of the short one.

    Args:
        blocks: the run of equal blocks.
        short: the normal form of `blocks.shortened`.

    Raises:
        Uneven: where the blocks' normal forms are not the same.
    """
    return _Stamp(blocks, short.graph).whole(short)


class _Native(NamedTuple):
    """A captured operation or leaf of a block: of which block, and where in it."""

    block: int
    at: int


class _Stamp:
    """The short form, its last but one block in the place of all that were left out.

    Blocks are numbered as in the short form; ids of natives are those of the whole graph, which
    the short one shares. `by` is always by how many blocks something moves.

    Attributes:
        blocks: of each normal node, -1 for what stands before or behind all of them.
        native: where captured operations and leaves of the blocks kept stand; of the first block
            none, which reads what stands before the run.
        starts: where the normal nodes of the blocks that must be equal begin, and where the last of
            these ends.
    """

    def __init__(self, blocks: Blocks, short: NormalGraph) -> None:
        self.members = blocks.members
        self.records = blocks.records
        self.left_out = blocks.left_out
        self.nodes = short.nodes
        self.native: dict[int, _Native] = {}
        for block in range(1, KEPT):
            real = block if block < KEPT - 1 else len(self.members) - 1
            for at, native in enumerate(self.members[real]):
                self.native[native] = _Native(block, at)
        self.blocks = [self._block(node) for node in self.nodes]
        self.starts = self._starts()

    # -- what stands where

    def _block(self, node: NormalNode) -> int:
        """The block of a normal node; -1 where it stands before or behind all of them."""
        place = self.native.get(node.native[-1]) if node.native else None
        return -1 if place is None else place.block

    def _starts(self) -> list[int]:
        """See the class; the nodes of each block must stand together."""
        blocks = self.blocks
        wanted = range(KEPT - 1 - EQUAL, KEPT - 1)
        width = blocks.count(wanted[0])
        if not width:
            raise Uneven
        start = blocks.index(wanted[0])
        starts = [start + width * at for at in range(EQUAL + 1)]
        if blocks[start : starts[-1]] != [block for block in wanted for _ in range(width)]:
            raise Uneven
        if any(blocks.count(block) != width for block in wanted):
            raise Uneven
        return starts

    def _moved(self, native: int, by: int) -> int:
        """The native that is to a block `by` blocks on what this one is to its own."""
        place = self.native.get(native)
        if place is None:
            return native
        return self.members[place.block + by][place.at]

    # -- the whole

    def whole(self, short: Finished) -> Finished:
        """See `stamped`."""
        paths = [self._paths(by) for by in range(1 - EQUAL, self.left_out + 1)]
        template = range(self.starts[-2], self.starts[-1])
        for back in range(1, EQUAL):
            for at in template:
                made = self._made(at, -back, paths[EQUAL - 1 - back])
                if not _equal(made, self._settled(self.nodes[at - back * len(template)])):
                    raise Uneven
        nodes = [self._settled(node) for node in self.nodes[: self.starts[-1]]]
        for by in range(1, self.left_out + 1):
            nodes += [self._made(at, by, paths[EQUAL - 1 + by]) for at in template]
        nodes += [self._behind(node) for node in self.nodes[self.starts[-1] :]]
        graph = short.graph
        rewritten = [
            (name, native)
            for native, name in self._spread((native, name) for name, native in short.rewritten)
        ]
        whole = NormalGraph(
            graph.graph,
            tuple(nodes),
            {name: self._edge_behind(edge) for name, edge in graph.outputs.items()},
            {name: self._edge_behind(edge) for name, edge in graph.updates.items()},
            Counter(name for name, _ in rewritten),
            graph.unread,
            dict(self._spread(graph.factors.items())),
            dict(self._spread(graph.unasked.items())),
        )
        return Finished(whole, rewritten)

    def _paths(self, by: int) -> Mapping[str, str]:
        """The module paths of the last block that is stamped out, and those of the one `by` on."""
        paths: dict[str, str] = {}
        own, others = self.members[KEPT - 2], self.members[KEPT - 2 + by]
        for native, other in zip(own, others, strict=False):
            path = self.records[other].path
            if paths.setdefault(self.records[native].path, path) != path:
                raise Uneven
        return paths

    # -- nodes: `_settled` in front of what was left out, `_made` in its place, `_behind` it

    def _settled(self, node: NormalNode) -> NormalNode:
        """A node in front of the blocks left out, which may stand for natives of the next block:
        those of the last one are in the place of that in the short form."""
        last = KEPT - 1
        places = [self.native.get(native) for native in _natives(node)]
        if all(place is None or place.block < last for place in places):
            return node
        inputs = [
            None if edge is None else self._edge(edge, edge.source, 0) for edge in node.inputs
        ]
        return self._renumbered(node, node.id, tuple(inputs), 0, node.path)

    def _made(self, at: int, by: int, paths: Mapping[str, str]) -> NormalNode:
        """The node of the template at a position, for the block `by` blocks on."""
        node = self.nodes[at]
        width = self.starts[-1] - self.starts[-2]
        near = self.starts[-3]
        inputs: list[Edge | None] = []
        for edge in node.inputs:
            if edge is None:
                inputs.append(None)
                continue
            source = edge.source
            if source >= near:
                source += by * width
            elif self.blocks[source] >= 0:
                raise Uneven
            inputs.append(self._edge(edge, source, by))
        return self._renumbered(
            node, at + by * width, tuple(inputs), by, paths.get(node.path, node.path)
        )

    def _behind(self, node: NormalNode) -> NormalNode:
        """A node behind the blocks left out."""
        inputs = [None if edge is None else self._edge_behind(edge) for edge in node.inputs]
        for native in _natives(node):
            self._late(native)
        at = node.id + self._width
        return self._renumbered(node, at, tuple(inputs), self.left_out, node.path)

    @property
    def _width(self) -> int:
        """Normal nodes of all blocks left out."""
        return self.left_out * (self.starts[-1] - self.starts[-2])

    def _edge_behind(self, edge: Edge) -> Edge:
        """An edge into something behind the blocks left out."""
        source = edge.source
        if source >= self.starts[-3]:
            source += self._width
        elif self.blocks[source] >= 0:
            raise Uneven
        for native in edge.through:
            self._late(native)
        return self._edge(edge, source, self.left_out)

    def _late(self, native: int) -> None:
        """Nothing behind the blocks left out may speak of a block further in front."""
        place = self.native.get(native)
        if place is not None and place.block < KEPT - 3:
            raise Uneven

    def _edge(self, edge: Edge, source: int, by: int) -> Edge:
        through = edge.through and tuple([self._moved(native, by) for native in edge.through])
        return Edge(source, edge.output, edge.view, edge.scale, edge.shift, through)

    def _renumbered(
        self, node: NormalNode, at: int, inputs: tuple[Edge | None, ...], by: int, path: str
    ) -> NormalNode:
        """A node with other ids; of its operands the sources are already set."""
        locations = [
            place
            if place is None
            else Location(Value(self._moved(place.value.node, by), place.value.output), *place[1:])
            for place in node.locations
        ]
        native = tuple([self._moved(native, by) for native in node.native])
        own = node.op == "Parameter" and node.native[-1] in self.native
        return NormalNode(
            at,
            node.op,
            inputs,
            node.attrs,
            node.outputs,
            tuple(locations),
            native,
            self.records[native[-1]].name if own else node.name,
            path,
            node.source,
            node.commutative,
            node.opaque,
            node.marks,
            node.constant,
        )

    # -- facts by native operation

    def _spread(self, facts: Iterable[tuple[int, Fact]]) -> Iterator[tuple[int, Fact]]:
        """Facts about native operations of the short form as those of the whole."""
        of_block: list[list[tuple[int, Fact]]] = [[] for _ in range(KEPT)]
        for native, fact in facts:
            place = self.native.get(native)
            if place is None:
                yield native, fact
            else:
                of_block[place.block].append((place.at, fact))
        if any(told != of_block[KEPT - 2] for told in of_block[KEPT - 1 - EQUAL : KEPT - 2]):
            raise Uneven
        for block, ids in enumerate(self.members[1:], 1):
            source = block if block < KEPT - 1 else KEPT - 2
            source = KEPT - 1 if block == len(self.members) - 1 else source
            yield from ((ids[at], fact) for at, fact in of_block[source])


def _natives(node: NormalNode) -> Iterator[int]:
    """All captured operations and leaves that a normal node speaks of."""
    yield from node.native
    for place in node.locations:
        if place is not None:
            yield place.value.node
    for edge in node.inputs:
        if edge is not None:
            yield from edge.through


def _equal(one: NormalNode, other: NormalNode) -> bool:
    """Whether two nodes are the same in everything."""
    return all(_same(getattr(one, name), getattr(other, name)) for name in one.__slots__)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        arrays = np.asarray(one), np.asarray(other)
        kinds = arrays[0].dtype == arrays[1].dtype
        return kinds and arrays[0].shape == arrays[1].shape and bool((arrays[0] == arrays[1]).all())
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, (tuple, list)) and isinstance(other, (tuple, list)):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and bool(one == other)
