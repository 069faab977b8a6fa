"""Padding that goes into a convolution, that is movement, and that stays."""

from __future__ import annotations

from tests.models.graph_maker import Maker, names, operations, the
from tests.models.spelled import BOTH, call


@BOTH
def test_zero_padding_goes_into_the_convolution(framework: str) -> None:
    make = Maker(framework)
    x, w = make.input("x", (1, 3, 7, 7)), make.parameter("w", (4, 3, 3, 3))
    if framework == "torch":
        padded = make.op(
            "pad", {"self": x}, (1, 3, 9, 8), pad=(0, 1, 1, 1), mode="constant", value=0.0
        )
        out = make.op(
            "conv2d",
            {"input": padded, "weight": w, "bias": None},
            (1, 4, 7, 6),
            stride=(1, 1),
            padding=(0, 0),
            dilation=(1, 1),
            groups=1,
        )
    else:
        wide = make.op("unsqueeze", {"x": x, "axis": make.numbers((2,))}, (1, 3, 1, 7, 7))
        padded = make.op(
            "pad3d",
            {"x": wide, "paddings": make.numbers((0, 1, 1, 1, 0, 0))},
            (1, 3, 1, 9, 8),
            mode="constant",
            pad_value=0.0,
            data_format="NCDHW",
        )
        narrow = make.op("squeeze", {"x": padded, "axis": make.numbers((2,))}, (1, 3, 9, 8))
        out = make.op(
            "conv2d",
            {"input": narrow, "filter": w},
            (1, 4, 7, 6),
            strides=(1, 1),
            paddings=(0, 0),
            dilations=(1, 1),
            padding_algorithm="EXPLICIT",
            groups=1,
            data_format="NCHW",
        )
    graph = make.normal(out)
    assert names(graph) == ["Conv"] and the(graph, "Conv").attrs["pads"] == (1, 0, 1, 1)


def test_same_padding_becomes_numbers() -> None:
    make = Maker("paddle")
    x, w = make.input("x", (1, 3, 8, 7)), make.parameter("w", (4, 3, 3, 3))
    out = make.op(
        "conv2d",
        {"input": x, "filter": w},
        (1, 4, 4, 4),
        strides=(2, 2),
        paddings=(0, 0),
        dilations=(1, 1),
        padding_algorithm="SAME",
        groups=1,
        data_format="NCHW",
    )
    assert the(make.normal(out), "Conv").attrs["pads"] == (0, 1, 1, 1)


@BOTH
def test_zero_padding_before_anything_else_is_movement(framework: str) -> None:
    make = Maker(framework)
    x = make.input("x", (2, 3))
    if framework == "torch":
        y = make.op("pad", {"self": x}, (2, 5), pad=(1, 1), mode="constant", value=0.0)
    else:
        y = make.op("pad", {"x": x}, (2, 5), paddings=(0, 0, 1, 1), pad_value=0.0)
    graph = make.normal(call(make, "relu", "relu", y, (2, 5)))
    (node,) = operations(graph)
    assert node.op == "Relu" and node.inputs[0].view.indices().reshape(2, 5).tolist() == [
        [-1, 0, 1, 2, -1],
        [-1, 3, 4, 5, -1],
    ]


@BOTH
def test_padding_with_another_number_stays(framework: str) -> None:
    make = Maker(framework)
    x = make.input("x", (2, 3))
    if framework == "torch":
        y = make.op("pad", {"self": x}, (2, 5), pad=(1, 1), mode="constant", value=2.0)
    else:
        y = make.op("pad", {"x": x}, (2, 5), paddings=(0, 0, 1, 1), pad_value=2.0)
    assert names(make.normal(call(make, "relu", "relu", y, (2, 5)))) == ["Pad", "Relu"]
