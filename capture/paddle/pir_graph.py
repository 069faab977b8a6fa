"""From a recorded PIR program to the computation graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.graph import Node, TensorType, Value
from padiff_graph.capture.paddle import internals, values
from padiff_graph.capture.paddle.pir_call import is_random, unshareable
from padiff_graph.capture.paddle.recording import Custom, Leaf, Recording
from padiff_graph.capture.paddle.user_lines import line_of

__all__ = ["CUSTOM_FUNCTION", "GRADIENT_HOOK", "Conversion", "Hook"]

GRADIENT_HOOK = "padiff_graph.gradient_hook"
CUSTOM_FUNCTION = "padiff_graph.custom_function"
LARGEST = 1_000_000
"""Elements of the largest constant that is kept in the graph."""
FLOATING = ("float", "bfloat", "complex")
DOMAIN = "pd_op."


@dataclass(frozen=True)
class Hook:
    """A gradient hook registered in a forward."""

    function: Any


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
    _members: dict[int, list[Any]] = field(default_factory=dict)
    _constants: dict[Value, Any] = field(default_factory=dict)
    _spans: dict[int, tuple[str, int]] = field(default_factory=dict)

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
        self._places(operations)
        bodies, whole = self._bodies(operations)
        needed = self._needed(operations, [*outputs.values(), *updates.values()], whole)
        for value in inputs.values():
            self._leaf(self.recording.by_value[value.id])
        for operation in operations:
            number = operation.id()
            custom = whole.get(number)
            if number in needed and number not in bodies:
                self._operation(operation)
            if custom is not None and number in needed:
                self._custom(custom)
        for name, value in outputs.items():
            found = self._value(value)
            self._append(
                Node(
                    0,
                    "output",
                    name=name,
                    inputs=(found,),
                    roles=("value",),
                    outputs=(self._type(found),),
                )
            )
        return self.nodes, {name: self._value(value) for name, value in updates.items()}

    # where operations belong --------------------------------------------------------------------

    def _places(self, operations: Sequence[Any]) -> None:
        """Innermost span of each operation: spans open and close like brackets."""
        position = {operation.id(): number for number, operation in enumerate(operations)}
        begins: dict[int, list[Any]] = {}
        ends: dict[int, int] = {}
        for span in self.recording.spans:
            first = position[span.first] + 1 if span.first is not None else 0
            last = position[span.last] if span.last is not None else -1
            if last >= first:
                begins.setdefault(first, []).append(span)
                ends[id(span)] = last
        stack: list[Any] = []
        for number, operation in enumerate(operations):
            while stack and ends[id(stack[-1])] < number:
                stack.pop()
            stack += begins.get(number, ())
            if stack:
                self._spans[operation.id()] = stack[-1].path, stack[-1].call

    def _bodies(self, operations: Sequence[Any]) -> tuple[set[int], dict[int, Custom]]:
        """Operations inside custom functions, and the outermost functions by their last operation."""
        position = {operation.id(): number for number, operation in enumerate(operations)}
        bodies: set[int] = set()
        whole: dict[int, Custom] = {}
        for custom in self.recording.customs:
            first = position[custom.first] + 1 if custom.first is not None else 0
            last = position[custom.last] if custom.last is not None else -1
            inside = {
                operations[number].id()
                for number in range(first, last + 1)
                if operations[number].name() != "pd_op.data"
            }
            # an outer function closes later and swallows the inner ones
            for number in [key for key in whole if key in inside and key != custom.last]:
                del whole[number]
            if custom.last is not None and last >= first:
                whole[custom.last] = custom
                bodies |= inside
        return bodies, whole

    def _needed(
        self, operations: Sequence[Any], roots: Sequence[Any], whole: Mapping[int, Custom]
    ) -> set[int]:
        """Operations that outputs and updates depend on, and those that draw."""
        needed: set[int] = set()
        todo = [value.get_defining_op() for value in roots]
        todo += [
            operation
            for operation in operations
            if is_random(operation.name().partition(".")[2], internals.attributes(operation), {})
        ]
        makers = {}
        for custom in whole.values():
            for result in custom.results:
                if hasattr(result, "get_defining_op"):
                    makers[result.get_defining_op().id()] = custom
        while todo:
            operation = todo.pop()
            if operation is None or operation.id() in needed:
                continue
            needed.add(operation.id())
            made = makers.get(operation.id())
            if made is not None:
                needed.add(int(made.last or 0))
                todo += [
                    argument.get_defining_op()
                    for argument in made.arguments
                    if hasattr(argument, "get_defining_op")
                ]
            todo += [
                source.get_defining_op()
                for source in operation.operands_source()
                if source.initialized()
            ]
        return needed

    # nodes --------------------------------------------------------------------------------------

    def _append(self, node: Node) -> int:
        number = len(self.nodes)
        self.nodes.append(
            Node(
                number,
                node.kind,
                node.op,
                node.name,
                node.inputs,
                node.roles,
                node.attrs,
                node.outputs,
                node.path,
                node.call,
                node.source,
                node.marks,
                node.constant,
                node.native,
            )
        )
        return number

    def _type(self, value: Value) -> TensorType | None:
        return self.nodes[value.node].outputs[value.output]

    def _leaf(self, leaf: Leaf) -> Value:
        found = self._at.get(leaf.value.id)
        if found is not None:
            return found
        shape, dtype = tuple(leaf.tensor.shape), internals.spelled(leaf.tensor.dtype)
        constant = None
        size = int(np.prod(shape, dtype=np.int64))
        limit = 100_000 if dtype.startswith(FLOATING) else LARGEST
        if (
            leaf.kind in ("constant", "buffer")
            and self.recording.concrete
            and size <= (LARGEST if leaf.kind == "constant" else limit)
        ):
            constant = values.array(leaf.tensor)
        found = Value(
            self._append(
                Node(
                    0,
                    leaf.kind,
                    name=leaf.name,
                    outputs=(TensorType(shape, dtype),),
                    constant=constant,
                )
            )
        )  # type: ignore[arg-type]
        if leaf.kind in ("input", "constant"):
            self.tensors[found.node] = (
                leaf.tensor.detach() if leaf.tensor._is_initialized() else leaf.tensor
            )
        if leaf.kind == "constant" and constant is not None:
            self._constants[found] = leaf.tensor.detach()
        self._at[leaf.value.id] = self._hooked(leaf.value, found, "", 0)
        return self._at[leaf.value.id]

    def _value(self, value: Any) -> Value:
        """The graph's value for a program value that is one tensor."""
        leaf = self.recording.by_value.get(value.id)
        return self._leaf(leaf) if leaf is not None else self._at[value.id]

    def _operation(self, native: Any) -> None:
        name = native.name()
        if name == "pd_op.data":
            return
        if name == "builtin.combine":
            self._members[native.result(0).id] = list(native.operands_source())
            return
        if name == "builtin.split":
            source = native.operand_source(0)
            for result, member in zip(native.results(), self._members[source.id], strict=True):
                self._at[result.id] = member if isinstance(member, Value) else self._value(member)
            return
        operation = self.recording.operation(native)
        inputs: list[Value | None] = []
        roles: list[str] = []
        for role, width, source in zip(
            operation.roles, operation.operand_widths, native.operands_source(), strict=True
        ):
            if width is not None:
                members = self._members[source.id]
                inputs += [
                    member if isinstance(member, Value) else self._value(member)
                    for member in members
                ]
                roles += [f"{role}[{number}]" for number in range(len(members))]
            else:
                inputs.append(self._value(source) if source.initialized() else None)
                roles.append(role)
        outputs: list[TensorType | None] = []
        for result in native.results():
            types = internals.result_types(result)
            for found in types if isinstance(types, list) else [types]:
                outputs.append(None if found is None else TensorType(*found))
        path, call = self._spans.get(native.id(), ("", 0))
        known = [None if operand is None else self._constants.get(operand) for operand in inputs]
        node = Node(
            0,
            "operation",
            name,
            inputs=tuple(inputs),
            roles=tuple(roles),
            attrs=operation.attrs,
            outputs=tuple(outputs),
            path=path,
            call=call,
            source=line_of(internals.callstack(native)),
            marks=self._marks(native, operation, dict(zip(roles, known, strict=True))),
            native=operation,
        )
        node = self._folded(node, operation, inputs, known)
        number = self._append(node)
        place = 0
        for result, width in zip(native.results(), operation.widths, strict=True):
            if width is None:
                self._at[result.id] = self._hooked(result, Value(number, place), path, call)
                place += 1
            else:
                self._members[result.id] = [
                    Value(number, place + member) for member in range(width)
                ]
                place += width
        if node.constant is not None and (number, 0) not in self._constants:
            self._constants[Value(number)] = self._folded_tensor

    _folded_tensor: Any = None

    def _folded(
        self, node: Node, operation: Any, inputs: Sequence[Value | None], known: Sequence[Any]
    ) -> Node:
        """Evaluates an operation over constants."""
        self._folded_tensor = None
        size = max((kind.size for kind in node.outputs if kind is not None), default=0)
        if len(node.outputs) != 1 or "random" in node.marks or "empty" in node.op or size > LARGEST:
            return node
        if any(
            operand is not None and constant is None
            for operand, constant in zip(inputs, known, strict=True)
        ):
            return node
        with internals.dynamic(self.recording.tracer):
            try:
                (tensor,) = operation(grouped(operation, known))
            except (NotRunnable, RuntimeError, ValueError, TypeError):
                return node  # a constant is a convenience: the node itself stays
            array: Array = values.array(tensor)
        self._folded_tensor = tensor
        return Node(
            node.id,
            node.kind,
            node.op,
            node.name,
            node.inputs,
            node.roles,
            node.attrs,
            node.outputs,
            node.path,
            node.call,
            node.source,
            node.marks,
            array,
            node.native,
        )

    def _marks(self, native: Any, operation: Any, constants: Mapping[str, Any]) -> frozenset[str]:
        marks = set()
        sources = [source for source in native.operands_source() if source.initialized()]
        learning = any(
            not member.stop_gradient for source in sources for member in self._flat(source)
        )
        results = [
            result
            for result in native.results()
            if not (
                result.is_dense_tensor_type()
                and not internals.spelled(result.dtype).startswith(FLOATING)
            )
        ]
        if learning and results and all(result.stop_gradient for result in results):
            marks.add("no_grad")
        numbers = {
            role: tensor.item()
            for role, tensor in constants.items()
            if tensor is not None and tensor.size == 1 and role in ("p", "dropout", "dropout_p")
        }
        if is_random(operation.name, operation.attrs, numbers):
            marks.add("random")
            if unshareable(operation.name):
                marks.add("unshareable_random")
        if native.id() in self.recording.written or operation.overwritten:
            marks.add("inplace")
        return frozenset(marks)

    def _flat(self, source: Any) -> list[Any]:
        if not source.is_combine():
            return [source] if internals.spelled(source.dtype).startswith(FLOATING) else []
        maker = source.get_defining_op()
        members = maker.operands_source() if maker.name() == "builtin.combine" else [source]
        return [
            member
            for member in members
            if member.is_dense_tensor_type()
            and internals.spelled(member.dtype).startswith(FLOATING)
        ]

    def _hooked(self, value: Any, found: Value, path: str, call: int) -> Value:
        """Puts gradient hooks between a value and all its readers."""
        for function, source, (place, number) in self.recording.hooks.get(value.id, ()):
            kind = self._type(found)
            found = Value(
                self._append(
                    Node(
                        0,
                        "operation",
                        GRADIENT_HOOK,
                        inputs=(found,),
                        roles=("x",),
                        attrs={"hook": getattr(function, "__qualname__", type(function).__name__)},
                        outputs=(kind,),
                        path=place or path,
                        call=number or call,
                        source=source,
                        marks=frozenset({"gradient_hook"}),
                        native=Hook(function),
                    )
                )
            )
        return found

    def _custom(self, custom: Custom) -> None:
        given = [argument for argument in custom.arguments if hasattr(argument, "get_defining_op")]
        inputs = tuple(self._value(value) for value in given)
        results = [result for result in custom.results if hasattr(result, "get_defining_op")]
        kinds = [internals.result_types(result) for result in results]
        number = self._append(
            Node(
                0,
                "operation",
                CUSTOM_FUNCTION,
                inputs=inputs,
                roles=tuple(f"tensors[{position}]" for position in range(len(inputs))),
                attrs={
                    "function": f"{custom.function.__module__}.{custom.function.__qualname__}",
                    **{
                        f"argument{position}": argument
                        for position, argument in enumerate(custom.arguments)
                        if isinstance(argument, (bool, int, float, str))
                    },
                    **{
                        name: value
                        for name, value in custom.keywords.items()
                        if isinstance(value, (bool, int, float, str))
                    },
                },
                outputs=tuple(
                    None if kind is None or isinstance(kind, list) else TensorType(*kind)
                    for kind in kinds
                ),
                path=custom.path,
                call=custom.call,
                source=custom.source,
                marks=frozenset({"custom_function"}),
                native=custom,
            )
        )
        for position, result in enumerate(results):
            self._at[result.id] = self._hooked(
                result, Value(number, position), custom.path, custom.call
            )


def grouped(operation: Any, operands: Sequence[Any]) -> list[Any]:
    """Node operands as the operation takes them: members of a vector in a list."""
    rest = list(operands)
    found: list[Any] = []
    widths = operation.operand_widths
    for width in widths:
        if width is None:
            found.append(rest.pop(0))
        else:
            found.append(rest[:width])
            del rest[:width]
    return found
