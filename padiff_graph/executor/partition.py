"""Cutting both graphs into pairs of regions at the values that both models compute.

A *cut* is a set of native values of the first model and a set of native values of the second that
hold the same elements, through the points of the matching: one to one mostly, one to three where a
product is fused on one side. The *region* of a cut holds, on each side, the native operations from
the cut's values back to other cuts. The two sides of a region need not read the same cuts: a
residual that one side lacks shows as a boundary value that only the other one reads.

A cut must say everything about its values: each element of every value must be covered by a point,
else the two sides could not be fed alike. Where a point says less, there is no cut, and the region
grows instead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple

import numpy as np

from padiff_graph.capture.graph import ComputationGraph, Node, Value
from padiff_graph.capture.normal.index_map import View
from padiff_graph.matching.result import Matching, Point

__all__ = ["Cut", "Key", "Plan", "Region", "Slice", "Update", "cut_graphs"]

Key = tuple[Value, Value]
"""Names a cut across plans: its earliest value on each side."""
SMALL = 6
"""A region of at most this many operations may be computed again by one that reads its result."""
DEEPEST = 100
"""How many cuts in a row are read through."""
COUNTED = 1 << 20
"""Values of at most this many elements have their coverage counted element by element."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Values that hold the same elements.

    Attributes:
        index: position in `Plan.cuts`.
        points: which elements equal which.
        first, second: the native values, in program order.
        source: whether these are inputs of the models, with nothing in front of them.
        exact: False where the two sides differ in shape, so that the second's value is fed as it is.
        sink: whether the cut is only compared (an output in its final form), never read.
        label: in words.
    """

    index: int
    points: tuple[Point, ...]
    first: tuple[Value, ...]
    second: tuple[Value, ...]
    source: bool = False
    exact: bool = True
    sink: bool = False
    label: str = ""

    @property
    def key(self) -> Key:
        """The cut's name across plans."""
        return self.first[0], self.second[0]


@dataclass(frozen=True, slots=True)
class Slice:
    """One side of a region.

    Attributes:
        nodes: native operations in program order.
        reads: the cuts that are read, by index.
        values: the native values of those cuts that are read.
        leaves: parameters, buffers, constants and inputs of this side alone that are read.
    """

    nodes: tuple[int, ...]
    reads: tuple[int, ...]
    values: tuple[Value, ...]
    leaves: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Update:
    """A buffer's new value on both sides, computed inside a region.

    Attributes:
        first, second: dotted names of the buffer.
        first_value, second_value: the native values that hold what it becomes.
    """

    first: str
    second: str
    first_value: Value
    second_value: Value


@dataclass(frozen=True, slots=True)
class Region:
    """The operations that compute one cut from others, on both sides."""

    cut: Cut
    first: Slice
    second: Slice
    order: int
    updates: tuple[Update, ...] = ()

    @property
    def identity(self) -> tuple[object, ...]:
        """Equal for regions of two plans that do the same."""
        return (self.cut.first, self.cut.second, self.first, self.second)


@dataclass(frozen=True)
class Plan:
    """All regions, in an order in which the second model can compute them."""

    cuts: tuple[Cut, ...]
    regions: tuple[Region, ...]
    notes: tuple[str, ...] = ()
    refused: tuple[Point, ...] = ()
    sources: tuple[Cut, ...] = field(default=())


def cut_graphs(
    matching: Matching, dropped: frozenset[Key] = frozenset(), updates: Iterable[Update] = ()
) -> Plan:
    """Cuts both graphs at the points of a matching.

    `dropped` names cuts that shall not be made. Cuts that do not cover their values, or that would
    make a region read its own result, are not made either.
    """
    first, second = matching.first.graph, matching.second.graph
    usable, refused = _usable(matching.points, first, second)
    apart: set[Key] = set()
    gone = set(dropped)
    changes = tuple(updates)
    while True:
        cuts = _components(usable, first, second, apart, gone)
        cuts += _sinks(matching, cuts)
        regions, broken = _regions(cuts, first, second, changes)
        if not broken:
            placed = {update.second for region in regions for update in region.updates}
            alone = [
                _buffer(len(cuts) + number, update, first, second)
                for number, update in enumerate(
                    update for update in changes if update.second not in placed
                )
            ]
            if alone:
                cuts += alone
                regions, broken = _regions(cuts, first, second, changes)
        if not broken:
            break
        for cut in broken:
            by_node = len({v.node for v in cut.first}) < len(cut.first) or len(
                {v.node for v in cut.second}
            ) < len(cut.second)
            if by_node and cut.key not in apart:
                apart.add(cut.key)
            else:
                gone.add(cut.key)
    return Plan(tuple(cuts), regions, (), refused, tuple(cut for cut in cuts if cut.source))


