"""Which concatenated Linears of one model are one Linear of the other."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np

from padiff_graph.capture.normal.concatenated_linears import Concatenation, concatenations, joined
from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.capture.normal.index_map import View
from padiff_graph.matching.result import Matching

__all__ = ["join_linears"]

COUNTED = 1 << 22
"""Results up to this size are followed element by element."""


def join_linears(matching: Matching) -> tuple[NormalGraph, NormalGraph] | None:
    """Both normal forms with Linears joined where the other side has one of the whole width; None
    for nothing to join."""
    partner = matching.partner()
    back = {second: first for first, second in partner.items()}
    first = _wanted(matching.first, matching.second, partner, back)
    second = _wanted(matching.second, matching.first, back, partner)
    if not first and not second:
        return None
    return joined(matching.first, first), joined(matching.second, second)


def _wanted(
    graph: NormalGraph, other: NormalGraph, partner: dict[int, int], back: dict[int, int]
) -> list[Concatenation]:
    """Concatenations of Linears without partners whose operand the other side's operand of one wide
    Linear is.

    The wide one must be without partner too, or matched with part of the concatenation; a part may
    have been taken for what reads the wide one.
    """
    whole, mine = _whole_views(other), _whole_views(graph)
    wide = {
        (operand.source, node.outputs[0].shape[-1]): node.id
        for node in other.nodes
        if node.op == "Linear" and (operand := node.inputs[0]) is not None
    }
    found = []
    for concatenation in concatenations(graph):
        at = wide.get((partner.get(concatenation.operand.source, -1), concatenation.features), -1)
        parts = {concatenation.node, *concatenation.linears}
        if (
            at < 0
            or (at in back and back[at] not in parts)
            or not all(partner.get(node, at) in (at, *_readers(other, at)) for node in parts)
        ):
            continue
        order = _order(
            _in_rows(whole[at], mine[concatenation.node]),
            [graph.nodes[linear].outputs[0].shape[-1] for linear in concatenation.linears],
        )
        if order is not None:
            found.append(replace(concatenation, order=order))
    return found


def _whole_views(graph: NormalGraph) -> dict[int, list[View]]:
    """By node how others read the whole of it."""
    whole: dict[int, list[View]] = defaultdict(list)
    for edge in (
        *(edge for node in graph.nodes for edge in node.inputs if edge is not None),
        *graph.outputs.values(),
        *graph.updates.values(),
    ):
        if edge.view is not None and edge.view.size >= edge.view.source:
            whole[edge.source].append(edge.view)
    return whole


def _in_rows(views: list[View], mine: list[View]) -> list[View]:
    """How a wide Linear is read, without what reads it as the concatenation is read too, where it
    is read as it stands: a key that is turned says nothing of the order."""
    if not any(view.identity for view in views):
        return views
    return [view for view in views if view.identity or not any(view.same(own) for own in mine)]


def _readers(graph: NormalGraph, source: int) -> set[int]:
    """The nodes that read another one."""
    return {
        node.id
        for node in graph.nodes
        if any(edge is not None and edge.source == source for edge in node.inputs)
    }


def _order(views: list[View], widths: list[int]) -> tuple[int, ...] | None:
    """The parts in the order in which the wide Linear has them, by how it is read as a whole; None
    where it cannot be told."""
    features = sum(widths)
    if (
        not views
        or any(not view.same(views[0]) for view in views[1:])
        or not views[0].permutation
        or views[0].size > COUNTED
    ):
        return None
    rows = views[0].indices().reshape(-1, features)
    read = rows[0]
    if (
        not np.array_equal(rows, read + features * np.arange(len(rows))[:, None])
        or read.min() < 0
        or read.max() >= features
    ):
        return None
    starts = np.cumsum([0, *widths[:-1]])
    if any(
        not np.array_equal(read[start : start + width], np.arange(width) + read[start])
        for start, width in zip(starts, widths, strict=True)
    ):
        return None
    return tuple(int(at) for at in np.argsort(read[starts]))
