"""ONNX model -> ComputationGraph.

With an example the model is run node by node, so that every shape is concrete and every constant
known; without values (or where a node cannot be run) shape inference answers.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper

from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.capture.engine import NotRunnable
from padiff_graph.capture.graph import ComputationGraph, Node, ParameterInfo, TensorType, Value
from padiff_graph.capture.onnx.engine import OnnxEngine
from padiff_graph.capture.onnx.load import opsets, schema_of

__all__ = ["Session", "trace"]


@dataclass(frozen=True)
class Session:
    """What the engine needs beside the graph.

    Attributes:
        tensors: the example's leaves by node id.
        rung: there is one way to capture only.
        abstract: whether there are shapes only.
    """

    tensors: Mapping[int, Any]
    rung: str = ""
    abstract: bool = False


SMALL = 1 << 16
"""Constants of at most this many elements carry their value."""
RANDOM = {
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
    "Multinomial",
    "Bernoulli",
}
SETTINGS = {
    ("Clip", "min"),
    ("Clip", "max"),
    ("Pad", "constant_value"),
    ("Resize", "roi"),
    ("Resize", "scales"),
    ("Upsample", "scales"),
    ("Dropout", "ratio"),
}
"""Operands that set an operator up and are no weights, by the schema's names."""


def trace(model: Any, example: Mapping[str, Any], *, below: str = "") -> ComputationGraph:
    """Captures an ONNX model on an example (graph input name -> array); there is one way only.

    Raises:
        CaptureError: a bad file, a missing or unknown input, a node that cannot be run; or another
            way is asked for.
    """
    if below:
        raise CaptureError(f"there is no way of capturing an ONNX model but the file: {below}")
    engine = OnnxEngine(model)
    proto = engine.model
    constants = engine.parameters()
    wanted = [entry for entry in proto.graph.input if entry.name not in constants]
    _check_names([entry.name for entry in wanted], example)
    runs = all(_valued(example[entry.name]) for entry in wanted)
    values: dict[str, Any] = {entry.name: example[entry.name] for entry in wanted} if runs else {}
    types = _inferred(proto, example, wanted)
    parameters = _weights(proto, constants)
    nodes: list[Node] = []
    where: dict[str, Value] = {}

    def leaf(kind: Any, name: str, found: TensorType | None, constant: Any = None) -> None:
        where[name] = Value(len(nodes))
        nodes.append(Node(len(nodes), kind, name=name, outputs=(found,), constant=constant))

    for entry in wanted:
        leaf(
            "input",
            entry.name,
            _type(values[entry.name])
            if isinstance(values.get(entry.name), (np.ndarray, np.generic))
            else types.get(entry.name),
        )
    for name in constants:
        if name in parameters:
            leaf("parameter", name, _type(constants[name]))
        else:
            leaf("constant", name, _type(constants[name]), constants[name])
        values[name] = constants[name]
    fixed = {name for name in constants if name not in parameters}

    for native in proto.graph.node:
        if native.op_type == "Constant" and native.output[0] in constants:
            continue
        record = _operation(len(nodes), native, where, opsets(proto))
        operands = [name for name in native.input if name] + [
            role.partition(":")[2] for role in record.roles if role.startswith("captured:")
        ]
        outputs: list[Any] = []
        if runs and all(name in values for name in operands):
            try:
                slots = [*native.input, *operands[len([name for name in native.input if name]) :]]
                outputs = list(
                    engine.run(record, [values[name] if name else None for name in slots])
                )
            except NotRunnable as error:
                raise CaptureError(
                    f"the model cannot be run at {error}; check the model with onnx.checker and the example's shapes"
                ) from error
        names = [name for name in native.output if name]
        results = outputs or [None] * len(names)
        kinds = tuple(
            _type(value) if isinstance(value, np.ndarray) else types.get(name)
            for name, value in zip(names, results, strict=True)
        )
        constant = None
        if outputs and native.op_type not in RANDOM and all(name in fixed for name in operands):
            fixed.update(names)
            if isinstance(outputs[0], np.ndarray) and outputs[0].size <= SMALL:
                constant = outputs[0]
        nodes.append(_with(record, kinds, constant))
        for position, (name, value) in enumerate(zip(names, results, strict=True)):
            where[name] = Value(record.id, position)
            if outputs:
                values[name] = value
    for entry in proto.graph.output:
        source = where[entry.name]
        nodes.append(
            Node(
                len(nodes),
                "output",
                name=entry.name,
                inputs=(source,),
                roles=("value",),
                outputs=(nodes[source.node].outputs[source.output],),
            )
        )
    paths = {node.path for node in nodes} | {""}
    modules = {
        path: ""
        for path in sorted(
            {
                ".".join(path.split(".")[:depth])
                for path in paths
                for depth in range(len(path.split(".")) + 1)
            }
        )
    }
    info = {name: ParameterInfo(name, _type(constants[name])) for name in parameters}
    graph = ComputationGraph.build("onnx", nodes, modules=modules, parameters=info)
    tensors = {node.id: example[node.name] for node in graph.of_kind("input")}
    graph.session = Session(tensors, abstract=not runs)
    if not runs:
        graph.notes.append("The model was captured from shapes alone; nothing was run.")
    return graph


