"""From a recorded PIR program to the computation graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from padiff_graph.capture.engine import NotRunnable
from padiff_graph.capture.graph import Node, TensorType, Value
from padiff_graph.capture.paddle import internals, values
from padiff_graph.capture.paddle.backward_code import (
    CUSTOM_FUNCTION,
    GRADIENT_HOOK,
    Custom,
    Hook,
    HookEntry,
)
from padiff_graph.capture.paddle.example_numbers import FLOATING, Leaf
from padiff_graph.capture.paddle.layer_tensors import tensor_type
from padiff_graph.capture.paddle.pir_call import Operation, is_random, unshareable
from padiff_graph.capture.paddle.program_pieces import DATA, program_pieces
from padiff_graph.capture.paddle.recording import Recording
from padiff_graph.capture.paddle.user_lines import line_of

__all__ = ["Conversion"]

LARGEST = 1_000_000
"""Elements of the largest constant that is kept in the graph; chosen so that masks and position
tables of long sequences are, and that a graph stays small beside its model."""

LARGEST_BUFFER = 100_000
"""The same for a floating buffer, which a port may rightly hold in another layout; chosen so that
rotary and relative position tables are kept."""

RATES = ("p", "dropout", "dropout_p")
"""Operands that hold the rate of a dropout."""

PLAIN = (bool, int, float, str)
"""Arguments of a custom function that are told as attributes."""


@dataclass
class Conversion:
    """Builds nodes from one recording.

    Attributes:
        recording: what was written down.
        nodes: the nodes so far, in program order.
        tensors: example leaves and constants by node.
    """

    recording: Recording
    nodes: list[Node] = field(default_factory=list)
    tensors: dict[int, Any] = field(default_factory=dict)
    _at: dict[int, Value] = field(default_factory=dict)
    _vectors: dict[int, list[Value]] = field(default_factory=dict)
    _constants: dict[Value, Any] = field(default_factory=dict)
    _places: dict[int, tuple[str, int]] = field(default_factory=dict)

    def run(
        self, inputs: Mapping[str, Any], outputs: Mapping[str, Any], updates: Mapping[str, Any]
    ) -> tuple[list[Node], dict[str, Value]]:
        """Converts the whole program.

        Args:
            inputs: program values of the example's leaves by name, in order.
            outputs: program values that the forward returned, by leaf name.
            updates: program values that buffers hold at the end, by dotted name.

        Returns:
            The nodes, and the updates as graph values.
        """
        operations = list(self.recording.program.global_block().ops)
        self._places = self.recording.calls.places(operation.id() for operation in operations)
        roots = [*outputs.values(), *updates.values()]
        pieces = program_pieces(operations, self.recording.customs, roots)
        for value in inputs.values():
            self._value(value)
        for operation in operations:
            number = operation.id()
            if number not in pieces.needed:
                continue
            if number not in pieces.bodies:
                self._add(operation)
            if number in pieces.customs:
                self._add_custom(pieces.customs[number])
        for name, value in outputs.items():
            self._add_output(name, self._value(value))
        return self.nodes, {name: self._value(value) for name, value in updates.items()}

    # values

    def _append(self, node: Node) -> int:
        number = len(self.nodes)
        self.nodes.append(replace(node, id=number))
        return number

    def _type(self, value: Value) -> TensorType | None:
        return self.nodes[value.node].outputs[value.output]

    def _value(self, value: Any) -> Value:
        """The graph's value for a program value that is one tensor."""
        if value.id not in self._at:
            self._at[value.id] = self._add_leaf(self.recording.inputs.by_value[value.id])
        return self._at[value.id]

    def _add_leaf(self, leaf: Leaf) -> Value:
        kind = tensor_type(leaf.tensor)
        constant = values.array(leaf.tensor) if self._is_kept(leaf, kind) else None
        node = Node(0, leaf.kind, name=leaf.name, outputs=(kind,), constant=constant)
        value = Value(self._append(node))
        if leaf.kind in ("input", "constant"):
            held = leaf.tensor._is_initialized()
            self.tensors[value.node] = leaf.tensor.detach() if held else leaf.tensor
        if leaf.kind == "constant" and constant is not None:
            self._constants[value] = leaf.tensor.detach()
        return self._with_hooks(leaf.value, value, ("", 0))

    def _is_kept(self, leaf: Leaf, kind: TensorType) -> bool:
        """Whether the graph holds a leaf's numbers."""
        if not self.recording.concrete:
            return False
        if leaf.kind == "buffer":
            floating = kind.dtype.startswith(FLOATING)
            return kind.size <= (LARGEST_BUFFER if floating else LARGEST)
        return leaf.kind == "constant" and kind.size <= LARGEST

    def _add_output(self, name: str, value: Value) -> None:
        kind = self._type(value)
        self._append(
            Node(0, "output", name=name, inputs=(value,), roles=("value",), outputs=(kind,))
        )

    # operations

    def _add(self, native: Any) -> None:
        name = native.name()
        if name == DATA:
            return
        if name == "builtin.combine":
            members = [self._value(source) for source in native.operands_source()]
            self._vectors[native.result(0).id] = members
        elif name == "builtin.split":
            members = self._vectors[native.operand_source(0).id]
            for result, member in zip(native.results(), members, strict=True):
                self._at[result.id] = member
        else:
            self._add_operation(native)

    def _add_operation(self, native: Any) -> None:
        operation = self.recording.numbers.operation(native)
        inputs, roles = self._operands(native, operation)
        known = [None if operand is None else self._constants.get(operand) for operand in inputs]
        place = self._places.get(native.id(), ("", 0))
        node = Node(
            0,
            "operation",
            native.name(),
            inputs=tuple(inputs),
            roles=tuple(roles),
            attrs=operation.attrs,
            outputs=_result_types(native.results()),
            path=place[0],
            call=place[1],
            source=line_of(internals.callstack(native)),
            marks=self._marks(native, operation, dict(zip(roles, known, strict=True))),
            native=operation,
        )
        tensor = self._folded(node, operation, known)
        if tensor is not None:
            with internals.dynamic(self.recording.tracer):
                node = replace(node, constant=values.array(tensor))
        number = self._append(node)
        self._note_results(native, operation, number, place)
        if tensor is not None:
            self._constants.setdefault(Value(number), tensor)

    def _operands(self, native: Any, operation: Operation) -> tuple[list[Value | None], list[str]]:
        """Operands with their roles, vectors member by member."""
        inputs: list[Value | None] = []
        roles: list[str] = []
        for role, width, source in zip(
            operation.roles, operation.operand_widths, native.operands_source(), strict=True
        ):
            if width is not None:
                members = self._vectors[source.id]
                inputs += members
                roles += [f"{role}[{number}]" for number in range(len(members))]
                continue
            inputs.append(self._value(source) if source.initialized() else None)
            roles.append(role)
        return inputs, roles

    def _note_results(
        self, native: Any, operation: Operation, node: int, place: tuple[str, int]
    ) -> None:
        """Notes which outputs of a node stand for an operation's results."""
        output = 0
        for result, width in zip(native.results(), operation.widths, strict=True):
            if width is None:
                self._at[result.id] = self._with_hooks(result, Value(node, output), place)
                output += 1
            else:
                members = range(output, output + width)
                self._vectors[result.id] = [Value(node, member) for member in members]
                output += width

    def _folded(self, node: Node, operation: Operation, known: Sequence[Any]) -> Any:
        """The result of an operation over constants; None where it is none, or too large."""
        size = max((kind.size for kind in node.outputs if kind is not None), default=0)
        if len(node.outputs) != 1 or "random" in node.marks or "empty" in node.op or size > LARGEST:
            return None
        for operand, tensor in zip(node.inputs, known, strict=True):
            if operand is not None and tensor is None:
                return None
        with internals.dynamic(self.recording.tracer):
            try:
                (tensor,) = operation(operation.grouped(known))
            except (NotRunnable, RuntimeError, ValueError, TypeError):
                return None  # a constant is a convenience: the node itself stays
        return tensor

    def _marks(
        self, native: Any, operation: Operation, constants: Mapping[str, Any]
    ) -> frozenset[str]:
        marks = set()
        if _loses_gradient(native):
            marks.add("no_grad")
        rates = {}
        for role, tensor in constants.items():
            if role in RATES and tensor is not None and tensor.size == 1:
                rates[role] = tensor.item()
        if is_random(operation.name, operation.attrs, rates):
            marks.add("random")
            if unshareable(operation.name):
                marks.add("unshareable_random")
        if native.id() in self.recording.overwrites.written or operation.overwritten:
            marks.add("inplace")
        return frozenset(marks)

    # what only the backward sees

    def _with_hooks(self, program_value: Any, value: Value, place: tuple[str, int]) -> Value:
        """Puts gradient hooks between a value and all its readers."""
        for entry in self.recording.hooks.get(program_value.id, ()):
            node = _hook_node(entry, value, self._type(value), place)
            value = Value(self._append(node))
        return value

    def _add_custom(self, custom: Custom) -> None:
        inputs = tuple(self._value(operand) for operand in custom.operands())
        results = custom.outputs()
        number = self._append(
            Node(
                0,
                "operation",
                CUSTOM_FUNCTION,
                inputs=inputs,
                roles=tuple(f"tensors[{position}]" for position in range(len(inputs))),
                attrs=_custom_attributes(custom),
                outputs=_result_types(results),
                path=custom.path,
                call=custom.call,
                source=custom.source,
                marks=frozenset({"custom_function"}),
                native=custom,
            )
        )
        for position, result in enumerate(results):
            value = Value(number, position)
            self._at[result.id] = self._with_hooks(result, value, (custom.path, custom.call))


