"""The nodes of a graph in the making: leaves, operations with their constants, outputs.

Knows no fx: what an operation of the trace means is said by `fx_operation`, in which order the
finished nodes stand by `node_order`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from padiff_graph.capture.graph import Kind, Node, TensorType, Value
from padiff_graph.capture.torch import effects, values
from padiff_graph.capture.torch.aliases import WITH_VALUE, Untold
from padiff_graph.capture.torch.aten_schema import dtype_name
from padiff_graph.capture.torch.fx_places import Place
from padiff_graph.capture.torch.internals import has_numbers

__all__ = ["CapturedNodes", "Evaluate", "Leaf", "type_of_tensor"]

HELD = 1 << 20
"""Elements that a constant held in the graph has at most: chosen so that an attention mask or a
table of positions of a language model (1024 x 1024) is held, and a weight seldom."""

HELD_FLOATING = HELD // 10
"""The same for floating constants, which may be weights."""

Array = np.ndarray[Any, Any]
Evaluate = Callable[[Node, Sequence["Array | None"], Sequence["TensorType | None"]], "Array | None"]
"""Computes a node over constants: (node, values, their types) -> value, None where it cannot."""


@dataclass(frozen=True)
class Leaf:
    """What a placeholder or attribute of the fx graph stands for."""

    kind: Kind
    name: str
    tensor: Any
    trainable: bool = False


def type_of_tensor(tensor: Any) -> TensorType:
    """Shape and dtype of a tensor.

    Raises:
        Untold: where the shape is not known before running.
    """
    if any(not isinstance(extent, int) for extent in tensor.shape):
        raise Untold(f"a shape depends on the numbers that are computed: {tuple(tensor.shape)}")
    return TensorType(tuple(tensor.shape), dtype_name(tensor.dtype))


class CapturedNodes:
    """Nodes in program order.

    Args:
        recorded: what was registered during the capture.
        evaluate: computes an operation over constants, None where it cannot.

    Attributes:
        nodes: as captured so far; a node's number is its place.
        tensors: the leaves' own tensors by node.
        recording: whether gradients are recorded at present.
        hooks: the gradient hooks of each value, by node, in the order in which they were set.
        added: nodes that no line of the program asked for, to be dropped if nobody reads them.
    """

    def __init__(self, recorded: effects.Effects, evaluate: Evaluate) -> None:
        self.recorded = recorded
        self.evaluate = evaluate
        self.nodes: list[Node] = []
        self.tensors: dict[int, Any] = {}
        self.recording = True
        self.hooks: dict[Value, list[int]] = {}
        self.added: set[int] = set()
        self._differentiable: set[Value] = set()

    def type_of(self, value: Value) -> TensorType:
        """Type of a value.

        Raises:
            Untold: where it is no tensor.
        """
        node = self.nodes[value.node]
        kind = node.outputs[value.output]
        if kind is None:
            raise Untold(f"output {value.output} of {node.op} is no tensor", node.source)
        return kind

    def differentiable(self, value: Value) -> bool:
        """Whether a gradient flows to a value."""
        return value in self._differentiable

    def leaf(self, leaf: Leaf) -> Value:
        """Appends a leaf. Hooks that the user has set on a parameter see its total gradient, and
        stand in no graph: the eager run tells of them."""
        kind = type_of_tensor(leaf.tensor)
        node = Node(
            len(self.nodes), leaf.kind, name=leaf.name, outputs=(kind,), constant=_held(leaf, kind)
        )
        self.nodes.append(node)
        self.tensors[node.id] = leaf.tensor
        value = Value(node.id)
        if leaf.trainable and _floating(kind):
            self._differentiable.add(value)
        return value

    def hook(self, value: Value, token: int, place: Place) -> None:
        """A gradient hook: every reader of the value, earlier ones too, reads what is behind it."""
        node = self.append(
            effects.GRADIENT_HOOK,
            (value,),
            ("x",),
            {"hook": self.recorded.labels[token], "token": token},
            (self.type_of(value),),
            place,
            frozenset({"gradient_hook"}),
        )
        self.hooks.setdefault(value, []).append(node.id)

    def output(self, name: str, value: Value) -> None:
        """Appends an output of the model."""
        kind = self.type_of(value)
        node = Node(
            len(self.nodes),
            "output",
            name=name,
            inputs=(value,),
            roles=("value",),
            outputs=(kind,),
        )
        self.nodes.append(node)

    def add(
        self,
        op: str,
        inputs: Sequence[Value | None],
        roles: Sequence[str],
        attrs: Mapping[str, Any],
        outputs: Iterable[TensorType | None],
        *,
        like: Node,
        marks: frozenset[str],
    ) -> Value:
        """Appends what no line of the program asked for, in the place of another node."""
        if not self.recording and op != WITH_VALUE:
            marks |= {"no_grad"}
        place = Place(like.path, like.call, like.source)
        node = self.append(op, tuple(inputs), tuple(roles), attrs, tuple(outputs), place, marks)
        self.added.add(node.id)
        return Value(node.id)

    def append(
        self,
        op: str,
        inputs: tuple[Value | None, ...],
        roles: tuple[str, ...],
        attrs: Mapping[str, Any],
        outputs: tuple[TensorType | None, ...],
        place: Place,
        marks: frozenset[str],
        native: Any = None,
    ) -> Node:
        """Appends an operation, evaluated where it depends on constants only."""
        node = Node(
            len(self.nodes),
            "operation",
            op,
            inputs=inputs,
            roles=roles,
            attrs=dict(attrs),
            outputs=outputs,
            path=place.path,
            call=place.call,
            source=place.source,
            marks=marks,
            native=native,
        )
        constant = self._evaluated(node)
        if constant is not None:
            node = replace(node, constant=constant)
        self.nodes.append(node)
        if self._passes_gradients(node):
            self._differentiable.update(
                Value(node.id, number) for number, kind in enumerate(outputs) if _floating(kind)
            )
        return node

    def _evaluated(self, node: Node) -> Array | None:
        if "random" in node.marks or node.op in effects.EFFECTS or len(node.outputs) != 1:
            return None
        kind = node.outputs[0]
        if kind is None or kind.size > HELD:
            return None
        held: list[Array | None] = []
        for value in node.inputs:
            constant = None if value is None else self._constant(value)
            if value is not None and constant is None:
                return None
            held.append(constant)
        types = [None if value is None else self.type_of(value) for value in node.inputs]
        return self.evaluate(node, held, types)

    def _constant(self, value: Value) -> Array | None:
        node = self.nodes[value.node]
        if node.kind in ("constant", "operation"):
            return node.constant
        return None

    def _passes_gradients(self, node: Node) -> bool:
        if "no_grad" in node.marks or node.op.startswith("aten.detach"):
            return False
        return any(value in self._differentiable for value in node.inputs if value is not None)


def _held(leaf: Leaf, kind: TensorType) -> Array | None:
    """The numbers of a constant or small buffer."""
    if leaf.kind not in ("constant", "buffer") or not has_numbers(leaf.tensor):
        return None
    limit = HELD_FLOATING if leaf.tensor.is_floating_point() else HELD
    return values.array(leaf.tensor).copy() if kind.size <= limit else None


def _floating(kind: TensorType | None) -> bool:
    return kind is not None and kind.dtype.startswith(("float", "bfloat", "complex"))