# -- cuts


def _usable(
    points: Iterable[Point], first: ComputationGraph, second: ComputationGraph
) -> tuple[list[Point], tuple[Point, ...]]:
    """Points between computed values or inputs; a point at a parameter or constant cuts nothing.
    A buffer's new value is compared as a buffer."""
    usable, refused = [], []
    updated = set(first.updates.values()), set(second.updates.values())
    for point in points:
        kinds = (first.record(point.first.node).kind, second.record(point.second.node).kind)
        if (
            any(kind in ("parameter", "buffer", "constant", "output") for kind in kinds)
            or (kinds[0] == "input") != (kinds[1] == "input")
            or point.first in updated[0]
            or point.second in updated[1]
        ):
            refused.append(point)
        else:
            usable.append(point)
    return usable, tuple(refused)


def _components(
    points: list[Point],
    first: ComputationGraph,
    second: ComputationGraph,
    apart: set[Key],
    gone: set[Key],
) -> list[Cut]:
    """Points that share a node on either side belong to one cut."""
    by_value = _group(points, lambda point: (("first", point.first), ("second", point.second)))
    alone = [
        group for group in by_value if _key(group) in apart or any(k == _key(group) for k in gone)
    ]
    rest = [point for group in by_value if group not in alone for point in group]
    by_node = _group(
        rest, lambda point: (("first", point.first.node), ("second", point.second.node))
    )
    separate: list[list[Point]] = []
    for group in by_node:
        if _key(group) in apart:
            separate += _group(
                group, lambda point: (("first", point.first), ("second", point.second))
            )
        else:
            separate.append(group)
    cuts: list[Cut] = []
    for group in [*separate, *alone]:
        if _key(group) in gone:
            continue
        made = _cut(len(cuts), group, first, second)
        if made is None and len(group) > 1:
            # one uncovered value must not take its neighbours with it
            for part in _group(
                group, lambda point: (("first", point.first), ("second", point.second))
            ):
                smaller = _cut(len(cuts), part, first, second) if _key(part) not in gone else None
                if smaller is not None:
                    cuts.append(smaller)
        elif made is not None:
            cuts.append(made)
    return cuts


def _key(group: list[Point]) -> Key:
    return min(point.first for point in group), min(point.second for point in group)


def _group(points: list[Point], keys: object) -> list[list[Point]]:
    """Connected components of points over shared keys, in the points' order."""
    parent: dict[object, object] = {}

    def root(name: object) -> object:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for point in points:
        one, other = keys(point)  # type: ignore[operator]
        parent[root(one)] = root(other)
    groups: dict[object, list[Point]] = defaultdict(list)
    for point in points:
        groups[root(keys(point)[0])].append(point)  # type: ignore[operator]
    return list(groups.values())


def _cut(
    index: int, group: list[Point], first: ComputationGraph, second: ComputationGraph
) -> Cut | None:
    """The cut of some points, None where they do not cover their values."""
    firsts = tuple(sorted({point.first for point in group}))
    seconds = tuple(sorted({point.second for point in group}))
    source = all(first.record(value.node).kind == "input" for value in firsts)
    label = f"input {first.record(firsts[0].node).name!r}" if source else ""
    if any(point.first_view.size != point.second_view.size for point in group):
        # shapes differ: the first's operations may still run on the second's value
        kinds = first.type_of(firsts[0]), second.type_of(seconds[0])
        if (
            len(group) == 1
            and kinds[0]
            and kinds[1]
            and len(kinds[0].shape) == len(kinds[1].shape)
            and group[0].first_view.identity
            and group[0].second_view.identity
        ):
            return Cut(index, tuple(group), firsts, seconds, source, exact=False, label=label)
        return None
    for values, views in (
        (firsts, [(point.first, point.first_view) for point in group]),
        (seconds, [(point.second, point.second_view) for point in group]),
    ):
        for value in values:
            if not covers([view for owner, view in views if owner == value]):
                return None
    if any(not point.first_view.injective and not point.second_view.injective for point in group):
        return None
    return Cut(index, tuple(group), firsts, seconds, source, label=label)


