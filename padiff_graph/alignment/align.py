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
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from padiff_graph.alignment.correspondence import ModuleRow, ParameterEntry, ResolvedMap
from padiff_graph.alignment.module_rows import module_rows
from padiff_graph.alignment.value_proof import Proof, prove
from padiff_graph.capture.api import Capture
from padiff_graph.capture.backend import backend, framework_of
from padiff_graph.capture.engine import Array, Engine
from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.capture.leaf_names import leaves
from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.capture.normal.index_map import View
from padiff_graph.capture.normal.normalize import normalize
from padiff_graph.matching.difference.structural_differences import differences
from padiff_graph.matching.ladder import match
from padiff_graph.matching.parameters.joined_linears import join_linears
from padiff_graph.matching.parameters.parameter_map import Values, map_parameters
from padiff_graph.matching.parameters.points import Layout, lay_out
from padiff_graph.matching.parameters.relations import axis_orders
from padiff_graph.matching.parameters.stacked import stackings
from padiff_graph.matching.result import Difference, Matching, ParameterRow
from padiff_graph.matching.rungs.hints import Hints
from padiff_graph.matching.rungs.value_evidence import Evidence
from padiff_graph.request.example_inputs import infer_inputs
from padiff_graph.request.input_pairs import pair_leaves

__all__ = ["Alignment", "align", "confirm", "gather"]

JOINS = 8
"""How often Linears are joined; more than once only where one concatenation stands behind another."""
ROUNDS = 2
"""How often values are collected and matched again; the second time only confirms as a rule."""


@dataclass(frozen=True)
class _Known:
    """What matching starts from besides the graphs."""

    hints: Hints
    orders: Mapping[str, View]
    values: Values | None
    fixed: Mapping[str, ParameterRow]


@dataclass
class Alignment:
    """Two models held against each other.

    Attributes:
        matching: both normal forms, matches, points, parameter rows.
        first_engine, second_engine: the models' engines.
        examples: the example of each side.
        inputs: which input leaf of the first is which of the second.
        resolved: the user's LayerMap by path.
        differences: what structure says.
        notes: what the user should know, in sentences.
        timings: seconds by step.
        layout: what followed from the matches.
        proof: what running showed; None where nothing was run.
        captures: both captures, which may still have to be certified.
        known: what matching starts from, to match again; None where there is nothing to run.
    """

    matching: Matching
    first_engine: Engine
    second_engine: Engine
    examples: tuple[Mapping[str, Any], Mapping[str, Any]]
    inputs: tuple[tuple[str, str], ...]
    resolved: ResolvedMap
    differences: tuple[Difference, ...] = ()
    notes: list[str] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    layout: Layout = field(default_factory=Layout)
    proof: Proof | None = None
    captures: tuple[Capture, ...] = ()
    known: _Known | None = None

    def module_rows(self) -> tuple[ModuleRow, ...]:
        """Which modules correspond."""
        return module_rows(self.matching)

    def unneeded_second(self) -> tuple[str, ...]:
        """Parameters and buffers of the second model that no row uses, those that its computation does not
        read included (a BatchNorm's step counter): a checkpoint holds them all."""
        held = {piece.second for row in self.matching.parameters for piece in row.pieces}
        return tuple(
            dict.fromkeys(
                name
                for name in (*self.matching.unused_second, *self.matching.second.unread)
                if name not in held
            )
        )

    def parameter_entries(self) -> tuple[ParameterEntry, ...]:
        """The parameter map with shapes and dtypes."""
        first, second = self.matching.first.graph.parameters, self.matching.second.graph.parameters
        return tuple(
            ParameterEntry(
                row,
                first[row.first].type.shape,
                first[row.first].type.dtype,
                {piece.second: second[piece.second].type.shape for piece in row.pieces},
            )
            for row in self.matching.parameters
        )


def align(
    layer: Any,
    module: Any,
    example_inp: Any = None,
    resolved: ResolvedMap | None = None,
    *,
    certify: bool = True,
    evidence: bool = True,
    captures: tuple[Capture, ...] = (),
) -> Alignment:
    """Aligns two models.

    Args:
        layer, module: the first and the second model, of any framework. Neither is changed.
        example_inp: (first example, second example), each a dict from argument name to value; without
            it inputs are inferred where they can be.
        resolved: what the user knows, by dotted path.
        certify: hold the captures against eager.
        evidence: use values where both models have numbers.
        captures: both models' captures, where they were made before.
    Raises:
        CaptureError: where a model cannot be captured.
        UsageError: where no example is given and none can be inferred.
    """
    timings: dict[str, float] = {}
    engines = tuple(capture.engine for capture in captures) or tuple(
        backend(framework_of(model)).engine(model) for model in (layer, module)
    )
    if example_inp is None:
        example_inp = infer_inputs(layer, module, engines[0], engines[1])
    examples: tuple[Mapping[str, Any], Mapping[str, Any]] = (example_inp[0], example_inp[1])
    if not captures:
        for side, model, example, engine in zip(
            ("first", "second"), (layer, module), examples, engines, strict=True
        ):
            started = time.perf_counter()
            captures += (Capture.of(model, example, engine),)
            while certify and not captures[-1].certify():
                pass
            timings[f"capture {side}"] = time.perf_counter() - started
    started = time.perf_counter()
    normals = [normalize(capture.graph) for capture in captures]
    timings["normal form"] = time.perf_counter() - started
    alignment = align_graphs(
        normals[0],
        normals[1],
        engines[0],
        engines[1],
        examples,
        resolved or ResolvedMap(),
        timings,
        evidence=evidence,
    )
    alignment.captures = captures
    return alignment


