"""From the captured graph to drafts: leaves, constants, and one table row for each operation."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple, Protocol

import numpy as np

from padiff_graph.capture.graph import ComputationGraph, Node, TensorType, Value
from padiff_graph.capture.normal.builder import KNOWN, Builder
from padiff_graph.capture.normal.call import Call, Result, Row, Unsupported
from padiff_graph.capture.normal.draft import FLOATS
from padiff_graph.capture.normal.form import Edge, Location
from padiff_graph.capture.normal.index_map import View
from padiff_graph.capture.normal.leaf_drafts import Leaves
from padiff_graph.capture.normal.operator_traits import Array

__all__ = ["Table", "table_of", "translate"]


class Table(Protocol):
    """What `capture/<framework>/operators.py` offers."""

    CONSTANTS: Any
    RANDOM: frozenset[str]

    def row_of(self, op: str) -> Row | None:
        """The row of a native operator."""
        ...


def table_of(framework: str) -> Table:
    """The operator table of a framework."""
    module: Any = importlib.import_module(f"padiff_graph.capture.{framework}.operators")
    return module  # type: ignore[no-any-return]


COUNTS = frozenset({"numel", "Size"})
"""Operators that answer the number of their operand's elements, and no shape."""


class _Operator(NamedTuple):
    """What the table and its name say of a native operator.

    Attributes:
        row: its row, None where the table has none.
        random: whether it draws at random.
        fill: how its value is made, where attributes decide it.
        shapes: whether it tells its operand's shape.
        decided: whether only shapes and attributes decide its result.
        list_of, member_of: whether it makes a list of its operands, or takes the members out again.
    """

    row: Row | None
    random: bool
    fill: Any
    shapes: str
    decided: bool
    list_of: bool
    member_of: bool

    @classmethod
    def of(cls, op: str, table: Table) -> _Operator:
        """What the table says of a native operator; a trailing "_" marks one that works in
        place."""
        name = op.partition(".")[2].partition(".")[0] or op
        plain = name[:-1] if name.endswith("_") and not name.endswith("__") else name
        fill = table.CONSTANTS.get(plain)
        shapes = plain if plain in getattr(table, "SHAPES", ()) else ""
        return cls(
            row=table.row_of(op),
            random=not table.RANDOM.isdisjoint((plain, name)),
            fill=fill,
            shapes=shapes,
            decided=bool(shapes) or fill is not None or plain.endswith("_like"),
            list_of=op == "builtin.combine",
            member_of=op == "builtin.split",
        )


def translate(graph: ComputationGraph) -> Builder:
    """Drafts for everything in the graph, outputs and updates noted."""
    table = table_of(graph.framework)
    operators: dict[str, _Operator] = {}
    builder = Builder(graph)
    leaves = Leaves(builder)
    for record in builder.records:
        if record.kind == "operation":
            if record.op not in operators:
                operators[record.op] = _Operator.of(record.op, table)
            _operation(builder, operators[record.op], record)
        elif record.kind == "output":
            edge = builder.lookup(record.inputs[0]) if record.inputs else None
            if edge is not None:
                builder.outputs[record.name] = edge
        else:
            leaves.add(record)
    for name, value in graph.updates.items():
        edge = builder.lookup(value)
        # Counters are bookkeeping; a buffer that only parameters decide is a function, not a state.
        if edge is not None and builder.dtype(edge) in FLOATS and builder.source(edge).varies:
            builder.updates[name] = edge
    return builder


def _operation(builder: Builder, operator: _Operator, record: Node) -> None:
    """Notes what the results of a native operation are."""
    operands = [value for value in record.inputs if value is not None]
    random = operator.random or "random" in record.marks
    if operator.list_of:
        builder.lists[Value(record.id)] = [builder.lookup(value) for value in record.inputs]
        if all(value.node in builder.constants for value in operands):
            builder.constants.add(record.id)
        return
    if operator.member_of and operands and operands[0] in builder.lists:
        for output, edge in enumerate(builder.lists[operands[0]]):
            if edge is not None:
                builder.values[Value(record.id, output)] = edge
        return
    if not random and _folded(builder, operator, record, operands):
        return
    first = len(builder.drafts)
    result = _lowered(builder, operator, record)
    if random:
        for draft in builder.drafts[first:]:
            draft.varies = True
            draft.marks |= {"random"}
    _note(builder, record, result, first)


