"""The region of every cut: the operations from its values back to other cuts, in an order that can
be run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from padiff_graph.capture.graph import ComputationGraph, Node, Value
from padiff_graph.executor.partition import Cut, Region, Slice, Update

__all__ = ["slice_regions"]

SMALL = 6
"""A region of at most this many operations may be computed again by one that reads its result;
chosen so that concatenations, masks and scalings are."""
DEEPEST = 100
"""How many cuts in a row are read through; chosen beyond any concatenation of concatenations."""

Slices = tuple[Slice, Slice]
Owners = Mapping[Value, int]
"""The cut that each native value of one side belongs to."""


@dataclass(frozen=True)
class _Sides:
    """Both graphs with what belongs to which cut."""

    graphs: tuple[ComputationGraph, ComputationGraph]
    owners: tuple[Owners, Owners]

    def sliced(self, cut: Cut, side: int, through: Collection[int] = ()) -> Slice:
        """One side's slice of a cut, read through some cuts."""
        own = None if cut.sink else cut.index
        targets = (cut.first, cut.second)[side]
        return _slice(self.graphs[side], targets, self.owners[side], own, through)


def slice_regions(
    cuts: Sequence[Cut],
    first: ComputationGraph,
    second: ComputationGraph,
    updates: Sequence[Update],
) -> tuple[tuple[Region, ...], list[Cut]]:
    """The region of every cut, in an order in which the second can compute them, or the cuts that
    make that impossible."""
    sides = _Sides((first, second), _owners(cuts))
    plain: dict[int, Slices] = {}
    for cut in cuts:
        if not cut.source:
            plain[cut.index] = sides.sliced(cut, 0), sides.sliced(cut, 1)
    broken = [cuts[index] for index, slices in plain.items() if _circular(cuts[index], slices)]
    if broken:
        return (), broken
    slices = {index: _level(cuts[index], plain, sides) for index in plain}
    sorter: TopologicalSorter[int] = TopologicalSorter(
        {index: list(own[1].reads) for index, own in slices.items()}
    )
    try:
        sorter.prepare()
    except CycleError as error:
        return (), _widest([cuts[index] for index in error.args[1]])
    position = [max(value.node for value in cut.second) for cut in cuts]
    order = [index for index in _earliest_first(sorter, position) if index in slices]
    inside = _updates_inside(order, slices, updates)
    regions = [
        Region(cuts[index], *slices[index], position[index], inside[index]) for index in order
    ]
    return tuple(regions), []


def _widest(cycle: list[Cut]) -> list[Cut]:
    """The cuts of a cycle that hold several values of the second; the first of them where none
    does."""
    return [cut for cut in cycle if len(cut.second) > 1] or cycle[:1]


def _owners(cuts: Sequence[Cut]) -> tuple[Owners, Owners]:
    first: dict[Value, int] = {}
    second: dict[Value, int] = {}
    for cut in cuts:
        if not cut.sink:
            first.update(dict.fromkeys(cut.first, cut.index))
            second.update(dict.fromkeys(cut.second, cut.index))
    return first, second


def _circular(cut: Cut, slices: Slices) -> bool:
    """Whether a region reads its own result."""
    return not cut.sink and any(cut.index in own.reads for own in slices)


def _earliest_first(sorter: TopologicalSorter[int], position: Sequence[int]) -> Iterator[int]:
    """Among what can be computed now, the earliest in program order: boundary values live
    shortly."""
    waiting: list[int] = []
    while sorter.is_active():
        waiting += sorter.get_ready()
        waiting.sort(key=lambda index: position[index], reverse=True)
        index = waiting.pop()
        sorter.done(index)
        yield index


def _updates_inside(
    order: Sequence[int], slices: Mapping[int, Slices], updates: Sequence[Update]
) -> dict[int, tuple[Update, ...]]:
    """The buffers' new values that each region computes by the way; each in the first region that
    does."""
    by_node: dict[int, list[Update]] = defaultdict(list)
    for update in updates:
        by_node[update.second_value.node].append(update)
    inside: dict[int, tuple[Update, ...]] = {}
    placed: set[str] = set()
    for index in order:
        first, second = slices[index]
        firsts = set(first.nodes)
        mine: list[Update] = []
        for node in second.nodes:
            for update in by_node.get(node, ()):
                if update.second not in placed and update.first_value.node in firsts:
                    mine.append(update)
                    placed.add(update.second)
        inside[index] = tuple(mine)
    return inside


def _level(cut: Cut, plain: Mapping[int, Slices], sides: _Sides) -> Slices:
    """Lets one side of a region read through small cuts down to what the other side reads.

    A concatenation of a concatenation reads the inner one; its counterpart over all parts at once
    reads the parts. Only where each side reads what the other does not.
    """
    first, second = plain[cut.index]
    through: tuple[set[int], set[int]] = (set(), set())
    for _ in range(DEEPEST):
        alone = set(first.reads) - set(second.reads), set(second.reads) - set(first.reads)
        wider = _wider(0, alone, plain), _wider(1, alone, plain)
        if not wider[0] and not wider[1]:
            break
        through[0].update(wider[0])
        through[1].update(wider[1])
        first, second = sides.sliced(cut, 0, through[0]), sides.sliced(cut, 1, through[1])
        if _circular(cut, (first, second)):
            return plain[cut.index]
    return first, second


def _wider(side: int, alone: tuple[set[int], set[int]], plain: Mapping[int, Slices]) -> set[int]:
    """Small cuts that one side reads and that read what only the other side reads."""
    wider: set[int] = set()
    for read in alone[side]:
        own = plain[read][side] if read in plain else None
        if own is not None and len(own.nodes) <= SMALL and alone[1 - side] & set(own.reads):
            wider.add(read)
    return wider


def _settled(record: Node) -> bool:
    """Whether a node's value is known beforehand and exact: integers computed from shapes and
    constants."""
    return record.constant is not None and record.constant.dtype.kind in "iub"


def _slice(
    graph: ComputationGraph,
    targets: tuple[Value, ...],
    owners: Owners,
    own: int | None,
    through: Collection[int] = (),
) -> Slice:
    """From values back to cuts, or through those in `through`. A target that is itself a value of
    another cut is read, not computed."""
    nodes: set[int] = set()
    reads: dict[Value, int] = {}
    leaves: set[int] = set()
    stack: list[Node] = []

    def visit(value: Value, target: bool) -> None:
        owner = owners.get(value)
        if owner is not None and owner not in through and not (target and owner == own):
            reads[value] = owner
            return
        record = graph.record(value.node)
        if record.kind != "operation" or _settled(record):
            leaves.add(record.id)
        elif record.id not in nodes:
            nodes.add(record.id)
            stack.append(record)

    for value in targets:
        visit(value, True)
    while stack:
        for operand in stack.pop().inputs:
            if operand is not None:
                visit(operand, False)
    return Slice(
        tuple(sorted(nodes)),
        tuple(sorted(set(reads.values()))),
        tuple(sorted(reads)),
        tuple(sorted(leaves)),
    )
