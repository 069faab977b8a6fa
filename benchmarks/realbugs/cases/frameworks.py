"""Operators whose frameworks differ, or differed, and statistics that mean two things."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as PF
import torch
import torch.nn.functional as TF

from benchmarks.realbugs.case import Case, Pair, Right, Source, Training
from benchmarks.realbugs.pairing import pair, random
from benchmarks.realbugs.parts.in_torch import spread

__all__ = ["CASES"]

BOTH = ("output", "gradient")


class TorchStyled(torch.nn.Module):
    """StyleGAN's convolution: weights scaled by a style, then by their own size."""

    def __init__(self) -> None:
        super().__init__()
        self.style = torch.nn.Linear(4, 3)
        self.weight = torch.nn.Parameter(torch.randn(5, 3, 3, 3) * 0.3)
        spread(self)

    def forward(self, pixels: Any, z: Any) -> Any:
        batch = pixels.shape[0]
        style = self.style(z) + 1.0
        weight = self.weight.unsqueeze(0) * style.reshape(batch, 1, 3, 1, 1)
        size = torch.rsqrt((weight * weight).sum((2, 3, 4)) + 1e-8)
        weight = (weight * size.reshape(batch, 5, 1, 1, 1)).reshape(batch * 5, 3, 3, 3)
        wide = pixels.reshape(1, batch * 3, *pixels.shape[2:])
        answer = TF.conv2d(wide, weight, padding=1, groups=batch)
        return answer.reshape(batch, 5, *pixels.shape[2:])


class PaddleStyled(paddle.nn.Layer):
    def __init__(self, detached: bool) -> None:
        super().__init__()
        self.style = paddle.nn.Linear(4, 3)
        self.weight = self.create_parameter([5, 3, 3, 3])
        self.detached = detached

    def forward(self, pixels: Any, z: Any) -> Any:
        batch = pixels.shape[0]
        style = self.style(z) + 1.0
        weight = self.weight.unsqueeze(0) * style.reshape([batch, 1, 3, 1, 1])
        size = paddle.rsqrt((weight * weight).sum([2, 3, 4]) + 1e-8)
        size = size.detach() if self.detached else size
        weight = (weight * size.reshape([batch, 5, 1, 1, 1])).reshape([batch * 5, 3, 3, 3])
        wide = pixels.reshape([1, batch * 3, *pixels.shape[2:]])
        answer = PF.conv2d(wide, weight, padding=1, groups=batch)
        return answer.reshape([batch, 5, *pixels.shape[2:]])


def styled(detached: bool) -> Pair:
    arrays = {"pixels": random(2, 3, 6, 6), "z": random(2, 4, seed=1)}
    return pair(PaddleStyled(detached), TorchStyled(), arrays)


def style_gradient_lost(faulty: bool) -> Pair:
    return styled(faulty)


class TorchPooled(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 6, 3, padding=1)
        self.last = torch.nn.Linear(6 * 9, 4)
        spread(self)

    def forward(self, pixels: Any) -> Any:
        return self.last(TF.adaptive_avg_pool2d(TF.relu(self.stem(pixels)), 3).flatten(1))


class PaddlePooled(paddle.nn.Layer):
    def __init__(self, pool: Any) -> None:
        super().__init__()
        self.stem = paddle.nn.Conv2D(3, 6, 3, padding=1)
        self.last = paddle.nn.Linear(6 * 9, 4)
        self.pool = pool

    def forward(self, pixels: Any) -> Any:
        return self.last(self.pool(PF.relu(self.stem(pixels))).flatten(1))


def by_framework(x: Any) -> Any:
    return PF.adaptive_avg_pool2d(x, 3)


