"""One ATen call of a trace made into nodes: operands bound, writes made functional, views noted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import fx

from padiff_graph.capture.graph import Node, TensorType, Value
from padiff_graph.capture.torch import effects
from padiff_graph.capture.torch.aliases import Aliases, Slot, Step, Untold
from padiff_graph.capture.torch.aten_facts import MOVING, PASSING, SHAREABLE, STATISTICS, draws
from padiff_graph.capture.torch.aten_schema import (
    DTYPES,
    Binding,
    bind,
    call,
    functional_form,
    member_of,
    mutated,
    operator_name,
)
from padiff_graph.capture.torch.captured_nodes import CapturedNodes, type_of_tensor
from padiff_graph.capture.torch.fx_places import Place
from padiff_graph.capture.torch.internals import arguments_of, memory_of

__all__ = ["Operations"]

Nest = Callable[[list[Any]], Any]
"""Puts what stands for the results of a call, in a row, into the nesting that the call returned."""


@dataclass(frozen=True)
class _Call:
    """A call on its way into the graph: the operator, its functional form, operands bound."""

    node: fx.Node
    target: Any
    functional: Any
    bound: Binding
    outputs: list[TensorType | None]
    place: Place
    marks: frozenset[str]

    @property
    def op(self) -> str:
        return operator_name(self.functional)

    def operands_of(self, names: Sequence[str]) -> list[Slot]:
        """Operands by their argument's name; all members of a list."""
        return [
            slot
            for slot, role in zip(self.bound.operands, self.bound.roles, strict=True)
            if slot is not None and member_of(role) in names
        ]


class Operations:
    """Makes calls into nodes of `captured`, tensors being the slots of `aliases`.

    Attributes:
        autocast: device and dtype that the program computes in at present, None where it does not.
    """

    def __init__(self, captured: CapturedNodes, aliases: Aliases) -> None:
        self.captured = captured
        self.aliases = aliases
        self.autocast: tuple[str, str] | None = None

    def call(
        self, node: fx.Node, args: Sequence[Any], kwargs: Mapping[str, Any], place: Place
    ) -> Any:
        """Appends a call and returns what stands for its result: slots, nested as the result is."""
        target = node.target
        if operator_name(target) == "aten.copy_.default" and isinstance(args[1], Slot):
            return self._copied(args[0], args[1], place)
        functional = functional_form(target)
        bound, written = _bound(target, functional, args, kwargs, place)
        marks = self._marks(functional, bound.attrs)
        if written:
            marks.add("inplace")
        if operator_name(functional) in effects.EFFECTS:
            bound.attrs["function"] = self.captured.recorded.labels[bound.attrs["token"]]
        if self.autocast is not None:
            bound.attrs["autocast"] = self.autocast
        results, nest = _in_a_row(node.meta.get("val"))
        outputs = _types(results, target, place)
        made = _Call(node, target, functional, bound, outputs, place, frozenset(marks))
        if written:
            return self._in_place(made, written, nest)
        return nest(self._out_of_place(made, results))

    def _copied(self, target: Slot, source: Slot, place: Place) -> Slot:
        """`target.copy_(source)`: no operation, later readers read the source."""
        copy = Node(
            -1,
            "operation",
            "aten.copy_.default",
            path=place.path,
            call=place.call,
            source=place.source,
        )
        self._write(target, self.aliases.read(source), copy)
        return target

    def _marks(self, functional: Any, attrs: Mapping[str, Any]) -> set[str]:
        op, marks = operator_name(functional), set()
        if not self.captured.recording:
            marks.add("no_grad")
        if op == effects.CUSTOM_FUNCTION:
            marks.add("custom_function")
        elif op in effects.EFFECTS:
            marks.add("gradient_hook")
        if torch.Tag.nondeterministic_seeded in functional.tags and draws(op, attrs):
            marks.add("random")
            if op.split(".")[1] not in SHAREABLE:
                marks.add("unshareable_random")
        return marks

    def _recorded(self, made: _Call) -> tuple[Node, list[Value | None]]:
        """Appends a call; its node and its values."""
        slots = made.bound.operands
        inputs = tuple(None if slot is None else self.aliases.read(slot) for slot in slots)
        node = self.captured.append(
            made.op,
            inputs,
            tuple(made.bound.roles),
            made.bound.attrs,
            tuple(made.outputs),
            made.place,
            made.marks,
            made.node,
        )
        return node, [
            None if kind is None else Value(node.id, number)
            for number, kind in enumerate(made.outputs)
        ]

    # -- out of place

    def _out_of_place(self, made: _Call, results: Sequence[Any]) -> list[Slot | None]:
        moving: list[Slot] = []
        switch = STATISTICS.get(made.op)
        if switch and made.bound.attrs.get(switch):
            moving = made.operands_of(MOVING)
        statistics = [self.captured.type_of(slot.value) for slot in moving]
        record, values = self._recorded(replace(made, outputs=[*made.outputs, *statistics]))
        for slot, value in zip(moving, values[len(results) :], strict=True):
            self._write(slot, value, record)
        memory = _operand_memory(made.functional, made.node)
        slots: list[Slot | None] = []
        for value, result in zip(values, results, strict=False):
            if value is None:
                slots.append(None)
            else:
                slots.append(_result(value, result, made.bound.operands, memory, record))
        return slots

    # -- in place

    def _in_place(self, made: _Call, written: Sequence[str], nest: Nest) -> Any:
        """An operation that writes to operands: later readers read the result."""
        targets = made.operands_of(written)
        if any(tag.name == "inplace_view" for tag in made.target.tags):
            record, values = self._recorded(made)
            return _moved(targets[0], record, values[0])
        kinds = [self.captured.type_of(slot.value) for slot in targets]
        if made.functional is not made.target:
            record, values = self._recorded(replace(made, outputs=self._promoted(made, kinds)))
            for slot, value in zip(targets, values, strict=True):
                self._write(slot, value, record)
            return nest(list(targets[: len(made.outputs)]))
        # no functional form: it returns its results and then the new values of what it writes
        count = len(made.outputs)
        record, values = self._recorded(replace(made, outputs=[*made.outputs, *kinds]))
        for slot, value in zip(targets, values[count:], strict=True):
            self._write(slot, value, record)
        if count == len(targets):
            return nest(list(targets))
        return nest([None if value is None else Slot(value) for value in values[:count]])

    def _promoted(self, made: _Call, kinds: Sequence[TensorType]) -> list[TensorType | None]:
        """Types of the functional form's results: out of place, a wider operand may widen them."""
        operands = [
            None if slot is None else self.captured.type_of(slot.value)
            for slot in made.bound.operands
        ]
        if len({kind.dtype for kind in operands if kind is not None}) < 2:
            return list(kinds)
        attrs = {name: value for name, value in made.bound.attrs.items() if name != "autocast"}
        meta = [None if kind is None else _shape_only(kind) for kind in operands]
        device = torch.device("meta")
        results, _ = _in_a_row(call(made.functional, meta, made.bound.roles, attrs, device))
        return [type_of_tensor(result) for result in results]

    def _write(self, slot: Slot, value: Value | None, record: Node) -> None:
        """A write, in the shape and dtype of what is written to."""
        if value is None:
            raise Untold(f"{record.op} writes something that is no tensor", record.source)
        kind, given = self.captured.type_of(slot.value), self.captured.type_of(value)
        if given.dtype != kind.dtype:
            attrs = {
                "dtype": kind.dtype,
                "non_blocking": False,
                "copy": False,
                "memory_format": None,
            }
            given = TensorType(given.shape, kind.dtype)
            value = self._fitted("aten.to.dtype", value, attrs, given, record)
        if given != kind:
            attrs = {"size": kind.shape, "implicit": False}
            value = self._fitted("aten.expand.default", value, attrs, kind, record)
        self.aliases.write(slot, value, record, self.captured.recording)

    def _fitted(
        self, op: str, value: Value, attrs: Mapping[str, Any], kind: TensorType, record: Node
    ) -> Value:
        marks = frozenset({"inplace"})
        return self.captured.add(op, (value,), ("self",), attrs, (kind,), like=record, marks=marks)