def covers(views: list[View]) -> bool:
    """Whether the views of one source together read each of its elements, and none in two views."""
    size = views[0].source
    if len(views) == 1 and views[0].permutation:
        return True
    if size > COUNTED:
        return all(view.injective for view in views) and sum(view.size for view in views) == size
    seen = np.zeros(size, np.int64)
    for view in views:
        found = view.indices()
        mine = np.zeros(size, bool)
        mine[found[found >= 0]] = True
        seen += mine
    return bool((seen == 1).all())


def _sinks(matching: Matching, cuts: list[Cut]) -> list[Cut]:
    """The models' outputs in their final form, where no cut already compares them element by element."""
    first, second = matching.first.graph, matching.second.graph
    made: list[Cut] = []
    plain = {
        (point.first, point.second)
        for cut in cuts
        if cut.exact
        for point in cut.points
        if point.first_view.identity and point.second_view.identity
    }
    for name, _, one, other in output_pairs(matching):
        kinds = first.type_of(one), second.type_of(other)
        if (
            kinds[0] is None
            or kinds[1] is None
            or ((one, other) in plain and kinds[0].shape == kinds[1].shape)
        ):
            continue
        point = Point(one, View.of(kinds[0].shape), other, View.of(kinds[1].shape), 1.0)
        made.append(
            Cut(
                len(cuts) + len(made),
                (point,),
                (one,),
                (other,),
                exact=kinds[0].shape == kinds[1].shape,
                sink=True,
                label=f"output {name!r}",
            )
        )
    return made


def _buffer(index: int, update: Update, first: ComputationGraph, second: ComputationGraph) -> Cut:
    """A buffer's new value that no region computes by the way."""
    kinds = first.type_of(update.first_value), second.type_of(update.second_value)
    shapes = [kind.shape if kind else () for kind in kinds]
    point = Point(
        update.first_value, View.of(shapes[0]), update.second_value, View.of(shapes[1]), 1.0
    )
    return Cut(
        index,
        (point,),
        (update.first_value,),
        (update.second_value,),
        exact=shapes[0] == shapes[1],
        sink=True,
        label=f"buffer {update.second!r}",
    )


class OutputPair(NamedTuple):
    """An output of the first model and its counterpart, by leaf name and native value."""

    first: str
    second: str
    first_value: Value
    second_value: Value


def output_pairs(matching: Matching) -> list[OutputPair]:
    """Which output of the first is the counterpart of which output of the second.

    By what the matching says of the values first, then by the operations that yield them, then by name,
    then by position where as many are left on both sides. Outputs without a counterpart are left out.
    """
    sides = []
    for normal in (matching.first, matching.second):
        sides.append(
            {
                node.name: value
                for node in normal.graph.of_kind("output")
                for value in node.inputs[:1]
                if value is not None
            }
        )
    firsts, seconds = sides
    together: dict[Value, set[Value]] = defaultdict(set)
    for point in matching.points:
        together[point.second].add(point.first)
    pairs: list[tuple[str, str]] = []
    left, right = list(firsts), list(seconds)

    def take(one: str, other: str) -> None:
        pairs.append((one, other))
        left.remove(one)
        right.remove(other)

    for other in list(right):
        exact = [one for one in left if firsts[one] in together.get(seconds[other], ())]
        if (
            len({firsts[one] for one in exact}) == 1
        ):  # a model may return one value under several names
            take(exact[0], other)
    for one, other in _by_operation(matching, left, right):
        take(one, other)
    for other in list(right):
        if other in left:
            take(other, other)
    if len(left) == len(right):
        for one, other in zip(list(left), list(right), strict=True):
            take(one, other)
    order = list(seconds)
    return [
        OutputPair(one, other, firsts[one], seconds[other])
        for one, other in sorted(pairs, key=lambda pair: order.index(pair[1]))
    ]


def _by_operation(
    matching: Matching, firsts: list[str], seconds: list[str]
) -> list[tuple[str, str]]:
    """Outputs that matched operations yield, moved in the same way on the way out; none that several could be."""
    partner = matching.partner()
    ours = {name: edge for name, edge in matching.first.outputs.items() if name in firsts}
    theirs = {name: edge for name, edge in matching.second.outputs.items() if name in seconds}
    fits = [
        (one, other)
        for one, mine in ours.items()
        for other, yours in theirs.items()
        if partner.get(mine.source) == yours.source
        and mine.output == yours.output
        and (mine.view.shape if mine.view else None) == (yours.view.shape if yours.view else None)
    ]
    found: list[tuple[str, str]] = []
    for one, other in fits:
        mates = (
            {ours[mine] for mine, yours in fits if yours == other},
            {theirs[yours] for mine, yours in fits if mine == one},
        )
        # a model may return one value under several names: then the first of them
        if all(len(values) == 1 for values in mates) and not any(
            one == mine or other == yours for mine, yours in found
        ):
            found.append((one, other))
    return found


