"""Structural differences as causes, and the places where they stand."""

from __future__ import annotations

from padiff_graph.findings.cause import Cause
from padiff_graph.matching.result import Difference, Matching

__all__ = ["difference_cause", "difference_places"]


def difference_cause(difference: Difference) -> Cause:
    """The cause that a structural difference is, with both values."""
    facts = difference.facts
    if difference.attribute:
        values = difference.values
        facts += (("name", difference.attribute),)
        facts += (("first_value", values[0]), ("second_value", values[1]))
    return Cause(difference.cause_id, facts)


def difference_places(difference: Difference, matching: Matching) -> tuple[tuple[str, str], ...]:
    """The module paths of all its places, its own first."""
    places = {(difference.first_path, difference.second_path): None}
    for first, second in difference.places:
        paths = difference.first_path, difference.second_path
        if first >= 0:
            paths = matching.first.nodes[first].path, paths[1]
        if second >= 0:
            paths = paths[0], matching.second.nodes[second].path
        places[paths] = None
    return tuple(places)
