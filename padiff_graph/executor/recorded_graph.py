"""Whole runs of a recorded model: which of them a file holds, told by digests of what went in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.executor.region_run import Side
from padiff_graph.sides.digests import digest
from padiff_graph.sides.recorded_engine import RecordedEngine

__all__ = ["BUFFER", "GRADIENT", "OUTPUT", "Quantities", "recalled_graph"]

OUTPUT, BUFFER, GRADIENT = "output", "buffer", "gradient"
"""What a whole run yields; prefixes of the names of its arrays."""
Quantities = tuple[dict[str, Array], dict[str, Array], dict[str, Array]]
"""Outputs, buffers, gradients by name."""
UNHELD = "the recording holds no run of the whole graph with these weights and cotangents in "


def recalled_graph(
    side: Side,
    cotangents: Mapping[str, Array] | None,
    fed: Mapping[str, Array] | None,
    *,
    double: bool,
) -> Quantities:
    """What a recorded run of a whole graph yielded; arguments as of `run_graph`.

    Raises:
        NotRunnable: where the recording holds no such run.
    """
    engine = cast(RecordedEngine, side.engine)
    weights, inputs, seeds = digest(side.parameters), digest(fed), digest(cotangents)
    for number, held in enumerate(engine.model.facts["graphs"]):
        alike = (held["double"], held["weights"], held["fed"]) == (double, weights, inputs)
        if alike and (cotangents is None or held["cotangents"] == seeds):
            return _read(engine, number, held, cotangents is not None)
    raise NotRunnable(UNHELD + ("float64" if double else "float32"))


def _read(engine: RecordedEngine, number: int, held: Mapping[str, Any], graded: bool) -> Quantities:
    """One run; what was written as the distance from another run is added to that."""
    yielded: Quantities = ({}, {}, {})
    kind = f"graphs.{number}"
    base = f"graphs.{held['from']}"
    for key in engine.model.recording.names(kind):
        what, _, name = key.partition(":")
        array = engine.model.array(kind, key)
        if held["from"] is not None:
            own = engine.model.array(base, key)
            array = own ^ array if own.dtype.kind == "b" else own + array
        yielded[(OUTPUT, BUFFER, GRADIENT).index(what)][name] = array
    return yielded if graded else (yielded[0], yielded[1], {})