# -- regions


def _regions(
    cuts: list[Cut], first: ComputationGraph, second: ComputationGraph, updates: tuple[Update, ...]
) -> tuple[tuple[Region, ...], list[Cut]]:
    """The region of every cut, in an order in which the second can compute them, or the cuts that make that impossible."""
    owners: tuple[dict[Value, int], dict[Value, int]] = ({}, {})
    for cut in cuts:
        if cut.sink:
            continue
        for side, values in zip(owners, (cut.first, cut.second), strict=True):
            side.update(dict.fromkeys(values, cut.index))
    found: dict[int, tuple[Slice, Slice]] = {}
    broken: list[Cut] = []
    for cut in cuts:
        if cut.source:
            continue
        slices = (
            _slice(first, cut.first, owners[0], None if cut.sink else cut.index),
            _slice(second, cut.second, owners[1], None if cut.sink else cut.index),
        )
        if any(cut.index in part.reads for part in slices) and not cut.sink:
            broken.append(cut)
        found[cut.index] = slices
    if not broken:
        plain = dict(found)
        found = {index: _level(cuts[index], plain, (first, second), owners) for index in plain}
    if broken:
        return (), broken
    sorter: TopologicalSorter[int] = TopologicalSorter(
        {index: list(slices[1].reads) for index, slices in found.items()}
    )
    try:
        sorter.prepare()
    except CycleError as error:
        cycle: list[int] = error.args[1]
        wide = [cuts[index] for index in cycle if len(cuts[index].second) > 1]
        return (), wide or [cuts[cycle[0]]]
    # among what can be computed now, the earliest in program order: boundary values live shortly
    position = {
        index: max(value.node for value in cuts[index].second) for index in range(len(cuts))
    }
    regions: list[Region] = []
    waiting: list[int] = []
    inside: dict[int, list[Update]] = defaultdict(list)
    for update in updates:
        inside[update.second_value.node].append(update)
    placed: set[str] = set()
    while sorter.is_active():
        waiting += sorter.get_ready()
        waiting.sort(key=lambda index: position[index], reverse=True)
        index = waiting.pop()
        sorter.done(index)
        if index not in found:
            continue
        one, other = found[index]
        mine = []
        firsts = set(one.nodes)
        for node in other.nodes:
            for update in inside.get(node, ()):
                if update.second not in placed and update.first_value.node in firsts:
                    mine.append(update)
                    placed.add(update.second)
        regions.append(Region(cuts[index], one, other, position[index], tuple(mine)))
    return tuple(regions), []


def _settled(record: Node) -> bool:
    """Whether a node's value is known beforehand and exact: integers computed from shapes and constants."""
    return record.constant is not None and record.constant.dtype.kind in "iub"


def _level(
    cut: Cut,
    found: Mapping[int, tuple[Slice, Slice]],
    graphs: tuple[ComputationGraph, ComputationGraph],
    owners: tuple[Mapping[Value, int], Mapping[Value, int]],
) -> tuple[Slice, Slice]:
    """Lets one side of a region read through small cuts down to what the other side reads.

    A concatenation of a concatenation reads the inner one; its counterpart over all parts at once
    reads the parts. Only where each side reads what the other does not.
    """
    slices = list(found[cut.index])
    own = None if cut.sink else cut.index
    through: tuple[set[int], set[int]] = (set(), set())
    for _ in range(DEEPEST):
        alone = [set(slices[side].reads) - set(slices[1 - side].reads) for side in (0, 1)]
        wider = [
            {
                read
                for read in alone[side]
                if read in found
                and len(found[read][side].nodes) <= SMALL
                and alone[1 - side] & set(found[read][side].reads)
            }
            for side in (0, 1)
        ]
        if not wider[0] and not wider[1]:
            break
        for side in (0, 1):
            through[side].update(wider[side])
            slices[side] = _slice(
                graphs[side], (cut.first, cut.second)[side], owners[side], own, through[side]
            )
            if own is not None and own in slices[side].reads:
                return found[cut.index]
    return slices[0], slices[1]


def _slice(
    graph: ComputationGraph,
    targets: tuple[Value, ...],
    owners: Mapping[Value, int],
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
