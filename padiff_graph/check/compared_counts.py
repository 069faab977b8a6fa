"""What a report says of the numbers: how much was compared, and where differences arise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple

from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.check.beyond_tolerance import PHASES
from padiff_graph.check.end_to_end import WholeCheck
from padiff_graph.findings.finding import Phase
from padiff_graph.matching.parameters.siblings import AS_SIBLINGS
from padiff_graph.matching.result import Matching
from padiff_graph.referee.region_result import Part, RegionCheck, RegionResult
from padiff_graph.report.compared_tensor import ComparedTensor
from padiff_graph.report.report import Compared

__all__ = [
    "compared",
    "contributions",
    "depth",
    "divergent_buffers",
    "layers",
    "outputs",
    "rounding",
]

GRADIENTS = ("input", "parameter")
"""Kinds of compared tensors that are gradients."""


def divergent_buffers(regions: RegionCheck) -> set[str]:
    """First-side names of the buffers that a known divergence of the frameworks explains."""
    return {
        part.first
        for part in _parts(regions)
        if part.kind == "buffer" and part.verdict == "framework-divergence"
    }


def compared(
    matching: Matching | None, regions: RegionCheck | None, whole: WholeCheck | None
) -> Compared:
    """How much was compared."""
    results = [] if regions is None else [result for result in regions.results if result.parts]
    parts = [] if regions is None else list(_parts(regions))
    counted: list[str] = []
    if whole is not None:
        counted = [quantity.kind for quantity in whole.quantities if quantity.counted]
    rows = [] if matching is None else matching.parameters
    return Compared(
        operations=sum(len(result.second_nodes) for result in results),
        parameters=sum(bool(row.pieces) and row.reason != AS_SIBLINGS for row in rows),
        regions=len(results),
        outputs=counted.count("output"),
        gradients=sum(part.kind in GRADIENTS for part in parts)
        + sum(kind in GRADIENTS for kind in counted),
    )


def contributions(
    matching: Matching, regions: RegionCheck, most: int = 5
) -> tuple[tuple[str, str, float], ...]:
    """Regions that add most to the difference: (paddle path, torch path, relative error)."""
    rows: list[tuple[str, str, float]] = []
    for result in regions.results:
        # a buffer's new value is read by no other region
        errors = [part.relative for part in result.parts if part.kind != "buffer"]
        error = max(errors, default=0.0)
        if error > 0:
            rows.append((*_paths(matching, result), error))
    return tuple(sorted(rows, key=lambda row: -row[2])[:most])


def depth(
    matching: Matching, regions: RegionCheck
) -> tuple[tuple[int, str, str, str, float, str], ...]:
    """Error along depth: (order, paddle path, torch path, phase, relative error, verdict)."""
    return tuple(
        (result.order, *_paths(matching, result), phase, part.relative, part.verdict)
        for result, phase, part in _worst_parts(regions)
    )


def rounding(regions: RegionCheck) -> tuple[float, ...]:
    """Of each row of `depth`, how much rounding may explain of the relative error."""
    return tuple(part.bound for _, _, part in _worst_parts(regions))


def _worst_parts(regions: RegionCheck) -> Iterator[tuple[RegionResult, Phase, Part]]:
    """Of each region and phase the tensor that is farthest apart."""
    for result in regions.results:
        worst: dict[Phase, Part] = {}
        for part in result.parts:
            phase = PHASES[part.kind]
            if phase not in worst or part.relative > worst[phase].relative:
                worst[phase] = part
        for phase, part in worst.items():
            yield result, phase, part


def outputs(whole: WholeCheck | None) -> tuple[ComparedTensor, ...]:
    """The outputs of both runs, with the numbers that people ask for."""
    held = () if whole is None else whole.quantities
    return tuple(
        ComparedTensor(
            own.first,
            own.second,
            "",
            "within" if own.within else "beyond",
            *astuple(own.closeness),
        )
        for own in held
        if own.closeness is not None
    )


def layers(matching: Matching, regions: RegionCheck) -> tuple[ComparedTensor, ...]:
    """What each region yields on the same values, in the order of the data: where it yields
    several tensors, the one that is farthest apart."""
    rows: list[ComparedTensor] = []
    for result in regions.results:
        near = [part.closeness for part in result.parts if part.closeness is not None]
        if not near:
            continue
        worst = max(near, key=lambda own: own.relative_l2)
        op = ""
        if result.second_nodes:
            op = matching.second.graph.record(max(result.second_nodes)).op
        rows.append(ComparedTensor(*_paths(matching, result), op, result.verdict, *astuple(worst)))
    return tuple(rows)


def _parts(regions: RegionCheck) -> Iterator[Part]:
    for result in regions.results:
        yield from result.parts


def _paths(matching: Matching, result: RegionResult) -> tuple[str, str]:
    return (
        _path(matching.first.graph, result.first_nodes),
        _path(matching.second.graph, result.second_nodes),
    )


def _path(graph: ComputationGraph, nodes: Sequence[int]) -> str:
    return graph.record(max(nodes)).path if nodes else ""