def align_graphs(
    first: Any,
    second: Any,
    first_engine: Engine,
    second_engine: Engine,
    examples: tuple[Mapping[str, Any], Mapping[str, Any]],
    resolved: ResolvedMap,
    timings: dict[str, float],
    *,
    evidence: bool,
) -> Alignment:
    """Aligns two normal forms; see `align`."""
    started = time.perf_counter()
    alive = first.graph.runnable and second.graph.runnable
    pairs, orders = _inputs(first.graph, second.graph, first_engine, second_engine, examples, alive)
    fixed = {
        entry.row.first: entry.row
        for entry in resolved.parameters
        if _fits(entry, first.graph, second.graph)
    }
    hints = Hints(
        modules=(*resolved.pairs, *resolved.hints),
        parameters=tuple(
            (name, row.pieces[0].second) for name, row in fixed.items() if len(row.pieces) == 1
        ),
        inputs=pairs,
    )
    values = _values(first_engine) if alive else None
    matching = _matched(first, second, hints)
    matching, layout = _derived(matching, orders, values, fixed)
    timings["matching"] = time.perf_counter() - started
    alignment = Alignment(
        matching, first_engine, second_engine, examples, pairs, resolved, (), [], timings, layout
    )
    for graph in (first.graph, second.graph):
        alignment.notes.extend(graph.notes)
    alignment.known = _Known(hints, orders, values, fixed) if alive else None
    if evidence:
        gather(alignment)
    else:
        alignment.differences = differences(alignment.matching)
    return alignment


def _matched(first: NormalGraph, second: NormalGraph, hints: Hints) -> Matching:
    """The matching, Linears that are concatenated on one side and one on the other taken as one."""
    matching = match(first, second, hints=hints)
    for _ in range(JOINS):
        both = join_linears(matching)
        if both is None:
            break
        matching = match(*both, hints=hints)
    return matching


def gather(alignment: Alignment) -> None:
    """Runs both sides under the map so far, matches again with what they showed, and marks what is proved."""
    started = time.perf_counter()
    if alignment.known is not None:
        _with_values(alignment, alignment.known)
        alignment.timings["values"] = (
            alignment.timings.get("values", 0.0) + time.perf_counter() - started
        )
    alignment.differences = differences(alignment.matching)


def confirm(alignment: Alignment) -> None:
    """Marks what is proved where every region agreed, fed with the same values: then all values agree."""
    alignment.proof = Proof(agreeing=set(range(len(alignment.matching.points))))
    alignment.matching = alignment.proof.mark(
        alignment.proof.confirm(alignment.matching), alignment.layout
    )


def _with_values(alignment: Alignment, known: _Known) -> None:
    glance = prove(
        alignment.matching,
        alignment.layout,
        alignment.first_engine,
        alignment.second_engine,
        prints=False,
    )
    if glance.whole(alignment.matching):
        alignment.proof = glance
        alignment.matching = glance.mark(glance.confirm(alignment.matching), alignment.layout)
        alignment.notes.extend(glance.notes)
        return
    for _ in range(ROUNDS):
        proof = prove(
            alignment.matching, alignment.layout, alignment.first_engine, alignment.second_engine
        )
        again = match(
            alignment.matching.first,
            alignment.matching.second,
            hints=known.hints,
            evidence=Evidence(proof.first, proof.second, proof.deployed),
        )
        unchanged = {(m.first, m.second) for m in again.matches} == {
            (m.first, m.second) for m in alignment.matching.matches
        }
        matching, layout = _derived(again, known.orders, known.values, known.fixed)
        alignment.matching, alignment.layout, alignment.proof = matching, layout, proof
        if unchanged:
            break
    else:
        proof = prove(
            alignment.matching, alignment.layout, alignment.first_engine, alignment.second_engine
        )
    alignment.proof = proof
    alignment.matching = proof.mark(alignment.matching, alignment.layout)
    alignment.notes.extend(proof.notes)
    _try_stackings(alignment)


