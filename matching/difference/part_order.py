"""Concatenations that take the same parts in another order, or those of another step."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from padiff_graph.capture.normal.form import Edge, NormalNode
from padiff_graph.capture.normal.traits import attributes_equal, traits

__all__ = ["exchangeable", "reordered", "shifted"]

SERIES = 3
"""Fewest parts that are taken for steps: of two that stand the other way round neither is late."""
COUNTED = 1 << 20
"""Parts of at most this many elements are told apart by which elements they are."""


def exchangeable(node: NormalNode) -> bool:
    """Whether the operation takes any number of operands, whose order matters: a concatenation."""
    return traits(node.op).variadic and not node.commutative


def reordered(a: NormalNode, b: NormalNode, partner: Mapping[int, int]) -> tuple[int, ...] | None:
    """For every part of the second its position among the first's parts, where that is another one.

    None where the parts stand in the same order or are not the same. `partner` leads from the
    first's nodes to the second's.
    """
    if a.op != b.op or not exchangeable(a) or len(a.inputs) != len(b.inputs):
        return None
    mine = [edge for edge in a.inputs if edge is not None]
    theirs = [edge for edge in b.inputs if edge is not None]
    if len(mine) != len(a.inputs) or len(theirs) != len(b.inputs):
        return None
    several = len({edge.source for edge in theirs}) < len(theirs)
    order: list[int] = []
    for position, part in enumerate(theirs):
        # its own place first, so that equal parts do not count as exchanged
        places = sorted(set(range(len(mine))) - set(order), key=lambda place: place != position)
        fitting = (place for place in places if _same(mine[place], part, partner, several))
        place = next(fitting, None)
        if place is None:
            return None
        order.append(place)
    return None if order == sorted(order) else tuple(order)


def shifted(a: NormalNode, b: NormalNode, partner: Mapping[int, int]) -> int:
    """By how many places the parts of the first are late: a loop that keeps the state before each
    step instead of the one after it. Below zero where they are early, 0 where neither is so.

    The parts in front of those that are late have no counterpart among the second's, and the other
    way round.
    """
    if a.op != b.op or not exchangeable(a) or len(a.inputs) != len(b.inputs):
        return 0
    if len(a.inputs) < SERIES:
        return 0
    mine = [None if edge is None else partner.get(edge.source) for edge in a.inputs]
    theirs = [None if edge is None else edge.source for edge in b.inputs]
    if None in theirs or len(set(theirs)) < len(theirs):
        return 0
    for count in range(1, len(theirs)):
        if mine[count] == theirs[0] and not set(mine[:count]) & set(theirs):
            return count
        if mine[0] == theirs[count] and not set(theirs[:count]) & set(mine):
            return -count
    return 0


def _same(x: Edge, y: Edge, partner: Mapping[int, int], several: bool) -> bool:
    """Whether two parts are the same; of one value of which there are `several` parts by their
    elements."""
    if (
        partner.get(x.source) != y.source
        or not attributes_equal(x.scale, y.scale)
        or not attributes_equal(x.shift, y.shift)
    ):
        return False
    return not several or _elements(x, y)


def _elements(x: Edge, y: Edge) -> bool:
    """Whether two parts read the same elements of their source, in whatever layout."""
    if (
        x.view is None
        or y.view is None
        or x.view.size != y.view.size
        or x.view.source != y.view.source
        or x.view.size > COUNTED
    ):
        return False
    mine, theirs = (np.sort(view.at(np.arange(view.size))) for view in (x.view, y.view))
    return bool(np.array_equal(mine, theirs))
