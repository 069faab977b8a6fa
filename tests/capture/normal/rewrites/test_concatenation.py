"""What is put together and read in part."""

from __future__ import annotations

from padiff_graph.capture.graph import Value
from tests.models.graph_maker import Maker, operations, reads, the
from tests.models.spelled import BOTH, call


@BOTH
def test_concat_of_concat(framework: str) -> None:
    make = Maker(framework)
    a, b, c = (make.input(name, (2, 3)) for name in "abc")

    def cat(parts: list[Value], shape: tuple[int, ...]) -> Value:
        if framework == "torch":
            return make.op("cat", {"tensors": parts}, shape, dim=-1)
        return make.op("concat", {"x": parts, "axis": make.number(1, "int32")}, shape)

    graph = make.normal(cat([cat([a, b], (2, 6)), c], (2, 9)))
    (node,) = operations(graph)
    assert (
        node.op == "Concat"
        and [reads(graph, edge).name for edge in node.inputs] == ["a", "b", "c"]
        and node.attrs["axis"] == 1
    )


@BOTH
def test_a_part_of_a_concat_is_the_part(framework: str) -> None:
    make = Maker(framework)
    a, b = make.input("a", (2, 3)), make.input("b", (2, 4))
    if framework == "torch":
        both = make.op("cat", {"tensors": [a, b]}, (2, 7), dim=1)
        part = make.op("aten.slice.Tensor", {"self": both}, (2, 2), dim=1, start=4, end=6, step=1)
    else:
        both = make.op("concat", {"x": [a, b], "axis": make.number(1, "int32")}, (2, 7))
        part = make.op(
            "slice",
            {"input": both, "starts": make.numbers((4,)), "ends": make.numbers((6,))},
            (2, 2),
            axes=(1,),
            decrease_axis=(),
            infer_flags=(1,),
        )
    graph = make.normal(call(make, "relu", "relu", part, (2, 2)))
    (node,) = operations(graph)
    assert reads(graph, node.inputs[0]).name == "b" and node.inputs[0].view.indices().tolist() == [
        1,
        2,
        5,
        6,
    ]


@BOTH
def test_writing_a_slice_is_a_concat(framework: str) -> None:
    make = Maker(framework)
    x, y = make.input("x", (2, 6)), make.input("y", (2, 2))
    if framework == "torch":
        out = make.op("slice_scatter", {"self": x, "src": y}, (2, 6), dim=1, start=2, end=4, step=1)
    else:
        out = make.op(
            "pd_op.set_value_with_tensor_",
            {
                "x": x,
                "values": y,
                "starts": make.numbers((2,)),
                "ends": make.numbers((4,)),
                "steps": make.numbers((1,)),
            },
            (2, 6),
            axes=(1,),
            decrease_axes=(),
            none_axes=(),
        )
    graph = make.normal(call(make, "relu", "relu", out, (2, 6)))
    node = the(graph, "Concat")
    assert [reads(graph, edge).name for edge in node.inputs] == ["x", "y", "x"] and [
        edge.view.shape for edge in node.inputs
    ] == [(2, 2)] * 3
