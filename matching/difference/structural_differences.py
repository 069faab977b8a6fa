"""The structural diff: what a matching leaves different, one `Difference` for one cause."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable

from padiff_graph.capture.normal.collection import without_collection
from padiff_graph.matching.difference.compared import Compared
from padiff_graph.matching.difference.depth import with_depth
from padiff_graph.matching.difference.matched_pairs import matched_pairs
from padiff_graph.matching.difference.open_regions import open_regions
from padiff_graph.matching.difference.output_differences import output_differences
from padiff_graph.matching.difference.parameter_sharing import shared_parameters
from padiff_graph.matching.difference.sizes import with_sizes
from padiff_graph.matching.difference.unlike_pairs import without_unlike_pairs
from padiff_graph.matching.difference.weightless_rest import BESIDE
from padiff_graph.matching.difference.wiring import wiring_differences
from padiff_graph.matching.result import Difference, Matching

__all__ = ["differences"]


@without_collection()
def differences(matching: Matching) -> tuple[Difference, ...]:
    """All structural differences, in the second model's order, equal causes in one.

    "differently-built" is no verdict: the regions compute by other operations or views, and numbers
    decide.
    """
    compared = Compared.of(matching)
    single = [
        *matched_pairs(compared),
        *wiring_differences(compared),
        *output_differences(compared),
        *with_depth(compared, open_regions(compared)),
        *shared_parameters(matching),
    ]
    single = without_unlike_pairs(compared, with_sizes(matching, compared, single))
    single.sort(key=lambda difference: (_order(compared, difference), difference.kind))
    grouped: dict[Hashable, Difference] = {}
    for difference in single:
        key = _cause(compared, difference)
        known = grouped.get(key)
        if known is None:
            grouped[key] = difference
        else:
            grouped[key] = dataclasses.replace(known, places=known.places + difference.places)
    return tuple(grouped.values())


def _order(compared: Compared, difference: Difference) -> float:
    """The place in the second model's order, by the partner where only the first has the
    operations."""
    if difference.second:
        return min(difference.second)
    partner, nodes = compared.partner, compared.first.nodes
    for node in range(min(difference.first), -1, -1):
        if node in partner and not nodes[node].leaf:
            return partner[node] + 0.5
    return -0.5


def _cause(compared: Compared, difference: Difference) -> Hashable:
    """Equal for differences of one cause: the same kind, facts, values and operators."""
    alone = difference.kind in ("moved", "rewired") and not difference.attribute
    if alone or BESIDE in dict(difference.facts):
        return difference.kind, difference.first, difference.second
    ops = (
        tuple(compared.first.nodes[node].op for node in difference.first),
        tuple(compared.second.nodes[node].op for node in difference.second),
    )
    told = repr((difference.values, difference.facts))
    return difference.kind, difference.cause_id, difference.attribute, ops, told
