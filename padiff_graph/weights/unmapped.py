"""Weights that both models have but no map was found between: then numbers behind them prove nothing.

Two regions that read different weights yield different values whatever they compute. Where as many
numbers are left over on both sides, the likeliest reason is a map that was not found, not a bug, and
the check says that it does not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.result import Matching
from padiff_graph.referee.region_result import RegionCheck

__all__ = ["Unmapped", "unmapped", "unsure_regions", "unsure_weights"]

ADVICE = "give layer_map={paddle_layer: torch_module} for the modules that own them"


@dataclass(frozen=True)
class Unmapped:
    """Parameters on both sides with no map between them.

    Attributes:
        first, second: their dotted names.
        even: whether they hold as many numbers on both sides.
    """

    first: frozenset[str]
    second: frozenset[str]
    even: bool

    @property
    def reason(self) -> str:
        """Why regions that read them cannot be compared."""
        return f"no map was found between the weights {_some(self.first)} (paddle) and {_some(self.second)} (torch)"


def unmapped(matching: Matching) -> Unmapped | None:
    """The leftover weights of both sides, None where one side has none."""
    sizes = [
        {name: found.type.size for name, found in normal.graph.parameters.items()}
        for normal in (matching.first, matching.second)
    ]
    lost = {row.first for row in matching.parameters if row.status == "open"}
    neutral = {
        row.first for row in matching.parameters if row.status == "neutral" and not row.pieces
    }
    unread = set(matching.unread_second)
    unused = {name for name in matching.unused_second if name not in unread}
    least = sum(sizes[0].get(name, 0) for name in lost)
    most = least + sum(sizes[0].get(name, 0) for name in neutral)
    found = sum(sizes[1].get(name, 0) for name in unused)
    if not lost or not unused:
        return None
    return Unmapped(frozenset(lost | neutral), frozenset(unused), least <= found <= most)


def unsure_regions(regions: RegionCheck, matching: Matching, loose: Unmapped | None) -> RegionCheck:
    """The results, with those that differ and read such weights on both sides not comparable."""
    if loose is None:
        return regions
    names = loose.first, loose.second
    graphs = matching.first.graph, matching.second.graph
    results = tuple(
        replace(result, verdict="not-comparable", reason=loose.reason)
        if result.verdict == "different"
        and all(
            _reads(graph, nodes, known)
            for graph, nodes, known in zip(
                graphs, (result.first_nodes, result.second_nodes), names, strict=True
            )
        )
        else result
        for result in regions.results
    )
    return replace(regions, results=results)


def unsure_weights(findings: Sequence[Finding], loose: Unmapped | None) -> list[Finding]:
    """The findings about weights without counterpart, as one that says what is not known."""
    if loose is None or not loose.even:
        return list(findings)
    about = [
        finding
        for finding in findings
        if finding.phase == "weights" and finding.verdict in ("missing", "extra")
    ]
    if not about:
        return list(findings)
    places = tuple(
        dict.fromkeys(
            place
            for finding in about
            for place in (finding.places or ((finding.paddle_path, finding.torch_path),))
        )
    )
    told = replace(
        about[0],
        verdict="not-comparable",
        cause=f"{loose.reason}, though they hold as many numbers",
        places=places,
        advice=ADVICE,
    )
    return [told, *(finding for finding in findings if finding not in about)]


def _reads(graph: ComputationGraph, nodes: Sequence[int], names: frozenset[str]) -> bool:
    return any(
        graph.record(value.node).kind in ("parameter", "buffer")
        and graph.record(value.node).name in names
        for node in nodes
        for value in graph.record(node).inputs
        if value is not None
    )


def _some(names: frozenset[str], most: int = 3) -> str:
    shown = sorted(names)
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more" if len(shown) > most else "")
