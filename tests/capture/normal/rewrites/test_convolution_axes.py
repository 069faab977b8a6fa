"""Convolutions and pools of one axis that are said with two."""

from __future__ import annotations

from tests.models.graph_maker import Maker, the
from tests.models.spelled import same


def test_convolution_with_its_bias_and_paddles_conv1d() -> None:
    torch = Maker("torch")
    x = torch.input("x", (2, 4, 16))
    w, b = torch.parameter("w", (8, 4, 3)), torch.parameter("b", (8,))
    first = torch.normal(
        torch.op(
            "conv1d",
            {"input": x, "weight": w, "bias": b},
            (2, 8, 8),
            stride=(2,),
            padding=(1,),
            dilation=(1,),
            groups=1,
        )
    )
    paddle = Maker("paddle")
    x = paddle.op(
        "unsqueeze",
        {"x": paddle.input("x", (2, 4, 16)), "axis": paddle.numbers((-2,))},
        (2, 4, 1, 16),
    )
    w = paddle.op(
        "unsqueeze",
        {"x": paddle.parameter("w", (8, 4, 3)), "axis": paddle.numbers((-2,))},
        (8, 4, 1, 3),
    )
    y = paddle.op(
        "conv2d",
        {"input": x, "filter": w},
        (2, 8, 1, 8),
        strides=(1, 2),
        paddings=(0, 1),
        dilations=(1, 1),
        padding_algorithm="EXPLICIT",
        groups=1,
        data_format="NCHW",
    )
    b = paddle.op(
        "reshape",
        {"x": paddle.parameter("b", (8,)), "shape": paddle.numbers((1, 8, 1, 1))},
        (1, 8, 1, 1),
    )
    y = paddle.op("add", {"x": y, "y": b}, (2, 8, 1, 8))
    second = paddle.normal(paddle.op("squeeze", {"x": y, "axis": paddle.numbers((-2,))}, (2, 8, 8)))
    same(first, second)
    assert the(second, "Conv").attrs == {
        "strides": (2,),
        "pads": (1, 1),
        "dilations": (1,),
        "group": 1,
    }


def test_pooling_of_one_axis_said_with_two() -> None:
    first = Maker("torch")
    x = first.input("x", (2, 4, 16))
    one = first.normal(
        first.op(
            "avg_pool1d",
            {"self": x},
            (2, 4, 4),
            kernel_size=(4,),
            stride=(4,),
            padding=(0,),
            ceil_mode=False,
            count_include_pad=True,
        )
    )
    second = Maker("paddle")
    x = second.op(
        "unsqueeze",
        {"x": second.input("x", (2, 4, 16)), "axis": second.numbers((2,))},
        (2, 4, 1, 16),
    )
    y = second.op(
        "pool2d",
        {"x": x, "kernel_size": second.numbers((1, 4))},
        (2, 4, 1, 4),
        strides=(1, 4),
        paddings=(0, 0),
        ceil_mode=False,
        exclusive=True,
        data_format="NCHW",
        pooling_type="avg",
        global_pooling=False,
        adaptive=False,
        padding_algorithm="EXPLICIT",
    )
    two = second.normal(second.op("squeeze", {"x": y, "axis": second.numbers((2,))}, (2, 4, 4)))
    same(one, two)
    assert the(two, "AveragePool").attrs["kernel_shape"] == (4,)
