"""A run of equal blocks in a captured graph, and the same graph with only a few of them.

Two blocks are equal where their operations are, one by one, in everything but ids, names and paths,
where each reads the same places of its own block and of the one before it, and where everything
else that they read is either the same for all of them or a leaf of their own of the same kind.
"""

from __future__ import annotations

import dataclasses
import marshal
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from typing import Any

import numpy as np

from padiff_graph.capture.graph import ComputationGraph, Node, Value

__all__ = ["KEPT", "Blocks", "repeated_blocks"]

KEPT = 10
"""Blocks that a shortened graph keeps: more than any rule counts to (`builder.ALIASES`), and the
last four to be held against each other."""
WORTH = 1000
"""Operations of the other blocks from which leaving them out is worth looking for: chosen so that
models that take no time anyway go the plain way."""
CANDIDATES = 16
"""Block lengths that are tried: the most frequent distances between operations that are alike."""


@dataclasses.dataclass(frozen=True, slots=True)
class Blocks:
    """A run of equal blocks.

    Attributes:
        members: for each block the ids of its operations in order, and behind them of its own
            leaves in the order they are read; of the first block operations alone, since it reads
            what stands before the run.
        records: all records by id.
    """

    members: tuple[tuple[int, ...], ...]
    records: dict[int, Node]

    @property
    def left_out(self) -> int:
        """How many blocks the shortened graph lacks: those before the last one."""
        return len(self.members) - KEPT

    def shortened(self, graph: ComputationGraph) -> ComputationGraph:
        """The graph with `KEPT` of the blocks: all but the last of the first ones, and the last,
        which reads what it reads of the block before it from the last of those."""
        count = len(self.members)
        gone = {node for block in self.members[KEPT - 1 : count - 1] for node in block}
        before = dict(zip(self.members[count - 2], self.members[KEPT - 2], strict=True))
        last = set(self.members[count - 1])
        records = [
            _reading(record, before) if record.id in last else record
            for record in self.records.values()
            if record.id not in gone
        ]
        return ComputationGraph.build(
            graph.framework,
            records,
            training=graph.training,
            parameters=graph.parameters,
            updates=graph.updates,
        )


def _reading(record: Node, instead: dict[int, int]) -> Node:
    """The record with other operands."""
    inputs = [
        None if value is None else Value(instead.get(value.node, value.node), value.output)
        for value in record.inputs
    ]
    return dataclasses.replace(record, inputs=tuple(inputs))


def repeated_blocks(graph: ComputationGraph) -> Blocks | None:
    """A run of equal blocks; None where leaving some out is not worth it."""
    records = {record.id: record for record in graph.records()}
    operations = [record for record in records.values() if record.kind == "operation"]
    if len(operations) < WORTH:
        return None
    start, length, count = _run(_looks(operations))
    if _saved(length, count) < WORTH:
        return None
    run = _Run(operations[start : start + length * count], length, records)
    run.check()
    run.end_before_readers(graph)
    if _saved(length, run.count) < WORTH or not run.own(graph):
        return None
    return Blocks(tuple(run.members()), records)


def _saved(length: int, count: int) -> int:
    """Operations that a shortened graph lacks; negative where it would have more."""
    return (count - KEPT) * length


# -- where operations repeat


