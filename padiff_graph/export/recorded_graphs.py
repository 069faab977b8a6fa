"""A recording's runs of the whole graph in float64, as the proof of rounding asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from padiff_graph.capture.engine import Array, Engine, NotRunnable
from padiff_graph.executor.output_pairs import output_pairs
from padiff_graph.executor.pair_setup import pair_of
from padiff_graph.executor.recorded_graph import BUFFER, GRADIENT, OUTPUT
from padiff_graph.executor.region_parameters import share
from padiff_graph.executor.region_run import Side
from padiff_graph.executor.whole_graph import GraphRun, run_graph
from padiff_graph.matching.result import Matching
from padiff_graph.obligations.whole_proof import moved, moved_inputs, seeds_of
from padiff_graph.sides.digests import digest
from padiff_graph.sides.recording_file import RecordingWriter

__all__ = ["write_graphs"]

Facts = list[dict[str, Any]]


def write_graphs(
    writer: RecordingWriter, matching: Matching, engine: Engine
) -> tuple[Facts, list[str]]:
    """Writes what a whole graph yields in float64, and how far that moves with its weights and
    inputs by one unit in the last place of float32.

    Args:
        writer: of the file.
        matching: the model's with itself.
        engine: of the model.

    Returns:
        What the manifest says of the runs, and why there are none.
    """
    weights = share(matching, engine, engine, randomise=False)
    side = pair_of(matching, (engine, engine), weights).second
    seeds = None if engine.framework == "onnx" else seeds_of(side, output_pairs(matching))
    try:
        plain = run_graph(side, seeds, double=True)
        facts = [_facts(side, seeds, None, None)]
        _write(writer, 0, _named(plain))
        other, fed = moved(side), moved_inputs(side)
        away = _named(run_graph(other, seeds, double=True, fed=fed, single=True))
    except NotRunnable as error:
        return [], [str(error)]
    base = _named(plain)
    _write(writer, 1, {key: _distance(array, base[key]) for key, array in away.items()})
    return [*facts, _facts(other, seeds, fed, 0)], []


def _facts(
    side: Side,
    seeds: Mapping[str, Array] | None,
    fed: Mapping[str, Array] | None,
    base: int | None,
) -> dict[str, Any]:
    return {
        "double": True,
        "weights": digest(side.parameters),
        "fed": digest(fed),
        "cotangents": digest(seeds),
        "from": base,
    }


def _named(run: GraphRun) -> dict[str, Array]:
    """All that a run yields, by kind and name."""
    kinds = ((OUTPUT, run.outputs), (BUFFER, run.buffers), (GRADIENT, run.gradients))
    named: dict[str, Array] = {}
    for kind, arrays in kinds:
        named |= {f"{kind}:{name}": array for name, array in arrays.items()}
    return named


def _distance(array: Array, base: Array) -> Array:
    """How far a run is from another one; its own digits are no more than a float32's."""
    if array.dtype.kind not in "f":
        return array - base if array.dtype.kind in "iuc" else array ^ base
    distance: Array = (array - base).astype(np.float32)
    return distance


def _write(writer: RecordingWriter, number: int, arrays: Mapping[str, Array]) -> None:
    for key, array in arrays.items():
        writer.add(f"graphs.{number}", key, array)
