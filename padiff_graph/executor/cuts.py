"""From points to cuts: which values are cut together, and whether their points say everything about
them.

Each element of every value of a cut must be covered by a point, else the two sides could not be fed
alike. Where points say less, there is no cut, and the region grows instead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence

import numpy as np

from padiff_graph.capture.graph import ComputationGraph, Value
from padiff_graph.capture.normal.index_map import View
from padiff_graph.executor.partition import Cut, Key
from padiff_graph.matching.result import Point

__all__ = ["covers", "make_cuts"]

COUNTED = 1 << 20
"""Values of at most this many elements have their coverage counted element by element; chosen so
that counting takes milliseconds."""

Group = list[Point]


def make_cuts(
    points: Sequence[Point],
    first: ComputationGraph,
    second: ComputationGraph,
    apart: Collection[Key],
    gone: Collection[Key],
) -> list[Cut]:
    """Cuts of points that share an operation on either side.

    `apart`: cuts that hold one value a side; `gone`: cuts that are not made.
    """
    cuts: list[Cut] = []
    for group in _groups(points, apart, gone):
        if _key(group) in gone:
            continue
        cut = _cut(len(cuts), group, first, second)
        if cut is not None:
            cuts.append(cut)
        elif len(group) > 1:
            # one uncovered value must not take its neighbours with it
            for part in _joined(group, _values):
                if _key(part) not in gone:
                    cut = _cut(len(cuts), part, first, second)
                    cuts += [cut] if cut is not None else []
    return cuts


def _groups(points: Sequence[Point], apart: Collection[Key], gone: Collection[Key]) -> list[Group]:
    """Points that belong to one cut."""
    alone: list[Group] = []
    rest: list[Point] = []
    for group in _joined(points, _values):
        if _key(group) in apart or _key(group) in gone:
            alone.append(group)
        else:
            rest += group
    together: list[Group] = []
    for group in _joined(rest, _operations):
        together += _joined(group, _values) if _key(group) in apart else [group]
    return [*together, *alone]


def _key(group: Group) -> Key:
    return min(point.first for point in group), min(point.second for point in group)


def _values(point: Point) -> tuple[Hashable, Hashable]:
    return ("first", point.first), ("second", point.second)


def _operations(point: Point) -> tuple[Hashable, Hashable]:
    return ("first", point.first.node), ("second", point.second.node)


def _joined(
    points: Iterable[Point], keys: Callable[[Point], tuple[Hashable, Hashable]]
) -> list[Group]:
    """Connected components of points over shared keys, in the points' order."""
    parent: dict[Hashable, Hashable] = {}

    def root(name: Hashable) -> Hashable:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    every = [(point, *keys(point)) for point in points]
    for _, ours, theirs in every:
        parent[root(ours)] = root(theirs)
    groups: dict[Hashable, Group] = defaultdict(list)
    for point, ours, _ in every:
        groups[root(ours)].append(point)
    return list(groups.values())


def _cut(index: int, group: Group, first: ComputationGraph, second: ComputationGraph) -> Cut | None:
    """The cut of some points, None where they do not cover their values."""
    firsts = tuple(sorted({point.first for point in group}))
    seconds = tuple(sorted({point.second for point in group}))
    source = all(first.record(value.node).kind == "input" for value in firsts)
    label = f"input {first.record(firsts[0].node).name!r}" if source else ""
    exact = all(point.first_view.size == point.second_view.size for point in group)
    fits = _covered(group) if exact else _runs_on(group, first, second)
    return Cut(index, tuple(group), firsts, seconds, source, exact, label=label) if fits else None


def _runs_on(group: Group, first: ComputationGraph, second: ComputationGraph) -> bool:
    """Whether the first's operations may still run on the second's value, though shapes differ."""
    if len(group) > 1:
        return False
    point = group[0]
    mine, yours = first.type_of(point.first), second.type_of(point.second)
    if mine is None or yours is None or len(mine.shape) != len(yours.shape):
        return False
    return point.first_view.identity and point.second_view.identity


def _covered(group: Group) -> bool:
    """Whether the points say everything about their values, and each element of one is one of the
    other."""
    views: dict[tuple[int, Value], list[View]] = defaultdict(list)
    for point in group:
        views[0, point.first].append(point.first_view)
        views[1, point.second].append(point.second_view)
        if not point.first_view.injective and not point.second_view.injective:
            return False
    return all(covers(own) for own in views.values())


def covers(views: list[View]) -> bool:
    """Whether the views of one source together read each of its elements, and none in two views."""
    size = views[0].source
    if len(views) == 1 and views[0].permutation:
        return True
    if size > COUNTED:
        return all(view.injective for view in views) and sum(view.size for view in views) == size
    seen = np.zeros(size, np.int64)
    for view in views:
        indices = view.indices()
        mine = np.zeros(size, bool)
        mine[indices[indices >= 0]] = True
        seen += mine
    return bool((seen == 1).all())
