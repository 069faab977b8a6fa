"""One parameter of one model in places where the other model has several.

Copies compute the same until they are trained: then each gets its own share of the gradient. Seen
from the parameter map and from what matched operations read, so that no run is needed to tell.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from padiff_graph.capture.normal.form import Edge, NormalGraph, NormalNode
from padiff_graph.matching.parameters.cover import overlapping
from padiff_graph.matching.result import Difference, Matching, Piece

__all__ = ["shared_parameters", "taken_over"]

ROOT = "the root"
"""What the empty module path is called."""
_Places = list[tuple[int, int]]


@dataclass(frozen=True)
class _Sharing:
    """One parameter that stands for several.

    Attributes:
        side: the model that shares, 0 or 1.
        parameter: its dotted name there.
        others: those that the other model has in its place.
        places: where, as (first node, second node); -1 where a reader has no counterpart.
        alike: how many more parameters of the same modules are shared in the same way.
    """

    side: int
    parameter: str
    others: tuple[str, ...]
    places: tuple[tuple[int, int], ...]
    alike: int = 0

    @property
    def blocks(self) -> tuple[object, ...]:
        """The side, and the modules that hold the copies: what their names do not have in common
        at the end. Equal for all parameters of a shared block."""
        ways = [name.split(".") for name in self.others]
        while all(len(way) > 1 for way in ways) and len({way[-1] for way in ways}) == 1:
            ways = [way[:-1] for way in ways]
        return (self.side, *(".".join(way) for way in ways))


def shared_parameters(matching: Matching) -> Iterator[Difference]:
    """A difference for every parameter, or block of them, that takes the place of several; its
    place is an operation whose own counterpart of the parameter it is not."""
    for sharing in _by_blocks([*_shared_by_first(matching), *_copied_in_first(matching)]):
        yield _difference(matching, sharing, "shared")
    for sharing in _read_in_other_places(matching):
        yield _difference(matching, sharing, "attribute")


def taken_over(matching: Matching) -> frozenset[str]:
    """Parameters of the second model whose place a shared parameter of the first takes."""
    return frozenset(second for others in _read_by_matches(matching).values() for second in others)


def _by_blocks(sharings: Sequence[_Sharing]) -> list[_Sharing]:
    """One for all parameters of a block."""
    blocks: dict[tuple[object, ...], _Sharing] = {}
    for sharing in sharings:
        known = blocks.get(sharing.blocks)
        if known is None:
            blocks[sharing.blocks] = sharing
        else:
            places = tuple(dict.fromkeys((*known.places, *sharing.places)))
            blocks[sharing.blocks] = replace(known, places=places, alike=known.alike + 1)
    return list(blocks.values())


def _difference(
    matching: Matching, sharing: _Sharing, kind: Literal["shared", "attribute"]
) -> Difference:
    first, second = sharing.places[0]
    graphs = matching.first, matching.second
    nodes = [place[sharing.side] for place in sharing.places if place[sharing.side] >= 0]
    modules = dict.fromkeys(graphs[sharing.side].nodes[node].path or ROOT for node in nodes)
    values: tuple[object, object] = (sharing.parameter, sharing.others)
    if sharing.side == 1:
        values = (sharing.others, sharing.parameter)
    facts: tuple[tuple[str, object], ...] = (
        ("side", sharing.side),
        ("modules", tuple(modules)),
        ("parameter", sharing.parameter),
        ("others", sharing.others),
    )
    if sharing.alike:
        facts += (("alike", sharing.alike),)
    return Difference(
        kind,
        (first,) if first >= 0 else (),
        (second,) if second >= 0 else (),
        "parameter.shared",
        graphs[0].nodes[first].path if first >= 0 else "",
        graphs[1].nodes[second].path if second >= 0 else "",
        "parameter",
        values,
        sharing.places,
        facts=facts,
    )


# -- the first model shares: some of the second's have no counterpart of their own


def _shared_by_first(matching: Matching) -> Iterator[_Sharing]:
    left = set(matching.unused_second) - set(matching.unread_second)
    for name, others in _read_by_matches(matching).items():
        without = {second: places for second, places in others.items() if second in left}
        if without and _learns(matching, 0, [name], list(others)):
            places = [place for read in without.values() for place in read]
            yield _Sharing(0, name, tuple(others), tuple(_with_all(places, others)))


def _read_in_other_places(matching: Matching) -> Iterator[_Sharing]:
    """What one parameter of the first model is read for, where the second reads others that have
    counterparts of their own: numbers decide."""
    own = {row.first: {piece.second for piece in row.pieces} for row in matching.parameters}
    left = set(matching.unused_second) - set(matching.unread_second)
    for name, others in _read_by_matches(matching).items():
        if not left.isdisjoint(others) and _learns(matching, 0, [name], list(others)):
            continue
        right = own.get(name, set())
        wrong = {second: places for second, places in others.items() if second not in right}
        places = [place for read in (wrong or others).values() for place in read]
        yield _Sharing(0, name, tuple(others), tuple(places))


def _with_all(places: _Places, others: Mapping[str, _Places]) -> _Places:
    """The places, and then those where the parameter's own counterpart is read."""
    every = [place for read in others.values() for place in read]
    return list(dict.fromkeys([*places, *every]))


