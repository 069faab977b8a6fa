"""A branch of a sum that one model may have left out, where the weights follow.

Linear branches side by side that are added are one linear layer of the sum of their weights. A
model that reads one of two such layers computes the same where that layer is given the sum; so the
layer beside it that nothing reads is all that tells of a branch that was forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator

from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.result import Matching
from padiff_graph.weights.crossed_names import owner

__all__ = ["left_out_branches"]

ADVICE = "look whether that layer is meant to be read; a sum that is meant needs nothing"


def left_out_branches(matching: Matching) -> tuple[Finding, ...]:
    """One finding for every module that holds a sum beside a module that nothing reads."""
    found: dict[tuple[int, str, str], Finding] = {}
    for side, kept, parts in _sums(matching):
        normal = (matching.first, matching.second)[side]
        for name in _unread_like(normal, kept):
            key = side, owner(kept), owner(name)
            if key not in found:
                found[key] = _finding(matching, side, kept, parts, name)
    return tuple(found.values())


def _sums(matching: Matching) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """Which model holds one parameter in the place of a sum, the parameter, and what the other
    model adds."""
    adding: dict[str, list[str]] = {}
    for row in matching.parameters:
        if any(piece.summed == "added" for piece in row.pieces):
            yield 0, row.first, tuple(dict.fromkeys(piece.second for piece in row.pieces))
        for piece in row.pieces:
            adding.setdefault(piece.second, []).append(row.first)
    for row in matching.parameters:
        for piece in row.pieces:
            if piece.summed == "held":
                yield 1, piece.second, tuple(dict.fromkeys(adding[piece.second]))


def _unread_like(normal: NormalGraph, kept: str) -> Iterator[str]:
    """What a model calls a parameter of the same shape, and never reads."""
    infos = normal.graph.parameters
    for name in normal.unread:
        info = infos.get(name)
        if info is not None and not info.buffer and info.type.shape == infos[kept].type.shape:
            yield name


def _finding(
    matching: Matching, side: int, kept: str, parts: tuple[str, ...], unread: str
) -> Finding:
    paths = (owner(unread), owner(parts[0]))
    cause = Cause.of(
        "parameter.sum_beside_unread", side=side, name=kept, others=parts, parameter=unread
    )
    return Finding(
        "weights",
        "suspicious",
        cause,
        *(paths if side == 0 else paths[::-1]),
        advice=ADVICE,
        frameworks=matching.frameworks,
    )
