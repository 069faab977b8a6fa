"""A captured graph as an ONNX file, for viewers such as Netron.

Native operators stand in a domain of their own ("aten", "pd_op"): the file shows a graph, it is
not meant to be run. Weights are declared by name, type and shape, without values; constants have
theirs.
"""

from __future__ import annotations

import numbers
import os
from typing import Any

import numpy as np
import onnx

from padiff_graph.capture.graph import ComputationGraph, Node, TensorType, Value

__all__ = ["graph_model", "write"]

OPSET = 18
"""Of ONNX's own domain, of which Identity alone is used: chosen so that viewers of 2022 read it."""


def write(graph: ComputationGraph, path: str | os.PathLike[str]) -> None:
    """Writes the graph as an ONNX file."""
    onnx.save(graph_model(graph), os.fspath(path))


def graph_model(graph: ComputationGraph) -> onnx.ModelProto:
    """The graph as an ONNX model: one node an operation, values named "node:output"."""
    names = _Names(graph)
    nodes: list[onnx.NodeProto] = []
    inputs, inner, known, outputs = [], [], [], []
    for record in graph.records():
        if record.kind == "operation":
            nodes.append(_node(record, names))
            inner += [names.info(Value(record.id, k)) for k in range(len(record.outputs))]
        elif record.kind == "output":
            read = [names.of(value) for value in record.inputs if value is not None]
            nodes.append(onnx.helper.make_node("Identity", read, [f"output:{record.name}"]))
            outputs.append(_output(record, names))
        elif record.constant is not None:
            known.append(_constant(record, record.constant, names))
        else:
            inputs.append(names.info(Value(record.id)))
    title = graph.modules.get("", "") or "model"
    body = onnx.helper.make_graph(nodes, title, inputs, outputs, known, value_info=inner)
    opsets = [onnx.helper.make_opsetid("", OPSET)]
    for domain in sorted({node.domain for node in nodes} - {""}):
        opsets.append(onnx.helper.make_opsetid(domain, 1))
    return onnx.helper.make_model(body, producer_name="padiff-graph", opset_imports=opsets)


class _Names:
    """What values are called in the file; leaves by their own names, as far as these are unique."""

    def __init__(self, graph: ComputationGraph) -> None:
        self.graph = graph
        self.leaves: dict[int, str] = {}
        taken: set[str] = set()
        for record in graph.records():
            if record.kind != "operation":
                own = record.name or f"{record.kind}_{record.id}"
                self.leaves[record.id] = f"{record.kind}:{own}" if own in taken else own
                taken.add(own)

    def of(self, value: Value | None) -> str:
        """A value's name; "" for an absent one."""
        if value is None:
            return ""
        return self.leaves.get(value.node) or f"{value.node}:{value.output}"

    def info(self, value: Value) -> onnx.ValueInfoProto:
        """A value's name and type."""
        kind = self.graph.type_of(value)
        if kind is None:
            return onnx.ValueInfoProto(name=self.of(value))
        shape = list(kind.shape)
        return onnx.helper.make_tensor_value_info(self.of(value), _element_type(kind), shape)


def _output(record: Node, names: _Names) -> onnx.ValueInfoProto:
    shown = onnx.ValueInfoProto()
    source = record.inputs[0]
    if source is not None:
        shown.CopyFrom(names.info(source))
    shown.name = f"output:{record.name}"
    return shown


def _constant(record: Node, array: np.ndarray[Any, Any], names: _Names) -> onnx.TensorProto:
    value = Value(record.id)
    kind = names.graph.type_of(value) or TensorType(array.shape, str(array.dtype))
    numbers = array.reshape(-1).tolist()
    return onnx.helper.make_tensor(names.of(value), _element_type(kind), kind.shape, numbers)


def _operator(native: str) -> tuple[str, str, str]:
    """(domain, operator, overload): viewers show of a dotted operator its last part alone."""
    if native.startswith("onnx."):
        domain, _, operator = native.removeprefix("onnx.").rpartition(".")
        return domain, operator, ""
    domain, _, rest = native.partition(".")
    operator, _, overload = rest.partition(".")
    return (domain, operator, overload) if operator else ("native", domain, "")


def _node(record: Node, names: _Names) -> onnx.NodeProto:
    domain, operator, overload = _operator(record.op)
    node = onnx.helper.make_node(
        operator,
        [names.of(value) for value in record.inputs],
        [names.of(Value(record.id, k)) for k in range(max(1, len(record.outputs)))],
        name=f"{record.path}/{record.id}" if record.path else str(record.id),
        domain=domain,
    )
    for key, value in record.attrs.items():
        node.attribute.append(_attribute(key, value))
    for key, text in (("module", record.path), ("source", record.source), ("overload", overload)):
        if text:
            node.metadata_props.add(key=key, value=text)
    return node


def _attribute(key: str, value: Any) -> onnx.AttributeProto:
    """As ONNX's own kind of attribute where it has one, as text otherwise."""
    if _integer(value):
        return onnx.helper.make_attribute(key, int(value))
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral):
        return onnx.helper.make_attribute(key, float(value))
    if _integers(value):
        return onnx.helper.make_attribute(key, [int(entry) for entry in value])
    return onnx.helper.make_attribute(key, str(value))


def _integers(value: Any) -> bool:
    if not isinstance(value, (list, tuple)) or not value:
        return False
    return all(isinstance(entry, int) and _integer(entry) for entry in value)


def _integer(value: Any) -> bool:
    """Whether ONNX's 64 bits hold it."""
    return isinstance(value, numbers.Integral) and abs(int(value)) < 1 << 63


def _element_type(kind: TensorType) -> int:
    if kind.dtype == "bfloat16":
        return int(onnx.TensorProto.BFLOAT16)
    return int(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind.dtype)))
