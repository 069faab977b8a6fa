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

__all__ = ["Table", "table_of", "translate"]

STATISTICS = (
    "running_mean",
    "running_var",
    "mean",
    "variance",
    "scale",
    "bias",
    "weight",
    "input_mean",
    "input_var",
)


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
        name = op.partition(".")[2].partition(".")[0] or op
        plain = name[:-1] if name.endswith("_") and not name.endswith("__") else name
        fill = table.CONSTANTS.get(plain)
        shapes = plain if plain in getattr(table, "SHAPES", ()) else ""
        builtin = op.startswith("builtin.")
        return cls(
            table.row_of(op),
            plain in table.RANDOM or name in table.RANDOM,
            fill,
            shapes,
            bool(shapes) or fill is not None or plain.endswith("_like"),
            builtin and name == "combine",
            builtin and name == "split",
        )


def translate(graph: ComputationGraph) -> Builder:
    """Drafts for everything in the graph, outputs and updates noted."""
    table = table_of(graph.framework)
    operators: dict[str, _Operator] = {}
    builder = Builder(graph)
    leaves = _Leaves(builder)
    constants = builder.constants
    for record in graph.records():
        if record.kind == "output":
            value = record.inputs[0] if record.inputs else None
            edge = builder.lookup(value)
            if edge is not None:
                builder.outputs[record.name] = edge
        elif record.kind != "operation":
            leaves.add(record)
            if record.kind == "constant" or leaves.constant_buffer(record):
                constants.add(record.id)
        else:
            operator = operators.get(record.op)
            if operator is None:
                operator = operators[record.op] = _Operator.of(record.op, table)
            _operation(builder, operator, record, constants)
    for name, value in graph.updates.items():
        edge = builder.lookup(value)
        # Counters are bookkeeping; a buffer that only parameters decide is a function, not a state.
        if edge is not None and builder.dtype(edge) in FLOATS and builder.source(edge).varies:
            builder.updates[name] = edge
    return builder


class _Leaves:
    """Inputs, parameters, buffers and constants as drafts."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        graph = builder.graph
        self.first_name = {
            alias: info.name for info in graph.parameters.values() for alias in info.aliases
        }
        self.parameters: dict[str, Edge] = {}
        self.statistics = {
            value.node
            for record in graph.of_kind("operation")
            if "norm" in record.op
            for role, value in zip(record.roles, record.inputs, strict=False)
            if value is not None and role in STATISTICS
        }
        self.written = {
            name
            for name, value in graph.updates.items()
            if graph.record(value.node).kind == "operation"
        }

    def constant_buffer(self, record: Node) -> bool:
        """Whether a buffer is a known constant: neither a statistic nor written by the run."""
        return (
            record.kind == "buffer"
            and record.constant is not None
            and record.id not in self.statistics
            and record.name not in self.written
        )

    def add(self, record: Node) -> None:
        """One leaf."""
        builder = self.builder
        kind = record.outputs[0] if record.outputs else None
        if kind is None:
            return
        if record.kind == "input":
            draft = builder.add("Input", (), None, (kind,), native=(record.id,))
            draft.name, draft.varies, draft.gradient = record.name, True, kind.dtype in FLOATS
        elif record.kind == "constant" or self.constant_buffer(record):
            draft = builder.add("Constant", (), None, (kind,), native=(record.id,))
            draft.name, draft.constant = (
                record.name if record.kind == "buffer" else "",
                record.constant,
            )
        else:
            name = self.first_name.get(record.name, record.name)
            if name in self.parameters:
                shared = self.parameters[name]
                builder.values[Value(record.id)] = shared
                builder.drafts[shared.source].native += (record.id,)
                return
            draft = builder.add("Parameter", (), None, (kind,), native=(record.id,))
            info = builder.graph.parameters.get(name)
            draft.name = name
            draft.gradient = kind.dtype in FLOATS and (
                record.kind == "parameter" if info is None else info.trainable and not info.buffer
            )
            self.parameters[name] = builder.read(draft)
        draft.locations[0] = Location(Value(record.id), View.of(kind.shape))
        builder.values[Value(record.id)] = builder.read(draft)


def _operation(builder: Builder, operator: _Operator, record: Node, constants: set[int]) -> None:
    operands = [value for value in record.inputs if value is not None]
    random = operator.random or "random" in record.marks
    if operator.list_of:
        members = [builder.lookup(value) for value in record.inputs]
        builder.lists[Value(record.id)] = members
        if all(value.node in constants for value in operands):
            constants.add(record.id)
        return
    if operator.member_of and operands and operands[0] in builder.lists:
        for output, edge in enumerate(builder.lists[operands[0]]):
            if edge is not None:
                builder.values[Value(record.id, output)] = edge
        return
    if not random and _folded(builder, operator, record, operands, constants):
        return
    first = len(builder.drafts)
    call = Call(builder, record)
    try:
        result = operator.row(call) if operator.row is not None else opaque(call)
    except Unsupported:
        del builder.drafts[first:]
        result = opaque(call)
    if random:
        for draft in builder.drafts[first:]:
            draft.varies = True
            draft.marks |= {"random"}
    _note(builder, record, result, first)


def _folded(
    builder: Builder, operator: _Operator, record: Node, operands: list[Value], constants: set[int]
) -> bool:
    """Notes a result that shapes and constants decide; whether it was one."""
    if not operator.decided and not (
        all(value.node in constants for value in operands)
        if operands
        else record.constant is not None
    ):
        return False
    constants.add(record.id)
    value = record.constant
    kinds = [kind for kind in record.outputs if kind is not None]
    if value is None and len(kinds) == 1 and kinds[0].size <= KNOWN:
        if operator.shapes:
            kind = builder.graph.type_of(operands[0])
            value = (
                None
                if kind is None
                else np.asarray(
                    kind.size if operator.shapes == "numel" else kind.shape, np.int64
                ).reshape(kinds[0].shape)
            )
        elif operator.fill is not None:
            value = _filled(builder, operator.fill, record, kinds[0])
    if value is None or len(kinds) != 1:
        # Its row makes movement over constants, or a node that `fold_constants` turns into one.
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


def _filled(
    builder: Builder, fill: Any, record: Node, kind: TensorType
) -> np.ndarray[Any, Any] | None:
    try:
        value: np.ndarray[Any, Any] = fill(Call(builder, record), kind)
    except Unsupported:
        return None
    return value


def _unknown(builder: Builder, record: Node, kinds: list[TensorType]) -> bool:
    draft = builder.add("Constant", (), None, tuple(kinds), native=(record.id,), like=record)
    builder.settle(record, [builder.read(draft, output) for output in range(len(kinds))], draft.id)
    return True


def _note(builder: Builder, record: Node, result: Result, first: int) -> None:
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
    """The native operation as it is: all tensor operands in order, attributes that are plain data."""
    record, builder = call.record, call.builder
    inputs: list[Edge | None] = []
    for value in record.inputs:
        if value is None:
            continue
        inputs.extend(builder.lists[value] if value in builder.lists else [builder.lookup(value)])
    attrs = {name: value for name, value in record.attrs.items() if _plain(value)}
    kinds = [TensorType((), "unknown") if kind is None else kind for kind in record.outputs]
    if not kinds:
        return None
    found = call.results(record.op, [edge for edge in inputs if edge is not None], attrs, *kinds)
    builder.drafts[found[0].source].opaque = True
    return found if len(found) > 1 or len(record.outputs) > 1 else found[0]


def _plain(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(_plain(member) for member in value)
    return isinstance(value, (bool, int, float, str))
