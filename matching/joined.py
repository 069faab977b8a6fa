"""Which concatenated Linears of one model are one Linear of the other."""

from __future__ import annotations

from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.capture.normal.joined import Concatenation, concatenations, joined
from padiff_graph.matching.result import Matching

__all__ = ["join_linears"]


def join_linears(matching: Matching) -> tuple[NormalGraph, NormalGraph] | None:
    """Both normal forms with Linears joined where the other side has one of the whole width; None for nothing to join."""
    partner = matching.partner()
    back = {second: first for first, second in partner.items()}
    first = _wanted(matching.first, matching.second, partner, back)
    second = _wanted(matching.second, matching.first, back, partner)
    if not first and not second:
        return None
    return joined(matching.first, first), joined(matching.second, second)


def _wanted(graph: NormalGraph, other: NormalGraph, partner: dict[int, int], back: dict[int, int]) -> list[Concatenation]:
    """Concatenations of Linears without partners whose operand the other side's operand of one wide Linear is.

    The wide one must be without partner too, or matched with part of the concatenation.
    """
    wide = {
        (edge.source, node.outputs[0].shape[-1]): node.id
        for node in other.nodes
        if node.op == "Linear" and (edge := node.inputs[0]) is not None
    }
    found = []
    for concatenation in concatenations(graph):
        at = wide.get((partner.get(concatenation.operand.source, -1), concatenation.features), -1)
        parts = {concatenation.node, *concatenation.linears}
        if at >= 0 and (at not in back or back[at] in parts) and all(partner.get(node, at) == at for node in parts):
            found.append(concatenation)
    return found
