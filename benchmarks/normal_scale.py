"""Time and memory of the normal form on large graphs: decoders of many equal blocks, no frameworks.

python benchmarks/normal_scale.py [--operations 1000 10000 100000] [--width 64]
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

from padiff_graph.capture.graph import ComputationGraph, Node, ParameterInfo, TensorType, Value
from padiff_graph.capture.normal.normalize import normalize

F = "float32"


class Decoder:
    """A pre-norm decoder in ATen's or PIR's words, of at least so many operations and blocks."""

    def __init__(self, framework: str, operations: int, width: int, blocks: int = 0) -> None:
        self.framework = framework
        self.width = width
        self.heads = 4
        self.length = 16
        self.nodes: list[Node] = []
        self.parameters: dict[str, ParameterInfo] = {}
        self.count = 0
        self.path = ""
        x = self.leaf("input", "x", (1, self.length, width))
        self.blocks = 0
        while self.count < operations or self.blocks < blocks:
            name = f"layers.{self.blocks}"
            with self.inside(name):
                x = self.block(x, name)
            self.blocks += 1
        self.nodes.append(Node(len(self.nodes), "output", name="output", inputs=(x,)))

    def leaf(self, kind: str, name: str, shape: tuple[int, ...]) -> Value:
        if kind == "parameter":
            self.parameters[name] = ParameterInfo(name, TensorType(shape, F))
        self.nodes.append(Node(len(self.nodes), kind, name=name, outputs=(TensorType(shape, F),)))  # type: ignore[arg-type]
        return Value(len(self.nodes) - 1)

    def op(
        self,
        name: str,
        operands: dict[str, Value | None],
        shape: tuple[int, ...],
        dtype: str = F,
        **attrs: object,
    ) -> Value:
        full = f"aten.{name}" if self.framework == "torch" else f"pd_op.{name}"
        self.nodes.append(
            Node(
                len(self.nodes),
                "operation",
                full,
                inputs=tuple(operands.values()),
                roles=tuple(operands),
                attrs=attrs,
                outputs=(TensorType(shape, dtype),),
                path=self.path,
            )
        )
        self.count += 1
        return Value(len(self.nodes) - 1)

    def array(self, *values: int) -> Value:
        return self.op("full_int_array", {}, (len(values),), "int64", value=values)

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """What is called meanwhile stands in this module."""
        outer, self.path = self.path, name
        yield
        self.path = outer

    def linear(self, x: Value, name: str, n: int, m: int) -> Value:
        with self.inside(name):
            return self.product(x, name, n, m)

    def product(self, x: Value, name: str, n: int, m: int) -> Value:
        if self.framework == "torch":
            return self.op(
                "linear.default",
                {
                    "input": x,
                    "weight": self.leaf("parameter", f"{name}.weight", (m, n)),
                    "bias": self.leaf("parameter", f"{name}.bias", (m,)),
                },
                (1, self.length, m),
            )
        y = self.op(
            "matmul",
            {"x": x, "y": self.leaf("parameter", f"{name}.weight", (n, m))},
            (1, self.length, m),
            transpose_x=False,
            transpose_y=False,
        )
        return self.op(
            "add", {"x": y, "y": self.leaf("parameter", f"{name}.bias", (m,))}, (1, self.length, m)
        )

    def norm(self, x: Value, name: str) -> Value:
        with self.inside(name):
            return self.scaled(x, name)

    def scaled(self, x: Value, name: str) -> Value:
        w = self.leaf("parameter", f"{name}.weight", (self.width,))
        shape, short = (1, self.length, self.width), (1, self.length, 1)
        if self.framework == "paddle":
            return self.op("fused_rms_norm_ext", {"x": x, "scale": w}, shape, epsilon=1e-6)
        s = self.op("pow.Tensor_Scalar", {"self": x}, shape, exponent=2)
        s = self.op("mean.dim", {"self": s}, short, dim=(-1,), keepdim=True)
        s = self.op("add.Tensor", {"self": s}, short, other=1e-6, alpha=1)
        s = self.op("rsqrt.default", {"self": s}, short)
        return self.op(
            "mul.Tensor",
            {"self": w, "other": self.op("mul.Tensor", {"self": x, "other": s}, shape)},
            shape,
        )

    def split_heads(self, x: Value) -> Value:
        d = self.width // self.heads
        if self.framework == "torch":
            x = self.op("view.default", {"self": x}, (1, self.length, self.heads, d))
            return self.op(
                "transpose.int", {"self": x}, (1, self.heads, self.length, d), dim0=1, dim1=2
            )
        x = self.op(
            "reshape",
            {"x": x, "shape": self.array(0, 0, self.heads, d)},
            (1, self.length, self.heads, d),
        )
        return self.op("transpose", {"x": x}, (1, self.heads, self.length, d), perm=(0, 2, 1, 3))

    def add(self, x: Value, y: Value) -> Value:
        shape = (1, self.length, self.width)
        return (
            self.op("add.Tensor", {"self": x, "other": y}, shape, alpha=1)
            if self.framework == "torch"
            else self.op("add", {"x": x, "y": y}, shape)
        )

    def block(self, x: Value, name: str) -> Value:
        w, d, shape = self.width, self.width // self.heads, (1, self.length, self.width)
        inner = (1, self.heads, self.length, d)
        y = self.norm(x, f"{name}.norm1")
        q, k, v = (self.split_heads(self.linear(y, f"{name}.{part}", w, w)) for part in "qkv")
        if self.framework == "torch":
            y = self.op(
                "scaled_dot_product_attention.default",
                {"query": q, "key": k, "value": v, "attn_mask": None},
                inner,
                dropout_p=0.0,
                is_causal=False,
                scale=None,
                enable_gqa=False,
            )
            y = self.op(
                "transpose.int", {"self": y}, (1, self.length, self.heads, d), dim0=1, dim1=2
            )
            y = self.op("reshape.default", {"self": y}, shape)
        else:
            number = self.op("full", {}, (1,), value=d**-0.5)
            q = self.op("scale", {"x": q, "scale": number}, inner, bias=0.0, bias_after_scale=True)
            s = self.op(
                "matmul",
                {"x": q, "y": k},
                (1, self.heads, self.length, self.length),
                transpose_x=False,
                transpose_y=True,
            )
            s = self.op("softmax", {"x": s}, (1, self.heads, self.length, self.length), axis=-1)
            y = self.op("matmul", {"x": s, "y": v}, inner, transpose_x=False, transpose_y=False)
            y = self.op("transpose", {"x": y}, (1, self.length, self.heads, d), perm=(0, 2, 1, 3))
            y = self.op("reshape", {"x": y, "shape": self.array(0, 0, w)}, shape)
        x = self.add(x, self.linear(y, f"{name}.out", w, w))
        y = self.norm(x, f"{name}.norm2")
        gate, up = self.linear(y, f"{name}.gate", w, 4 * w), self.linear(y, f"{name}.up", w, 4 * w)
        wide = (1, self.length, 4 * w)
        if self.framework == "torch":
            y = self.op(
                "mul.Tensor",
                {"self": self.op("silu.default", {"self": gate}, wide), "other": up},
                wide,
            )
        else:
            y = self.op("swiglu", {"x": gate, "y": up}, wide)
        return self.add(x, self.linear(y, f"{name}.down", 4 * w, w))

    def graph(self) -> ComputationGraph:
        paths = [path for node in self.nodes for path in (node.path.rpartition(".")[0], node.path)]
        return ComputationGraph.build(
            self.framework,
            self.nodes,
            parameters=self.parameters,
            modules=dict.fromkeys(["", *paths], "Module"),
        )


def sizes() -> Iterator[int]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--operations", type=int, nargs="+", default=(1_000, 10_000, 100_000))
    parser.add_argument("--width", type=int, default=64)
    chosen = parser.parse_args()
    for operations in chosen.operations:
        for framework in ("torch", "paddle"):
            graph = Decoder(framework, operations, chosen.width).graph()
            start = time.process_time()
            normal = normalize(graph)
            seconds = time.process_time() - start
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(
                f"{framework:7} {operations:7} operations, {len(graph):7} nodes ->"
                f" {len(normal.nodes):7} in {seconds:6.2f} s of CPU"
                f" ({1e6 * seconds / len(graph):5.0f} us a node), peak {peak:.0f} MiB"
            )
        yield operations


if __name__ == "__main__":
    for _ in sizes():
        pass