def _read_by_matches(matching: Matching) -> Mapping[str, Mapping[str, _Places]]:
    """For each parameter of the first model that matched operations read where the second reads
    several: those, and where."""
    read: dict[str, dict[str, _Places]] = defaultdict(lambda: defaultdict(list))
    for match in matching.matches:
        a, b = matching.first.nodes[match.first], matching.second.nodes[match.second]
        for x, y in match.operands:
            first = _parameter(matching.first, a.inputs[x])
            second = _parameter(matching.second, b.inputs[y])
            if first and second:
                read[first][second].append((a.id, b.id))
    return {name: others for name, others in read.items() if len(others) > 1}


def _parameter(graph: NormalGraph, edge: Edge | None) -> str:
    """The parameter that an operand is, as a whole: parts of a fused one are not shared."""
    if edge is None or edge.view is None or not edge.view.permutation:
        return ""
    node = graph.nodes[edge.source]
    info = graph.graph.parameters.get(node.name) if node.op == "Parameter" else None
    return node.name if info is not None and not info.buffer else ""


# -- the second model shares: several of the first's hold the same elements of one


def _copied_in_first(matching: Matching) -> Iterator[_Sharing]:
    holders: dict[str, list[tuple[str, Piece]]] = defaultdict(list)
    for row in matching.parameters:
        for piece in row.pieces:
            if piece.summed != "held":
                holders[piece.second].append((row.first, piece))
    for second, held in holders.items():
        copies = _overlapping(matching, second, held)
        if len(copies) < 2 or not _learns(matching, 1, [second], copies):
            continue
        if len(_readers(matching.second, second)) > 1:
            yield _Sharing(1, second, tuple(copies), _places_of_copies(matching, second, copies))


def _overlapping(matching: Matching, second: str, held: Sequence[tuple[str, Piece]]) -> list[str]:
    """Parameters of the first model that hold elements which others of them hold too."""
    shape = matching.second.graph.parameters[second].type.shape
    copies: dict[str, None] = {}
    for place, (name, piece) in enumerate(held):
        for other, beside in held[:place]:
            if other != name and overlapping(piece.second_view, beside.second_view, shape):
                copies |= {other: None, name: None}
    return list(copies)


def _places_of_copies(
    matching: Matching, second: str, copies: Sequence[str]
) -> tuple[tuple[int, int], ...]:
    """Where the copies are read, the later ones first; their counterparts where they have any."""
    partner = matching.partner()
    sharers = {node.id for node in _readers(matching.second, second)}
    places: dict[tuple[int, int], None] = {}
    for name in (*copies[1:], copies[0]):
        for node in _readers(matching.first, name):
            counterpart = partner.get(node.id, -1)
            places[node.id, counterpart] = None
            sharers.discard(counterpart)
    return (*places, *((-1, node) for node in sorted(sharers)))


def _readers(graph: NormalGraph, name: str) -> list[NormalNode]:
    owners = {node.id for node in graph.nodes if node.op == "Parameter" and node.name == name}
    return [
        node
        for node in graph.nodes
        if any(edge is not None and edge.source in owners for edge in node.inputs)
    ]


def _learns(matching: Matching, side: int, shared: Sequence[str], copies: Sequence[str]) -> bool:
    """Whether any of them is trained: as long as none is, copies stay equal. ONNX knows no
    training, and exporters merge and copy constants."""
    if "onnx" in matching.frameworks:
        return False
    graphs = matching.first.graph, matching.second.graph
    named = ((graphs[side], shared), (graphs[1 - side], copies))
    infos = [graph.parameters[name] for graph, names in named for name in names]
    return any(info.trainable and not info.buffer for info in infos)
