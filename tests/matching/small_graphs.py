"""Small graphs for tests of single rungs."""

from __future__ import annotations

from collections.abc import Mapping

from synthetic import Graph

from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.matching.ladder import prepare
from padiff_graph.matching.match_state import State
from padiff_graph.matching.rungs.hints import Hints

SHAPE = (2, 4)


def wired(
    parts: Mapping[str, tuple[str, ...]], paths: Mapping[str, str] | None = None
) -> NormalGraph:
    """A graph of named operations: {name: (operator, operand name, ...)}, the input called "x".

    The last one is the output. `paths` gives module paths of some; "Linear" gets a weight of its
    own, named after the operation.
    """
    graph = Graph()
    made = {"x": graph.leaf("Input", "x", *SHAPE)}
    for name, (op, *operands) in parts.items():
        sources = [made[operand] for operand in operands]
        if op == "Linear":
            sources.append(graph.parameter(f"{name}.weight", SHAPE[1], SHAPE[1]))
        made[name] = graph.op(op, sources, SHAPE, (paths or {}).get(name, ""))
    return graph.finish(output=made[name])


class Sides:
    """Two wired graphs before any structural rung, addressed by the names of their operations."""

    def __init__(
        self,
        first: Mapping[str, tuple[str, ...]],
        second: Mapping[str, tuple[str, ...]],
        paths: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {}),
        hints: Hints | None = None,
    ) -> None:
        self.state: State = prepare(
            wired(first, paths[0]), wired(second, paths[1]), hints or Hints()
        )
        self.ids = (
            dict(zip(first, self.state.first.computing, strict=True)),
            dict(zip(second, self.state.second.computing, strict=True)),
        )
        self.names = [{node: name for name, node in ids.items()} for ids in self.ids]

    def given(self, rung: str = "place", confidence: float = 0.9, **pairs: str) -> Sides:
        """Matches operations beforehand."""
        for first, second in pairs.items():
            ids = self.ids[0][first], self.ids[1][second]
            assert self.state.pair(*ids, rung, confidence, "given")
        return self

    @property
    def pairs(self) -> dict[str, str]:
        """What is matched, without what computes nothing."""
        return {
            self.names[0][pairing.first]: self.names[1][pairing.second]
            for pairing in self.state.pairings.values()
            if pairing.first in self.names[0]
        }

    def confidence(self, first: str) -> float:
        """Of the match of a first-side operation."""
        return self.state.pairings[self.ids[0][first]].confidence
