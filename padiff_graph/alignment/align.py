"""The pipeline that everything uses: both models captured, brought to normal form, matched, the
parameter map derived, and both proved by running.

    captures -> normal forms -> matches -> layouts and points -> parameter rows
                                   ^                                  |
                                   +--- values under that map --------+
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from padiff_graph.alignment.aligned import Alignment, Known
from padiff_graph.alignment.correspondence import ParameterEntry, ResolvedMap
from padiff_graph.alignment.evidence import derive, gather
from padiff_graph.alignment.hashed_weights import learn_weights
from padiff_graph.alignment.input_leaves import pair_input_types, pair_inputs
from padiff_graph.alignment.side_notes import side_notes
from padiff_graph.capture.api import Capture
from padiff_graph.capture.backend import backend, framework_of
from padiff_graph.capture.engine import Array, Engine
from padiff_graph.capture.graph import ComputationGraph, ParameterInfo
from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.capture.normal.normalize import normalize
from padiff_graph.capture.remote.at_once import at_once
from padiff_graph.matching.difference.structural_differences import differences
from padiff_graph.matching.ladder import match
from padiff_graph.matching.parameters.complex_weights import shape_of_views
from padiff_graph.matching.parameters.joined_linears import join_linears
from padiff_graph.matching.parameters.without_counterpart import Values
from padiff_graph.matching.result import Matching, ParameterRow
from padiff_graph.matching.rungs.hints import Hints
from padiff_graph.request.example_inputs import infer_inputs
from padiff_graph.request.inputs import check_pair, framework_named

__all__ = ["align"]

JOINS = 8
"""How often Linears are joined; more than once only where one concatenation stands behind
another."""

Example = Mapping[str, Any]


def align(
    layer: Any,
    module: Any,
    example_inp: Any = None,
    resolved: ResolvedMap | None = None,
    *,
    certify: bool = True,
    evidence: bool = True,
    captures: tuple[Capture | None, Capture | None] | None = None,
) -> Alignment:
    """Aligns two models.

    Args:
        layer, module: the first and the second model, of any framework. Neither is changed.
        example_inp: (first example, second example), each a dict from argument name to value;
            without it inputs are inferred where they can be.
        resolved: what the user knows, by dotted path.
        certify: hold the captures against eager.
        evidence: use values where both models have numbers.
        captures: the models' captures, where they were made before.

    Raises:
        CaptureError: where a model cannot be captured.
        UsageError: where no example is given and none can be inferred.
    """
    timings: dict[str, float] = {}
    before = captures or (None, None)
    if before[0] is None or before[1] is None:
        frameworks = framework_named("layer", layer), framework_named("module", module)
        if example_inp is not None:
            example_inp = check_pair(example_inp, frameworks)
    engines = _engine(layer, before[0]), _engine(module, before[1])
    if example_inp is None:
        example_inp = infer_inputs(layer, module, *engines)
    examples: tuple[Example, Example] = example_inp[0], example_inp[1]
    made = at_once(
        lambda: before[0] or _captured("first", layer, examples[0], engines[0], certify, timings),
        lambda: before[1] or _captured("second", module, examples[1], engines[1], certify, timings),
        engines,
    )
    started = time.perf_counter()
    first = normalize(made[0].graph)
    normals = first, _in_order_of(first, normalize(made[1].graph))
    timings["normal form"] = time.perf_counter() - started
    started = time.perf_counter()
    known = _known(normals, engines, examples, resolved or ResolvedMap())
    matching, layout = derive(_matched(*normals, known.hints), known.unsuggested())
    if known.values is not None and learn_weights(matching.parameters, engines):
        matching, layout = derive(_matched(*normals, known.hints), known.unsuggested())
    timings["matching"] = time.perf_counter() - started
    alignment = Alignment(
        matching,
        *engines,
        made,
        resolved or ResolvedMap(),
        known,
        layout,
        notes=side_notes(normals[0].graph.notes, normals[1].graph.notes),
        timings=timings,
        alive=known.values is not None,
    )
    if evidence:
        return gather(alignment)
    return replace(alignment, differences=differences(matching))


def _in_order_of(first: NormalGraph, second: NormalGraph) -> NormalGraph:
    """The second model with its outputs in the first's order, where both go by the same names: a
    dict is read by its keys, and tells like heads apart."""
    if first.outputs.keys() != second.outputs.keys():
        return second
    return replace(second, outputs={name: second.outputs[name] for name in first.outputs})


def _engine(model: Any, capture: Capture | None) -> Engine:
    """The engine that made a capture, where there is one."""
    return backend(framework_of(model)).engine(model) if capture is None else capture.engine


def _captured(
    side: str,
    model: Any,
    example: Example,
    engine: Engine,
    certify: bool,
    timings: dict[str, float],
) -> Capture:
    """One model's capture; with `certify` by the first way that is faithful."""
    started = time.perf_counter()
    capture = Capture.of(model, example, engine)
    while certify and not capture.certify():
        pass
    timings[f"capture {side}"] = time.perf_counter() - started
    return capture


def _known(
    normals: tuple[NormalGraph, NormalGraph],
    engines: tuple[Engine, Engine],
    examples: tuple[Example, Example],
    resolved: ResolvedMap,
) -> Known:
    """What matching starts from besides the graphs."""
    graphs = normals[0].graph, normals[1].graph
    alive = graphs[0].runnable and graphs[1].runnable
    if alive:
        inputs, orders = pair_inputs(graphs, engines, examples)
    else:
        inputs, orders = pair_input_types(*graphs), {}
    fixed = _fitting(resolved.parameters, *graphs)
    named = [(name, row.pieces[0].second) for name, row in fixed.items() if len(row.pieces) == 1]
    hints = Hints(
        modules=(*resolved.pairs, *resolved.hints), parameters=tuple(named), inputs=inputs
    )
    suggested = _fitting(resolved.suggested_parameters, *graphs)
    return Known(hints, orders, _values(engines[0]) if alive else None, fixed, suggested)


def _matched(first: NormalGraph, second: NormalGraph, hints: Hints) -> Matching:
    """The matching, Linears that are concatenated on one side and one on the other taken as one."""
    matching = match(first, second, hints=hints)
    for _ in range(JOINS):
        both = join_linears(matching)
        if both is None:
            break
        matching = match(*both, hints=hints)
    return matching


def _fitting(
    entries: tuple[ParameterEntry, ...], first: ComputationGraph, second: ComputationGraph
) -> dict[str, ParameterRow]:
    """Rows of the user's map that are about parameters that these models have."""
    return {entry.row.first: entry.row for entry in entries if _fits(entry, first, second)}


def _fits(entry: ParameterEntry, first: ComputationGraph, second: ComputationGraph) -> bool:
    info = first.parameters.get(entry.row.first)
    if info is None or shape_of_views(info, math.prod(entry.shape)) != entry.shape:
        return False
    return all(
        piece.second in second.parameters
        and _of_size(second.parameters[piece.second], piece.second_view.source)
        for piece in entry.row.pieces
    )


def _of_size(info: ParameterInfo, count: int) -> bool:
    """Whether views of `count` elements may be of a parameter."""
    return math.prod(shape_of_views(info, count)) == count


def _values(engine: Engine) -> Values:
    own = engine.parameters()

    def values(name: str) -> Array | None:
        return engine.array(own[name]) if name in own else None

    return values
