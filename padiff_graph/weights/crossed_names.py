"""Names that stand on both sides and belong to different parameters there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.result import Matching

__all__ = ["crossed_findings", "owner"]

ADVICE = "call or name the two in the other order, or keep copying weights by the map"


def owner(name: str) -> str:
    """The path of the module that a parameter, or a module, stands in."""
    return name.rpartition(".")[0]


def crossed_findings(matching: Matching) -> tuple[Finding, ...]:
    """One finding for every pair of modules whose names are crossed.

    The weights follow the computation, so nothing is wrong as long as the tool copies them; a
    checkpoint loaded by name would put them into the wrong places.
    """
    crossed = dict(_crossed(matching))
    modules: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, second in crossed.items():
        modules[owner(name), owner(second)].append(name)
    told: set[tuple[str, str]] = set()
    findings = []
    for place, names in modules.items():
        back = place[1], place[0]
        if back in told:
            continue
        told.add(place)
        both = back in modules
        cause = Cause.of(
            "parameter.exchanged" if both else "parameter.crossed",
            first_owner=place[0] or names[0],
            second_owner=place[1] or crossed[names[0]],
            parameters=tuple(names),
        )
        findings.append(
            Finding(
                "weights",
                "suspicious",
                cause,
                *place,
                places=(place, back) if both else (place,),
                advice=ADVICE,
                frameworks=matching.frameworks,
            )
        )
    return tuple(findings)


def _crossed(matching: Matching) -> Iterator[tuple[str, str]]:
    """(name, the second model's parameter that fills it) where that goes by another name of both
    sides."""
    theirs, unread = matching.second.graph.parameters, set(matching.first.unread)
    taken: dict[str, str] = {}
    for row in matching.parameters:
        seconds = {piece.second for piece in row.pieces}
        if len(seconds) == 1 and row.status == "mapped":
            taken[row.first] = seconds.pop()
    for name, second in taken.items():
        if second == name or name not in theirs or name in theirs[second].aliases:
            continue
        if taken.get(second, second) != second or second in unread:
            yield name, second
