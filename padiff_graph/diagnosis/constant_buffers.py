"""Buffers that a region reads as constants and that hold other numbers in the other model."""

from __future__ import annotations

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.diagnosis.probes import probe
from padiff_graph.findings.cause import Cause
from padiff_graph.matching.result import Matching
from padiff_graph.referee.region_result import RegionResult

__all__ = ["other_buffers"]

APART = 1e-4
"""Share of its largest number by which a buffer must depart, as for a table of constants."""


def other_buffers(result: RegionResult, matching: Matching) -> Cause | None:
    """That buffers of one name and shape hold other numbers: the frequencies of a rotary embedding,
    the vectors of a spectral norm that is written by hand. They are tables that the code computed
    and no weights that a map carries, so that nothing else is said of a region that reads them;
    None where none differs. What the numbers of the one have to do with those of the other is
    said of the first."""
    first = _read(matching.first.graph, result.first_nodes)
    second = _read(matching.second.graph, result.second_nodes)
    names = [
        name
        for name, array in first.items()
        if name in second and array.shape == second[name].shape and _apart(array, second[name])
    ]
    if not names:
        return None
    mine, theirs = first[names[0]], second[names[0]]
    with np.errstate(invalid="ignore"):  # of two infinities: a mask
        apart = float(np.nanmax(np.abs(mine - theirs), initial=0.0))
    facts: dict[str, object] = {"buffers": ", ".join(names), "shape": mine.shape, "apart": apart}
    return Cause.of("values.table", **facts).showing(probe(mine, theirs))


def _read(graph: ComputationGraph, natives: tuple[int, ...]) -> dict[str, Array]:
    """Floating buffers of known numbers among what operations read, by name."""
    operands = (value for native in natives for value in graph.record(native).inputs)
    leaves = [graph.record(value.node) for value in operands if value is not None]
    return {
        leaf.name: leaf.constant.astype(np.float64)
        for leaf in leaves
        if leaf.kind == "buffer" and leaf.constant is not None and leaf.constant.dtype.kind == "f"
    }


def _apart(first: Array, second: Array) -> bool:
    with np.errstate(invalid="ignore"):  # of two infinities: a mask
        apart = np.abs(first - second)[first != second]
    return bool(apart.max(initial=0.0) > APART * np.abs(second).max(initial=0.0))
