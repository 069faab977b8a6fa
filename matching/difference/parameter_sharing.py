"""One parameter of the first model in places where the second model has several."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from padiff_graph.capture.normal.form import Edge, NormalGraph
from padiff_graph.matching.result import Difference, Matching

__all__ = ["shared_parameters", "taken_over"]

SHOWN = 4
"""Most names in one sentence."""


def shared_parameters(matching: Matching) -> Iterator[Difference]:
    """A difference for every parameter of the first model that takes the place of several; its place is an
    operation whose own counterpart of the parameter it is not."""
    own = {row.first: {piece.second for piece in row.pieces} for row in matching.parameters}
    for name, others in _shared(matching).items():
        apart = {
            other: places for other, places in others.items() if other not in own.get(name, ())
        } or others
        places = [place for found in apart.values() for place in found]
        first, second = places[0]
        used = list(
            dict.fromkeys(
                matching.first.nodes[one].path for found in others.values() for one, _ in found
            )
        )
        cause = f"{_listed(used)} share one parameter ({name}) where the second model has {_listed(list(others))}"
        yield Difference(
            "attribute",
            (first,),
            (second,),
            cause,
            matching.first.nodes[first].path,
            matching.second.nodes[second].path,
            "parameter",
            (name, tuple(others)),
            tuple(places),
        )


def taken_over(matching: Matching) -> frozenset[str]:
    """Parameters of the second model whose place a shared parameter of the first takes."""
    return frozenset(other for others in _shared(matching).values() for other in others)


def _shared(matching: Matching) -> Mapping[str, Mapping[str, list[tuple[int, int]]]]:
    """For each parameter of the first model that stands for several of the second: those, and where."""
    read: dict[str, dict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
    for match in matching.matches:
        a, b = matching.first.nodes[match.first], matching.second.nodes[match.second]
        for x, y in match.operands:
            one, other = (
                _parameter(matching.first, a.inputs[x]),
                _parameter(matching.second, b.inputs[y]),
            )
            if one and other:
                read[one][other].append((a.id, b.id))
    return {name: others for name, others in read.items() if len(others) > 1}


def _parameter(graph: NormalGraph, edge: Edge | None) -> str:
    """The parameter that an operand is, as a whole: parts of a fused one are not shared."""
    node = None if edge is None else graph.nodes[edge.source]
    if (
        node is None
        or node.op != "Parameter"
        or edge is None
        or edge.view is None
        or not edge.view.permutation
    ):
        return ""
    info = graph.graph.parameters.get(node.name)
    return node.name if info is not None and not info.buffer else ""


def _listed(names: list[str]) -> str:
    return " and ".join(names[:SHOWN]) + (
        f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    )
