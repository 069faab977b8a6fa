"""Like operands of a difference that are called in the other order, where nothing but their weights
tells them apart.

`a(x) - b(x)` of two like layers is `b(x) - a(x)` with the weights of the two exchanged. Names that
both models share say which is meant; where none do, the order of the calls is all that is left.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

from padiff_graph.capture.normal.form import Edge, NormalGraph, NormalNode
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.operand_factors import Factors, operand_factors, turned_sums
from padiff_graph.matching.result import Matching

__all__ = ["crossed_calls"]

ADVICE = "look which of the two is subtracted in the second model; a hint pairs layers by hand"
BRANCH = 64
"""Most pairs of operations that two operands are compared by: longer branches are told apart by
more than their weights, as a rule, and a chain of them stays linear."""
_WORD = re.compile(r"[a-z]+|\d+")


@dataclass(frozen=True, slots=True)
class _Branch:
    """What reads weights of its own above an operand.

    Attributes:
        order: where its first weights are read: the native operation, the place in the weight.
        parameters: their names.
    """

    order: tuple[int, int]
    parameters: frozenset[str]

    @property
    def owner(self) -> str:
        """The module that the first weights stand in."""
        return min(self.parameters).rpartition(".")[0] or min(self.parameters)


_Pair = tuple[_Branch, _Branch]


def crossed_calls(matching: Matching) -> tuple[Finding, ...]:
    """One finding for every two operands of a sum that one model calls in the other order."""
    factors = [
        operand_factors(side, turned_sums(side)) for side in (matching.first, matching.second)
    ]
    nodes = matching.first.nodes, matching.second.nodes
    partner = matching.partner()
    findings = []
    for match in matching.matches:
        if match.first not in factors[0] or match.second not in factors[1]:
            continue
        reader = nodes[0][match.first], nodes[1][match.second]
        told = _operands(reader[0], factors[0][match.first])
        for one, other in combinations(told, 2):
            ours = _branches(matching.first, one, other) if told[one] != told[other] else None
            if ours is None or one not in partner or other not in partner:
                continue
            yours = _branches(matching.second, partner[one], partner[other])
            if yours is not None and _crossed(ours, yours):
                findings.append(_finding(matching, ours, yours, reader))
    return tuple(findings)


def _operands(node: NormalNode, factors: Factors) -> Mapping[int, object]:
    """The operands that a sum reads once each, and by what it multiplies them."""
    read = [edge.source for edge in node.inputs if edge is not None]
    return {
        edge.source: factor
        for edge, factor in zip(node.inputs, factors, strict=True)
        if edge is not None and read.count(edge.source) == 1
    }


def _crossed(ours: _Pair, yours: _Pair) -> bool:
    """Whether the calls cross, and names do not say of both that they belong together."""
    if ours[0].order == ours[1].order or yours[0].order == yours[1].order:
        return False
    if (ours[0].order < ours[1].order) == (yours[0].order < yours[1].order):
        return False
    return not all(
        _likeness(ours[at], yours[at]) > _likeness(ours[at], yours[1 - at]) for at in (0, 1)
    )


def _likeness(one: _Branch, other: _Branch) -> int:
    words = [set(_WORD.findall(" ".join(branch.parameters).lower())) for branch in (one, other)]
    return len(words[0] & words[1])


def _finding(
    matching: Matching, ours: _Pair, yours: _Pair, reader: tuple[NormalNode, NormalNode]
) -> Finding:
    places = tuple((a.owner, b.owner) for a, b in zip(ours, yours, strict=True))
    return Finding(
        "weights",
        "suspicious",
        Cause.of(
            "parameter.called_crosswise",
            path=reader[0].path or reader[0].op,
            first_owner=places[0][0],
            second_owner=places[0][1],
            first_other=places[1][0],
            second_other=places[1][1],
        ),
        *places[0],
        places=places,
        paddle_source=reader[0].source,
        torch_source=reader[1].source,
        advice=ADVICE,
        order=reader[1].id,
        frameworks=matching.frameworks,
    )


# -- two branches of one model


def _branches(graph: NormalGraph, one: int, other: int) -> _Pair | None:
    """The weights of two operands that nothing else tells apart; None where something does."""
    apart = _apart(graph, one, other)
    if not apart:
        return None
    branches = []
    for which in (0, 1):
        reads = [pair[which] for pair in apart]
        branches.append(
            _Branch(
                min((reader.native[-1], _start(edge)) for reader, edge in reads),
                frozenset(graph.nodes[edge.source].name for _, edge in reads),
            )
        )
    return branches[0], branches[1]


_Read = tuple[NormalNode, Edge]
"""What reads a parameter, and how."""


def _apart(graph: NormalGraph, one: int, other: int) -> list[tuple[_Read, _Read]]:
    """Where two like branches read other weights; nothing where they are not alike."""
    found: list[tuple[_Read, _Read]] = []
    waiting, seen = [(one, other)], {(one, other)}
    while waiting:
        a, b = (graph.nodes[at] for at in waiting.pop())
        if not _alike(a, b) or len(seen) > BRANCH:
            return []
        for mine, theirs in _operand_pairs(a, b):
            sources = graph.nodes[mine.source], graph.nodes[theirs.source]
            if all(source.op == "Parameter" for source in sources):
                if sources[0].outputs != sources[1].outputs and not _same_part(mine, theirs):
                    return []
                found.append(((a, mine), (b, theirs)))
            elif mine.source != theirs.source and (mine.source, theirs.source) not in seen:
                seen.add((mine.source, theirs.source))
                waiting.append((mine.source, theirs.source))
    return [pair for pair in found if pair[0][1] != pair[1][1]]


def _alike(a: NormalNode, b: NormalNode) -> bool:
    """Whether two operations that compute are alike but for what they read."""
    alike = a.op == b.op and a.outputs == b.outputs and len(a.inputs) == len(b.inputs)
    return alike and not a.leaf and bool(a.native and b.native)


def _operand_pairs(a: NormalNode, b: NormalNode) -> Iterator[tuple[Edge, Edge]]:
    for mine, theirs in zip(a.inputs, b.inputs, strict=True):
        if mine is not None and theirs is not None:
            yield mine, theirs


def _same_part(mine: Edge, theirs: Edge) -> bool:
    """Whether as many numbers are read of two weights."""
    views = mine.view, theirs.view
    return None not in views and len({view.size for view in views if view is not None}) == 1


def _start(edge: Edge) -> int:
    """Where in a weight its reading begins."""
    return 0 if edge.view is None else edge.view.start
