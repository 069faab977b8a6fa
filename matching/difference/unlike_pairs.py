"""Pairs of operations that are no pair: element by element they yield different numbers of
elements, and no size that differs says why.

Two spellings of one function (a rotary embedding in halves, or as a rotated copy) lay operations
beside each other that merely stand at like places. A factor on one of them is no cause then: what
is told is that the stretch is built differently, and numbers decide.
"""

from __future__ import annotations

from collections.abc import Sequence

from padiff_graph.capture.normal.traits import traits
from padiff_graph.matching.difference.compared import Compared
from padiff_graph.matching.result import Difference

__all__ = ["without_unlike_pairs"]

OF_OPERANDS = frozenset({"scale", "shift"})
"""Causes that speak of the operands of one pair."""
BUILT = frozenset({"differently-built", "missing", "extra"})
"""Kinds that say of a stretch that it holds other operations."""


def without_unlike_pairs(compared: Compared, found: Sequence[Difference]) -> list[Difference]:
    """The differences without factors of such pairs, where others say that something is built
    otherwise."""
    sized = any(each.kind == "size" for each in found)
    if sized or not any(each.kind in BUILT for each in found):
        return list(found)
    return [
        each for each in found if each.cause_id not in OF_OPERANDS or not _unlike(compared, each)
    ]


def _unlike(compared: Compared, difference: Difference) -> bool:
    if len(difference.first) != 1 or len(difference.second) != 1:
        return False
    a = compared.first.nodes[difference.first[0]]
    b = compared.second.nodes[difference.second[0]]
    if not (traits(a.op).elementwise and traits(b.op).elementwise and a.outputs and b.outputs):
        return False
    return a.outputs[0].size != b.outputs[0].size