def short_windows(x: Any) -> Any:
    """Windows end where the next one begins, rounded down: 10 places in 3 are 3, 3 and 4."""
    ends = [(at * 10) // 3 for at in range(4)]
    rows = [x[:, :, ends[i] : ends[i + 1]].mean(2) for i in range(3)]
    tall = paddle.stack(rows, 2)
    columns = [tall[:, :, :, ends[i] : ends[i + 1]].mean(3) for i in range(3)]
    return paddle.stack(columns, 3)


def pooled(pool: Any) -> Pair:
    return pair(PaddlePooled(pool), TorchPooled(), {"pixels": random(2, 3, 10, 10)})


def pool_windows(faulty: bool) -> Pair:
    return pooled(short_windows if faulty else by_framework)


def pool_last_bit(faulty: bool) -> Pair:
    """Both forms call the framework: what is left is the order of sums and divisions."""
    return pooled(by_framework)


class TorchSpreadOut(torch.nn.Module):
    """Statistics pooling of speech: mean and standard deviation over time."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(5, 6)
        self.last = torch.nn.Linear(12, 3)

    def forward(self, x: Any) -> Any:
        x = torch.tanh(self.inner(x))
        return self.last(torch.cat([x.mean(1), x.std(1, unbiased=False)], -1))


class PaddleSpreadOut(paddle.nn.Layer):
    def __init__(self, unbiased: bool) -> None:
        super().__init__()
        self.inner = paddle.nn.Linear(5, 6)
        self.last = paddle.nn.Linear(12, 3)
        self.unbiased = unbiased

    def forward(self, x: Any) -> Any:
        x = paddle.tanh(self.inner(x))
        return self.last(paddle.concat([x.mean(1), x.std(1, unbiased=self.unbiased)], -1))


def std_correction(faulty: bool) -> Pair:
    return pair(PaddleSpreadOut(faulty), TorchSpreadOut(), {"x": random(3, 7, 5)})


class TorchWords(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(6, 8)
        self.last = torch.nn.Linear(8, 5)

    def forward(self, x: Any) -> Any:
        return self.last(torch.tanh(self.inner(x)))


class PaddleWords(paddle.nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.inner = paddle.nn.Linear(6, 8)
        self.last = paddle.nn.Linear(8, 5)

    def forward(self, x: Any) -> Any:
        return self.last(paddle.tanh(self.inner(x)))


def ignored_labels(faulty: bool) -> Pair:
    """The framework's own mean counts the rows left out; the healthy form divides by the others."""
    wanted = np.array([0, 3, -100, 2, -100, 4])

    def ours(logits: Any) -> Any:
        tensor = paddle.to_tensor(wanted)
        if faulty:
            return PF.cross_entropy(logits, tensor, ignore_index=-100)
        return PF.cross_entropy(logits, tensor, ignore_index=-100, reduction="sum") / 4.0

    def theirs(logits: Any) -> Any:
        return TF.cross_entropy(logits, torch.as_tensor(wanted))

    training = Training(losses=(ours, theirs))
    return pair(PaddleWords(), TorchWords(), {"x": random(6, 6)}, training)


CASES = (
    Case(
        "style_gradient_lost",
        (
            Source(
                "PaddlePaddle/Paddle",
                40741,
                "the gradient of a style that enters a weight twice was wrong",
            ),
            Source("PaddlePaddle/Paddle", 39759, "equal outputs and other gradients, mostly zero"),
            Source("PaddlePaddle/Paddle", 42420, "the collected reports of it"),
        ),
        "of the two ways a style enters a weight one carries no gradient; mended in the framework "
        "since, so rebuilt with a detach",
        "port",
        ("gradient",),
        style_gradient_lost,
        Right("different", ("",), ("gradient.detached", "gradient.differs"), ("gradient",)),
    ),
    Case(
        "flaggems_pool_windows",
        (
            Source(
                "flagos-ai/FlagGems",
                4915,
                "windows of adaptive pooling end rounded down where torch rounds up",
            ),
        ),
        "windows of adaptive average pooling do not overlap where sizes do not divide",
        "port",
        BOTH,
        pool_windows,
        Right(
            "different",
            ("", "last"),
            (
                "operation.missing",
                "operation.replaced",
                "operation.extra",
                "construction.operator",
                "construction.operations",
                "values.differ",
                "values.partial",
            ),
            ("pool",),
        ),
    ),
    Case(
        "paddle_pool_last_bit",
        (
            Source(
                "PaddlePaddle/Paddle",
                78105,
                "adaptive average pooling departs from torch in its last bits, by the order of "
                "sums and divisions",
            ),
            Source("PaddlePaddle/Paddle", 78103, "a sibling of it", read=False),
        ),
        "the same pooling in another order of sums: rounding",
        "nobody",
        (),
        pool_last_bit,
        Right("none"),
    ),
    Case(
        "std_correction_ignored",
        (
            Source(
                "dotnet/TorchSharp",
                971,
                "std ignored its argument, and was the corrected one where the other was asked for",
            ),
        ),
        "the standard deviation is corrected where the reference takes the plain one",
        "port",
        BOTH,
        std_correction,
        Right(
            "different",
            ("",),
            ("attribute.correction", "setting.differs", "scale", "values.scaled"),
            ("unbiased", "correction", "scale", "times"),
        ),
    ),
    Case(
        "paddle_ignored_labels",
        (
            Source(
                "PaddlePaddle/Paddle",
                47418,
                "the mean of the cross entropy counted the rows whose label is left out",
            ),
        ),
        "both call cross_entropy; Paddle divides by all rows where what is left out is -100",
        "framework",
        ("loss",),
        ignored_labels,
        Right("different", ("",), ("loss.differs", "loss.gradient_differs"), ("loss",)),
    ),
)
