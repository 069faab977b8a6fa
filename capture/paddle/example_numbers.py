"""Eager tensors that a program reads, and what its values are on the example."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import paddle

from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.capture.graph import Kind
from padiff_graph.capture.paddle import internals
from padiff_graph.capture.paddle.pir_call import Operation
from padiff_graph.capture.paddle.user_lines import line_of

__all__ = [
    "CONTROL_FLOW",
    "FLOATING",
    "ExampleNumbers",
    "Leaf",
    "ProgramInputs",
    "Unanswerable",
    "refuse_control_flow",
]

FLOATING = ("float", "bfloat", "complex")
"""How the names of dtypes begin that gradients flow through."""


CONTROL_FLOW = {
    "pd_op.if": "an `if` on a tensor",
    "pd_op.while": "a loop that a tensor ends",
    "pd_op.pylayer": "a custom function",
}
"""Operations with programs inside, which a flat graph cannot hold."""


class Unanswerable(CaptureError):
    """A question that the example cannot answer."""


@dataclass
class Leaf:
    """A tensor that the program reads: an input, a parameter, a buffer, or one that the code
    holds."""

    value: Any
    tensor: Any
    kind: Kind
    name: str


@dataclass
class ProgramInputs:
    """The leaves of a program under construction, declared when first read.

    Attributes:
        names: (kind, dotted name) of the model's own tensors by id; all others are constants.
        tracer: what makes dynamic mode dynamic.
        by_tensor: leaves by the id of their eager tensor.
        by_value: leaves by the id of their program value.
        standing: eager tensors that stand for a value of the program, with it, by the tensor's id.
    """

    names: Mapping[int, tuple[Kind, str]]
    tracer: Any
    by_tensor: dict[int, Leaf] = field(default_factory=dict)
    by_value: dict[int, Leaf] = field(default_factory=dict)
    standing: dict[int, tuple[Any, Any]] = field(default_factory=dict)

    def value(self, tensor: Any) -> Any:
        """The program's value for an eager tensor."""
        if id(tensor) in self.standing:
            return self.standing[id(tensor)][1]
        if id(tensor) in self.by_tensor:
            return self.by_tensor[id(tensor)].value
        kind, name = self.names.get(id(tensor), ("constant", f"constant_{len(self.by_tensor)}"))
        return self.declare(tensor, kind, name)

    def declare(self, tensor: Any, kind: Kind, name: str) -> Any:
        """A new leaf of the program for an eager tensor."""
        dtype = internals.spelled(tensor.dtype)
        label = f"{kind}:{name}:{len(self.by_tensor)}"
        value = internals.declared(label, tuple(tensor.shape), dtype)
        if kind == "input":
            value.stop_gradient = not dtype.startswith(FLOATING)
        else:
            value.stop_gradient = bool(tensor.stop_gradient)
        leaf = Leaf(value, tensor, kind, name)
        self.by_tensor[id(tensor)] = leaf
        self.by_value[value.id] = leaf
        return value

    def stand_in(self, value: Any) -> Any:
        """An eager tensor that is read as a value of the program, for callers that take nothing
        else."""
        with internals.dynamic(self.tracer):
            tensor = paddle.zeros(internals.shape_of(value), internals.spelled(value.dtype))
        self.standing[id(tensor)] = tensor, value
        return tensor


@dataclass
class ExampleNumbers:
    """What a program's values are on the example, computed when first asked for.

    Attributes:
        inputs: the program's leaves.
        concrete: whether they hold numbers; a model made under LazyGuard holds none.
    """

    inputs: ProgramInputs
    concrete: bool
    _tensors: dict[int, Any] = field(default_factory=dict)
    _operations: dict[int, Operation] = field(default_factory=dict)

    def tensor(self, value: Any) -> Any:
        """The eager tensor that a value is on the example.

        Raises:
            CaptureError: where the model holds no numbers.
        """
        if value.id in self._tensors:
            return self._tensors[value.id]
        with internals.dynamic(self.inputs.tracer):
            todo = [value]
            while todo:
                missing = self._missing(todo[-1])
                if missing:
                    todo.extend(missing)
                else:
                    self._answer(todo.pop())
        return self._tensors[value.id]

    def settle(self, value: Any) -> None:
        """Gives a value whose shape depends on numbers the shape that it has on the example."""
        if value.is_dense_tensor_type() and -1 in internals.shape_of(value):
            internals.typed(value, tuple(self.tensor(value).shape))

    def operation(self, maker: Any) -> Operation:
        """An operation of the program, made callable once."""
        number = maker.id()
        if number not in self._operations:
            self._operations[number] = Operation.of(maker)
        return self._operations[number]

    def _missing(self, value: Any) -> list[Any]:
        """What has to be computed before a value can be."""
        if value.id in self._tensors or value.id in self.inputs.by_value:
            return []
        sources = value.get_defining_op().operands_source()
        present = [source for source in sources if source.initialized()]
        return [source for source in present if source.id not in self._tensors]

    def _answer(self, value: Any) -> None:
        if value.id in self._tensors:
            return
        leaf = self.inputs.by_value.get(value.id)
        if leaf is None:
            self._compute(value.get_defining_op())
        elif self.concrete:
            self._tensors[value.id] = leaf.tensor.detach()
        else:
            raise Unanswerable(
                f"the forward needs the value of {leaf.kind} {leaf.name!r}, and this model holds no"
                " numbers (it was made under LazyGuard)"
            )

    def _compute(self, maker: Any) -> None:
        refuse_control_flow(maker)  # run by itself it would end the process
        operands: list[Any] = []
        for source in maker.operands_source():
            operands.append(self._tensors[source.id] if source.initialized() else None)
        if maker.name() == "builtin.combine":
            results: list[Any] = [operands]
        elif maker.name() == "builtin.split":
            results = list(operands[0])
        else:
            results = self.operation(maker)(operands)
        for result, tensor in zip(maker.results(), results, strict=True):
            self._tensors[result.id] = tensor


def refuse_control_flow(operation: Any) -> None:
    """Lets every operation pass that has no program inside.

    Raises:
        CaptureError: naming the line.
    """
    what = CONTROL_FLOW.get(operation.name())
    if what is not None:
        raise Unanswerable(
            f"{what} stays open in the program; the example has to decide it",
            line_of(internals.callstack(operation)),
        )
