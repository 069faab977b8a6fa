"""Views and in-place writes, made functional: which value a tensor holds at each point of the program.

A traced program reads tensors that later operations overwrite, directly or through a view
(`x[:, 0] = y`). Each tensor of the trace gets a `Slot`; slots over one storage share a version. A
write makes a new value for the slot and, back along its chain of views, for every tensor that it
is a view of; another view of that storage is made anew when it is next read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from padiff_graph.capture.graph import Node, TensorType, Value

__all__ = ["WITH_VALUE", "Aliases", "Slot", "Untold"]

WITH_VALUE = "padiff_graph.with_value.default"
"""The numbers of its second operand with the gradient of its first: a write that autograd does not see."""

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


@dataclass(frozen=True)
class Step:
    """How a tensor views its parent: the recorded operation, the operand that is the parent, the output that is the view."""

    record: Node
    operand: int
    output: int


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


RESHAPES = {
    "view",
    "reshape",
    "_unsafe_view",
    "view_as",
    "reshape_as",
    "flatten",
    "unflatten",
    "squeeze",
    "unsqueeze",
    "contiguous",
    "ravel",
    "expand_as",
}
SAME = {
    "alias",
    "to",
    "lift_fresh",
    "lift",
    "type_as",
    "_to_copy",
    "positive",
    "dropout",
    "feature_dropout",
    "alpha_dropout",
    "requires_grad_",
    "real",
    "resolve_conj",
    "resolve_neg",
    "expand",
    "broadcast_to",
}
SYMMETRIC = {"transpose", "t", "swapaxes", "swapdims", "numpy_T", "mT"}
PARTS = {"chunk", "split", "split_with_sizes", "tensor_split", "unsafe_chunk", "unsafe_split"}


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
        first = self.emit(
            record.op,
            inputs,
            record.roles,
            record.attrs,
            record.outputs,
            like=record,
            marks=record.marks,
        )
        slot.value = Value(first.node, slot.step.output)
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

    def _hidden(self, base: Value, value: Value, like: Node) -> Value:
        return self.emit(
            WITH_VALUE,
            (base, value),
            ("self", "value"),
            {},
            (self.type_of(base),),
            like=like,
            marks=frozenset({"inplace"}),
        )

    def _scatter(self, step: Step, parent: Value, old: Value, value: Value, like: Node) -> Value:
        """The parent's new value, where one of its views holds `value` now."""
        record = step.record
        name = record.op.split(".")[1]
        attrs = record.attrs
        kind = self.type_of(parent)

        def add(
            op: str,
            attrs: Mapping[str, Any],
            inputs: tuple[Value, ...] = (parent, value),
            roles: tuple[str, ...] = ("self", "src"),
        ) -> Value:
            return self.emit(
                f"aten.{op}",
                inputs,
                roles,
                dict(attrs),
                (kind,),
                like=like,
                marks=frozenset({"inplace"}),
            )

        alone, self_role = (value,), ("self",)
        if name == "detach":
            if self.differentiable(parent):
                return self._hidden(parent, value, like)
            return (
                add("detach.default", {}, alone, self_role) if self.differentiable(value) else value
            )
        if name in SAME and self.type_of(old).shape == kind.shape:
            return value
        if name in RESHAPES and self.type_of(old).size == kind.size:
            return add("reshape.default", {"shape": kind.shape}, alone, self_role)
        if name in SYMMETRIC:
            return add(record.op.removeprefix("aten."), attrs, alone, self_role)
        if name == "permute":
            dims = [d % len(kind.shape) for d in attrs["dims"]]
            return add(
                "permute.default",
                {"dims": tuple(dims.index(axis) for axis in range(len(dims)))},
                alone,
                self_role,
            )
        if name == "movedim":
            return add(
                record.op.removeprefix("aten."),
                {"source": attrs["destination"], "destination": attrs["source"]},
                alone,
                self_role,
            )
        if name == "select":
            return add("select_scatter.default", {"dim": attrs["dim"], "index": attrs["index"]})
        if name == "slice":
            return add(
                "slice_scatter.default",
                {key: attrs[key] for key in ("dim", "start", "end", "step")},
            )
        if name == "narrow" and "start" in attrs:
            return add(
                "slice_scatter.default",
                {
                    "dim": attrs["dim"],
                    "start": attrs["start"],
                    "end": attrs["start"] + attrs["length"],
                    "step": 1,
                },
            )
        if name == "diagonal":
            return add(
                "diagonal_scatter.default", {key: attrs[key] for key in ("offset", "dim1", "dim2")}
            )
        if name == "unbind":
            return add("select_scatter.default", {"dim": attrs["dim"], "index": step.output})
        if name in PARTS:
            dim = attrs["dim"] % len(kind.shape)
            start = sum(
                part.shape[dim] for part in record.outputs[: step.output] if part is not None
            )
            part = self.type_of(old)
            return add(
                "slice_scatter.default",
                {"dim": dim, "start": start, "end": start + part.shape[dim], "step": 1},
            )
        if name == "as_strided":
            return add(
                "as_strided_scatter.default",
                {key: attrs[key] for key in ("size", "stride", "storage_offset")},
            )
        raise Untold(
            f"a write through {record.op} cannot be said without memory; write to the tensor itself, or build the result with torch.where or torch.cat",
            like.source,
        )
