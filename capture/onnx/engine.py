"""Running ONNX: a node at a time, or the whole model. Forward only: ONNX has no gradients.

onnxruntime runs what it can where it is installed; onnx's reference evaluator runs the rest, and
everything in float64, for which onnxruntime lacks kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper

from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.capture.engine import Array, NotRunnable, Run, Tensor, session_of
from padiff_graph.capture.graph import ComputationGraph, Node
from padiff_graph.capture.onnx.load import inferred, load, opsets
from padiff_graph.capture.onnx.node_runner import Runner, runner
from padiff_graph.capture.python_state import Watch

__all__ = ["OnnxEngine", "with_parameters"]

WIDE = {onnx.TensorProto.FLOAT: onnx.TensorProto.DOUBLE}
"""What a dtype attribute is answered in where a node is run in float64."""

LACKING = ("bfloat16", "float8_e4m3fn", "float8_e5m2")
"""dtypes that numpy lacks; they are handed on as float32."""

NO_GRADIENTS = "an ONNX model has no gradients; compare it forward only"


def with_parameters(model: onnx.ModelProto, values: Mapping[str, Array]) -> onnx.ModelProto:
    """A new model with these initializers (or constants) replaced; the given one is untouched.

    Raises:
        KeyError: a name that the model has not.
        ValueError: a shape that differs.
    """
    new = onnx.ModelProto()
    new.CopyFrom(model)
    tensors = _tensors(new)
    for name, value in values.items():
        tensor = tensors[name]
        if tuple(tensor.dims) != tuple(np.shape(value)):
            raise ValueError(
                f"{name}: expected shape {tuple(tensor.dims)}, found {tuple(np.shape(value))}"
            )
        dtype = onnx.numpy_helper.to_array(tensor).dtype
        label = tensor.name
        tensor.CopyFrom(onnx.numpy_helper.from_array(np.asarray(value).astype(dtype), label))
    return new


def _tensors(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """Initializers and constants by name."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    tensors[node.output[0]] = attribute.t
    return tensors


