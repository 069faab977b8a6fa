"""Where each side runs with its own weights: those that differ and are the reason why numbers do.

An exporter folds weights into others, and most that differ have to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from padiff_graph.capture.engine import Engine
from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.result import Matching
from padiff_graph.referee.region_result import RegionCheck
from padiff_graph.weights.file_weights import folded_into
from padiff_graph.weights.weight_equality import weight_findings

__all__ = ["reasons_in_weights"]


def reasons_in_weights(
    matching: Matching,
    engines: tuple[Engine, Engine],
    regions: RegionCheck,
    findings: Sequence[Finding],
) -> list[Finding]:
    """What is to be said of weights that are read where the numbers differ, and stand at a place
    of one of the findings."""
    failing = {finding.torch_path for finding in findings if finding.fails}
    read = _read_where_different(matching.first.graph, regions) - folded_into(matching)
    rows = tuple(row for row in matching.parameters if row.first in read)
    told = weight_findings(replace(matching, parameters=rows), *engines)
    return [finding for finding in told if finding.torch_path in failing]


def _read_where_different(graph: ComputationGraph, regions: RegionCheck) -> frozenset[str]:
    """The first model's parameters that a region reads whose sides differ."""
    sources = {
        value.node
        for result in regions.results
        if result.verdict == "different"
        for node in result.first_nodes
        for value in graph.record(node).inputs
        if value is not None
    }
    return frozenset(graph.record(source).name for source in sources)