def _try_stackings(alignment: Alignment) -> None:
    """Takes the one possibility for stacked parameters under which more values agree than under any other."""
    before = len(alignment.proof.agreeing) if alignment.proof is not None else 0
    tried: list[tuple[int, Matching, Proof]] = []
    for possible in stackings(alignment.matching):
        proof = prove(possible, alignment.layout, alignment.first_engine, alignment.second_engine)
        tried.append((len(proof.agreeing), possible, proof))
    tried.sort(key=lambda one: -one[0])
    if not tried or tried[0][0] <= before or (len(tried) > 1 and tried[1][0] == tried[0][0]):
        return
    _, matching, alignment.proof = tried[0]
    known = {row.first: row for row in alignment.matching.parameters}
    shown = "; with it the values behind agree"
    rows = tuple(
        row
        if row is known[row.first]
        else replace(row, proved=True, confidence=0.95, reason=row.reason + shown)
        for row in matching.parameters
    )
    alignment.matching = alignment.proof.mark(replace(matching, parameters=rows), alignment.layout)


def _derived(
    matching: Matching,
    orders: Mapping[str, View],
    values: Values | None,
    fixed: Mapping[str, ParameterRow],
) -> tuple[Matching, Layout]:
    layout = lay_out(matching, orders)
    matching = replace(matching, points=tuple(layout.points))
    return map_parameters(matching, layout.readings, values, fixed), layout


# -- inputs


def _inputs(
    first: ComputationGraph,
    second: ComputationGraph,
    first_engine: Engine,
    second_engine: Engine,
    examples: tuple[Mapping[str, Any], Mapping[str, Any]],
    alive: bool,
) -> tuple[tuple[tuple[str, str], ...], dict[str, View]]:
    """Which leaves correspond, and the relation of those whose axes stand in another order."""
    if not alive:
        return _by_shape(first, second), {}
    arrays = []
    for graph, engine, example in zip(
        (first, second), (first_engine, second_engine), examples, strict=True
    ):
        tensors = engine.inputs(graph)
        names = {node.id: node.name for node in graph.of_kind("input")}
        found = {
            names[node]: engine.array(tensor) for node, tensor in tensors.items() if node in names
        }
        if graph.framework in ("torch", "paddle"):
            tools = backend(graph.framework).values
            for name, leaf in leaves(example, tools.is_tensor).items():
                if name not in found and tools.materialised(leaf):
                    found[name] = tools.array(leaf)
        arrays.append(found)
    pairs = pair_leaves(arrays[0], arrays[1])
    orders = {}
    for name, other in pairs:
        one, two = arrays[0][name], arrays[1][other]
        if one.shape != two.shape:
            relation = _relation(one, two)
            if relation is not None:
                orders[name] = relation
    return pairs, orders


def _relation(first: Array, second: Array) -> View | None:
    """How equal numbers are laid out on the two sides."""
    if first.size != second.size:
        return None
    if np.array_equal(first.reshape(-1), second.reshape(-1)):
        return View.of(first.shape).reshape(second.shape)
    return next(
        (
            order
            for order in axis_orders(first.shape, second.shape)
            if np.array_equal(order.apply(first), second)
        ),
        None,
    )


def _by_shape(first: ComputationGraph, second: ComputationGraph) -> tuple[tuple[str, str], ...]:
    """Leaves by name, then by the same shape and dtype in order; no numbers."""
    ours = {node.name: node.outputs[0] for node in first.of_kind("input")}
    theirs = {node.name: node.outputs[0] for node in second.of_kind("input")}
    pairs = {name: name for name in ours if name in theirs}
    for name, kind in ours.items():
        if name not in pairs:
            other = next(
                (
                    other
                    for other, found in theirs.items()
                    if other not in pairs.values() and found == kind
                ),
                None,
            )
            if other is None:
                other = next(
                    (
                        other
                        for other, found in theirs.items()
                        if other not in pairs.values()
                        and found is not None
                        and kind is not None
                        and sorted(found.shape) == sorted(kind.shape)
                    ),
                    None,
                )
            if other is not None:
                pairs[name] = other
    return tuple(pairs.items())


# -- small things


def _fits(entry: ParameterEntry, first: ComputationGraph, second: ComputationGraph) -> bool:
    """Whether a row of the user's map is about parameters that these models have."""
    info = first.parameters.get(entry.row.first)
    if info is None or info.type.shape != entry.shape:
        return False
    return all(
        piece.second in second.parameters
        and math.prod(second.parameters[piece.second].type.shape) == piece.second_view.source
        for piece in entry.row.pieces
    )


def _values(engine: Engine) -> Values:
    own = engine.parameters()

    def values(name: str) -> Array | None:
        return engine.array(own[name]) if name in own else None

    return values
