"""What a normal form keeps: lossy casts, cut gradients, hooks, names and orders of weights."""

from __future__ import annotations

from collections import Counter

from padiff_graph.capture.graph import TensorType, Value
from tests.models.graph_maker import Maker, names, operations, reads, the
from tests.models.spelled import BOTH, call, mul


@BOTH
def test_results_that_no_row_speaks_of_are_not_lost(framework: str) -> None:
    make = Maker(framework)
    x = make.input("x", (2, 3))
    kinds = [TensorType((2, 3), "float32"), TensorType((2,), "float32")]
    role = "self" if framework == "torch" else "x"
    y = make.op("aten.relu.default" if framework == "torch" else "relu", {role: x}, kinds)
    graph = make.normal(
        make.op(
            "aten.exp.default" if framework == "torch" else "exp", {role: Value(y.node, 1)}, (2,)
        )
    )
    assert [node.op.rpartition(":")[2] for node in operations(graph)] == [
        "1",
        "Exp",
    ] and operations(graph)[0].opaque


@BOTH
def test_a_cast_that_loses_nothing_is_gone_and_one_that_does_stays(framework: str) -> None:
    def cast(make: Maker, x: Value, to: str) -> Value:
        kind = TensorType((2, 3), to)
        return (
            make.op("aten.to.dtype", {"self": x}, kind, dtype=to)
            if framework == "torch"
            else make.op("cast", {"x": x}, kind, dtype=to)
        )

    make = Maker(framework)
    ids = make.input("ids", (2, 3), "int64")
    assert names(make.normal(call(make, "relu", "relu", cast(make, ids, "float32"), (2, 3)))) == [
        "Relu"
    ]
    for start, to in (
        ("float32", "bfloat16"),
        ("float32", "int64"),
        ("float32", "float16"),
        ("float64", "float32"),
        ("float32", "bool"),
    ):
        make = Maker(framework)
        graph = make.normal(cast(make, make.input("x", (2, 3), start), to))
        assert names(graph) == ["Cast"] and the(graph, "Cast").attrs == {"to": to}
    make = Maker(framework)
    half = make.input("x", (2, 3), "bfloat16")
    assert names(make.normal(cast(make, half, "float32"))) == []


@BOTH
def test_a_cut_gradient_stays_visible(framework: str) -> None:
    def cut(make: Maker, x: Value, dtype: str) -> Value:
        kind = TensorType((2, 3), dtype)
        return (
            make.op("detach", {"self": x}, kind)
            if framework == "torch"
            else make.op("pd_op.share_data_", {"x": x}, kind, marks=("no_grad",))
        )

    make = Maker(framework)
    x = make.input("x", (2, 3))
    graph = make.normal(
        mul(make, call(make, "sigmoid", "sigmoid", x, (2, 3)), cut(make, x, "float32"), (2, 3))
    )
    assert Counter(names(graph)) == {"Sigmoid": 1, "Detach": 1, "Mul": 1}
    make = Maker(framework)
    ids = make.input("ids", (2, 3), "int64")
    assert names(make.normal(cut(make, ids, "int64"))) == []


@BOTH
def test_what_is_computed_without_gradient_is_marked(framework: str) -> None:
    make = Maker(framework)
    x = make.input("x", (2, 3))
    role = "self" if framework == "torch" else "x"
    quiet = make.op("tanh", {role: x}, (2, 3), marks=("no_grad",))
    moved = make.op(
        "reshape",
        {role: x, **({} if framework == "torch" else {"shape": make.numbers((3, 2))})},
        (3, 2),
        marks=("no_grad",),
    )
    graph = make.normal(quiet, call(make, "relu", "relu", moved, (3, 2)))
    assert the(graph, "Tanh").marks == {"no_grad"}
    assert Counter(names(graph)) == {"Tanh": 1, "Detach": 1, "Relu": 1}


@BOTH
def test_a_gradient_hook_stays_a_node(framework: str) -> None:
    make = Maker(framework)
    x = make.input("x", (2, 3))
    role = "self" if framework == "torch" else "x"
    hooked = make.op(
        "alias" if framework == "torch" else "assign", {role: x}, (2, 3), marks=("gradient_hook",)
    )
    graph = make.normal(call(make, "relu", "relu", hooked, (2, 3)))
    assert names(graph) == ["Identity", "Relu"] and the(graph, "Identity").marks == {
        "gradient_hook"
    }


@BOTH
def test_recurrent_weights_come_in_one_order(framework: str) -> None:
    make = Maker(framework)
    x = make.input("x", (5, 2, 3))
    h, c = make.input("h", (2, 2, 4)), make.input("c", (2, 2, 4))
    shapes = {"w_ih": (16, 3), "w_hh": (16, 4), "b_ih": (16,), "b_hh": (16,)}
    cells = [
        {name: make.parameter(f"{name}{cell}", shape) for name, shape in shapes.items()}
        for cell in range(2)
    ]
    y, state = TensorType((5, 2, 8), "float32"), TensorType((2, 2, 4), "float32")
    if framework == "torch":
        params = [cell[name] for cell in cells for name in shapes]
        out = make.op(
            "aten.lstm.input",
            {"input": x, "hx": [h, c], "params": params},
            [y, state, state],
            has_biases=True,
            num_layers=1,
            dropout=0.0,
            train=False,
            bidirectional=True,
            batch_first=False,
        )
    else:
        params = [cell[name] for cell in cells for name in ("w_ih", "w_hh")] + [
            cell[name] for cell in cells for name in ("b_ih", "b_hh")
        ]
        out = make.op(
            "rnn",
            {
                "x": x,
                "pre_state": [h, c],
                "weight_list": params,
                "sequence_length": None,
                "dropout_state_in": None,
            },
            [y, state, state, state],
            mode="LSTM",
            is_bidirec=True,
            hidden_size=4,
            num_layers=1,
            dropout_prob=0.0,
            is_test=True,
        )
    graph = make.normal(out)
    node = the(graph, "LSTM")
    assert [reads(graph, edge).name for edge in node.inputs[3:]] == [
        f"{name}{cell}" for cell in range(2) for name in shapes
    ]
    assert node.attrs == {"hidden_size": 4, "num_layers": 1, "bidirectional": True, "dropout": 0.0}


def test_parameters_go_by_their_first_name_and_unread_ones_are_told() -> None:
    make = Maker("torch")
    x = make.input("x", (2, 4))
    w = make.parameter("w", (8, 4))
    make.parameter("left_over", (3,))
    graph = make.normal(make.op("linear", {"input": x, "weight": w, "bias": None}, (2, 8)))
    assert [node.name for node in graph.nodes if node.op == "Parameter"] == [
        "w"
    ] and graph.unread == ("left_over",)