def _lowered(builder: Builder, operator: _Operator, record: Node) -> Result:
    """What its row makes of an operation; itself where it has none or the row does not cover this
    use."""
    call, first = Call(builder, record), len(builder.drafts)
    try:
        result = opaque(call) if operator.row is None else operator.row(call)
    except Unsupported:
        del builder.drafts[first:]
        result = opaque(call)
    left = tuple(name for name in record.attrs if name not in call.asked)
    if left:
        builder.unasked[record.id] = left
    return result


def _folded(builder: Builder, operator: _Operator, record: Node, operands: list[Value]) -> bool:
    """Notes a result that shapes and constants decide; whether it was one."""
    fixed = all(value.node in builder.constants for value in operands)
    if not operator.decided and not (fixed if operands else record.constant is not None):
        return False
    builder.constants.add(record.id)
    kinds = [kind for kind in record.outputs if kind is not None]
    value = _value(builder, operator, record, kinds[0]) if len(kinds) == 1 else None
    if value is None:
        # Its row makes movement over constants, or a node that `fold` turns into one.
        return operator.fill is not None and bool(kinds) and _unknown(builder, record, kinds)
    edge = builder.constant(value, kinds[0].dtype, (record.id,), record)
    draft = builder.drafts[edge.source]
    view = View.of(np.shape(value))
    for axis, extent in enumerate(draft.shape):
        if extent != view.shape[axis]:
            view = view.take(axis, (0,))
    draft.locations[0] = Location(Value(record.id), view)
    builder.values[Value(record.id)] = edge
    return True


def _value(builder: Builder, operator: _Operator, record: Node, kind: TensorType) -> Array | None:
    """The value of a result that is decided, None where it is not known."""
    if record.constant is not None or kind.size > KNOWN:
        return record.constant
    if operator.shapes:
        operand = record.inputs[0]
        told = None if operand is None else builder.graph.type_of(operand)
        if told is None:
            return None
        if operator.shapes in COUNTS:
            return np.asarray(told.size, np.int64).reshape(kind.shape)
        part = told.shape[record.attrs.get("start", 0) : record.attrs.get("end")]
        return np.asarray(part, np.int64).reshape(kind.shape)
    if operator.fill is None:
        return None
    try:
        filled: Array = operator.fill(Call(builder, record), kind)
    except Unsupported:
        return None
    return filled


def _unknown(builder: Builder, record: Node, kinds: list[TensorType]) -> bool:
    """Notes a Constant whose value is not known."""
    draft = builder.add("Constant", (), None, tuple(kinds), native=(record.id,), like=record)
    builder.settle(record, [builder.read(draft, output) for output in range(len(kinds))], draft.id)
    return True


def _note(builder: Builder, record: Node, result: Result, first: int) -> None:
    """Notes the edges that a row made as the operation's results, or as the members of its list."""
    if result is None:
        return
    edges: list[Edge | None] = [result] if isinstance(result, Edge) else list(result)
    if len(edges) == 1 and "inplace" in record.marks:
        # What an in-place operation returns and what it wrote to are the same.
        edges += [edges[0] for kind in record.outputs[1:] if kind == record.outputs[0]]
    if len(edges) > 1 and len(record.outputs) == 1:
        builder.lists[Value(record.id)] = edges
        return
    builder.settle(record, edges, first)


def opaque(call: Call) -> Result:
    """The native operation as it is: all tensor operands in order, attributes that are plain
    data."""
    record, builder = call.record, call.builder
    if not record.outputs:
        return None
    inputs: list[Edge | None] = []
    for value in record.inputs:
        if value in builder.lists:
            inputs.extend(builder.lists[value])
        else:
            inputs.append(builder.lookup(value))
    attrs = {name: value for name, value in record.attrs.items() if _plain(value)}
    kinds = [kind or TensorType((), "unknown") for kind in record.outputs]
    results = call.results(record.op, [edge for edge in inputs if edge is not None], attrs, *kinds)
    builder.drafts[results[0].source].opaque = True
    return results if len(results) > 1 else results[0]


def _plain(value: Any) -> bool:
    """Whether an attribute is a number, a string, or a list of such."""
    if isinstance(value, (tuple, list)):
        return all(_plain(member) for member in value)
    return isinstance(value, (bool, int, float, str))
