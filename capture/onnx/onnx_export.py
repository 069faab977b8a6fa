"""A captured graph as an ONNX file, for viewers such as Netron.

Native operators stand in a domain of their own ("aten", "pd_op"): the file shows a graph, it is not
meant to be run. Weights are declared by name, type and shape, without their values; constants have theirs.
"""

from __future__ import annotations

import numbers
import os
from typing import Any

import numpy as np
import onnx

from padiff_graph.capture.graph import ComputationGraph, Node, TensorType, Value

__all__ = ["graph_model", "write"]


def write(graph: ComputationGraph, path: str | os.PathLike[str]) -> None:
    """Writes the graph as an ONNX file."""
    onnx.save(graph_model(graph), os.fspath(path))


def graph_model(graph: ComputationGraph) -> onnx.ModelProto:
    """The graph as an ONNX model: one node an operation, values named "node:output"."""
    leaves: dict[int, str] = {}
    taken: set[str] = set()
    for record in graph.records():
        if record.kind != "operation":
            named = record.name or f"{record.kind}_{record.id}"
            leaves[record.id] = f"{record.kind}:{named}" if named in taken else named
            taken.add(named)

    def name(value: Value) -> str:
        return leaves.get(value.node) or f"{value.node}:{value.output}"

    def info(value: Value) -> onnx.ValueInfoProto:
        kind = graph.type_of(value)
        if kind is None:
            return onnx.ValueInfoProto(name=name(value))
        return onnx.helper.make_tensor_value_info(
            name(value), _element_type(kind), list(kind.shape)
        )

    nodes, domains, inputs, inner, known = [], {""}, [], [], []
    for record in graph.records():
        if record.kind == "operation":
            domain, operator, overload = _operator(record.op)
            domains.add(domain)
            nodes.append(
                _node(
                    record,
                    operator,
                    domain,
                    overload,
                    [name(value) if value is not None else "" for value in record.inputs],
                    [name(Value(record.id, k)) for k in range(max(1, len(record.outputs)))],
                )
            )
            inner += [info(Value(record.id, k)) for k in range(len(record.outputs))]
        elif record.kind == "output":
            nodes.append(
                onnx.helper.make_node(
                    "Identity",
                    [name(value) for value in record.inputs if value is not None],
                    [f"output:{record.name}"],
                )
            )
        elif record.constant is not None:
            kind = graph.type_of(Value(record.id)) or TensorType(
                record.constant.shape, str(record.constant.dtype)
            )
            known.append(
                onnx.helper.make_tensor(
                    name(Value(record.id)),
                    _element_type(kind),
                    kind.shape,
                    record.constant.reshape(-1).tolist(),
                )
            )
        else:
            inputs.append(info(Value(record.id)))
    outputs = []
    for record in graph.of_kind("output"):
        shown = onnx.ValueInfoProto()
        source = record.inputs[0]
        if source is not None:
            shown.CopyFrom(info(source))
        shown.name = f"output:{record.name}"
        outputs.append(shown)
    body = onnx.helper.make_graph(
        nodes, graph.modules.get("", "") or "model", inputs, outputs, known, value_info=inner
    )
    return onnx.helper.make_model(
        body,
        producer_name="padiff-graph",
        opset_imports=[
            onnx.helper.make_opsetid(domain, 18 if not domain else 1) for domain in sorted(domains)
        ],
    )


def _operator(native: str) -> tuple[str, str, str]:
    """(domain, operator, overload): viewers show of a dotted operator its last part alone."""
    if native.startswith("onnx."):
        domain, _, operator = native.removeprefix("onnx.").rpartition(".")
        return domain, operator, ""
    domain, _, rest = native.partition(".")
    operator, _, overload = rest.partition(".")
    return (domain, operator, overload) if operator else ("native", domain, "")


def _node(
    record: Node, operator: str, domain: str, overload: str, inputs: list[str], outputs: list[str]
) -> onnx.NodeProto:
    node = onnx.helper.make_node(
        operator,
        inputs,
        outputs,
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
    if isinstance(value, bool):
        return onnx.helper.make_attribute(key, int(value))
    if isinstance(value, numbers.Integral) and abs(int(value)) < 1 << 63:
        return onnx.helper.make_attribute(key, int(value))
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral):
        return onnx.helper.make_attribute(key, float(value))
    if (
        isinstance(value, (list, tuple))
        and value
        and all(isinstance(entry, int) and abs(entry) < 1 << 63 for entry in value)
    ):
        return onnx.helper.make_attribute(key, [int(entry) for entry in value])
    return onnx.helper.make_attribute(key, str(value))


def _element_type(kind: TensorType) -> int:
    if kind.dtype == "bfloat16":
        return int(onnx.TensorProto.BFLOAT16)
    return int(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind.dtype)))
