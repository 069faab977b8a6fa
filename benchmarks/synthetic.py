"""Hand-made normal-form graphs in two spellings: decoders and residual CNNs of any depth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from padiff_graph.capture.graph import ComputationGraph, TensorType
from padiff_graph.capture.normal.form import Edge, NormalGraph, NormalNode
from padiff_graph.capture.normal.index_map import View


class Graph:
    """Builds a `NormalGraph` node by node."""

    def __init__(self, framework: str = "torch") -> None:
        self.nodes: list[NormalNode] = []
        self.captured = ComputationGraph()
        self.captured.framework = framework

    def leaf(self, op: str, name: str, *shape: int, dtype: str = "float32") -> int:
        self.nodes.append(
            NormalNode(len(self.nodes), op, outputs=(TensorType(shape, dtype),), name=name)
        )
        return len(self.nodes) - 1

    def parameter(self, name: str, *shape: int) -> int:
        return self.leaf("Parameter", name, *shape)

    def shape(self, node: int) -> tuple[int, ...]:
        return self.nodes[node].outputs[0].shape

    def op(
        self,
        op: str,
        operands: list[int | Edge | None],
        shape: tuple[int, ...],
        path: str,
        attrs: Mapping[str, Any] | None = None,
    ) -> int:
        edges = tuple(
            None if o is None else o if isinstance(o, Edge) else Edge(o, 0, View.of(self.shape(o)))
            for o in operands
        )
        self.nodes.append(
            NormalNode(
                len(self.nodes),
                op,
                edges,
                dict(attrs or {}),
                (TensorType(tuple(shape), "float32"),),
                (None,),
                path=path,
                commutative=op in ("Add", "Mul"),
            )
        )
        return len(self.nodes) - 1

    def finish(self, **outputs: int) -> NormalGraph:
        parts = [node.path.split(".") for node in self.nodes if node.path]
        self.captured.modules = dict.fromkeys(
            ["", *(".".join(part[:depth]) for part in parts for depth in range(1, len(part) + 1))],
            "Module",
        )
        return NormalGraph(
            self.captured,
            tuple(self.nodes),
            {name: Edge(at, 0, View.of(self.shape(at))) for name, at in outputs.items()},
        )


SPELLINGS: Mapping[str, Mapping[str, str]] = {
    "first": {
        "block": "llama.layers",
        "attention": "self_attn",
        "q": "q_proj",
        "k": "k_proj",
        "v": "v_proj",
        "o": "o_proj",
        "norm1": "input_layernorm",
        "norm2": "post_attention_layernorm",
        "gate": "mlp.gate_proj",
        "up": "mlp.up_proj",
        "down": "mlp.down_proj",
        "stem": "stem.conv",
        "conv": "conv",
    },
    "second": {
        "block": "model.h",
        "attention": "attn",
        "q": "wq",
        "k": "wk",
        "v": "wv",
        "o": "wo",
        "norm1": "ln_1",
        "norm2": "ln_2",
        "gate": "ffn.w1",
        "up": "ffn.w3",
        "down": "ffn.w2",
        "stem": "conv_stem",
        "conv": "c",
    },
}


def decoder(
    blocks: int, spelling: str = "first", width: int = 64, order: str = "qkv", named: bool = True
) -> NormalGraph:
    """A decoder of `blocks` blocks, about 16 operations each.

    `order` is the order in which q, k, v are called.
    """
    words = SPELLINGS[spelling]
    graph = Graph("paddle" if spelling == "first" else "torch")
    tokens = graph.leaf("Input", "input_ids", 2, 8, dtype="int64")
    table = graph.parameter("embedding.weight", 1000, width)
    x = graph.op(
        "Gather", [table, tokens], (2, 8, width), "embedding", {"axis": 0, "padding_idx": -1}
    )
    for number in range(blocks):
        here = f"{words['block']}.{number}" if named else "body"

        def linear(value: int, rows: int, columns: int, word: str, here: str = here) -> int:
            path = f"{here}.{word}"
            weight = graph.parameter(f"{path}.weight", rows, columns)
            return graph.op("Linear", [value, weight], (*graph.shape(value)[:-1], columns), path)

        def norm(value: int, word: str, here: str = here) -> int:
            scale = graph.parameter(f"{here}.{word}.weight", width)
            return graph.op(
                "RMSNormalization",
                [value, scale],
                graph.shape(value),
                f"{here}.{word}",
                {"epsilon": 1e-5, "axis": -1},
            )

        attention = words["attention"]
        hidden = norm(x, words["norm1"])
        made = {
            letter: linear(hidden, width, width, f"{attention}.{words[letter]}") for letter in order
        }
        scores = graph.op(
            "MatMul",
            [made["q"], Edge(made["k"], 0, View.of((2, 8, width)).transpose((0, 2, 1)), 0.125)],
            (2, 8, 8),
            f"{here}.{attention}",
        )
        weights = graph.op("Softmax", [scores], (2, 8, 8), f"{here}.{attention}", {"axis": -1})
        mixed = graph.op("MatMul", [weights, made["v"]], (2, 8, width), f"{here}.{attention}")
        x = graph.op(
            "Add",
            [x, linear(mixed, width, width, f"{attention}.{words['o']}")],
            (2, 8, width),
            here,
        )
        hidden = norm(x, words["norm2"])
        gate = linear(hidden, width, 2 * width, words["gate"])
        up = linear(hidden, width, 2 * width, words["up"])
        active = graph.op("Swish", [gate], graph.shape(gate), f"{here}.act", {"alpha": 1.0})
        both = graph.op("Mul", [active, up], graph.shape(gate), f"{here}.mlp")
        x = graph.op("Add", [linear(both, 2 * width, width, words["down"]), x], (2, 8, width), here)
    scale = graph.parameter("norm.weight", width)
    x = graph.op(
        "RMSNormalization", [x, scale], graph.shape(x), "norm", {"epsilon": 1e-5, "axis": -1}
    )
    head = graph.parameter("head.weight", width, 1000)
    return graph.finish(logits=graph.op("Linear", [x, head], (2, 8, 1000), "head"))


def resnet(blocks: int, spelling: str = "first", width: int = 16) -> NormalGraph:
    """A residual CNN: Conv, BatchNormalization, Relu twice a block."""
    words = SPELLINGS[spelling]
    graph = Graph("paddle" if spelling == "first" else "torch")

    def conv(value: int, channels: int, path: str) -> int:
        weight = graph.parameter(f"{path}.weight", channels, graph.shape(value)[1], 3, 3)
        attrs = {"strides": (1, 1), "pads": (1, 1, 1, 1), "dilations": (1, 1), "group": 1}
        x = graph.op("Conv", [value, weight], (2, channels, *graph.shape(value)[2:]), path, attrs)
        parts = [
            graph.parameter(f"{path}.bn.{word}", channels)
            for word in ("weight", "bias", "mean", "variance")
        ]
        return graph.op(
            "BatchNormalization",
            [x, *parts],
            graph.shape(x),
            f"{path}.bn",
            {"epsilon": 1e-5, "momentum": None, "training": False},
        )

    x = graph.op(
        "Relu",
        [conv(graph.leaf("Input", "x", 2, 3, 8, 8), width, words["stem"])],
        (2, width, 8, 8),
        "",
    )
    for number in range(blocks):
        here = f"{words['block']}.{number}"
        hidden = graph.op(
            "Relu", [conv(x, width, f"{here}.{words['conv']}1")], (2, width, 8, 8), here
        )
        x = graph.op(
            "Add", [conv(hidden, width, f"{here}.{words['conv']}2"), x], (2, width, 8, 8), here
        )
        x = graph.op("Relu", [x], (2, width, 8, 8), here)
    pooled = graph.op(
        "ReduceMean", [Edge(x, 0, View.of((2, width, 64)))], (2, width), "pool", {"axes": (2, 3)}
    )
    head = graph.parameter("fc.weight", width, 10)
    return graph.finish(output=graph.op("Linear", [pooled, head], (2, 10), "fc"))


def sizes(operations: int) -> int:
    """Blocks for about so many decoder operations."""
    return max(1, operations // 15)
