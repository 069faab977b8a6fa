"""Weights that both models have but no map was found between: then numbers behind them prove
nothing.

Two regions that read different weights yield different values whatever they compute. Where as many
numbers are left over on both sides, the likeliest reason is a map that was not found, not a bug,
and the check says that it does not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.cause_sentences import sentence
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.difference.other_sizes import OtherSizes
from padiff_graph.matching.result import Matching
from padiff_graph.referee.region_result import RegionCheck, RegionResult

__all__ = ["Unmapped", "numbers_of", "resting", "unmapped", "unsure_regions", "unsure_weights"]

ADVICE = "give layer_map={paddle_layer: torch_module} for the modules that own them"


@dataclass(frozen=True)
class Unmapped:
    """Parameters on both sides with no map between them.

    Attributes:
        first, second: their dotted names.
        even: whether they hold as many numbers on both sides.
        neutral: those of the first that change nothing as they are, so that they may have none.
        matrices: how many those of two axes and more hold, where these are even and the rest is
            not: a bias that one model keeps once and the other as two that it adds.
    """

    first: frozenset[str]
    second: frozenset[str]
    even: bool
    neutral: frozenset[str] = frozenset()
    matrices: int = 0

    @property
    def cause(self) -> Cause:
        """Why what reads them cannot be compared."""
        first, second = tuple(sorted(self.first)), tuple(sorted(self.second))
        return Cause.of("parameter.unmapped", first_some=first, second_some=second)


def unmapped(matching: Matching, sizes: OtherSizes) -> Unmapped | None:
    """The leftover weights of both sides, None where one side has none; those of other `sizes` are
    told there."""
    unread = {*matching.unread_second, *sizes.parameters[1]}
    unused = {name for name in matching.unused_second if name not in unread}
    rows = [row for row in matching.parameters if row.first not in sizes.parameters[0]]
    lost = {row.first for row in rows if row.status == "open"}
    if not lost or not unused:
        return None
    neutral = {row.first for row in rows if row.status == "neutral" and not row.pieces}
    least = numbers_of(matching.first.graph, lost)
    most = numbers_of(matching.first.graph, lost | neutral)
    left = numbers_of(matching.second.graph, unused) - _taken(matching, unused)
    even = least <= left <= most
    first, second = frozenset(lost | neutral), frozenset(unused)
    matrices = numbers_of(matching.first.graph, lost, axes=2)
    alike = matrices == numbers_of(matching.second.graph, unused, axes=2)
    # a vector that only one model has is no sum of several
    if even or not alike or matrices in (most, left):
        matrices = 0
    return Unmapped(first, second, even, frozenset(neutral), matrices)


def _taken(matching: Matching, names: set[str]) -> int:
    """How many of these parameters' numbers fill one of the first model: a packed projection may be
    mapped in part."""
    pieces = (piece for row in matching.parameters for piece in row.pieces)
    return sum(piece.second_view.size for piece in pieces if piece.second in names)


def numbers_of(graph: ComputationGraph, names: AbstractSet[str], axes: int = 0) -> int:
    """How many numbers these parameters hold, those of so many axes at least; a complex one is
    two."""
    types = [graph.parameters[name].type for name in names if name in graph.parameters]
    return sum(
        kind.size * (2 if kind.dtype.startswith("complex") else 1)
        for kind in types
        if len(kind.shape) >= axes
    )


def unsure_regions(regions: RegionCheck, matching: Matching, loose: Unmapped | None) -> RegionCheck:
    """The results, with those that differ and read such weights on both sides not comparable."""
    if loose is None:
        return regions
    reason = sentence(loose.cause, matching.frameworks)
    results = tuple(
        (
            replace(result, verdict="not-comparable", reason=reason)
            if result.verdict == "different" and _rests_on(result, matching, loose)
            else result
        )
        for result in regions.results
    )
    return replace(regions, results=results)


def resting(regions: RegionCheck, matching: Matching, loose: Unmapped) -> list[RegionResult]:
    """The regions that read such weights on both sides."""
    return [result for result in regions.results if _rests_on(result, matching, loose)]


def _rests_on(result: RegionResult, matching: Matching, loose: Unmapped) -> bool:
    """Whether both sides of a region read weights without a map."""
    return _reads(matching.first.graph, result.first_nodes, loose.first) and _reads(
        matching.second.graph, result.second_nodes, loose.second
    )


def _reads(graph: ComputationGraph, nodes: Sequence[int], names: frozenset[str]) -> bool:
    operands = [value for node in nodes for value in graph.record(node).inputs if value is not None]
    sources = [graph.record(value.node) for value in operands]
    return any(
        source.kind in ("parameter", "buffer") and source.name in names for source in sources
    )


def unsure_weights(findings: Sequence[Finding], loose: Unmapped | None) -> list[Finding]:
    """The findings about weights without counterpart, as one that says what is not known."""
    if loose is None or not (loose.even or loose.matrices):
        return list(findings)
    about = [
        finding
        for finding in findings
        if finding.phase == "weights" and finding.verdict in ("missing", "extra")
    ]
    if not about:
        return list(findings)
    places = [
        place
        for finding in about
        for place in finding.places or ((finding.paddle_path, finding.torch_path),)
    ]
    held = {"numbers": loose.matrices} if loose.matrices else {}
    told = replace(
        about[0],
        verdict="not-comparable",
        reason=Cause.of("parameter.unmapped", loose=loose.cause, **held),
        places=tuple(dict.fromkeys(places)),
        advice=ADVICE,
    )
    return [told, *(finding for finding in findings if finding not in about)]
