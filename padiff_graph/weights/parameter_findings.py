"""What the parameter map says that a user should know: parameters without counterpart, crossed names."""

from __future__ import annotations

from collections import defaultdict

from padiff_graph.capture.normal.form import NormalGraph, NormalNode
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.difference.parameter_sharing import taken_over
from padiff_graph.matching.result import Matching

__all__ = ["crossed_findings", "parameter_findings"]

SHUFFLED = "elements in another order"
"""How a row describes an order that it has no shorter words for."""
SHOWN = 6
"""Most names in one sentence."""


def parameter_findings(matching: Matching) -> tuple[Finding, ...]:
    """Parameters without counterpart on either side, one finding a side, and crossed names."""
    partner = matching.partner()
    back = {second: first for first, second in partner.items()}
    found: list[Finding] = []
    open_rows = [row for row in matching.parameters if row.status == "open"]
    advice = "give the correspondence in a LayerMap, if there is one"
    if open_rows:
        names = [row.first for row in open_rows]
        places = [
            (_owner(name), _other_place(matching.first, matching.second, name, partner))
            for name in names
        ]
        found.append(
            Finding(
                "weights",
                "extra",
                f"parameters without counterpart in the second model: {_named(matching.first, names)}: {open_rows[0].reason}",
                *places[0],
                places=tuple(dict.fromkeys(places)),
                advice=advice,
                order=min(_order(matching.first, name, partner) for name in names),
            )
        )
    shared = taken_over(matching)
    unused = [name for name in matching.unused_second if name not in shared]
    if unused:
        places = [
            (_other_place(matching.second, matching.first, name, back), _owner(name))
            for name in unused
        ]
        found.append(
            Finding(
                "weights",
                "missing",
                f"parameters of the second model that no parameter of the first holds: {_named(matching.second, unused)}",
                *places[0],
                places=tuple(dict.fromkeys(places)),
                advice=advice,
                order=min(
                    _readers(matching.second, name)[0].id if _readers(matching.second, name) else 0
                    for name in unused
                ),
            )
        )
    return (*found, *crossed_findings(matching), *_reordered(matching))


def _reordered(matching: Matching) -> tuple[Finding, ...]:
    """Weights whose elements stand in an order that no transpose gives: interleaved heads, or a result that
    is flipped. Copied by the map nothing is wrong; copied as they are, everything behind would be."""
    modules: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in matching.parameters:
        if row.status == "mapped" and len(row.pieces) == 1 and row.transform == SHUFFLED:
            modules[_owner(row.first), _owner(row.pieces[0].second)].append(row.first)
    return tuple(
        Finding(
            "weights",
            "suspicious",
            f"{', '.join(names[:SHOWN])}: the elements stand in another order than in the second model; a checkpoint copied as it is, or only transposed, would go wrong",
            one,
            other,
            places=((one, other),),
            advice="keep copying weights by the map, or read what is computed here in the second model's order",
        )
        for (one, other), names in modules.items()
    )


def crossed_findings(matching: Matching) -> tuple[Finding, ...]:
    """Names that stand on both sides and belong to different parameters there.

    The weights follow the computation, so nothing is wrong as long as the tool copies them; a
    checkpoint loaded by name would put them into the wrong places.
    """
    theirs = matching.second.graph.parameters
    taken: dict[str, str] = {}
    for row in matching.parameters:
        seconds = {piece.second for piece in row.pieces}
        if len(seconds) == 1 and row.status == "mapped":
            taken[row.first] = seconds.pop()
    crossed: dict[str, str] = {
        name: other
        for name, other in taken.items()
        if other != name
        and name in theirs
        and other in taken
        and taken[other] != other
        and name not in theirs[other].aliases
    }
    modules: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, other in crossed.items():
        modules[_owner(name), _owner(other)].append(name)
    found = []
    told: set[tuple[str, str]] = set()
    for (one, other), names in modules.items():
        if (other, one) in told:
            continue
        told.add((one, other))
        both = (other, one) in modules
        what = (
            f"names are crossed: {one or names[0]} takes the weights of {other or crossed[names[0]]}"
            + (" and the other way round" if both else "")
        )
        found.append(
            Finding(
                "weights",
                "suspicious",
                f"{what} ({', '.join(names[:SHOWN])}); a checkpoint loaded by name would go wrong",
                one,
                other,
                places=((one, other), (other, one)) if both else ((one, other),),
                advice="call or name the two in the other order, or keep copying weights by the map",
            )
        )
    return tuple(found)


def _named(normal: NormalGraph, names: list[str] | tuple[str, ...]) -> str:
    infos = normal.graph.parameters
    shown = ", ".join(f"{name} {list(infos[name].type.shape)}" for name in names[:SHOWN])
    return shown + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _owner(name: str) -> str:
    return name.rpartition(".")[0]


def _readers(normal: NormalGraph, name: str) -> list[NormalNode]:
    owners = {node.id for node in normal.nodes if node.op == "Parameter" and node.name == name}
    return [
        node
        for node in normal.nodes
        if any(edge is not None and edge.source in owners for edge in node.inputs)
    ]


def _other_place(
    normal: NormalGraph, other: NormalGraph, name: str, partner: dict[int, int]
) -> str:
    """The module of the other side where the parameter would belong: of the same path, else where the
    operation that reads it, or the nearest one before it, has its counterpart."""
    owner = _owner(name)
    if owner in other.graph.modules:
        return owner
    for reader in _readers(normal, name):
        for at in range(reader.id, -1, -1):
            if at in partner and not normal.nodes[at].leaf:
                path = other.nodes[partner[at]].path
                return path if at == reader.id else _owner(path)
    return ""


def _order(normal: NormalGraph, name: str, partner: dict[int, int]) -> int:
    readers = _readers(normal, name)
    if not readers:
        return 0
    return max((partner[at] for at in range(readers[0].id + 1) if at in partner), default=0)
