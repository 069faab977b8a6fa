"""What a layer map takes out of a comparison: the inside of mapped pairs, and ignored layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from padiff_graph.alignment.correspondence import ResolvedMap
from padiff_graph.capture.graph import ComputationGraph, Value
from padiff_graph.check.end_to_end import WholeCheck
from padiff_graph.matching.result import Difference, Matching
from padiff_graph.referee.region_result import RegionCheck, RegionResult

__all__ = ["left_out", "scoped_differences", "scoped_matching", "scoped_regions", "scoped_whole"]


def left_out(scope: ResolvedMap) -> bool:
    """Whether something is not compared because the layer map says so."""
    return bool(scope.outputs_ignored or scope.below_ignored)


def scoped_matching(matching: Matching, scope: ResolvedMap) -> Matching:
    """The matching without points inside mapped pairs, so that each pair is one region."""
    if not scope.pairs:
        return matching
    graphs = matching.first.graph, matching.second.graph
    points = tuple(
        point
        for point in matching.points
        if not any(
            _hidden(graph, value, pair[side])
            for pair in scope.pairs
            for side, (graph, value) in enumerate(
                zip(graphs, (point.first, point.second), strict=True)
            )
        )
    )
    return replace(matching, points=points)


def scoped_differences(
    differences: Sequence[Difference], scope: ResolvedMap
) -> tuple[Difference, ...]:
    """The structural differences that are not inside a mapped pair or an ignored layer."""
    return tuple(difference for difference in differences if not _left(difference, scope))


def _left(difference: Difference, scope: ResolvedMap) -> bool:
    """Whether a difference lies in a mapped pair or an ignored layer; the root only where both
    sides are there."""
    paths = difference.first_path, difference.second_path
    for side, path in enumerate(paths):
        told = path or paths[0] == paths[1]
        if told and (scope.pair_around(path, side) or scope.output_ignored(path, side)):
            return True
    return False


def scoped_regions(regions: RegionCheck, matching: Matching, scope: ResolvedMap) -> RegionCheck:
    """The results without those of ignored layers."""
    if not left_out(scope):
        return regions
    kept = tuple(result for result in regions.results if not _ignored(result, matching, scope))
    words = f"{len(regions.results) - len(kept)} regions are left out, as the layer map says"
    return replace(regions, results=kept, notes=(*regions.notes, words))


def scoped_whole(whole: WholeCheck, scope: ResolvedMap) -> WholeCheck:
    """The whole run without gradients and buffers of ignored layers, and without the outputs where
    the root's own output is ignored."""
    if not left_out(scope):
        return whole
    reason = "left out by the layer map"
    ignored_outputs = any(scope.output_ignored("", side) for side in (0, 1))
    held = list(whole.quantities)
    for number, quantity in enumerate(held):
        owner = quantity.first.rpartition(".")[0]
        weighty = quantity.kind in ("parameter", "buffer") and scope.output_ignored(owner)
        if weighty or (quantity.kind == "output" and ignored_outputs):
            held[number] = replace(quantity, counted=False, reason=reason)
    return replace(whole, quantities=tuple(held))


def _hidden(graph: ComputationGraph, value: Value, path: str) -> bool:
    """Whether a value is made inside a module and read only there."""
    if (
        not path
        or not _inside(graph.record(value.node).path, path)
        or graph.record(value.node).kind != "operation"
    ):
        return False
    readers = [
        target
        for _, target, edge in graph.out_edges(value.node, data=True)
        if edge["output"] == value.output
    ]
    return all(
        graph.record(target).kind == "operation" and _inside(graph.record(target).path, path)
        for target in readers
    )


def _ignored(result: RegionResult, matching: Matching, scope: ResolvedMap) -> bool:
    """Whether a region lies in ignored layers, or yields the output of a layer whose own output is
    ignored."""
    for side, (graph, nodes) in enumerate(
        ((matching.first.graph, result.first_nodes), (matching.second.graph, result.second_nodes))
    ):
        paths = [
            graph.record(node).path for node in nodes if graph.record(node).kind == "operation"
        ]
        if paths and all(scope.ignored(path, side) for path in paths):
            return True
        for at, path in scope.outputs_ignored:
            if at == side and nodes and _yields(graph, max(nodes), path):
                return True
    return False


def _yields(graph: ComputationGraph, node: int, path: str) -> bool:
    """Whether a node makes what a module returns."""
    if not _inside(graph.record(node).path, path):
        return False
    return any(
        graph.record(target).kind == "output" or not _inside(graph.record(target).path, path)
        for target in graph.successors(node)
    )


def _inside(path: str, above: str) -> bool:
    return path == above or not above or path.startswith(above + ".")
