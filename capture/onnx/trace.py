"""ONNX model -> ComputationGraph.

With an example the model is run node by node, so that every shape is concrete and every constant
known; without values (or where a node cannot be run) shape inference answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import onnx
import onnx.numpy_helper

from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.capture.engine import NotRunnable
from padiff_graph.capture.graph import (
    ComputationGraph,
    Kind,
    Node,
    ParameterInfo,
    TensorType,
    Value,
)
from padiff_graph.capture.onnx.engine import OnnxEngine
from padiff_graph.capture.onnx.load import inferred, opsets, schema_of
from padiff_graph.capture.onnx.node_protos import attributes_of, captured_names, place_of, roles_of
from padiff_graph.capture.onnx.operators import RANDOM, SHAPES

__all__ = ["Session", "trace"]

HELD = 1 << 16
"""Elements of a result that is held as a constant at most: chosen so that tables of shapes, indices
and positions are held."""

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
LAYERS = {
    ("Conv", "W"),
    ("Conv", "B"),
    ("ConvTranspose", "W"),
    ("ConvTranspose", "B"),
    ("MatMul", "B"),
    ("Gemm", "B"),
    ("Gemm", "C"),
    ("PRelu", "slope"),
    ("BatchNormalization", "scale"),
    ("BatchNormalization", "B"),
    ("BatchNormalization", "input_mean"),
    ("BatchNormalization", "input_var"),
    ("InstanceNormalization", "scale"),
    ("InstanceNormalization", "B"),
    ("LayerNormalization", "Scale"),
    ("LayerNormalization", "B"),
}
"""Operands that are weights also where they are single numbers: of a layer with one channel."""

Array: TypeAlias = "np.ndarray[Any, Any]"


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
    inputs = [entry.name for entry in proto.graph.input if entry.name not in constants]
    _check_names(inputs, example)
    runs = all(_has_values(example[name]) for name in inputs)
    parameters = _weights(proto, constants)
    captured = _Captured(engine, _inferred(proto, example), runs)
    for name in inputs:
        captured.input(name, example[name])
    for name, array in constants.items():
        captured.held(name, array, name in parameters)
    for native in proto.graph.node:
        if native.op_type != "Constant" or native.output[0] not in constants:
            captured.operation(native)
    for entry in proto.graph.output:
        captured.output(entry.name)
    graph = ComputationGraph.build(
        "onnx",
        captured.nodes,
        modules=_modules(captured.nodes),
        parameters={name: ParameterInfo(name, _type(constants[name])) for name in parameters},
    )
    tensors = {node.id: example[node.name] for node in graph.of_kind("input")}
    graph.session = Session(tensors, abstract=not runs)
    if not runs:
        graph.notes.append("The model was captured from shapes alone; nothing was run.")
    return graph


@dataclass
class _Captured:
    """A graph in the making.

    Attributes:
        engine: runs single nodes.
        types: what shape inference says, by name.
        runs: whether nodes are run.
        nodes: in program order.
        where: the value of each name.
        values: the numbers of each name that could be computed.
        fixed: names that constants and shapes alone decide.
    """

    engine: OnnxEngine
    types: Mapping[str, TensorType]
    runs: bool
    nodes: list[Node] = field(default_factory=list)
    where: dict[str, Value] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    fixed: set[str] = field(default_factory=set)

    def _leaf(self, kind: Kind, name: str, own: TensorType | None, array: Any = None) -> None:
        self.where[name] = Value(len(self.nodes))
        self.nodes.append(Node(len(self.nodes), kind, name=name, outputs=(own,), constant=array))

    def input(self, name: str, value: Any) -> None:
        """A graph input, with the example's value where the model is run."""
        own = self.types.get(name)
        if self.runs:
            self.values[name] = value
            if isinstance(value, (np.ndarray, np.generic)):
                own = _type(value)
        self._leaf("input", name, own)

    def held(self, name: str, array: Array, weight: bool) -> None:
        """An initializer or Constant: a parameter or a constant."""
        self.values[name] = array
        if weight:
            self._leaf("parameter", name, _type(array))
        else:
            self._leaf("constant", name, _type(array), array)
            self.fixed.add(name)

    def operation(self, native: onnx.NodeProto) -> None:
        """A node, run where all its operands have values."""
        record = self._record(native)
        operands = [name for name in native.input if name]
        operands += [
            role.partition(":")[2] for role in record.roles if role.startswith("captured:")
        ]
        names = [name for name in native.output if name]
        results = self._run(record, native, operands)
        constant = None
        if results is not None:
            self.values.update(zip(names, results, strict=True))
            decided = native.op_type in SHAPES or self.fixed.issuperset(operands)
            if native.op_type not in RANDOM and decided:
                self.fixed.update(names)
                constant = _small(results[0])
        kinds = tuple(
            _type(self.values[name])
            if isinstance(self.values.get(name), np.ndarray)
            else self.types.get(name)
            for name in names
        )
        self.nodes.append(replace(record, outputs=kinds, constant=constant))
        for position, name in enumerate(names):
            self.where[name] = Value(record.id, position)

    def _record(self, native: onnx.NodeProto) -> Node:
        versions = opsets(self.engine.model)
        read = [name for name in captured_names(native) if name in self.where]
        path, source = place_of(native)
        domain = "" if native.domain in ("", "ai.onnx") else f"{native.domain}."
        marks = frozenset({"random"}) if native.op_type in RANDOM else frozenset[str]()
        return Node(
            len(self.nodes),
            "operation",
            f"onnx.{domain}{native.op_type}",
            native.name,
            inputs=tuple(self.where[name] if name else None for name in (*native.input, *read)),
            roles=(*roles_of(native, versions), *(f"captured:{name}" for name in read)),
            attrs=attributes_of(native, versions),
            path=path,
            source=source,
            marks=marks,
            native=native,
        )

    def _run(
        self, record: Node, native: onnx.NodeProto, operands: Sequence[str]
    ) -> list[Any] | None:
        """A node's results; None where an operand has no value."""
        if not self.runs or not all(name in self.values for name in operands):
            return None
        captured = operands[len([name for name in native.input if name]) :]
        given = [self.values[name] if name else None for name in (*native.input, *captured)]
        try:
            return list(self.engine.run(record, given))
        except NotRunnable as error:
            raise CaptureError(
                f"the model cannot be run at {error};"
                " check the model with onnx.checker and the example's shapes"
            ) from error

    def output(self, name: str) -> None:
        """A graph output."""
        source = self.where[name]
        kind = self.nodes[source.node].outputs[source.output]
        self.nodes.append(
            Node(
                len(self.nodes),
                "output",
                name=name,
                inputs=(source,),
                roles=("value",),
                outputs=(kind,),
            )
        )


