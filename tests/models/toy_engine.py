"""Hand-made captures whose operations are torch functions by name: regions without a tracer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch

from padiff_graph.capture.engine import NotRunnable
from padiff_graph.capture.graph import ComputationGraph, Node, ParameterInfo, TensorType, Value
from padiff_graph.capture.normal.form import Edge, Location, NormalGraph, NormalNode
from padiff_graph.capture.normal.index_map import View
from padiff_graph.capture.python_state import Watch
from padiff_graph.matching.result import Match, Matching, ParameterRow, Piece, Point

F = torch.nn.functional


class Hooked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return grad * 0.5


def _dropout(x: Any, p: float = 0.5, draw: Any = None) -> Any:
    return x * torch.as_tensor(draw, dtype=x.dtype) / (1 - p)


def _bf16(x: Any) -> Any:
    return x if x.dtype == torch.float64 else x.bfloat16().to(x.dtype)


OPS: Mapping[str, Callable[..., Any]] = {
    "linear": lambda x, w, b=None: F.linear(x, w, b),
    "linear_t": lambda x, w, b=None: F.linear(x, w.T, b),
    "conv2d": lambda x, w, stride=1, padding=0: F.conv2d(x, w, stride=stride, padding=padding),
    "relu": torch.relu,
    "gelu": lambda x, approximate="none": F.gelu(x, approximate=approximate),
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "layer_norm": lambda x, w, b, eps=1e-5: F.layer_norm(x, x.shape[-1:], w, b, eps),
    "transpose": lambda x: x.transpose(-1, -2),
    "slice": lambda x, start=0, stop=0: x[..., start:stop],
    "flip": lambda x: x.flip(-1),
    "cat": lambda *x: torch.cat(x, -1),
    "detach": lambda x: x.detach(),
    "half_gradient": lambda x: Hooked.apply(x),
    "dropout": _dropout,
    "bf16": _bf16,
    "matmul": torch.matmul,
    "softmax": lambda x, dim=-1: torch.softmax(x, dim),
    "unrunnable": lambda x: None,
}


class ToyEngine:
    framework = "toy"

    def __init__(self, model: Toy) -> None:
        self.model = model

    @contextmanager
    def quiet(self, *, values: bool = True) -> Any:
        yield Watch(None, frozenset)

    def tensor(self, array: Any, dtype: str | None = None, requires_grad: bool = False) -> Any:
        made = torch.tensor(np.asarray(array))
        if dtype:
            made = made.to(getattr(torch, dtype))
        return made.requires_grad_(requires_grad)

    def array(self, tensor: Any) -> Any:
        return tensor.detach().clone().numpy()

    def parameters(self) -> dict[str, Any]:
        return {name: torch.from_numpy(array) for name, array in self.model.values.items()}

    def inputs(self, graph: ComputationGraph) -> dict[int, Any]:
        return {node: torch.from_numpy(array) for node, array in self.model.inputs.items()}

    def hooked_parameters(self) -> frozenset[str]:
        return frozenset()

    def hooked(self, gradients: Any) -> Any:
        return dict(gradients)

    def run(
        self, node: Node, operands: Sequence[Any], *, double: bool = False, draw: Any = None
    ) -> tuple[Any, ...]:
        if node.op == "unrunnable":
            raise NotRunnable("unrunnable cannot be rerun")
        extra = {"draw": draw} if "random" in node.marks else {}
        found = OPS[node.op](*operands, **node.attrs, **extra)
        return found if isinstance(found, tuple) else (found,)

    def grad(
        self, outputs: Sequence[Any], inputs: Sequence[Any], cotangents: Sequence[Any]
    ) -> list[Any]:
        kept = [
            (one, other)
            for one, other in zip(outputs, cotangents, strict=True)
            if one.requires_grad
        ]
        if not kept:
            return [None] * len(inputs)
        return list(
            torch.autograd.grad(
                [one for one, _ in kept], inputs, [other for _, other in kept], allow_unused=True
            )
        )

    def saving(self) -> Any:
        return nullcontext()

    @contextmanager
    def recording(self, on: bool) -> Any:
        with torch.set_grad_enabled(on):
            yield


class Toy:
    """Builds a graph by calling; every operation is run at once to know its shape."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.values: dict[str, Any] = {}
        self.inputs: dict[int, Any] = {}
        self.now: dict[Value, Any] = {}

    def _leaf(self, kind: Any, name: str, array: Any) -> Value:
        number = len(self.nodes)
        self.nodes.append(
            Node(number, kind, name=name, outputs=(TensorType(array.shape, str(array.dtype)),))
        )
        self.now[Value(number)] = torch.from_numpy(array)
        return Value(number)

    def input(self, name: str, array: Any) -> Value:
        value = self._leaf("input", name, array)
        self.inputs[value.node] = array
        return value

    def parameter(self, name: str, array: Any) -> Value:
        self.values[name] = array
        return self._leaf("parameter", name, array)

    def op(
        self, op: str, *operands: Value, path: str = "", marks: Sequence[str] = (), **attrs: Any
    ) -> Value:
        number = len(self.nodes)
        extra = (
            {"draw": np.ones(self.now[operands[0]].shape, np.float32)} if "random" in marks else {}
        )
        self.now[Value(number)] = made = (
            torch.zeros(())
            if op == "unrunnable"
            else OPS[op](*(self.now[v] for v in operands), **attrs, **extra)
        )
        kind = TensorType(tuple(made.shape), str(made.dtype).removeprefix("torch."))
        self.nodes.append(
            Node(
                number,
                "operation",
                op,
                inputs=operands,
                roles=tuple("abcdef"[: len(operands)]),
                attrs=attrs,
                outputs=(kind,),
                path=path or op,
                source=f"model.py:{number}",
                marks=frozenset(marks),
            )
        )
        return Value(number)

    def output(self, name: str, value: Value) -> Value:
        number = len(self.nodes)
        self.nodes.append(Node(number, "output", name=name, inputs=(value,)))
        return Value(number)

    def normal(self) -> NormalGraph:
        parameters = {
            name: ParameterInfo(name, TensorType(array.shape, str(array.dtype)))
            for name, array in self.values.items()
        }
        graph = ComputationGraph.build(
            "toy", self.nodes, parameters=parameters, modules={"": "Toy"}
        )
        leaves = {"input": "Input", "parameter": "Parameter", "constant": "Constant"}
        made = []
        outputs = {}
        for node in self.nodes:
            if node.kind == "output":
                assert node.inputs[0] is not None
                outputs[node.name] = Edge(node.inputs[0].node)
                continue
            kind = node.outputs[0]
            assert kind is not None
            edges = tuple(Edge(value.node) for value in node.inputs if value is not None)
            made.append(
                NormalNode(
                    node.id,
                    leaves.get(node.kind, node.op),
                    edges,
                    node.attrs,
                    (kind,),
                    (Location(Value(node.id), View.of(kind.shape)),),
                    (node.id,),
                    node.name,
                    node.path,
                    node.source,
                    marks=node.marks,
                )
            )
        return NormalGraph(graph, tuple(made), outputs)


