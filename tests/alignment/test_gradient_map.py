"""Weights that are told by gradients, whatever operations read them: each pair with the weights
that it should get, and with a bug that no order of weights takes up."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

F = paddle.nn.functional
STRICT = {"atol": 1e-4, "rtol": 1e-4, "compare_mode": "strict"}
RANDOM = np.random.default_rng(3)
IMAGE = RANDOM.standard_normal((2, 3, 6, 6)).astype("float32")
SERIES = RANDOM.standard_normal((2, 4, 6)).astype("float32")


def checked(layer: Any, module: Any, x: Any) -> pg.Report:
    inputs = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x.copy())}
    return pg.compare(layer.eval(), module.eval(), inputs, options=STRICT)


def normal(layer: Any, *shape: int) -> Any:
    return layer.create_parameter(list(shape), default_initializer=paddle.nn.initializer.Normal())


class _Taps(paddle.nn.Layer):
    """A convolution as a sum over the places of its kernel."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.wrong = wrong
        self.taps, self.bias = normal(self, 9, 3, 4), normal(self, 4)
        self.head = paddle.nn.Conv2D(4, 2, 1)

    def forward(self, x: Any) -> Any:
        wide = F.pad(x, [1, 1, 1, 1])
        total = self.bias * (2 if self.wrong else 1)
        for at in range(9):
            part = wide[:, :, at // 3 : at // 3 + 6, at % 3 : at % 3 + 6]
            total = total + part.transpose([0, 2, 3, 1]) @ self.taps[at]
        return self.head(F.relu(total.transpose([0, 3, 1, 2])))


class _Convolved(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3, padding=1)
        self.head = torch.nn.Conv2d(4, 2, 1)

    def forward(self, x: Any) -> Any:
        return self.head(torch.relu(self.conv(x)))


class _Zeros(paddle.nn.Layer):
    """A transposed convolution as one over an image with zeros between: its kernel stands the other
    way round."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.wrong, self.kernel, self.bias = wrong, normal(self, 4, 3, 2, 2), normal(self, 4)
        self.head = paddle.nn.Conv2D(4, 2, 3, padding=1)

    def forward(self, x: Any) -> Any:
        wide = paddle.stack([x, x * 0], -1).reshape([2, 3, 6, 12])
        wide = paddle.stack([wide, wide * 0], -2).reshape([2, 3, 12, 12])
        shift = [0, 1, 0, 1] if self.wrong else [1, 0, 1, 0]
        return self.head(F.relu(F.conv2d(F.pad(wide, shift), self.kernel, self.bias)))


class _Transposed(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.ConvTranspose2d(3, 4, 2, 2)
        self.head = torch.nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, x: Any) -> Any:
        return self.head(torch.relu(self.conv(x)))


class _Cells(paddle.nn.Layer):
    """Two bidirectional layers, cell by cell."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.wrong = wrong
        cells = [paddle.nn.LSTMCell(wide, 5) for wide in (6, 6, 10, 10)]
        self.cells, self.head = paddle.nn.LayerList(cells), paddle.nn.Linear(10, 3)

    def one(self, cell: Any, x: Any, back: bool) -> Any:
        state, outputs = (paddle.zeros([2, 5]), paddle.zeros([2, 5])), []
        for at in reversed(range(4)) if back else range(4):
            output, state = cell(x[:, at], state)
            outputs.append(output)
        return paddle.stack(outputs[::-1] if back and not self.wrong else outputs, 1)

    def forward(self, x: Any) -> Any:
        for at in (0, 2):
            x = paddle.concat([self.one(self.cells[at + k], x, bool(k)) for k in (0, 1)], -1)
        return self.head(x)


class _Library(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = torch.nn.LSTM(6, 5, 2, batch_first=True, bidirectional=True)
        self.head = torch.nn.Linear(10, 3)

    def forward(self, x: Any) -> Any:
        return self.head(self.rnn(x)[0])


class _Deep(paddle.nn.Layer):
    """The same behind layers of which some units are never let through."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.before = paddle.nn.LayerList(paddle.nn.Conv2D(c, 8, 3, padding=1) for c in (3, 8, 8))
        self.behind, self.wrong = _Taps(wrong), wrong
        self.behind.taps = normal(self, 9, 8, 4)

    def forward(self, x: Any) -> Any:
        for layer in self.before:
            x = F.relu(layer(x))
        return self.behind(x)


class _DeepConvolved(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        convs = (torch.nn.Conv2d(c, 8, 3, padding=1) for c in (3, 8, 8))
        self.before, self.behind = torch.nn.ModuleList(convs), _Convolved()
        self.behind.conv = torch.nn.Conv2d(8, 4, 3, padding=1)
        self.before[2].bias.data[::2] -= 2.0

    def forward(self, x: Any) -> Any:
        for layer in self.before:
            x = torch.relu(layer(x))
        return self.behind(x)


PAIRS = [
    (_Deep, _DeepConvolved, IMAGE),
    (_Taps, _Convolved, IMAGE),
    (_Zeros, _Transposed, IMAGE),
    (_Cells, _Library, SERIES),
]


@pytest.mark.parametrize("wrong", [False, True])
@pytest.mark.parametrize(("ours", "theirs", "x"), PAIRS)
def test_each_weight_gets_its_counterpart(ours: Any, theirs: Any, x: Any, wrong: bool) -> None:
    layer, module = ours(wrong), theirs()
    report = checked(layer, module, x)
    assert report.passed is not wrong
    if wrong:
        return
    # what was copied makes the models the same, without anything of the check
    given = layer(paddle.to_tensor(x * 2)).numpy()
    assert np.allclose(given, module(torch.from_numpy(x * 2)).detach().numpy(), atol=1e-4)


def test_the_order_comes_out_element_by_element() -> None:
    layer, module = _Taps(False), _Convolved()
    assert checked(layer, module, IMAGE).passed
    wanted = module.conv.weight.detach().numpy().reshape(4, 3, 9).transpose(2, 1, 0)
    assert np.array_equal(layer.taps.numpy(), wanted)


def test_a_map_of_it_converts_a_checkpoint() -> None:
    layer, module = _Zeros(False), _Transposed()
    example = {"x": paddle.to_tensor(IMAGE)}, {"x": torch.from_numpy(IMAGE)}
    text = pg.LayerMap().auto(layer, module, example).to_yaml()
    state = pg.convert_state_dict(module.state_dict(), pg.LayerMap.from_yaml(text))
    wanted = module.conv.weight.detach().numpy().transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
    assert np.array_equal(state["kernel"], wanted)
