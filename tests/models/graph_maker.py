"""Hand-made captured graphs in the frameworks' own operator names, without the frameworks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from padiff_graph.capture.graph import ComputationGraph, Node, ParameterInfo, TensorType, Value
from padiff_graph.capture.normal.form import Edge, NormalGraph, NormalNode
from padiff_graph.capture.normal.normalize import normalize


class Maker:
    """Appends nodes; `done` makes the graph."""

    def __init__(self, framework: str, training: bool = False) -> None:
        self.framework = framework
        self.training = training
        self.nodes: list[Node] = []
        self.parameters: dict[str, ParameterInfo] = {}

    def _append(self, node: Node) -> Value:
        self.nodes.append(node)
        return Value(node.id)

    def input(self, name: str, shape: Sequence[int], dtype: str = "float32") -> Value:
        return self._append(
            Node(len(self.nodes), "input", name=name, outputs=(TensorType(tuple(shape), dtype),))
        )

    def parameter(
        self, name: str, shape: Sequence[int], dtype: str = "float32", buffer: bool = False
    ) -> Value:
        kind = TensorType(tuple(shape), dtype)
        self.parameters[name] = ParameterInfo(name, kind, buffer=buffer)
        return self._append(
            Node(len(self.nodes), "buffer" if buffer else "parameter", name=name, outputs=(kind,))
        )

    def constant(self, value: Any) -> Value:
        array = np.asarray(value)
        return self._append(
            Node(
                len(self.nodes),
                "constant",
                name="c",
                outputs=(TensorType(array.shape, array.dtype.name),),
                constant=array,
            )
        )

    def op(
        self,
        name: str,
        operands: Mapping[str, Value | Sequence[Value] | None],
        shape: Sequence[int] | TensorType | Sequence[TensorType],
        /,
        marks: Sequence[str] = (),
        **attrs: Any,
    ) -> Value:
        """An operation: operands by role (lists become members), its result's shape, its
        attributes."""
        roles: list[str] = []
        inputs: list[Value | None] = []
        for role, value in operands.items():
            if value is None or isinstance(value, Value):
                roles.append(role)
                inputs.append(value)
            else:
                roles.extend(f"{role}[{place}]" for place in range(len(value)))
                inputs.extend(value)
        outputs: tuple[TensorType, ...]
        if isinstance(shape, TensorType):
            outputs = (shape,)
        elif shape and isinstance(shape[0], TensorType):
            outputs = tuple(shape)  # type: ignore[arg-type]
        else:
            outputs = (TensorType(tuple(shape), "float32"),)  # type: ignore[arg-type]
        return self._append(
            Node(
                len(self.nodes),
                "operation",
                name if "." in name else self._full(name),
                inputs=tuple(inputs),
                roles=tuple(roles),
                attrs=attrs,
                outputs=outputs,
                marks=frozenset(marks),
            )
        )

    def _full(self, name: str) -> str:
        return f"aten.{name}.default" if self.framework == "torch" else f"pd_op.{name}"

    def number(self, value: Any, dtype: str = "float32") -> Value:
        """Paddle's way to pass a number: a `full` of one element."""
        return self.op(
            "pd_op.full", {}, TensorType((1,), dtype), value=value, shape=(1,), dtype=dtype
        )

    def numbers(self, values: Sequence[int]) -> Value:
        """Paddle's way to pass integers: a `full_int_array`."""
        return self.op(
            "pd_op.full_int_array", {}, TensorType((len(values),), "int64"), value=tuple(values)
        )

    def done(self, *results: Value, updates: Mapping[str, Value] | None = None) -> ComputationGraph:
        for place, value in enumerate(results):
            self._append(
                Node(
                    len(self.nodes),
                    "output",
                    name="output" if len(results) == 1 else f"output.{place}",
                    inputs=(value,),
                )
            )
        return ComputationGraph.build(
            self.framework,
            self.nodes,
            training=self.training,
            parameters=self.parameters,
            updates=dict(updates or {}),
        )

    def normal(self, *results: Value, updates: Mapping[str, Value] | None = None) -> NormalGraph:
        return normalize(self.done(*results, updates=updates))


def operations(graph: NormalGraph) -> list[NormalNode]:
    """All nodes that compute."""
    return [node for node in graph.nodes if not node.leaf]


def the(graph: NormalGraph, op: str) -> NormalNode:
    """The only node of an operator."""
    found = [node for node in graph.nodes if node.op == op]
    assert len(found) == 1, f"{len(found)} nodes of {op}: {[node.op for node in graph.nodes]}"
    return found[0]


def names(graph: NormalGraph) -> list[str]:
    """Operators in order."""
    return [node.op for node in operations(graph)]


def reads(graph: NormalGraph, edge: Edge | None) -> NormalNode:
    """The node that an edge reads."""
    assert edge is not None
    return graph.nodes[edge.source]