def _check_names(wanted: list[str], example: Mapping[str, Any]) -> None:
    missing, unknown = (
        [name for name in wanted if name not in example],
        [name for name in example if name not in wanted],
    )
    if missing or unknown:
        raise CaptureError(
            f"expected a value for each graph input ({', '.join(wanted)}); missing: {', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'}"
        )


def _valued(value: Any) -> bool:
    """Whether an example leaf holds values; a shape alone (an InputSpec, a meta tensor) does not."""
    return value is None or isinstance(value, (np.ndarray, np.generic, list, tuple))


def _type(value: Any) -> TensorType:
    return TensorType(
        tuple(int(extent) for extent in np.shape(value)), np.asarray(value).dtype.name
    )


def _inferred(
    proto: onnx.ModelProto, example: Mapping[str, Any], wanted: list[onnx.ValueInfoProto]
) -> dict[str, TensorType]:
    """Types by shape inference, with the example's shapes for the inputs."""
    model = onnx.ModelProto()
    model.CopyFrom(proto)
    for entry in model.graph.input:
        if entry.name in example and hasattr(example[entry.name], "shape"):
            shape = entry.type.tensor_type.shape
            del shape.dim[:]
            for extent in example[entry.name].shape:
                shape.dim.add().dim_value = int(extent)
    try:
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise CaptureError(
            f"the model's shapes do not fit together: {error}; check the example's shapes and the model with onnx.checker"
        ) from error
    found: dict[str, TensorType] = {}
    for entry in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        kind = entry.type.tensor_type
        if kind.elem_type and all(extent.HasField("dim_value") for extent in kind.shape.dim):
            found[entry.name] = TensorType(
                tuple(extent.dim_value for extent in kind.shape.dim),
                onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name,
            )
    return found


def _weights(proto: onnx.ModelProto, constants: Mapping[str, Any]) -> set[str]:
    """Which initializers and constants are weights: floating, of several elements, and no setting of an operator."""
    versions = opsets(proto)
    weights = {
        name
        for name, value in constants.items()
        if np.issubdtype(value.dtype, np.floating) and value.ndim and value.size > 1
    }
    for node in proto.graph.node:
        schema = schema_of(node, versions)
        for position, name in enumerate(node.input):
            if (
                schema is not None
                and position < len(schema.inputs)
                and (node.op_type, schema.inputs[position].name) in SETTINGS
            ):
                weights.discard(name)
    return weights