def _result_types(results: Sequence[Any]) -> tuple[TensorType | None, ...]:
    """Types of program values, vectors member by member."""
    kinds: list[TensorType | None] = []
    for result in results:
        types = internals.result_types(result)
        for kind in types if isinstance(types, list) else [types]:
            kinds.append(None if kind is None else TensorType(*kind))
    return tuple(kinds)


def _hook_node(
    entry: HookEntry, value: Value, kind: TensorType | None, place: tuple[str, int]
) -> Node:
    path, call = entry.place
    return Node(
        0,
        "operation",
        GRADIENT_HOOK,
        inputs=(value,),
        roles=("x",),
        attrs={"hook": getattr(entry.function, "__qualname__", type(entry.function).__name__)},
        outputs=(kind,),
        path=path or place[0],
        call=call or place[1],
        source=entry.source,
        marks=frozenset({"gradient_hook"}),
        native=Hook(entry.function),
    )


def _custom_attributes(custom: Custom) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "function": f"{custom.function.__module__}.{custom.function.__qualname__}"
    }
    for position, argument in enumerate(custom.arguments):
        if isinstance(argument, PLAIN):
            attributes[f"argument{position}"] = argument
    for name, argument in custom.keywords.items():
        if isinstance(argument, PLAIN):
            attributes[name] = argument
    return attributes


def _loses_gradient(native: Any) -> bool:
    """Whether an operation with an operand that learns has results that do not."""
    sources = [source for source in native.operands_source() if source.initialized()]
    members = [member for source in sources for member in _floating_members(source)]
    if all(member.stop_gradient for member in members):
        return False
    results = [result for result in native.results() if not _is_integer(result)]
    # a norm's statistics are made for its backward: `no_grad` leaves their flag as it is
    told = [result for at, result in enumerate(results) if at == 0 or not result.use_empty()]
    return bool(told) and all(result.stop_gradient for result in told)


def _floating_members(source: Any) -> list[Any]:
    """The floating tensors that a program value is, or is a vector of."""
    if not source.is_combine():
        return [source] if _is_floating(source) else []
    maker = source.get_defining_op()
    members = maker.operands_source() if maker.name() == "builtin.combine" else [source]
    return [member for member in members if member.is_dense_tensor_type() and _is_floating(member)]


def _is_floating(value: Any) -> bool:
    return internals.spelled(value.dtype).startswith(FLOATING)


def _is_integer(value: Any) -> bool:
    return value.is_dense_tensor_type() and not _is_floating(value)
