"""Names that stand on both sides and belong to different parameters there."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.result import Matching

__all__ = ["ADVICE", "ROLE", "crossed_findings", "owner", "role"]

ROLES = ("query", "key", "value")
"""In the order in which a packed weight holds them by convention."""
ROLE = re.compile(
    r"(?:^|(?<=[^a-z])|(?<=[^a-z][wW]))"
    r"(q|k|v|qk|kv|query|key|value|queries|keys|values)(?![a-z])"
)
"""A word of a parameter's name that says what an attention does with its result, or with the first
part of it: `to_q`, `wq`, `key_proj`, `value.dense`, `kv`."""

ADVICE = "call or name the two in the other order, or keep copying weights by the map"

AGREEING = 2
"""Modules whose names must agree behind two beginnings before these say which names belong
together: one may be called alike by chance."""


def owner(name: str) -> str:
    """The path of the module that a parameter, or a module, stands in."""
    return name.rpartition(".")[0]


def role(name: str) -> tuple[str, int] | None:
    """A parameter's name without the word for its role, and which of `ROLES` that is."""
    words = list(ROLE.finditer(name))
    if not words:
        return None
    start, end = words[-1].span()
    number = next(at for at, word in enumerate(ROLES) if word[0] == words[-1][0][0])
    return f"{name[:start]}#{name[end:]}", number


def crossed_findings(matching: Matching) -> tuple[Finding, ...]:
    """One finding for every pair of modules whose names are crossed.

    The weights follow the computation, so nothing is wrong as long as the tool copies them; a
    checkpoint loaded by name would put them into the wrong places.
    """
    crossed = dict([*_crossed_roles(matching), *_crossed_below(matching), *_crossed(matching)])
    modules: dict[tuple[str, str], list[str]] = defaultdict(list)
    backs: dict[tuple[str, str], tuple[str, str]] = {}
    for name, (second, back) in crossed.items():
        place = owner(name), owner(second)
        modules[place].append(name)
        backs[place] = owner(back[0]), owner(back[1])
    told: set[tuple[str, str]] = set()
    findings = []
    for place, names in modules.items():
        back = backs[place]
        if back in told:
            continue
        told.add(place)
        both = back in modules
        cause = Cause.of(
            "parameter.exchanged" if both else "parameter.crossed",
            first_owner=place[0] or names[0],
            second_owner=place[1] or crossed[names[0]][0],
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


Crossed = Iterator[tuple[str, tuple[str, tuple[str, str]]]]
"""Of a parameter of the first model: its counterpart in the second, and the two parameters that
these would belong to by their names, as (of the first model, of the second)."""


def _crossed(matching: Matching) -> Crossed:
    """Parameters whose counterpart goes by another name of both sides."""
    theirs, unread = matching.second.graph.parameters, set(matching.first.unread)
    taken = _taken(matching)
    for name, second in taken.items():
        if second == name or name not in theirs or name in theirs[second].aliases:
            continue
        if taken.get(second, second) != second or second in unread:
            yield name, (second, (second, name))


def _crossed_below(matching: Matching) -> Crossed:
    """The same of models whose names agree but for where they begin (one is wrapped in a module, a
    layer list is called otherwise): pairs of parameters that have each other's counterparts."""
    taken = _taken(matching)
    begun: dict[tuple[str, str], set[str]] = defaultdict(set)
    for name, second in taken.items():
        begins = _beginnings(name, second)
        if begins is not None:
            begun[begins].add(owner(name))
    agreed = [begins for begins, owners in begun.items() if len(owners) >= AGREEING]
    for name, second in taken.items():
        if _beginnings(name, second) is not None:
            continue
        for first_begins, second_begins in agreed:
            theirs = _begun_otherwise(name, first_begins, second_begins)
            ours = _begun_otherwise(second, second_begins, first_begins)
            if theirs and ours and taken.get(ours) == theirs != second:
                yield name, (second, (ours, theirs))
                break


def _crossed_roles(matching: Matching) -> Crossed:
    """The same of parameters named after what an attention does with them, whatever else their
    names are: pairs that have the counterparts of each other's role."""
    taken = _taken(matching)
    roles = {name: (role(name), role(second)) for name, second in taken.items()}
    by_role = {
        (*own, *its): name
        for name, (own, its) in roles.items()
        if own is not None and its is not None
    }
    for name, (own, its) in roles.items():
        if own is None or its is None or own[1] == its[1]:
            continue
        ours = by_role.get((own[0], its[1], its[0], own[1]))
        if ours is not None:
            yield name, (taken[name], (ours, taken[ours]))


def _taken(matching: Matching) -> dict[str, str]:
    """By name of the first model's parameter the one of the second that fills it alone."""
    taken: dict[str, str] = {}
    for row in matching.parameters:
        seconds = {piece.second for piece in row.pieces}
        if len(seconds) == 1 and row.status == "mapped":
            taken[row.first] = seconds.pop()
    return taken


def _beginnings(name: str, second: str) -> tuple[str, str] | None:
    """What stands before the modules that two names end alike with; None where they end in modules
    of different names, or are the same."""
    one, other = name.split(".")[::-1], second.split(".")[::-1]
    alike = next(
        (number for number, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )
    if name == second or alike < 2:
        return None
    return ".".join(one[alike:][::-1]), ".".join(other[alike:][::-1])


def _begun_otherwise(name: str, begins: str, otherwise: str) -> str:
    """A name with another beginning; "" where it begins otherwise."""
    dotted = f"{begins}." if begins else ""
    if not name.startswith(dotted):
        return ""
    return f"{otherwise}.{name[len(dotted) :]}" if otherwise else name[len(dotted) :]