def _small(result: Any) -> Array | None:
    return result if isinstance(result, np.ndarray) and result.size <= HELD else None


def _modules(nodes: Sequence[Node]) -> dict[str, str]:
    """Every module path and what stands above it; an ONNX file names no classes."""
    paths = {""}
    for node in nodes:
        parts = node.path.split(".")
        paths.update(".".join(parts[:depth]) for depth in range(1, len(parts) + 1))
    return dict.fromkeys(sorted(paths), "")


def _check_names(wanted: Sequence[str], example: Mapping[str, Any]) -> None:
    missing = [name for name in wanted if name not in example]
    unknown = [name for name in example if name not in wanted]
    if missing or unknown:
        raise CaptureError(
            f"expected a value for each graph input ({', '.join(wanted)});"
            f" missing: {', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'}"
        )


def _has_values(value: Any) -> bool:
    """Whether an example leaf holds values; a shape alone (InputSpec, meta tensor) does not."""
    return value is None or isinstance(value, (np.ndarray, np.generic, list, tuple))


def _type(value: Any) -> TensorType:
    shape = tuple(int(extent) for extent in np.shape(value))
    return TensorType(shape, np.asarray(value).dtype.name)


def _inferred(proto: onnx.ModelProto, example: Mapping[str, Any]) -> dict[str, TensorType]:
    """Types by shape inference, with the example's shapes for the inputs."""
    model = onnx.ModelProto()
    model.CopyFrom(proto)
    for entry in model.graph.input:
        if entry.name in example and hasattr(example[entry.name], "shape"):
            shape = entry.type.tensor_type.shape
            del shape.dim[:]
            for extent in example[entry.name].shape:
                shape.dim.add().dim_value = int(extent)
    model = inferred(model, values=True)
    types: dict[str, TensorType] = {}
    for entry in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        kind = entry.type.tensor_type
        extents = kind.shape.dim
        if kind.elem_type and all(extent.HasField("dim_value") for extent in extents):
            dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name
            types[entry.name] = TensorType(tuple(extent.dim_value for extent in extents), dtype)
    return types


def _weights(proto: onnx.ModelProto, constants: Mapping[str, Any]) -> set[str]:
    """Which constants are weights: floating and no setting of an operator; single numbers only
    where a layer of one channel reads them."""
    single = _layers_of_one(proto)
    weights = {
        name
        for name, value in constants.items()
        if np.issubdtype(value.dtype, np.floating)
        and value.ndim
        and (value.size > 1 or name in single)
    }
    return weights - set(_operands(proto, SETTINGS))


def _layers_of_one(proto: onnx.ModelProto) -> set[str]:
    """Initializers that a layer reads as its weight or bias, where the operator says so, or where
    they are added to a product with an initializer."""
    held = {tensor.name for tensor in proto.graph.initializer}
    turned = {node.output[0] for node in proto.graph.node if node.op_type == "Transpose"}
    products = {
        node.output[0]
        for node in proto.graph.node
        if node.op_type == "MatMul" and node.input[1] in held | turned
    }
    added = {
        name
        for node in proto.graph.node
        if node.op_type == "Add" and not products.isdisjoint(node.input)
        for name in node.input
    }
    return held & {*_operands(proto, LAYERS), *added}


def _operands(proto: onnx.ModelProto, roles: AbstractSet[tuple[str, str]]) -> Iterator[str]:
    """The names that operators read in some of their roles, as (operator, schema's name)."""
    versions = opsets(proto)
    for node in proto.graph.node:
        schema = schema_of(node, versions)
        if schema is not None:
            for name, formal in zip(node.input, schema.inputs, strict=False):
                if (node.op_type, formal.name) in roles:
                    yield name
