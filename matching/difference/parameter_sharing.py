"""One parameter of the first model in places where the second model has several."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from padiff_graph.capture.normal.form import Edge, NormalGraph
from padiff_graph.matching.result import Difference, Matching

__all__ = ["shared_parameters", "taken_over"]

_Places = list[tuple[int, int]]


def shared_parameters(matching: Matching) -> Iterator[Difference]:
    """A difference for every parameter of the first model that takes the place of several; its
    place is an operation whose own counterpart of the parameter it is not."""
    own = {row.first: {piece.second for piece in row.pieces} for row in matching.parameters}
    for name, others in _shared(matching).items():
        right = own.get(name, set())
        wrong = {second: places for second, places in others.items() if second not in right}
        places = [place for read in (wrong or others).values() for place in read]
        first, second = places[0]
        readers = [node for read in others.values() for node, _ in read]
        modules = dict.fromkeys(matching.first.nodes[node].path for node in readers)
        yield Difference(
            "attribute",
            (first,),
            (second,),
            "parameter.shared",
            matching.first.nodes[first].path,
            matching.second.nodes[second].path,
            "parameter",
            (name, tuple(others)),
            tuple(places),
            facts=(("modules", tuple(modules)), ("parameter", name), ("others", tuple(others))),
        )


def taken_over(matching: Matching) -> frozenset[str]:
    """Parameters of the second model whose place a shared parameter of the first takes."""
    return frozenset(second for others in _shared(matching).values() for second in others)


def _shared(matching: Matching) -> Mapping[str, Mapping[str, _Places]]:
    """For each parameter of the first model that stands for several of the second: those, and
    where."""
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
