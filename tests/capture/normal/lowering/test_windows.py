"""Windows that move nothing, and pools."""

from __future__ import annotations

import numpy as np
import torch

from padiff_graph.capture.normal.form import NormalGraph
from tests.models.graph_maker import Maker, names, reads, the
from tests.models.spelled import BOTH, call, same


@BOTH
def test_windows_side_by_side_are_movement(framework: str) -> None:
    """unfold with a stride of its kernel, and fold back, against torch's own numbers."""
    values = np.arange(2 * 3 * 4 * 6, dtype=np.float32).reshape(2, 3, 4, 6)
    unfolded = torch.nn.functional.unfold(torch.from_numpy(values), (2, 3), stride=(2, 3))
    make = Maker(framework)
    x = make.input("x", (2, 3, 4, 6))
    if framework == "torch":
        columns = make.op(
            "im2col",
            {"self": x},
            (2, 18, 4),
            kernel_size=(2, 3),
            dilation=(1, 1),
            padding=(0, 0),
            stride=(2, 3),
        )
    else:
        columns = make.op(
            "unfold",
            {"x": x},
            (2, 18, 4),
            kernel_sizes=(2, 3),
            strides=(2, 3),
            paddings=(0, 0, 0, 0),
            dilations=(1, 1),
        )
    graph = make.normal(columns)
    assert names(graph) == []
    (edge,) = graph.outputs.values()
    assert np.array_equal(edge.view.apply(values), unfolded.numpy())
    if framework == "torch":
        back = make.op(
            "col2im",
            {"self": columns},
            (2, 3, 4, 6),
            output_size=(4, 6),
            kernel_size=(2, 3),
            dilation=(1, 1),
            padding=(0, 0),
            stride=(2, 3),
        )
    else:
        back = make.op(
            "fold",
            {"x": columns},
            (2, 3, 4, 6),
            output_sizes=(4, 6),
            kernel_sizes=(2, 3),
            strides=(2, 3),
            paddings=(0, 0, 0, 0),
            dilations=(1, 1),
        )
    graph = make.normal(back)
    assert names(graph) == [] and next(iter(graph.outputs.values())).view.identity


def test_overlapping_windows_stay_an_operation() -> None:
    make = Maker("torch")
    x = make.input("x", (2, 3, 4, 6))
    graph = make.normal(
        make.op(
            "im2col",
            {"self": x},
            (2, 12, 15),
            kernel_size=(2, 2),
            dilation=(1, 1),
            padding=(0, 0),
            stride=(1, 1),
        )
    )
    assert names(graph) == ["Im2Col"]


def test_pooling_over_everything_is_a_mean() -> None:
    make = Maker("torch")
    x = make.input("x", (2, 4, 7, 7))
    first = make.normal(
        make.op("adaptive_avg_pool2d", {"self": x}, (2, 4, 1, 1), output_size=(1, 1))
    )
    make = Maker("torch")
    x = make.input("x", (2, 4, 7, 7))
    second = make.normal(make.op("aten.mean.dim", {"self": x}, (2, 4), dim=(2, 3), keepdim=False))
    make = Maker("paddle")
    x = make.input("x", (2, 4, 7, 7))
    third = make.normal(
        make.op(
            "pool2d",
            {"x": x, "kernel_size": make.numbers((1, 1))},
            (2, 4, 1, 1),
            strides=(1, 1),
            paddings=(0, 0),
            ceil_mode=False,
            exclusive=True,
            data_format="NCHW",
            pooling_type="avg",
            global_pooling=False,
            adaptive=True,
            padding_algorithm="EXPLICIT",
        )
    )
    same(first, second)
    same(first, third)
    assert names(first) == ["ReduceMean"]


def test_padding_is_counted_only_where_there_is_some() -> None:
    make = Maker("paddle")
    x = make.input("x", (2, 4, 8, 8))

    def pool(paddings: tuple[int, int], exclusive: bool) -> NormalGraph:
        make = Maker("paddle")
        x = make.input("x", (2, 4, 8, 8))
        return make.normal(
            make.op(
                "pool2d",
                {"x": x, "kernel_size": make.numbers((2, 2))},
                (2, 4, 4, 4),
                strides=(2, 2),
                paddings=paddings,
                ceil_mode=False,
                exclusive=exclusive,
                data_format="NCHW",
                pooling_type="avg",
                global_pooling=False,
                adaptive=False,
                padding_algorithm="EXPLICIT",
            )
        )

    assert x
    assert (
        the(pool((0, 0), True), "AveragePool").attrs
        == the(pool((0, 0), False), "AveragePool").attrs
    )
    assert the(pool((1, 1), True), "AveragePool").attrs["count_include_pad"] is False
    assert the(pool((1, 1), False), "AveragePool").attrs["count_include_pad"] is True


@BOTH
def test_the_mean_of_one_pixel_is_the_pixel(framework: str) -> None:
    make = Maker(framework)
    x = make.input("x", (2, 3, 1, 1))
    if framework == "torch":
        pooled = make.op("aten.mean.dim", {"self": x}, (2, 3), dim=(2, 3), keepdim=False)
    else:
        pooled = make.op("mean", {"x": x}, (2, 3), axis=(2, 3), keepdim=False)
    graph = make.normal(call(make, "tanh", "tanh", pooled, (2, 3)))
    assert names(graph) == ["Tanh"] and reads(graph, the(graph, "Tanh").inputs[0]).op == "Input"
