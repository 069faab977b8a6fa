"""Fused linear layers and the parts that are read of them."""

from __future__ import annotations

from collections import Counter

import numpy as np

from tests.models.graph_maker import Maker, names, operations
from tests.models.spelled import BOTH, call, linear, mul, split_parts


@BOTH
def test_a_fused_linear_is_taken_apart(framework: str) -> None:
    make = Maker(framework)
    fused = linear(make, make.input("x", (2, 3, 4)), (2, 3, 4), 4, 12)
    q, k, v = split_parts(make, fused, (2, 3, 12), 3)
    first = make.normal(
        mul(
            make,
            call(make, "sigmoid", "sigmoid", q, (2, 3, 4)),
            call(make, "tanh", "tanh", k, (2, 3, 4)),
            (2, 3, 4),
        ),
        call(make, "relu", "relu", v, (2, 3, 4)),
    )
    make = Maker(framework)
    x = make.input("x", (2, 3, 4))
    q, k, v = (linear(make, x, (2, 3, 4), 4, 4, name) for name in ("q.", "k.", "v."))
    second = make.normal(
        mul(
            make,
            call(make, "sigmoid", "sigmoid", q, (2, 3, 4)),
            call(make, "tanh", "tanh", k, (2, 3, 4)),
            (2, 3, 4),
        ),
        call(make, "relu", "relu", v, (2, 3, 4)),
    )
    assert Counter(names(first)) == Counter(names(second))
    assert first.rewrites["split_linear"] == 1
    weights = np.arange(48).reshape((12, 4) if framework == "torch" else (4, 12))
    matrix = weights.T if framework == "torch" else weights
    for node in operations(first):
        if node.op != "Linear":
            assert node.inputs[0].view.identity
            continue
        (user,) = [
            user
            for user in operations(first)
            for edge in user.inputs
            if edge is not None and edge.source == node.id
        ]
        at = {"Sigmoid": 0, "Tanh": 4, "Relu": 8}[user.op]
        assert np.array_equal(node.inputs[1].view.apply(weights), matrix[:, at : at + 4])
        assert node.locations[0].view.indices()[:4].tolist() == [at, at + 1, at + 2, at + 3]


@BOTH
def test_query_key_value_by_head_are_taken_apart(framework: str) -> None:
    """[batch, length, heads, 3, width], as GPT-NeoX and ViT-like ports have it.

    Halves of a head stay together.
    """
    make = Maker(framework)
    torch = framework == "torch"
    role = "self" if torch else "x"
    fused = linear(make, make.input("x", (2, 3, 4)), (2, 3, 4), 4, 24, bias=False)
    heads = make.op("view" if torch else "reshape", {role: fused}, (2, 3, 2, 3, 4))
    results = []
    for at in range(3):
        if torch:
            part = make.op("aten.select.int", {"self": heads}, (2, 3, 2, 4), dim=3, index=at)
            halves = [
                make.op(
                    "aten.slice.Tensor",
                    {"self": part},
                    (2, 3, 2, 2),
                    dim=3,
                    start=start,
                    end=start + 2,
                    step=1,
                )
                for start in (0, 2)
            ]
        else:
            part = make.op(
                "slice",
                {"input": heads, "starts": make.numbers((at,)), "ends": make.numbers((at + 1,))},
                (2, 3, 2, 4),
                axes=(3,),
                decrease_axis=(3,),
                infer_flags=(1,),
            )
            halves = [
                make.op(
                    "slice",
                    {
                        "input": part,
                        "starts": make.numbers((start,)),
                        "ends": make.numbers((start + 2,)),
                    },
                    (2, 3, 2, 2),
                    axes=(3,),
                    decrease_axis=(),
                    infer_flags=(1,),
                )
                for start in (0, 2)
            ]
        results.append(call(make, "relu", "relu", part, (2, 3, 2, 4)))
        results.append(call(make, "tanh", "tanh", halves[1], (2, 3, 2, 2)))
    graph = make.normal(*results)
    assert Counter(names(graph)) == {"Linear": 3, "Relu": 3, "Tanh": 3}
    for node in operations(graph):
        if node.op == "Relu":
            assert node.inputs[0].view.identity


@BOTH
def test_parts_read_by_outputs_and_parts_that_nothing_reads(framework: str) -> None:
    make = Maker(framework)
    fused = linear(make, make.input("x", (2, 3, 4)), (2, 3, 4), 4, 12)
    first, second, _ = split_parts(make, fused, (2, 3, 12), 3)
    graph = make.normal(first, call(make, "relu", "relu", second, (2, 3, 4)))
    assert Counter(names(graph)) == {"Linear": 2, "Relu": 1}
    assert all(node.outputs[0].shape == (2, 3, 4) for node in operations(graph))
    assert graph.outputs["output.0"].view.identity
