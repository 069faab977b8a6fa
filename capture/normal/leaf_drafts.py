"""Inputs, parameters, buffers and constants as drafts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from padiff_graph.capture.graph import Node, TensorType, Value
from padiff_graph.capture.normal.builder import Builder
from padiff_graph.capture.normal.draft import FLOATS, Draft
from padiff_graph.capture.normal.form import Edge, Location
from padiff_graph.capture.normal.index_map import View
from padiff_graph.capture.normal.spelt_norms import spelt_statistics

__all__ = ["Leaves"]

STATISTICS = frozenset(
    {
        "running_mean",
        "running_var",
        "mean",
        "variance",
        "scale",
        "bias",
        "weight",
        "input_mean",
        "input_var",
    }
)
"""Roles in which native normalisations read their state: a buffer there is a Parameter, known or
not."""
UNIT = 1e-3
"""How far from one the length of such a vector may be: float32, and the epsilon that it is divided
with."""


class Leaves:
    """Makes the drafts of leaves; parameters of several names become one."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        graph = builder.graph
        self.first_name = {
            alias: info.name for info in graph.parameters.values() for alias in info.aliases
        }
        self.parameters: dict[str, Edge] = {}
        self.statistics = {
            value.node
            for record in builder.records
            if "norm" in record.op and record.kind == "operation"
            for role, value in zip(record.roles, record.inputs, strict=False)
            if value is not None and role in STATISTICS
        } | spelt_statistics(graph, builder.records)
        self.written = {
            name
            for name, value in graph.updates.items()
            if graph.record(value.node).kind == "operation"
        }
        self.iterated = _iterated(builder.records)

    def add(self, record: Node) -> None:
        """One leaf; nothing where its type is not known."""
        constant = record.kind == "constant" or self._constant_buffer(record)
        if constant:
            self.builder.constants.add(record.id)
        kind = record.outputs[0] if record.outputs else None
        if kind is None:
            return
        if record.kind == "input":
            draft = self._leaf("Input", record, kind)
            draft.name, draft.varies, draft.gradient = record.name, True, kind.dtype in FLOATS
        elif constant:
            draft = self._leaf("Constant", record, kind)
            draft.name = record.name if record.kind == "buffer" else ""
            draft.constant = record.constant
        else:
            self._parameter(record, kind)

    def _constant_buffer(self, record: Node) -> bool:
        """Whether a buffer is a known constant: neither a statistic nor written by the run, in
        evaluation mode as in training."""
        if record.kind != "buffer" or record.constant is None or record.id in self.iterated:
            return False
        return record.id not in self.statistics and record.name not in self.written

    def _parameter(self, record: Node, kind: TensorType) -> None:
        builder = self.builder
        name = self.first_name.get(record.name, record.name)
        shared = self.parameters.get(name)
        if shared is not None:
            builder.values[Value(record.id)] = shared
            builder.source(shared).native += (record.id,)
            return
        draft = self._leaf("Parameter", record, kind)
        draft.name = name
        draft.gradient = kind.dtype in FLOATS and self._trainable(record, name)
        self.parameters[name] = builder.read(draft)

    def _trainable(self, record: Node, name: str) -> bool:
        info = self.builder.graph.parameters.get(name)
        if info is None:
            return record.kind == "parameter"
        return info.trainable and not info.buffer

    def _leaf(self, op: str, record: Node, kind: TensorType) -> Draft:
        draft = self.builder.add(op, (), None, (kind,), native=(record.id,))
        draft.locations[0] = Location(Value(record.id), View.of(kind.shape))
        self.builder.values[Value(record.id)] = self.builder.read(draft)
        return draft


def _iterated(records: Sequence[Node]) -> frozenset[int]:
    """The vectors of a spectral norm's power iteration, which only training writes: of length one,
    and read by nothing but what is computed of parameters alone, in a product with one."""
    carried = {
        record.id: frozenset({record.id})
        for record in records
        if record.kind == "buffer" and _unit_vector(record.constant)
    }
    if not carried:
        return frozenset()
    trained: set[int] = {record.id for record in records if record.kind == "parameter"}
    moved: set[int] = {record.id for record in records if record.kind == "input"}
    multiplied: set[int] = set()
    elsewhere: set[int] = set()
    for record in records:
        if record.kind != "operation":
            continue
        read = {value.node for value in record.inputs if value is not None}
        vectors = frozenset[int]().union(*(carried.get(node, frozenset()) for node in read))
        if read & moved:
            moved.add(record.id)
            elsewhere |= vectors
        elif read & trained:
            trained.add(record.id)
            multiplied |= vectors
        elif vectors:
            carried[record.id] = vectors
    return frozenset(multiplied - elsewhere)


def _unit_vector(constant: np.ndarray | None) -> bool:
    if constant is None or constant.ndim != 1 or constant.size < 2 or constant.dtype.kind != "f":
        return False
    return abs(float(np.linalg.norm(constant)) - 1.0) < UNIT
