"""Operations that structure left unmatched, though they do the same to values that are matched: the
softmax of a router before a mixture that the two models spell too unlike to match."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from padiff_graph.capture.normal.form import NormalNode
from padiff_graph.matching.result import Match, Matching

__all__ = ["with_same_readers"]

CONFIDENCE = 0.9
"""Of operations that only what they read tells: not over what leaves no other choice."""
REASON = "the only operation of its kind that reads these matched values"

Deed = tuple[object, ...]
"""An operator, the shapes that it yields, and the values that it reads."""


def with_same_readers(matching: Matching) -> Matching:
    """The matching with further pairs: one operator on matched values, yielding one shape, where
    each side has one such operation alone. For precisions only: an attribute may differ.

    Matches that were there keep their positions.
    """
    partner = matching.partner()
    taken = set(partner.values())
    own = _lone(matching.first.nodes)
    there = {deed: number for number, deed in _lone(matching.second.nodes).items()}
    further: list[Match] = []
    for node in matching.first.nodes:  # in the order of the data: what it reads is settled
        deed = _deed(node, partner) if node.id in own and node.id not in partner else None
        second = None if deed is None else there.get(deed)
        if second is not None and second not in taken:
            partner[node.id] = second
            taken.add(second)
            further.append(Match(node.id, second, "readers", CONFIDENCE, REASON))
    return replace(matching, matches=(*matching.matches, *further)) if further else matching


def _lone(nodes: Sequence[NormalNode]) -> dict[int, Deed]:
    """The operations of one side that no other does the same as, with what they do."""
    same = {node.id: node.id for node in nodes}
    deeds = {node.id: _deed(node, same) for node in nodes}
    often = Counter(deeds.values())
    return {number: deed for number, deed in deeds.items() if deed is not None and often[deed] == 1}


def _deed(node: NormalNode, partner: Mapping[int, int]) -> Deed | None:
    """What an operation does, what it reads in the numbers of `partner`; None where something that
    it reads has no counterpart."""
    if node.leaf or not node.inputs or not node.outputs:
        return None
    read: list[object] = []
    for edge in node.inputs:
        if edge is not None and edge.source not in partner:
            return None
        read.append(None if edge is None else (partner[edge.source], edge.output))
    return (node.op, tuple(result.shape for result in node.outputs), *read)
