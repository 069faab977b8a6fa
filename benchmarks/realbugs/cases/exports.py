"""Exports and converters: what an operator becomes on the other side."""

from __future__ import annotations

from typing import Any

import paddle
import paddle.nn.functional as PF
import torch
import torch.nn.functional as TF

from benchmarks.realbugs.case import Case, Pair, Right, Source
from benchmarks.realbugs.pairing import pair, random
from benchmarks.realbugs.parts.in_torch import spread

__all__ = ["CASES"]

BOTH = ("output", "gradient")
CONSTRUCTION = (
    "operation.missing",
    "operation.replaced",
    "operation.extra",
    "construction.operator",
    "construction.operations",
)


class TorchScene(torch.nn.Module):
    """A picture's features with one number for the whole scene, brought to 1 x 1 and back."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 6, 3, 2, 1)
        self.scene = torch.nn.Conv2d(6, 6, 1)
        self.mix = torch.nn.Conv2d(6, 4, 1)
        spread(self)

    def forward(self, pixels: Any) -> Any:
        x = TF.relu(self.stem(pixels))
        one = TF.interpolate(x, size=(1, 1), mode="bilinear", align_corners=False)
        return self.mix(x * torch.sigmoid(self.scene(one)))


class PaddleScene(paddle.nn.Layer):
    def __init__(self, shrink: Any) -> None:
        super().__init__()
        self.stem = paddle.nn.Conv2D(3, 6, 3, 2, 1)
        self.scene = paddle.nn.Conv2D(6, 6, 1)
        self.mix = paddle.nn.Conv2D(6, 4, 1)
        self.shrink = shrink

    def forward(self, pixels: Any) -> Any:
        x = PF.relu(self.stem(pixels))
        return self.mix(x * PF.sigmoid(self.scene(self.shrink(x))))


def first_pixel(x: Any) -> Any:
    """Where the exported Resize looks: it maps the one output place to the first input place."""
    return x[:, :, :1, :1]


def middle(x: Any) -> Any:
    """Half-pixel centres: the mean of the four pixels in the middle of an even picture."""
    height, width = x.shape[2] // 2, x.shape[3] // 2
    return x[:, :, height - 1 : height + 1, width - 1 : width + 1].mean([2, 3], keepdim=True)


def by_paddle(x: Any) -> Any:
    return PF.interpolate(x, size=(1, 1), mode="bilinear", align_corners=False)


def scenes(shrink: Any) -> Pair:
    return pair(PaddleScene(shrink), TorchScene(), {"pixels": random(2, 3, 16, 16)})


def onnx_one_pixel(faulty: bool) -> Pair:
    return scenes(first_pixel if faulty else middle)


def paddle_one_pixel(faulty: bool) -> Pair:
    return scenes(by_paddle if faulty else middle)


class TorchGate(torch.nn.Module):
    """Squeeze and excitation as in MobileNetV3."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 8, 3, 2, 1)
        self.down = torch.nn.Conv2d(8, 4, 1)
        self.up = torch.nn.Conv2d(4, 8, 1)
        self.act = torch.nn.Hardsigmoid()
        self.last = torch.nn.Conv2d(8, 5, 1)
        spread(self)

    def forward(self, pixels: Any) -> Any:
        x = TF.relu(self.stem(pixels))
        gate = self.up(TF.relu(self.down(x.mean((2, 3), keepdim=True))))
        return self.last(x * self.act(gate))


class Steep(paddle.nn.Layer):
    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x: Any) -> Any:
        return PF.hardsigmoid(x, slope=self.slope, offset=0.5)


class Clipped(paddle.nn.Layer):
    """The same in elementary operations, as some exports write it."""

    def forward(self, x: Any) -> Any:
        return paddle.clip(x / 6.0 + 0.5, 0.0, 1.0)


class PaddleGate(paddle.nn.Layer):
    def __init__(self, act: Any) -> None:
        super().__init__()
        self.stem = paddle.nn.Conv2D(3, 8, 3, 2, 1)
        self.down = paddle.nn.Conv2D(8, 4, 1)
        self.up = paddle.nn.Conv2D(4, 8, 1)
        self.act = act
        self.last = paddle.nn.Conv2D(8, 5, 1)

    def forward(self, pixels: Any) -> Any:
        x = PF.relu(self.stem(pixels))
        gate = self.up(PF.relu(self.down(x.mean([2, 3], keepdim=True))))
        return self.last(x * self.act(gate))


def gates(act: Any) -> Pair:
    return pair(PaddleGate(act), TorchGate(), {"pixels": random(2, 3, 8, 8)})


def hardsigmoid_slope(faulty: bool) -> Pair:
    return gates(Steep(0.2 if faulty else 1 / 6))


def hardsigmoid_disputed(faulty: bool) -> Pair:
    return gates(Clipped() if faulty else Steep(1 / 6))


CASES = (
    Case(
        "onnx_resize_to_one_pixel",
        (
            Source(
                "pytorch/pytorch",
                183523,
                "exported to ONNX, bilinear interpolation to 1 x 1 without aligned corners gives "
                "other numbers",
            ),
        ),
        "the one output pixel is the first pixel of the input instead of the middle of it",
        "port",
        BOTH,
        onnx_one_pixel,
        Right(
            "different",
            ("", "scene"),
            (*CONSTRUCTION, "attribute.coordinates", "values.differ"),
            ("resize", "interpolat", "coordinate"),
        ),
    ),
    Case(
        "hardsigmoid_old_slope",
        (
            Source(
                "PaddlePaddle/Paddle",
                44820,
                "the older layer's default slope is 0.2, the newer function's 1/6",
            ),
            Source("PaddlePaddle/PaddleOCR", 9809, "slope and offset differ from torch's fixed"),
        ),
        "the gate's hard sigmoid has slope 0.2 where the reference has 1/6",
        "port",
        BOTH,
        hardsigmoid_slope,
        Right("different", ("act",), ("attribute.alpha", "scale"), ("slope", "alpha", "scale")),
    ),
    Case(
        "hardsigmoid_disputed",
        (
            Source(
                "PaddlePaddle/Paddle2ONNX",
                930,
                "the exported hard sigmoid was thought to have ONNX's default slope; the "
                "maintainers found every one of the model with the right slope",
            ),
        ),
        "a hard sigmoid in elementary operations: the same function",
        "nobody",
        (),
        hardsigmoid_disputed,
        Right("none"),
    ),
    Case(
        "paddle_resize_to_one_pixel",
        (
            Source(
                "PaddlePaddle/Paddle",
                46214,
                "interpolate departs from torch and OpenCV, which agree, where the size has a 1",
            ),
        ),
        "both models call their framework's interpolate; Paddle takes a ratio of zero to size one",
        "framework",
        BOTH,
        paddle_one_pixel,
        Right(
            "framework",
            ("", "scene"),
            ("framework.same_call", "framework.known", "framework.carried"),
            ("framework",),
        ),
    ),
)
