"""A script that reruns one finding's region in both frameworks.

It needs nothing but the frameworks and the values saved beside it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from padiff_graph.capture.engine import Array, Engine, NotRunnable
from padiff_graph.capture.exclusive import one_at_a_time
from padiff_graph.capture.graph import Value
from padiff_graph.capture.interpreter import differentiable
from padiff_graph.capture.remote.engine import RemoteEngine
from padiff_graph.errors import UsageError
from padiff_graph.executor.cut_graphs import cut_graphs
from padiff_graph.executor.pair_run import Fed, Pair
from padiff_graph.executor.pair_setup import pair_of
from padiff_graph.executor.partition import Plan, Region
from padiff_graph.executor.region_parameters import share
from padiff_graph.executor.schedule import Stream
from padiff_graph.executor.transfer import cotangents
from padiff_graph.export.repro_side import Saved, WrittenSide, write_side
from padiff_graph.export.repro_text import Comparison, script_text
from padiff_graph.file_writing import new_file
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.result import Matching
from padiff_graph.printable import code_comment
from padiff_graph.report.page_data import place_of
from padiff_graph.report.report import Report
from padiff_graph.sides.recorded_engine import is_recorded

__all__ = ["finding_region", "finding_to_run", "write_repro"]

WRITTEN = ("torch", "paddle")
"""Frameworks whose operations can be written as lines of Python."""


@one_at_a_time
def write_repro(
    report: Report, path: str | os.PathLike[str], finding: Finding | None = None
) -> Path:
    """Writes a script, and beside it an .npz with the values, that reruns the region of a finding.

    The script needs numpy and the two frameworks only. It prints the largest difference of the
    region's output and of every gradient; `--double` computes in float64, where rounding vanishes.

    Args:
        report: of this process, with its models still alive.
        path: where to write, a .py file.
        finding: one of the report's; by default the first failing one that is about operations.

    Raises:
        UsageError: where the report or the finding has no region that can be written.
    """
    target = Path(path)
    if target.suffix != ".py":
        raise UsageError(
            f"a repro is a Python script: expected a path that ends in .py, found {target.name}"
        )
    chosen = finding if finding is not None else finding_to_run(report)
    if chosen is None:
        raise UsageError("the report has no finding to reproduce")
    if report.matching is None or report.engines is None:
        raise UsageError(
            "the report holds no graphs: a model could not be captured, "
            "or the report comes from another process"
        )
    if any(map(is_recorded, report.engines)):
        raise UsageError("a repro calls both frameworks; one of the models is a recording")
    if any(isinstance(engine, RemoteEngine) for engine in report.engines):
        raise UsageError("a repro calls both frameworks; one of the models is in another process")
    others = [framework for framework in report.frameworks if framework not in WRITTEN]
    if others:
        raise UsageError(
            f"a repro can be written for {' and '.join(WRITTEN)}; this report is about {others[0]}"
        )
    with report.engines[0].quiet(), report.engines[1].quiet():
        try:
            source, saved = _script(report.matching, report.engines, chosen)
        except NotRunnable as error:
            raise UsageError(
                f"this finding's region cannot be written as a script: {error}"
            ) from error
    with new_file(target) as script, new_file(target.with_suffix(".npz")) as values:
        script.write_text(source, encoding="utf-8")
        np.savez(values, **saved)  # type: ignore[arg-type]
    return target


def finding_to_run(report: Report) -> Finding | None:
    """The first failing finding that is about operations; else the next best."""

    def rank(finding: Finding) -> tuple[bool, bool]:
        return not finding.fails, not (finding.paddle_op or finding.torch_op)

    return min(report.findings, key=rank, default=None)


def _script(
    matching: Matching, engines: tuple[Engine, Engine], finding: Finding
) -> tuple[str, Saved]:
    pair = pair_of(matching, engines, share(matching, *engines))
    plan = cut_graphs(matching)
    region = finding_region(matching, plan, finding)
    feed = _feed(pair, plan, region)
    saved: Saved = {}
    first_seeds, second_seeds = _cotangents(pair, region, saved)
    first = write_side(pair.first, region.first, feed.first, first_seeds, "first", saved)
    second = write_side(pair.second, region.second, feed.second, second_seeds, "second", saved)
    comparisons = [
        *_outputs(region, first, second, saved),
        *_boundary_gradients(pair, plan, region, first, second, saved),
        *_parameter_gradients(pair, region, first, second, saved),
    ]
    text = script_text(finding, (first, second), region, comparisons, bool(second_seeds))
    return text, saved


def finding_region(
    matching: Matching, plan: Plan, finding: Finding, *, one_sided: bool = False
) -> Region:
    """The smallest region that holds the finding's operation.

    Args:
        matching: both graphs.
        plan: their regions.
        finding: about an operation.
        one_sided: take a region without operations on one side where there is no other.

    Raises:
        UsageError: no region holds it.
    """
    first = place_of(
        matching.first.graph, finding.paddle_path, finding.paddle_op, finding.paddle_source
    )
    second = place_of(
        matching.second.graph, finding.torch_path, finding.torch_op, finding.torch_source
    )
    holding = [
        region
        for region in plan.regions
        if first in region.first.nodes or second in region.second.nodes
    ]
    full = [region for region in holding if region.first.nodes and region.second.nodes]
    if full or not one_sided:
        holding = full
    if not holding:
        raise UsageError(
            f"this finding names no operation that a region could be run for: {finding.cause}"
        )

    def size(region: Region) -> tuple[bool, int]:
        nodes = len(region.first.nodes) + len(region.second.nodes)
        return first not in region.first.nodes, nodes

    return min(holding, key=size)


def _feed(pair: Pair, plan: Plan, region: Region) -> Fed:
    """The values that one region reads."""
    reached: list[Fed] = []

    def stop(_region: Region, feed: Fed) -> Mapping[Value, Array]:
        reached.append(feed)
        return {}

    Stream(pair.sides, plan, [region.cut.index], stop, lambda _region, _reason: None).run()
    if not reached:
        raise NotRunnable("the values that it reads could not be computed by themselves")
    return reached[0]


def _pair_elements(first: Array, second: Array, key: str, saved: Saved) -> None:
    """Saves which elements of both tensors are the same, by flat index."""
    known = (first >= 0) & (second >= 0)
    saved[f"{key}_first"], saved[f"{key}_second"] = first[known], second[known]


def _outputs(
    region: Region, first: WrittenSide, second: WrittenSide, saved: Saved
) -> list[Comparison]:
    comparisons = []
    for number, point in enumerate(region.cut.points):
        key = f"output_{number}"
        _pair_elements(point.first_view.indices(), point.second_view.indices(), key, saved)
        names = first.names[point.first], second.names[point.second]
        comparisons.append(Comparison("output", "output", *names, key))
    if not comparisons:
        raise NotRunnable("its two sides have no value in common")
    return comparisons


def _boundary_gradients(
    pair: Pair, plan: Plan, region: Region, first: WrittenSide, second: WrittenSide, saved: Saved
) -> Iterator[Comparison]:
    """Gradients of the values that both sides read, through their points."""
    for read in sorted({*region.first.reads} & {*region.second.reads}):
        for number, point in enumerate(plan.cuts[read].points):
            named = point.first in first.names and point.second in second.names
            injective = point.first_view.injective and point.second_view.injective
            if not (named and injective and differentiable(pair.second.dtype(point.second))):
                continue
            key = f"gradient_{read}_{number}"
            _pair_elements(point.first_view.indices(), point.second_view.indices(), key, saved)
            record = pair.second.graph.record(point.second.node)
            label = f"gradient of {code_comment(record.name) or 'what ' + record.op + ' yields'}"
            names = first.names[point.first], second.names[point.second]
            yield Comparison(label, "gradient", *names, key)


def _parameter_gradients(
    pair: Pair, region: Region, first: WrittenSide, second: WrittenSide, saved: Saved
) -> Iterator[Comparison]:
    """Gradients of the parameters that both sides read, through the parameter map."""
    leaves = {pair.second.graph.record(number).name: number for number in region.second.leaves}
    for number in region.first.leaves:
        record = pair.first.graph.record(number)
        row = pair.rows.get(record.name)
        if record.kind != "parameter" or row is None or _statistic(pair, record.name):
            continue
        if not differentiable(pair.first.dtype(Value(number))):
            continue
        for position, piece in enumerate(row.pieces):
            in_parts = piece.first_view.source != math.prod(pair.first.shape(Value(number)))
            if piece.second in leaves and not in_parts:  # of complex numbers
                key = f"gradient_{number}_{position}"
                _pair_elements(piece.first_view.indices(), piece.second_view.indices(), key, saved)
                names = first.names[Value(number)], second.names[Value(leaves[piece.second])]
                label = f"gradient of {code_comment(record.name)}"
                yield Comparison(label, "gradient", *names, key)


def _statistic(pair: Pair, name: str) -> bool:
    info = pair.first.graph.parameters.get(name)
    return info is not None and info.buffer


def _cotangents(
    pair: Pair, region: Region, saved: Saved
) -> tuple[Mapping[Value, Array], Mapping[Value, Array]]:
    """Seeded random cotangents of the outputs, the same elements on both sides.

    None where there are no gradients.
    """
    cut = region.cut
    if not cut.exact or not all(differentiable(pair.second.dtype(value)) for value in cut.second):
        return {}, {}
    random = np.random.default_rng(0)
    second = {
        value: random.standard_normal(pair.second.shape(value)).astype(np.float32)
        for value in cut.second
    }
    shapes = {value: tuple(pair.first.shape(value)) for value in cut.first}
    first = cotangents(cut, second, shapes)
    for label, arrays in (("first", first), ("second", second)):
        for value, array in arrays.items():
            saved[f"cotangent_{label}_{value.node}_{value.output}"] = array
    return first, second