class OnnxEngine:
    """The `Engine` of one ONNX model. Tensors are numpy arrays."""

    framework = "onnx"

    def __init__(self, model: Any) -> None:
        self.model = load(model)
        self._runners: dict[tuple[Any, ...], Runner] = {}
        self._whole: Runner | None = None
        typed = inferred(self.model).graph
        self._types = {
            entry.name: entry.type for entry in (*typed.input, *typed.value_info, *typed.output)
        }

    @contextmanager
    def quiet(self, *, values: bool = True) -> Iterator[Watch]:
        """Nothing to restore: running changes no model."""
        yield Watch(None, frozenset)

    def tensor(self, array: Array, dtype: str | None = None, requires_grad: bool = False) -> Tensor:
        """The array itself, in the dtype asked for."""
        return np.array(array, dtype=None if dtype is None else _numpy_type(dtype))

    def array(self, tensor: Tensor) -> Array:
        """The tensor as a float numpy array where it is bfloat16, as it is otherwise."""
        array = np.asarray(tensor)
        return array.astype(np.float32) if array.dtype.name in LACKING else array

    def late(
        self, array: Array, dtype: str | None, arrived: Callable[[Array], None] | None
    ) -> Tensor:
        """As of `Engine`; there are no gradients."""
        return self.tensor(array, dtype)

    def saving(self) -> AbstractContextManager[None]:
        """As of `Engine`; nothing is recorded."""
        return nullcontext()

    def parameters(self) -> dict[str, Tensor]:
        """Initializers and constants by name."""
        tensors = _tensors(self.model)
        return {name: onnx.numpy_helper.to_array(tensor) for name, tensor in tensors.items()}

    def assign(self, values: Mapping[str, Array]) -> None:
        """Replaces this engine's model by a new one with these values; the user's model stays."""
        self.model = with_parameters(self.model, values)
        self._whole = None

    def inputs(self, graph: ComputationGraph) -> dict[int, Tensor]:
        """The example's arrays by input node."""
        return dict(session_of(graph).tensors)

    def forward(self, example: Mapping[str, Any], *, grad: bool) -> Run:
        """Runs the whole model."""
        if self._whole is None:
            self._whole = runner(self.model)
        feed = {name: _fed(value) for name, value in example.items()}
        names = [entry.name for entry in self.model.graph.output]
        outputs = dict(zip(names, self._whole(feed), strict=True))
        tensors = {n: value for n, value in outputs.items() if isinstance(value, np.ndarray)}
        return Run(tensors, outputs)

    def evaluate(self) -> None:
        """As of `Engine`; a deployed model has no other mode."""

    def observe(self, example: Mapping[str, Any]) -> dict[tuple[str, int], list[Array]]:
        """Nothing: calls of modules are not told apart."""
        return {}

    def backward(
        self,
        run: Run,
        cotangents: Mapping[str, Array] | None = None,
        loss: Tensor | None = None,
        *,
        again: bool = False,
    ) -> None:
        """Not possible: ONNX models are checked forward only."""
        raise NotRunnable(NO_GRADIENTS)

    def hooked_parameters(self) -> frozenset[str]:
        """None: ONNX has no gradients."""
        return frozenset()

    def hooked(self, gradients: Mapping[str, Array]) -> dict[str, Array]:
        """The gradients as they are."""
        return dict(gradients)

    def run(
        self,
        node: Node,
        operands: Sequence[Tensor | None],
        *,
        double: bool = False,
        draw: Array | None = None,
    ) -> tuple[Tensor | None, ...]:
        """Reruns one node as a model of its own."""
        if node.kind != "operation":
            return (node.constant,)
        proto: onnx.NodeProto = node.native
        captured = [role.partition(":")[2] for role in node.roles if role.startswith("captured:")]
        feeds = {
            name: _fed(operand)
            for name, operand in zip((*proto.input, *captured), operands, strict=True)
            if name
        }
        key = (node.id, double, *(_kind(name, value) for name, value in feeds.items()))
        try:
            if key not in self._runners:
                self._runners[key] = runner(self._single(proto, feeds, double), reference=double)
            return tuple(self._runners[key](feeds))
        except CaptureError:
            raise
        except Exception as error:
            # kernels of two runtimes raise what they like; the node cannot be run by itself
            raise NotRunnable(f"{_name(proto)}: {type(error).__name__}: {error}") from error

    def grad(
        self,
        outputs: Sequence[Tensor],
        inputs: Sequence[Tensor],
        cotangents: Sequence[Tensor],
        *,
        again: bool = False,
    ) -> list[Tensor | None]:
        """Not possible."""
        raise NotRunnable(NO_GRADIENTS)

    @contextmanager
    def recording(self, on: bool) -> Iterator[None]:
        """Nothing is recorded."""
        yield

    def _single(
        self, proto: onnx.NodeProto, feeds: Mapping[str, Array], double: bool
    ) -> onnx.ModelProto:
        """A model of one node whose operands are its inputs."""
        node = onnx.NodeProto()
        node.CopyFrom(proto)
        if double:
            for attribute in node.attribute:
                if attribute.name in ("to", "dtype") and attribute.i in WIDE:
                    attribute.i = WIDE[attribute.i]
        inputs = [_declared(self._types, name, value) for name, value in feeds.items()]
        outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
        model = onnx.helper.make_model(
            onnx.helper.make_graph([node], "node", inputs, outputs),
            opset_imports=[
                onnx.helper.make_opsetid(domain, version)
                for domain, version in opsets(self.model).items()
            ],
            ir_version=self.model.ir_version,
        )
        try:
            return onnx.shape_inference.infer_shapes(model)
        except onnx.shape_inference.InferenceError as error:
            raise CaptureError(f"{_name(proto)}: {error}") from error


def _name(proto: onnx.NodeProto) -> str:
    return f"{proto.op_type} ({proto.name or proto.output[0]})"


def _fed(value: Any) -> Any:
    """A value as the runtimes take it: sequences and absent optionals as they are."""
    return value if isinstance(value, (list, type(None))) else np.asarray(value)


def _kind(name: str, value: Any) -> Any:
    """What a runner depends on."""
    return (name, value.dtype, value.ndim) if isinstance(value, np.ndarray) else name


def _declared(types: Mapping[str, onnx.TypeProto], name: str, value: Any) -> onnx.ValueInfoProto:
    """A graph input for a value: by its own dtype, by the model's word where it is a sequence."""
    if isinstance(value, np.ndarray):
        return onnx.helper.make_tensor_value_info(
            name, onnx.helper.np_dtype_to_tensor_dtype(value.dtype), [None] * value.ndim
        )
    return onnx.helper.make_value_info(name, types[name])


def _numpy_type(dtype: str) -> Any:
    if dtype == "bfloat16":
        return onnx.helper.tensor_dtype_to_np_dtype(onnx.TensorProto.BFLOAT16)
    return np.dtype(dtype)
