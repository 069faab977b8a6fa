"""What a write through a view is to the tensor behind it: a table, view operator -> write.

A row answers with the operator that makes the parent's new value, over the parent and the view's
new value (`slice_scatter`), or over the latter alone where the view shows every element
(`permute`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from padiff_graph.capture.graph import Node, TensorType

__all__ = ["Step", "ViewWrite", "written_through"]


@dataclass(frozen=True)
class Step:
    """How a tensor views its parent.

    Attributes:
        record: the recorded operation.
        operand: which of its operands is the parent.
        output: which of its outputs is the view.
    """

    record: Node
    operand: int
    output: int

    @property
    def name(self) -> str:
        """The operator's name without namespace and overload."""
        return self.record.op.split(".")[1]


@dataclass(frozen=True)
class ViewWrite:
    """How the parent's new value is made.

    Attributes:
        op: the operator; "" where it is the view's new value as it is.
        attrs: its attributes.
        whole: whether the view's new value alone decides.
    """

    op: str
    attrs: Mapping[str, Any] = field(default_factory=dict)
    whole: bool = False


Row = Callable[[Step, TensorType, TensorType], "ViewWrite | None"]
"""(step, the parent's type, the view's type) -> the write, None where it cannot be said."""


def written_through(step: Step, parent: TensorType, view: TensorType) -> ViewWrite | None:
    """What a write to a view is to its parent; None where it cannot be said without memory."""
    row = ROWS.get(step.name)
    return None if row is None else row(step, parent, view)


def _same(step: Step, parent: TensorType, view: TensorType) -> ViewWrite | None:
    return ViewWrite("", whole=True) if view.shape == parent.shape else None


def _reshaped(step: Step, parent: TensorType, view: TensorType) -> ViewWrite | None:
    if view.size != parent.size:
        return None
    return ViewWrite("aten.reshape.default", {"shape": parent.shape}, whole=True)


def _symmetric(step: Step, parent: TensorType, view: TensorType) -> ViewWrite:
    return ViewWrite(step.record.op, step.record.attrs, whole=True)


def _permuted(step: Step, parent: TensorType, view: TensorType) -> ViewWrite:
    rank = len(parent.shape)
    dims = [dim % rank for dim in step.record.attrs["dims"]]
    back = tuple(dims.index(axis) for axis in range(rank))
    return ViewWrite("aten.permute.default", {"dims": back}, whole=True)


def _axes_moved(step: Step, parent: TensorType, view: TensorType) -> ViewWrite:
    attrs = step.record.attrs
    back = {"source": attrs["destination"], "destination": attrs["source"]}
    return ViewWrite(step.record.op, back, whole=True)


def _at(dim: int, index: int) -> ViewWrite:
    return ViewWrite("aten.select_scatter.default", {"dim": dim, "index": index})


def _box(dim: int, start: int, length: int) -> ViewWrite:
    attrs = {"dim": dim, "start": start, "end": start + length, "step": 1}
    return ViewWrite("aten.slice_scatter.default", attrs)


def _selected(step: Step, parent: TensorType, view: TensorType) -> ViewWrite:
    return _at(step.record.attrs["dim"], step.record.attrs["index"])


def _unbound(step: Step, parent: TensorType, view: TensorType) -> ViewWrite:
    return _at(step.record.attrs["dim"], step.output)


def _narrowed(step: Step, parent: TensorType, view: TensorType) -> ViewWrite | None:
    attrs = step.record.attrs
    if "start" not in attrs:  # a tensor
        return None
    return _box(attrs["dim"], attrs["start"], attrs["length"])


def _split(step: Step, parent: TensorType, view: TensorType) -> ViewWrite:
    dim = step.record.attrs["dim"] % len(parent.shape)
    before = step.record.outputs[: step.output]
    start = sum(part.shape[dim] for part in before if part is not None)
    return _box(dim, start, view.shape[dim])


def _scattered(op: str, *names: str) -> Row:
    """The operator made for this view, with the view's own attributes."""

    def row(step: Step, parent: TensorType, view: TensorType) -> ViewWrite:
        return ViewWrite(op, {name: step.record.attrs[name] for name in names})

    return row


ROWS: Mapping[str, Row] = {
    # the same elements in the same shape
    "alias": _same,
    "to": _same,
    "_to_copy": _same,
    "type_as": _same,
    "lift": _same,
    "lift_fresh": _same,
    "positive": _same,
    "requires_grad_": _same,
    "real": _same,
    "resolve_conj": _same,
    "resolve_neg": _same,
    "expand": _same,
    "broadcast_to": _same,
    "dropout": _same,
    "feature_dropout": _same,
    "alpha_dropout": _same,
    # the same elements in the same order
    "view": _reshaped,
    "view_as": _reshaped,
    "_unsafe_view": _reshaped,
    "reshape": _reshaped,
    "reshape_as": _reshaped,
    "flatten": _reshaped,
    "unflatten": _reshaped,
    "ravel": _reshaped,
    "squeeze": _reshaped,
    "unsqueeze": _reshaped,
    "contiguous": _reshaped,
    "expand_as": _reshaped,
    # the same elements in another order
    "transpose": _symmetric,
    "swapaxes": _symmetric,
    "swapdims": _symmetric,
    "t": _symmetric,
    "mT": _symmetric,
    "numpy_T": _symmetric,
    "permute": _permuted,
    "movedim": _axes_moved,
    # some of the elements
    "select": _selected,
    "unbind": _unbound,
    "slice": _scattered("aten.slice_scatter.default", "dim", "start", "end", "step"),
    "narrow": _narrowed,
    "chunk": _split,
    "split": _split,
    "split_with_sizes": _split,
    "tensor_split": _split,
    "unsafe_chunk": _split,
    "unsafe_split": _split,
    "diagonal": _scattered("aten.diagonal_scatter.default", "offset", "dim1", "dim2"),
    "as_strided": _scattered("aten.as_strided_scatter.default", "size", "stride", "storage_offset"),
}