def _looks(operations: Iterable[Node]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """A number for what each operation is, whatever it reads."""
    numbers: dict[Hashable, int] = {}
    looks = [numbers.setdefault(_look(record), len(numbers)) for record in operations]
    return np.asarray(looks, np.int64)


def _look(record: Node) -> Hashable:
    """What must be equal of two operations; the record's id where that cannot be said."""
    attrs = _attributes(record)
    if attrs is None:
        return record.id
    constant = None if record.constant is None else _bytes(record.constant)
    return (
        record.op,
        record.roles,
        len(record.inputs),
        attrs,
        record.outputs,
        record.marks,
        record.source,
        constant,
    )


def _attributes(record: Node) -> Hashable:
    """The attributes, 1, 1.0 and True told apart; None where they hold more than plain data and
    types."""
    try:
        return marshal.dumps(dict(record.attrs), 2)
    except ValueError:
        named = tuple((name, type(value), value) for name, value in record.attrs.items())
    try:
        hash(named)
    except TypeError:
        return None
    return named


def _bytes(array: np.ndarray[Any, Any]) -> Hashable:
    return (array.dtype.str, array.shape, array.tobytes() if array.dtype.kind != "O" else id(array))


def _run(looks: np.ndarray[Any, np.dtype[np.int64]]) -> tuple[int, int, int]:
    """Start, block length and number of blocks of the stretch of which most can be left out."""
    order = np.argsort(looks, kind="stable")
    alike = looks[order[1:]] == looks[order[:-1]]
    gaps = Counter(np.diff(order)[alike].tolist())
    best = (0, 1, 0)
    for length in sorted(gap for gap, _ in gaps.most_common(CANDIDATES)):
        begin, equal = _longest(looks[length:] == looks[:-length])
        count = (equal + length) // length
        if _saved(length, count) > _saved(*best[1:]):
            best = (begin, length, count)
    return best


def _longest(flags: np.ndarray[Any, np.dtype[np.bool_]]) -> tuple[int, int]:
    """Begin and length of the longest stretch of true flags."""
    ends = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    if not ends.size:
        return 0, 0
    begins, lengths = ends[::2], ends[1::2] - ends[::2]
    longest = int(np.argmax(lengths))
    return int(begins[longest]), int(lengths[longest])


# -- whether they read alike


class _Run:
    """Blocks that look alike, while it is found out which of them read alike.

    Attributes:
        operations: of all blocks, in order.
        length: operations of a block.
        count: blocks, as far as they are known to be equal.
        place: where an operation stands in the run, by its id.
        leaves: for each block the leaves that it reads alone, in the order it reads them.
    """

    def __init__(self, operations: list[Node], length: int, records: dict[int, Node]) -> None:
        self.operations = operations
        self.length = length
        self.count = len(operations) // length
        self.records = records
        self.place = {record.id: at for at, record in enumerate(operations)}
        self.leaves: list[list[int]] = [[] for _ in range(self.count)]

    def check(self) -> None:
        """Ends the run before the first block that does not read as the one before it does."""
        for block in range(1, self.count - 1):
            counterpart = self._counterpart(block)
            if counterpart is None:
                self.count = block + 1
                break
            own = {leaf: other for leaf, other in counterpart.items() if leaf != other}
            if block == 1:
                self.leaves[1] = list(own)
            # what one block reads alone, all do
            if own.keys() != set(self.leaves[block]):
                self.count = block + 1
                break
            self.leaves[block + 1] = [own[leaf] for leaf in self.leaves[block]]

    def _counterpart(self, block: int) -> dict[int, int] | None:
        """The leaves that a block reads -> those in the same places of the next one; None where the
        two do not read alike."""
        begin = block * self.length
        end = begin + self.length
        counterpart: dict[int, int] = {}
        ours, theirs = self.operations[begin:end], self.operations[end : end + self.length]
        for mine, next_one in zip(ours, theirs, strict=True):
            for value, other in zip(mine.inputs, next_one.inputs, strict=True):
                if value is None or other is None:
                    if value is not other:
                        return None
                elif value.output != other.output or not self._alike(
                    value.node, other.node, begin, counterpart
                ):
                    return None
        return counterpart if len({*counterpart.values()}) == len(counterpart) else None

    def _alike(self, node: int, other: int, begin: int, counterpart: dict[int, int]) -> bool:
        """Whether a node is to a block, which begins there, what another is to the next."""
        at = self.place.get(node, -1)
        if at >= begin - self.length and self.place.get(other, -1) == at + self.length:
            return True
        if node != other and self.records[node].kind not in ("parameter", "constant"):
            return False
        if at >= 0:
            return node == other and at < self.length
        return counterpart.setdefault(node, other) == other

    # -- what else reads them

    def end_before_readers(self, graph: ComputationGraph) -> None:
        """Ends the run so that what stands behind it reads nothing but its last block."""
        behind = self.count * self.length
        readers = [
            value.node
            for record in self.records.values()
            if not 0 <= self.place.get(record.id, behind) < behind
            for value in record.inputs
            if value is not None
        ]
        readers += [value.node for value in graph.updates.values()]
        read = [self.place.get(node, behind) // self.length for node in readers]
        self.count = min([self.count, *(block + 1 for block in read if 0 < block < self.count)])

    def own(self, graph: ComputationGraph) -> bool:
        """Whether the leaves of the blocks are alike, each read by its own block only and known by
        one name."""
        lists = self.leaves[1 : self.count]
        own = [leaf for leaves in lists for leaf in leaves]
        apart = set(own)
        if len(apart) < len(own) or not apart.isdisjoint(self._read_elsewhere()):
            return False
        named = Counter(
            record.name
            for record in self.records.values()
            if record.kind in ("parameter", "buffer")
        )
        tied = {name for info in graph.parameters.values() for name in info.aliases}
        tied |= {info.name for info in graph.parameters.values() if info.aliases}
        names = [self.records[leaf].name for leaf in own]
        if not tied.isdisjoint(names) or not graph.updates.keys().isdisjoint(names):
            return False
        if any(named[name] > 1 for name in names):
            return False
        looks = [[_leaf_look(self.records[leaf], graph) for leaf in leaves] for leaves in lists]
        return all(look == looks[0] for look in looks)

    def _read_elsewhere(self) -> Iterator[int]:
        """The nodes that are read from outside of all blocks but the first."""
        for record in self.records.values():
            if not self.length <= self.place.get(record.id, -1) < self.count * self.length:
                yield from (value.node for value in record.inputs if value is not None)

    def members(self) -> Iterator[tuple[int, ...]]:
        """The ids of each block, as `Blocks` holds them."""
        for block in range(self.count):
            begin = block * self.length
            ids = [record.id for record in self.operations[begin : begin + self.length]]
            yield (*ids, *self.leaves[block])


def _leaf_look(record: Node, graph: ComputationGraph) -> Hashable:
    """What must be equal of two leaves."""
    info = graph.parameters.get(record.name)
    owned = None if info is None else (info.buffer, info.trainable)
    constant = None if record.constant is None else _bytes(record.constant)
    return (record.kind, record.outputs, record.marks, constant, owned, _attributes(record))
