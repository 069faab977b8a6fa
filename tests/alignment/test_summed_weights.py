"""A bias that one model keeps once and the other as two that it adds: in both directions, copied,
held as it is, in a file, and by the script that converts."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg
from padiff_graph.checkpoint.converter_script import write_script
from padiff_graph.errors import UsageError
from padiff_graph.export.aoa import write_aoa

STRICT = {"atol": 1e-4, "rtol": 1e-4, "compare_mode": "strict"}
SERIES = np.random.default_rng(5).standard_normal((2, 4, 6)).astype("float32")
CELL = "ifgo"


class _PaddleConcat(paddle.nn.Layer):
    """An LSTM as one Linear over the input beside the state, gates in an order of its own."""

    def __init__(self, gates: str = "fiog", wrong: bool = False) -> None:
        super().__init__()
        self.gates, self.wrong = gates, wrong
        self.inner, self.head = paddle.nn.Linear(11, 20), paddle.nn.Linear(5, 3)

    def forward(self, x: Any) -> Any:
        state = memory = paddle.zeros([2, 5])
        outputs = []
        for at in range(4):
            parts = self.inner(paddle.concat([x[:, at], state], -1)).chunk(4, -1)
            gate = dict(zip(self.gates, parts, strict=True))
            kept = paddle.nn.functional.sigmoid(gate["f"]) * memory
            fresh = paddle.nn.functional.sigmoid(gate["i"]) * paddle.tanh(gate["g"])
            memory = kept + fresh
            shown = memory if self.wrong else paddle.tanh(memory)
            state = paddle.nn.functional.sigmoid(gate["o"]) * shown
            outputs.append(state)
        return self.head(paddle.stack(outputs, 1))


class _TorchConcat(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.head = torch.nn.Linear(11, 20), torch.nn.Linear(5, 3)

    def forward(self, x: Any) -> Any:
        state = memory = torch.zeros(2, 5)
        outputs = []
        for at in range(4):
            parts = self.inner(torch.cat([state, x[:, at]], -1)).chunk(4, -1)
            i, f, o, g = parts
            memory = torch.sigmoid(f) * memory + torch.sigmoid(i) * torch.tanh(g)
            state = torch.sigmoid(o) * torch.tanh(memory)
            outputs.append(state)
        return self.head(torch.stack(outputs, 1))


class _PaddleLibrary(paddle.nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = paddle.nn.LSTM(6, 5), paddle.nn.Linear(5, 3)

    def forward(self, x: Any) -> Any:
        return self.head(self.rnn(x)[0])


class _TorchLibrary(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = torch.nn.LSTM(6, 5, batch_first=True), torch.nn.Linear(5, 3)

    def forward(self, x: Any) -> Any:
        return self.head(self.rnn(x)[0])


PAIRS = [(_PaddleConcat, _TorchLibrary), (_PaddleLibrary, _TorchConcat)]
EXAMPLE = {"x": paddle.to_tensor(SERIES)}, {"x": torch.from_numpy(SERIES)}


def same(layer: Any, module: Any) -> bool:
    given = layer(paddle.to_tensor(SERIES * 2)).numpy()
    return np.allclose(given, module(torch.from_numpy(SERIES * 2)).detach().numpy(), atol=1e-5)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_the_sum_is_copied(ours: Any, theirs: Any) -> None:
    layer, module = ours(), theirs()
    report = pg.compare(layer, module, EXAMPLE, options=STRICT)
    assert report.passed and same(layer, module)
    words = {row.first: row.transform for row in report.parameters}
    if ours is _PaddleConcat:
        assert words["inner.bias"].endswith(", plus rnn.bias_hh_l0")
        assert np.allclose(
            np.sort(layer.inner.bias.numpy()),
            np.sort((module.rnn.bias_ih_l0 + module.rnn.bias_hh_l0).detach().numpy()),
        )
    else:
        assert "zeros: what it is added to holds the sum" in words.values()
        assert not layer.rnn.bias_hh_l0.numpy().any()


def test_a_faulty_cell_does_not_pass() -> None:
    report = pg.compare(_PaddleConcat(wrong=True), _TorchLibrary(), EXAMPLE, options=STRICT)
    assert not report.passed


@pytest.mark.parametrize("wrong", [False, True])
def test_how_a_sum_is_spread_changes_nothing(wrong: bool) -> None:
    layer, module = _PaddleLibrary(), _TorchConcat()
    assert pg.compare(layer, module, EXAMPLE, options=STRICT).passed
    half = layer.rnn.bias_ih_l0.numpy() / 2
    layer.rnn.bias_ih_l0.set_value(half)
    layer.rnn.bias_hh_l0.set_value(half * (3 if wrong else 1))
    report = pg.compare(layer, module, EXAMPLE, auto_weights=False, options=STRICT)
    assert report.passed is not wrong
    assert any(finding.phase == "weights" for finding in report.findings) is wrong


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_a_map_says_it_in_a_file(ours: Any, theirs: Any, tmp_path: Path) -> None:
    layer, module = ours(), theirs()
    plain = pg.compare(layer, module, EXAMPLE, options=STRICT)
    layer_map = pg.LayerMap().auto(layer, module, EXAMPLE)
    layer_map.to_yaml(tmp_path / "map.yaml")
    again = pg.LayerMap.from_yaml((tmp_path / "map.yaml").read_text())
    fresh = ours()
    mapped = pg.compare(fresh, module, EXAMPLE, layer_map=again, options=STRICT)
    assert mapped.passed and mapped.regions == plain.regions
    other = ours()
    state = pg.convert_state_dict(module.state_dict(), again)
    other.set_state_dict({name: paddle.to_tensor(array) for name, array in state.items()})
    assert same(other, module)
    with pytest.raises(UsageError, match="no AOA statement"):
        write_aoa(again.parameters, tmp_path / "aoa.json")


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_a_script_adds_too(ours: Any, theirs: Any, tmp_path: Path) -> None:
    module = theirs()
    layer_map = pg.LayerMap().auto(ours(), module, EXAMPLE)
    write_script(layer_map, tmp_path / "convert.py")
    convert = runpy.run_path(str(tmp_path / "convert.py"))["convert"]
    state = convert({name: tensor.numpy() for name, tensor in module.state_dict().items()})
    layer = ours()
    layer.set_state_dict({name: paddle.to_tensor(array) for name, array in state.items()})
    assert same(layer, module)


def test_a_sum_in_a_file_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "map.yaml"
    pg.LayerMap().auto(_PaddleConcat(), _TorchLibrary(), EXAMPLE).to_yaml(path)
    path.write_text(path.read_text().replace("sum: added", "sum: subtracted"))
    with pytest.raises(UsageError, match="the sum of a piece"):
        pg.LayerMap.from_yaml(path.read_text())
