"""A fault in front of a module of which the first operation yields a region's result."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

WIDTH = 4
OPTIONS = {"atol": 1e-4, "rtol": 1e-4, "compare_mode": "strict"}


class _Norm(paddle.nn.Layer):
    """A BatchNorm over steps."""

    def __init__(self) -> None:
        super().__init__()
        self.bn = paddle.nn.BatchNorm1D(WIDTH)

    def forward(self, x: Any) -> Any:
        return self.bn(x.reshape([-1, WIDTH])).reshape(x.shape)


class _TorchNorm(torch.nn.Module):
    """The same; over features where `turned` is left out, which have as many numbers."""

    def __init__(self, turned: bool) -> None:
        super().__init__()
        self.bn, self.turned = torch.nn.BatchNorm1d(WIDTH), turned

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bn(x.transpose(1, 2)).transpose(1, 2) if self.turned else self.bn(x)


class _Head(paddle.nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.fc = paddle.nn.Linear(WIDTH, 3)

    def forward(self, x: Any) -> Any:
        return self.fc(x[:, :, ::-1])


class _TorchHead(torch.nn.Module):
    def __init__(self, flipped: bool) -> None:
        super().__init__()
        self.fc, self.flipped = torch.nn.Linear(WIDTH, 3), flipped

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x.flip(2) if self.flipped else x.flip(1))


class _Net(paddle.nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.head = paddle.nn.Linear(5, WIDTH), _Norm(), _Head()

    def forward(self, x: Any) -> Any:
        return self.head(self.norm(paddle.tanh(self.stem(x))))


class _TorchNet(torch.nn.Module):
    def __init__(self, turned: bool, flipped: bool) -> None:
        super().__init__()
        self.stem, self.norm = torch.nn.Linear(5, WIDTH), _TorchNorm(turned)
        self.head = _TorchHead(flipped)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(torch.tanh(self.stem(x))))


@pytest.mark.parametrize(
    ("turned", "flipped", "path"),
    [(True, True, None), (False, True, "norm"), (True, False, "head")],
)
def test_the_place_is_where_values_begin_to_differ(
    turned: bool, flipped: bool, path: str | None
) -> None:
    torch.manual_seed(0)
    layer, module = _Net(), _TorchNet(turned, flipped)
    layer.train(), module.train()
    x = np.random.default_rng(0).standard_normal((3, WIDTH, 5)).astype(np.float32)
    example = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}
    report = pg.compare(layer, module, example, options=OPTIONS)
    failing = [finding for finding in report.findings if finding.fails]
    assert bool(failing) is (path is not None)
    if path is not None:
        places = failing[0].paddle_path, failing[0].torch_path
        assert all(place.split(".")[0] == path for place in places), (places, failing[0].cause)
