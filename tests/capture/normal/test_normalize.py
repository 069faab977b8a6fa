"""What holds of every normal form, on blocks of a model in both frameworks' words."""

from __future__ import annotations

import cProfile
import pstats
import tracemalloc
from collections import Counter

import pytest
import torch

from padiff_graph.capture.api import Capture
from padiff_graph.capture.graph import ComputationGraph, TensorType, Value
from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.capture.normal.normalize import normalize
from tests.models.graph_maker import Maker, names
from tests.models.spelled import add, call, composed_norm, linear, mul, split_parts


def block(framework: str, width: int = 8, length: int = 3, blocks: int = 1) -> ComputationGraph:
    """Attention with one product for query, key and value, and a gated feed-forward part."""
    make = Maker(framework)
    shape, heads, d = (2, length, width), 2, width // 2
    torch = framework == "torch"
    x = make.input("x", shape)

    def by_heads(y: Value) -> Value:
        if torch:
            y = make.op("view", {"self": y}, (2, length, heads, d), size=(2, length, heads, d))
            return make.op("aten.transpose.int", {"self": y}, (2, heads, length, d), dim0=1, dim1=2)
        y = make.op(
            "reshape", {"x": y, "shape": make.numbers((0, 0, heads, d))}, (2, length, heads, d)
        )
        return make.op("transpose", {"x": y}, (2, heads, length, d), perm=(0, 2, 1, 3))

    for at in range(blocks):
        y = composed_norm(make, x, shape, False, 1e-6)
        fused = linear(make, y, shape, width, 3 * width, f"{at}.qkv.")
        q, k, v = (by_heads(part) for part in split_parts(make, fused, (2, length, 3 * width), 3))
        inner = (2, heads, length, d)
        if torch:
            y = make.op(
                "scaled_dot_product_attention",
                {"query": q, "key": k, "value": v, "attn_mask": None},
                inner,
                dropout_p=0.0,
                is_causal=False,
                scale=None,
                enable_gqa=False,
            )
            y = make.op("aten.transpose.int", {"self": y}, (2, length, heads, d), dim0=1, dim1=2)
            y = make.op("reshape", {"self": y}, shape, shape=shape)
        else:
            scores = make.op(
                "matmul",
                {"x": q, "y": k},
                (2, heads, length, length),
                transpose_x=False,
                transpose_y=True,
            )
            scores = make.op(
                "scale",
                {"x": scores, "scale": make.number(d**-0.5)},
                (2, heads, length, length),
                bias=0.0,
                bias_after_scale=True,
            )
            weights = make.op("softmax", {"x": scores}, (2, heads, length, length), axis=-1)
            y = make.op(
                "matmul", {"x": weights, "y": v}, inner, transpose_x=False, transpose_y=False
            )
            y = make.op("transpose", {"x": y}, (2, length, heads, d), perm=(0, 2, 1, 3))
            y = make.op("reshape", {"x": y, "shape": make.numbers((0, 0, width))}, shape)
        x = add(make, x, linear(make, y, shape, width, width, f"{at}.out."), shape)
        gate = call(
            make, "silu", "silu", linear(make, x, shape, width, width, f"{at}.gate."), shape
        )
        up = linear(make, x, shape, width, width, f"{at}.up.")
        x = add(
            make,
            x,
            linear(make, mul(make, gate, up, shape), shape, width, width, f"{at}.down."),
            shape,
        )
    return make.done(x)


def covered(graph: NormalGraph) -> set[int]:
    """Native nodes that some node or edge stands for."""
    found: set[int] = set()
    for node in graph.nodes:
        found.update(node.native)
        for edge in node.inputs:
            if edge is not None:
                found.update(edge.through)
    for edge in (*graph.outputs.values(), *graph.updates.values()):
        found.update(edge.through)
    return found


def live(graph: ComputationGraph) -> set[int]:
    """Native nodes that an output needs."""
    found: set[int] = set()
    stack = [
        value.node
        for record in graph.of_kind("output")
        for value in record.inputs
        if value is not None
    ]
    while stack:
        at = stack.pop()
        if at not in found:
            found.add(at)
            stack.extend(value.node for value in graph.record(at).inputs if value is not None)
    return {at for at in found if graph.record(at).op != "builtin.split"}


@pytest.mark.parametrize("framework", ["torch", "paddle"])
def test_every_live_operation_is_stood_for(framework: str) -> None:
    graph = block(framework, blocks=2)
    assert live(graph) <= covered(normalize(graph))


@pytest.mark.parametrize("framework", ["torch", "paddle"])
def test_edges_and_locations_fit_what_they_speak_of(framework: str) -> None:
    graph = normalize(block(framework, blocks=2))
    for at, node in enumerate(graph.nodes):
        assert node.id == at
        for edge in node.inputs:
            if edge is not None:
                assert edge.source < at
                assert (
                    edge.view is not None
                    and edge.view.source == graph.nodes[edge.source].outputs[edge.output].size
                )
        for kind, place in zip(node.outputs, node.locations, strict=True):
            if place is not None:
                native = graph.graph.type_of(place.value)
                assert (
                    native is not None
                    and place.view.source == native.size
                    and place.view.size == kind.size
                )


def test_both_frameworks_agree() -> None:
    first, second = normalize(block("torch", blocks=2)), normalize(block("paddle", blocks=2))
    assert Counter(names(first)) == Counter(names(second))
    assert Counter(names(first))["Linear"] == 14


def test_the_captured_graph_is_left_alone() -> None:
    graph = block("torch")
    before = [
        (record.id, record.op, record.inputs, dict(record.attrs)) for record in graph.records()
    ]
    normalize(graph)
    assert before == [
        (record.id, record.op, record.inputs, dict(record.attrs)) for record in graph.records()
    ]


def test_dead_code_is_left_out() -> None:
    make = Maker("torch")
    x = make.input("x", (2, 3))
    call(make, "tanh", "tanh", x, (2, 3))
    assert names(make.normal(call(make, "relu", "relu", x, (2, 3)))) == ["Relu"]


def test_a_wide_model_costs_nothing_an_element() -> None:
    captured = block("paddle", width=16384, length=4096, blocks=4)
    tracemalloc.start()
    try:
        graph = normalize(captured)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16384 * 16384, "less than a byte an element of one weight"
    assert (
        max(node.outputs[0].size for node in graph.nodes if node.op == "Parameter")
        == 3 * 16384 * 16384
    )


def test_work_grows_with_the_model_only() -> None:
    def calls(blocks: int) -> int:
        profile = cProfile.Profile()
        profile.runcall(normalize, block("torch", blocks=blocks))
        return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]

    calls(2)
    assert calls(80) < 10 * calls(10)


def test_outputs_keep_their_names_and_types() -> None:
    make = Maker("paddle")
    x = make.input("x", (2, 3))
    y = make.op(
        "cast",
        {"x": call(make, "relu", "relu", x, (2, 3))},
        TensorType((2, 3), "float64"),
        dtype="float64",
    )
    graph = make.normal(y, x)
    assert list(graph.outputs) == ["output.0", "output.1"]
    assert graph.nodes[graph.outputs["output.1"].source].op == "Input"


def test_an_index_beside_a_none_is_no_number():
    class Chosen(torch.nn.Module):
        def forward(self, x):
            rows, columns = torch.where(x > 0)
            return x[rows, columns, None] * 2

    graph = Capture.of(Chosen(), {"x": torch.randn(3, 4)}).graph
    assert live(graph) <= covered(normalize(graph))