def _operation(
    number: int, native: onnx.NodeProto, where: Mapping[str, Value], versions: dict[str, int]
) -> Node:
    schema = schema_of(native, versions)
    formals = list(schema.inputs) if schema is not None else []
    inputs: list[Value | None] = []
    roles: list[str] = []
    for position, name in enumerate(native.input):
        formal = formals[min(position, len(formals) - 1)] if formals else None
        variadic = (
            formal is not None
            and formal.option == onnx.defs.OpSchema.FormalParameterOption.Variadic
        )
        roles.append(
            f"{formal.name}[{position - len(formals) + 1}]"
            if formal is not None and variadic
            else formal.name
            if formal is not None
            else str(position)
        )
        inputs.append(where[name] if name else None)
    for name in _captured(native):
        if name in where:
            roles.append(f"captured:{name}")
            inputs.append(where[name])
    attrs = {
        attribute.name: default
        for attribute in (schema.attributes.values() if schema else ())
        if (default := _plain(attribute.default_value)) is not None
    }
    attrs.update({attribute.name: _plain(attribute) for attribute in native.attribute})
    marks = frozenset({"random"} if native.op_type in RANDOM else ())
    path, source = _place(native)
    domain = "" if native.domain in ("", "ai.onnx") else f"{native.domain}."
    return Node(
        number,
        "operation",
        f"onnx.{domain}{native.op_type}",
        native.name,
        tuple(inputs),
        tuple(roles),
        attrs,
        (),
        path,
        0,
        source,
        marks,
        None,
        native,
    )


def _with(record: Node, outputs: tuple[TensorType | None, ...], constant: Any) -> Node:
    return Node(
        record.id,
        record.kind,
        record.op,
        record.name,
        record.inputs,
        record.roles,
        record.attrs,
        outputs,
        record.path,
        record.call,
        record.source,
        record.marks,
        constant,
        record.native,
    )


def _captured(native: onnx.NodeProto) -> Iterator[str]:
    """Names that a node's subgraphs read from outside, each once."""
    seen: set[str] = set()
    for attribute in native.attribute:
        for graph in (attribute.g, *attribute.graphs):
            inside = {entry.name for entry in (*graph.input, *graph.initializer)}
            for node in graph.node:
                for name in (*node.input, *_captured(node)):
                    if (
                        name
                        and name not in inside
                        and name not in seen
                        and name not in native.input
                    ):
                        seen.add(name)
                        yield name
                inside.update(node.output)
            for entry in graph.output:
                if (
                    entry.name not in inside
                    and entry.name not in seen
                    and entry.name not in native.input
                ):
                    seen.add(entry.name)
                    yield entry.name


def _plain(attribute: onnx.AttributeProto) -> Any:
    """An attribute as plain Python; a tensor as numpy, a subgraph as its name."""
    if attribute.type == onnx.AttributeProto.UNDEFINED:
        return None
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.to_array(value)
    if isinstance(value, onnx.GraphProto):
        return f"graph {value.name}"
    if isinstance(value, (list, tuple)) or (
        hasattr(value, "__len__") and not isinstance(value, (str, np.ndarray))
    ):
        return tuple(
            entry.decode(errors="replace") if isinstance(entry, bytes) else entry for entry in value
        )
    return value


def _place(native: onnx.NodeProto) -> tuple[str, str]:
    """Module path and source line: from the torch exporter's metadata, else from a scoped node name."""
    metadata = {entry.key: entry.value for entry in native.metadata_props}
    source = ""
    for file, line in re.findall(
        r'File "([^"]+)", line (\d+)', metadata.get("pkg.torch.onnx.stack_trace", "")
    ):
        if f"{'/'}torch{'/'}" not in file:
            source = f"{file}:{line}"
    scopes = metadata.get("pkg.torch.onnx.name_scopes")
    if scopes:
        named = ast.literal_eval(scopes)[:-1]
        return next((scope for scope in reversed(named) if scope), ""), source
    path = ""
    if native.name.startswith("/"):
        for part in native.name.split("/")[1:-1]:
            path = part if not path or part.startswith(f"{path}.") else f"{path}.{part}"
    return path, source
