"""Names that stand on both sides and belong to different parameters there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from padiff_graph.capture.normal.index_map import View
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.result import Matching

__all__ = ["crossed_findings", "owner", "turned_parts"]

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


def turned_parts(matching: Matching) -> tuple[Finding, ...]:
    """One finding for numbered modules (`heads.0`, `heads.1`) that are the parts of one parameter
    of the other model in another order than their numbers say. Nothing but their weights tells
    such parts apart; a checkpoint that is split in order would exchange them."""
    parts: dict[tuple[int, str, str, str], dict[str, tuple[int, int]]] = defaultdict(dict)
    for side, part, whole, start in _parts(matching):
        module, _, leaf = part.rpartition(".")
        parent, _, number = module.rpartition(".")
        if number.isdecimal():
            parts[side, parent, leaf, whole][part] = int(number), start
    turned: dict[tuple[int, str, str], list[str]] = defaultdict(list)
    for (side, parent, _, whole), places in parts.items():
        starts = [start for _, start in sorted(places.values())]
        if len(set(starts)) == len(starts) and starts != sorted(starts):
            turned[side, parent, owner(whole)] += places
    findings = []
    for (side, parent, whole), names in turned.items():
        place = (whole, parent) if side else (parent, whole)
        cause = Cause.of("weights.shuffled", parameters=tuple(names))
        findings.append(
            Finding(
                "weights",
                "suspicious",
                cause,
                *place,
                advice=ADVICE,
                frameworks=matching.frameworks,
            )
        )
    return tuple(findings)


def _parts(matching: Matching) -> Iterator[tuple[int, str, str, int]]:
    """Of both sides (side, parameter, the other side's parameter, where in that it begins)."""
    for row in matching.parameters:
        for piece in row.pieces if row.status == "mapped" else ():
            yield 0, row.first, piece.second, _start(piece.second_view)
            yield 1, piece.second, row.first, _start(piece.first_view)


def _start(view: View) -> int:
    return int(view.at(np.zeros(1, np.int64))[0]) if view.size else 0


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