def _bound(
    target: Any, functional: Any, args: Sequence[Any], kwargs: Mapping[str, Any], place: Place
) -> tuple[Binding, list[str]]:
    """A call's operands and attributes by the functional form's names, and which it writes to."""
    ours, theirs = arguments_of(target), arguments_of(functional)
    named = {own.name: other.name for own, other in zip(ours, theirs, strict=False)}
    defaults = {
        named[argument.name]: argument.default_value
        for argument in ours[len(args) :]
        if argument.has_default_value() and argument.name in named
    }
    bound = bind(functional, args, {**defaults, **kwargs}, lambda value: isinstance(value, Slot))
    for name, value in bound.attrs.items():
        if isinstance(value, (torch.SymInt, torch.SymFloat, torch.SymBool, fx.Node)):
            raise Untold(
                f"{name} of {target} depends on the numbers that are computed", place.source
            )
    return bound, [named[name] for name in mutated(target)]


def _types(results: Sequence[Any], target: Any, place: Place) -> list[TensorType | None]:
    try:
        return [
            type_of_tensor(result) if isinstance(result, torch.Tensor) else None
            for result in results
        ]
    except Untold as error:
        raise Untold(f"{error} by {target}", place.source) from None


def _shape_only(kind: TensorType) -> torch.Tensor:
    return torch.empty(kind.shape, dtype=DTYPES[kind.dtype], device="meta")


def _operand_memory(target: Any, node: fx.Node) -> list[int | None]:
    """The memory that each operand looks at, in the order of the node's inputs."""
    operands = bind(
        target, node.args, node.kwargs, lambda value: isinstance(value, fx.Node)
    ).operands
    return [
        memory_of(operand.meta.get("val")) if isinstance(operand, fx.Node) else None
        for operand in operands
    ]


def _result(
    value: Value,
    result: Any,
    slots: Sequence[Any],
    memory: Sequence[int | None],
    record: Node,
) -> Slot:
    """The slot of a result: a view where it looks at the memory of an operand."""
    own = memory_of(result)
    if record.op in PASSING and not draws(record.op, record.attrs):
        own = memory[0]
    for position, theirs in enumerate(memory):
        if theirs is not None and theirs == own:
            parent: Slot = slots[position]
            return parent.view(value, Step(record, position, value.output))
    return Slot(value)


def _moved(slot: Slot, record: Node, value: Value | None) -> Slot:
    """An in-place change of shape: the tensor is from now on a view of what it was."""
    if value is None:
        raise Untold(f"{record.op} gives no tensor", record.source)
    before = replace(slot)
    slot.value, slot.version = value, slot.storage.version
    slot.parent, slot.step = before, Step(record, 0, 0)
    return slot


def _in_a_row(result: Any) -> tuple[list[Any], Nest]:
    """The results of a call in a row, and how to nest what stands for them in the same way."""
    if result is None:
        return [], lambda made: None
    if not isinstance(result, (list, tuple)):
        return [result], lambda made: made[0]
    parts = [_in_a_row(member) for member in result]

    def nest(made: list[Any]) -> Any:
        rest = list(made)
        nested = []
        for members, inner in parts:
            nested.append(inner(rest[: len(members)]))
            rest = rest[len(members) :]
        return tuple(nested)

    return [member for members, _ in parts for member in members], nest
