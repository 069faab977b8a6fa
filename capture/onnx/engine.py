"""Running ONNX: a node at a time, or the whole model. Forward only: ONNX has no gradients.

onnxruntime runs what it can where it is installed; onnx's reference evaluator runs the rest, and
everything in float64, for which onnxruntime lacks kernels.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
from onnx.reference import ReferenceEvaluator

from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.capture.engine import Array, NotRunnable, Run, Tensor
from padiff_graph.capture.graph import ComputationGraph, Node
from padiff_graph.capture.onnx.load import load, opsets

__all__ = ["OnnxEngine", "runner", "with_parameters"]

Runner = Callable[[dict[str, Array]], list[Any]]
WIDE = {onnx.TensorProto.FLOAT: onnx.TensorProto.DOUBLE}


def runner(model: onnx.ModelProto, *, reference: bool = False) -> Runner:
    """Makes a model callable: inputs by name in, outputs in order out."""
    if not reference and importlib.util.find_spec("onnxruntime") is not None:
        import onnxruntime  # heavy, and optional

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.add_session_config_entry(
            "session.intra_op.allow_spinning", "0"
        )  # idle threads sleep: many sessions live side by side
        if len(model.graph.node) == 1:
            options.intra_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            # onnxruntime raises classes of its own for a kernel or opset that it lacks; the reference evaluator takes over
            if not type(error).__module__.startswith("onnxruntime"):
                raise
        else:
            names = {entry.name for entry in session.get_inputs()}

            def run(feed: dict[str, Any]) -> list[Any]:
                try:
                    found: list[Any] = session.run(
                        None, {name: value for name, value in feed.items() if name in names}
                    )
                except Exception as error:
                    # a dtype (bfloat16, float8, int4) or a case that its kernel refuses
                    if not type(error).__module__.startswith("onnxruntime") and not isinstance(
                        error, RuntimeError
                    ):
                        raise
                    found = list(ReferenceEvaluator(model).run(None, feed))
                return found

            return run
    evaluator = ReferenceEvaluator(model)
    return lambda feed: list(evaluator.run(None, feed))


def with_parameters(model: onnx.ModelProto, values: Mapping[str, Array]) -> onnx.ModelProto:
    """A new model with these initializers (or constants) replaced; the given one is untouched.

    Raises:
        KeyError: a name that the model has not.
        ValueError: a shape that differs.
    """
    new = onnx.ModelProto()
    new.CopyFrom(model)
    tensors = {tensor.name: tensor for tensor in new.graph.initializer}
    for node in new.graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    tensors[node.output[0]] = attribute.t
    for name, value in values.items():
        tensor = tensors[name]
        if tuple(tensor.dims) != tuple(np.shape(value)):
            raise ValueError(
                f"{name}: expected shape {tuple(tensor.dims)}, found {tuple(np.shape(value))}"
            )
        own = onnx.numpy_helper.to_array(tensor).dtype
        label = tensor.name
        tensor.CopyFrom(onnx.numpy_helper.from_array(np.asarray(value).astype(own), label))
    return new


class OnnxEngine:
    """The `Engine` of one ONNX model. Tensors are numpy arrays."""

    framework = "onnx"

    def __init__(self, model: Any) -> None:
        self.model = load(model)
        self._runners: dict[tuple[Any, ...], Runner] = {}
        self._whole: Runner | None = None
        inferred = onnx.shape_inference.infer_shapes(self.model).graph
        self._types = {
            entry.name: entry.type
            for entry in (*inferred.input, *inferred.value_info, *inferred.output)
        }

    @contextmanager
    def quiet(self, *, values: bool = True) -> Iterator[None]:
        """Nothing to restore: running changes no model."""
        yield

    def tensor(self, array: Array, dtype: str | None = None, requires_grad: bool = False) -> Tensor:
        """The array itself, in the dtype asked for."""
        return np.array(array, dtype=None if dtype is None else _numpy_type(dtype))

    def array(self, tensor: Tensor) -> Array:
        """The tensor as a float numpy array where it is bfloat16, as it is otherwise."""
        found = np.asarray(tensor)
        return (
            found.astype(np.float32)
            if found.dtype.name in ("bfloat16", "float8_e4m3fn", "float8_e5m2")
            else found
        )

    def parameters(self) -> dict[str, Tensor]:
        """Initializers and constants by name."""
        found = {
            tensor.name: onnx.numpy_helper.to_array(tensor)
            for tensor in self.model.graph.initializer
        }
        for node in self.model.graph.node:
            if node.op_type == "Constant":
                for attribute in node.attribute:
                    if attribute.name == "value":
                        found[node.output[0]] = onnx.numpy_helper.to_array(attribute.t)
        return found

    def assign(self, values: Mapping[str, Array]) -> None:
        """Replaces this engine's model by a new one with these values; the user's model stays."""
        self.model = with_parameters(self.model, values)
        self._whole = None

    def inputs(self, graph: ComputationGraph) -> dict[int, Tensor]:
        """The example's arrays by input node."""
        if graph.session is None:
            raise NotRunnable(
                "the graph was loaded from a file and has no example; capture it again"
            )
        return dict(graph.session.tensors)

    def forward(self, example: Mapping[str, Any], *, grad: bool) -> Run:
        """Runs the whole model."""
        if self._whole is None:
            self._whole = runner(self.model)
        feed: dict[str, Any] = {
            name: value if isinstance(value, (list, type(None))) else np.asarray(value)
            for name, value in example.items()
        }
        outputs = dict(
            zip([entry.name for entry in self.model.graph.output], self._whole(feed), strict=True)
        )
        return Run(
            {name: value for name, value in outputs.items() if isinstance(value, np.ndarray)},
            outputs,
        )

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
        raise NotRunnable("an ONNX model has no gradients; compare it forward only")

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
        feeds: dict[str, Any] = {}
        names = [
            *proto.input,
            *(role.partition(":")[2] for role in node.roles if role.startswith("captured:")),
        ]
        for name, operand in zip(names, operands, strict=True):
            if name:
                feeds[name] = (
                    operand if isinstance(operand, (list, type(None))) else np.asarray(operand)
                )
        key = (
            node.id,
            double,
            tuple(
                (name, value.dtype, value.ndim) if isinstance(value, np.ndarray) else name
                for name, value in feeds.items()
            ),
        )
        if key not in self._runners:
            self._runners[key] = runner(self._single(proto, feeds, double), reference=double)
        try:
            return tuple(self._runners[key](feeds))
        except Exception as error:
            raise NotRunnable(
                f"{proto.op_type} ({proto.name or proto.output[0]}): {type(error).__name__}: {error}"
            ) from error

    def grad(
        self, outputs: Sequence[Tensor], inputs: Sequence[Tensor], cotangents: Sequence[Tensor]
    ) -> list[Tensor | None]:
        """Not possible."""
        raise NotRunnable("an ONNX model has no gradients; compare it forward only")

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
        graph = onnx.helper.make_graph([node], "node", inputs, outputs)
        imports = [
            onnx.helper.make_opsetid(domain, version)
            for domain, version in opsets(self.model).items()
        ]
        model = onnx.helper.make_model(
            graph, opset_imports=imports, ir_version=self.model.ir_version
        )
        try:
            return onnx.shape_inference.infer_shapes(model)
        except onnx.shape_inference.InferenceError as error:
            raise CaptureError(
                f"{proto.op_type} ({proto.name or proto.output[0]}): {error}"
            ) from error


def _declared(types: Mapping[str, onnx.TypeProto], name: str, value: Any) -> onnx.ValueInfoProto:
    """A graph input for a value: by its own dtype, or by the model's word where it is a sequence."""
    if isinstance(value, np.ndarray):
        return onnx.helper.make_tensor_value_info(
            name, onnx.helper.np_dtype_to_tensor_dtype(value.dtype), [None] * value.ndim
        )
    return onnx.helper.make_value_info(name, types[name])


def _numpy_type(dtype: str) -> Any:
    if dtype == "bfloat16":
        return onnx.helper.tensor_dtype_to_np_dtype(onnx.TensorProto.BFLOAT16)
    return np.dtype(dtype)
