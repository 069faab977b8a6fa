"""Views and in-place writes made functional: which value a tensor holds at each point.

A traced program reads tensors that later operations overwrite, directly or through a view
(`x[:, 0] = y`). Each tensor of the trace gets a `Slot`; slots over one storage share a version. A
write makes a new value for the slot and, back along its chain of views, for every tensor that it
is a view of; another view of that storage is made anew when it is next read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from padiff_graph.capture.graph import Node, TensorType, Value
from padiff_graph.capture.torch.view_writes import Step, written_through

__all__ = ["WITH_VALUE", "Aliases", "Slot", "Step", "Untold"]

WITH_VALUE = "padiff_graph.with_value.default"
"""The numbers of its second operand, the gradient of its first: a write unseen by autograd."""

Emit = Callable[..., Value]


class Untold(Exception):
    """A program that cannot be said as a graph of values; the message says why, `source` where."""

    def __init__(self, message: str, source: str = "") -> None:
        super().__init__(message)
        self.source = source


@dataclass(eq=False)
class Storage:
    """Memory that several tensors may look at; `version` counts the writes."""

    version: int = 0


@dataclass(eq=False)
class Slot:
    """One tensor of the trace and the value it held when last read."""

    value: Value
    storage: Storage = field(default_factory=Storage)
    version: int = 0
    parent: Slot | None = None
    step: Step | None = None

    def view(self, value: Value, step: Step) -> Slot:
        """A tensor that looks at this one."""
        return Slot(value, self.storage, self.storage.version, self, step)


class Aliases:
    """Reads and writes slots; `emit` appends an operation and returns its first value.

    Args:
        emit: called as emit(op, inputs, roles, attrs, outputs, like=, marks=).
        type_of: type of a value.
        differentiable: whether a gradient flows to a value.
    """

    def __init__(
        self,
        emit: Emit,
        type_of: Callable[[Value], TensorType],
        differentiable: Callable[[Value], bool],
    ) -> None:
        self.emit = emit
        self.type_of = type_of
        self.differentiable = differentiable

    def read(self, slot: Slot) -> Value:
        """The value that a tensor holds now; a view of what was written meanwhile is made anew."""
        if slot.version == slot.storage.version or slot.parent is None or slot.step is None:
            return slot.value
        source = self.read(slot.parent)
        record = slot.step.record
        inputs = tuple(
            source if place == slot.step.operand else operand
            for place, operand in enumerate(record.inputs)
        )
        again = self.emit(
            record.op,
            inputs,
            record.roles,
            record.attrs,
            record.outputs,
            like=record,
            marks=record.marks,
        )
        slot.value = Value(again.node, slot.step.output)
        slot.version = slot.storage.version
        return slot.value

    def write(self, slot: Slot, value: Value, like: Node, recording: bool) -> None:
        """Makes `value` what the tensor, and all that it is a view of, holds from now on.

        Args:
            slot: the tensor written to.
            value: its new value.
            like: the writing operation, for path and source of what has to be added.
            recording: whether autograd saw the write.
        """
        chain = [slot]
        while chain[-1].parent is not None:
            chain.append(chain[-1].parent)
        before = [self.read(link) for link in chain]
        if not recording and self.differentiable(before[0]):
            value = self._hidden(before[0], value, like)
        for link, old, parent in zip(chain, before, [*before[1:], None], strict=True):
            link.value = value
            if parent is not None and link.step is not None:
                value = self._scatter(link.step, parent, old, value, like)
        slot.storage.version += 1
        for link in chain:
            link.version = slot.storage.version

    def _scatter(self, step: Step, parent: Value, old: Value, value: Value, like: Node) -> Value:
        """The parent's new value, where one of its views holds `value` now."""
        kind = self.type_of(parent)
        if step.name == "detach":
            return self._behind_detach(parent, value, like)
        written = written_through(step, kind, self.type_of(old))
        if written is None:
            raise Untold(
                f"a write through {step.record.op} cannot be said without memory;"
                " write to the tensor itself, or build the result with torch.where or torch.cat",
                like.source,
            )
        if not written.op:
            return value
        inputs, roles = [value], ["self"]
        if not written.whole:
            inputs, roles = [parent, value], ["self", "src"]
        return self._add(written.op, inputs, roles, written.attrs, kind, like)

    def _behind_detach(self, parent: Value, value: Value, like: Node) -> Value:
        if self.differentiable(parent):
            return self._hidden(parent, value, like)
        if not self.differentiable(value):
            return value
        kind = self.type_of(parent)
        return self._add("aten.detach.default", [value], ["self"], {}, kind, like)

    def _hidden(self, base: Value, value: Value, like: Node) -> Value:
        roles = ["self", "value"]
        return self._add(WITH_VALUE, [base, value], roles, {}, self.type_of(base), like)

    def _add(
        self,
        op: str,
        inputs: Sequence[Value],
        roles: Sequence[str],
        attrs: Mapping[str, Any],
        kind: TensorType,
        like: Node,
    ) -> Value:
        marks = frozenset({"inplace"})
        return self.emit(op, inputs, roles, dict(attrs), (kind,), like=like, marks=marks)
