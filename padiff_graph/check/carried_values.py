"""What follows from a known divergence of the frameworks in the values themselves (an interpolation
to size one): it is no value of the models, and is left out.

Every region is run on the second model's values, so that all of them agree although what they are
fed with differs in the whole runs. Where nothing else is open, the whole runs differ by that one
operation and what is computed of it; whatever does not depend on it is held as ever.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.check.check_request import CheckRequest
from padiff_graph.check.check_steps import Regional
from padiff_graph.check.scope import left_out
from padiff_graph.referee.region_result import AGREE, RegionResult

__all__ = ["complete", "excuse_carried"]

KNOWN = "framework.known"
REASON = "a known divergence of the frameworks further up"


def excuse_carried(request: CheckRequest, regional: Regional) -> Regional:
    """The record without values that such an operation lies behind or in front of."""
    results = regional.regions.results
    diverging = [result for result in results if _diverges(result)]
    whole = regional.whole
    if not diverging or whole is None or not complete(request, regional):
        return regional
    graph = regional.weighted.matching.first.graph
    start = {node for result in diverging for node in result.first_nodes}
    names = _carried(graph, start)
    proof = regional.proof
    if proof is not None:
        left = [entry for entry in proof.remainders if (entry.kind, entry.first) in names]
        kept = tuple(entry for entry in proof.remainders if entry not in left)
        proof = replace(proof, remainders=kept, carried=(*proof.carried, *left))
    return replace(
        regional, whole=whole.excusing(names, REASON), proof=proof, diverging=bool(names)
    )


def _diverges(result: RegionResult) -> bool:
    """Whether a region yields other numbers, as is known of the frameworks."""
    return any(
        part.kind == "output"
        and part.verdict == "framework-divergence"
        and part.probe is not None
        and part.probe.speaks_of(KNOWN)
        for part in result.parts
    )


def complete(request: CheckRequest, regional: Regional) -> bool:
    """Whether regions show all that there is: every one agrees, with equal weights, and no hook and
    no random draw does anything beside them."""
    weighted, results = regional.weighted, regional.regions.results
    assert regional.whole is not None
    graphs = weighted.matching.first.graph, weighted.matching.second.graph
    return (
        all(result.verdict in AGREE for result in results)
        and not any(finding.fails for finding in regional.findings)
        and weighted.equal
        and not left_out(request.scope)
        and not regional.regions.left
        and not regional.whole.random
        and not any(graph.calls_back for graph in graphs)
    )


def _carried(graph: ComputationGraph, start: set[int]) -> set[tuple[str, str]]:
    """What depends on some operations: outputs and buffers behind them, and every gradient that
    comes through or from what lies there, by kind and name."""
    behind = _behind(graph, start)
    names = {
        ("output", node.name)
        for node in graph.of_kind("output")
        if node.inputs and node.inputs[0] is not None and node.inputs[0].node in behind
    }
    names |= {("buffer", name) for name, value in graph.updates.items() if value.node in behind}
    for node in graph.records():
        if node.kind in ("input", "parameter") and _behind(graph, {node.id}) & behind:
            names.add((node.kind, node.name))
    return names


def _behind(graph: ComputationGraph, start: Iterable[int]) -> set[int]:
    """Some nodes and every one that depends on them."""
    behind = set(start)
    for record in graph.records():
        if any(value is not None and value.node in behind for value in record.inputs):
            behind.add(record.id)
    return behind