def match(
    first: Toy,
    second: Toy,
    pairs: Sequence[tuple[Value, Value]],
    transposed: Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    points: Sequence[Point] | None = None,
) -> Matching:
    """A matching with a point for each pair of values, inputs by name, parameters by name."""
    one, other = first.normal(), second.normal()
    matches, made = [], []
    for a, b in pairs:
        shapes = [graph.nodes[v.node].outputs[0].shape for graph, v in ((one, a), (other, b))]
        matches.append(Match(a.node, b.node, "test", 1.0, "given"))
        made.append(Point(a, View.of(shapes[0]), b, View.of(shapes[1]), 1.0, len(matches) - 1))
    names = {node.name: node.id for node in second.nodes if node.kind == "input"}
    for node in first.nodes:
        if node.kind == "input" and node.name in names:
            shape = node.outputs[0].shape  # type: ignore[union-attr]
            made.append(
                Point(Value(node.id), View.of(shape), Value(names[node.name]), View.of(shape), 1.0)
            )
    rows = []
    for name in first.values:
        target = (rename or {}).get(name, name)
        if target not in second.values:
            rows.append(ParameterRow(name, (), "", 0.0, "none", "open"))
            continue
        shape = first.values[name].shape
        view = View.of(second.values[target].shape)
        view = view.transpose([1, 0]) if name in transposed else view
        rows.append(
            ParameterRow(
                name,
                (Piece(target, View.of(shape), view),),
                "transpose" if name in transposed else "identity",
                1.0,
                "given",
            )
        )
    return Matching(
        one, other, tuple(matches), tuple(points if points is not None else made), tuple(rows)
    )
