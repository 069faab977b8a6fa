"""A port against the ONNX file of its reference: where the port holds other weights, it gets the
file's; where it holds them, what is wrong with one of them is told."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import pytest

import padiff_graph as pg
from padiff_graph.weights.file_weights import FOLDED, TAKEN

torch = pytest.importorskip("torch")
paddle = pytest.importorskip("paddle")
TOLERANT = {"rtol": 1e-4, "atol": 1e-5}
IMAGE = np.random.default_rng(0).standard_normal((2, 3, 6, 6)).astype(np.float32)
EXAMPLE = ({"image": IMAGE}, {"image": IMAGE})


class Reference(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 8, 3, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(8)
        self.conv2 = torch.nn.Conv2d(8, 8, 3)
        self.bn2 = torch.nn.BatchNorm2d(8)
        self.norm = torch.nn.LayerNorm(8)
        self.head = torch.nn.Linear(8, 8)

    def forward(self, image: Any) -> Any:
        image = torch.relu(self.bn1(self.conv1(image)))
        image = torch.relu(self.bn2(self.conv2(image)))
        return self.head(self.norm(image.mean((2, 3))))


class Port(paddle.nn.Layer):  # type: ignore[misc]
    def __init__(self, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.conv1 = paddle.nn.Conv2D(3, 8, 3, bias_attr=False)
        self.bn1 = paddle.nn.BatchNorm2D(8)
        self.conv2 = paddle.nn.Conv2D(8, 8, 3)
        self.bn2 = paddle.nn.BatchNorm2D(8)
        self.norm = paddle.nn.LayerNorm(8, epsilon=epsilon)
        self.head = paddle.nn.Linear(8, 8)

    def forward(self, image: Any) -> Any:
        image = paddle.nn.functional.relu(self.bn1(self.conv1(image)))
        image = paddle.nn.functional.relu(self.bn2(self.conv2(image)))
        return self.head(self.norm(image.mean([2, 3])))


@pytest.fixture(scope="module")
def reference() -> tuple[Any, onnx.ModelProto]:
    torch.manual_seed(0)
    module = Reference().eval()
    for norm in (module.bn1, module.bn2):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 1.5)
    file = io.BytesIO()
    given = (torch.from_numpy(IMAGE),)
    torch.onnx.export(module, given, file, input_names=["image"], dynamo=False)
    return module, onnx.load_from_string(file.getvalue())


def _compared(port: Any, proto: onnx.ModelProto, **how: Any) -> Any:
    port.eval()
    return pg.compare(port, proto, EXAMPLE, options=TOLERANT, **how)


def test_a_port_with_other_weights_gets_the_files(reference: Any) -> None:
    module, proto = reference
    port = Port()
    report = _compared(port, proto)
    assert report.passed, str(report)
    assert TAKEN in report.notes and FOLDED in report.notes
    with torch.no_grad():
        wanted = module(torch.from_numpy(IMAGE)).numpy()
    got = port(paddle.to_tensor(IMAGE)).numpy()
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def test_its_bug_is_told_alone(reference: Any) -> None:
    report = _compared(Port(epsilon=1e-3), reference[1])
    (finding,) = [told for told in report.findings if told.fails]
    assert finding.cause_id == "attribute.epsilon" and finding.paddle_path == "norm"


def test_weights_are_left_where_that_is_asked(reference: Any) -> None:
    port = Port()
    before = {name: value.numpy() for name, value in port.state_dict().items()}
    report = _compared(port, reference[1], auto_weights=False)
    assert not report.passed and TAKEN not in report.notes
    for name, value in port.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])


@pytest.mark.parametrize("damage", ["one", "noise", "turned"])
def test_a_damaged_weight_of_the_file_is_told(reference: Any, damage: str) -> None:
    port = Port()
    assert _compared(port, reference[1]).passed  # it holds the file's weights now
    proto = onnx.ModelProto()
    proto.CopyFrom(reference[1])
    names = {node.input[1] for node in proto.graph.node if node.op_type == "Gemm"}
    (weight,) = [tensor for tensor in proto.graph.initializer if tensor.name in names]
    array = onnx.numpy_helper.to_array(weight).copy()
    noise = np.random.default_rng(1).standard_normal(array.shape)
    if damage == "one":
        array[1, 2] += 0.1
    array = array.T if damage == "turned" else array + 0.1 * (damage == "noise") * noise
    weight.CopyFrom(onnx.numpy_helper.from_array(array.astype(np.float32), weight.name))
    report = _compared(port, proto)
    assert not report.passed and TAKEN not in report.notes
    assert any(told.paddle_path == "head" for told in report.findings if told.fails)


def test_one_damaged_weight_is_not_taken_for_anothers() -> None:
    torch.manual_seed(1)
    module = torch.nn.Linear(6, 6)
    file = io.BytesIO()
    x = np.ones((2, 6), np.float32)
    given = (torch.from_numpy(x),)
    torch.onnx.export(module, given, file, input_names=["input"], dynamo=False)
    with torch.no_grad():
        module.weight[0, 0] += 0.5
    proto = onnx.load_from_string(file.getvalue())
    report = pg.compare(module, proto, ({"input": x}, {"input": x}), options=TOLERANT)
    assert not report.passed and TAKEN not in report.notes


ROWS = np.random.default_rng(2).standard_normal((2, 5, 4)).astype(np.float32)
RECURRENT = {"LSTM": 1, "GRU": 1, "LSTM both ways": 2}


class _TorchRecurrent(torch.nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        layer = getattr(torch.nn, kind.split()[0])
        self.cell = layer(4, 3, batch_first=True, bidirectional=RECURRENT[kind] == 2)
        self.head = torch.nn.Linear(3 * RECURRENT[kind], 2)

    def forward(self, rows: Any) -> Any:
        return self.head(torch.tanh(self.cell(rows)[0]))


class _Recurrent(paddle.nn.Layer):  # type: ignore[misc]
    def __init__(self, kind: str, act: Any = paddle.tanh) -> None:
        super().__init__()
        layer = getattr(paddle.nn, kind.split()[0])
        direction = "bidirect" if RECURRENT[kind] == 2 else "forward"
        self.cell, self.act = layer(4, 3, direction=direction), act
        self.head = paddle.nn.Linear(3 * RECURRENT[kind], 2)

    def forward(self, rows: Any) -> Any:
        return self.head(self.act(self.cell(rows)[0]))


@pytest.mark.parametrize("faulty", [False, True])
@pytest.mark.parametrize("kind", RECURRENT)
def test_recurrent_weights_of_a_file_are_taken(kind: str, faulty: bool) -> None:
    torch.manual_seed(0)
    file = io.BytesIO()
    given = (torch.from_numpy(ROWS),)
    module = _TorchRecurrent(kind).eval()
    torch.onnx.export(module, given, file, input_names=["rows"], dynamo=False)
    port = _Recurrent(kind, paddle.nn.functional.sigmoid if faulty else paddle.tanh)
    port.eval()
    example = {"rows": ROWS}, {"rows": ROWS}
    report = pg.compare(port, onnx.load_from_string(file.getvalue()), example, options=TOLERANT)
    assert report.passed == (not faulty), str(report)
    assert [told.cause_id for told in report.findings if told.fails] == (
        ["operation.replaced"] if faulty else []
    )


class _FlatReference(torch.nn.Module):
    """All of it in one module, as a file without names of modules has it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)
        self.head = torch.nn.Linear(4, 4)

    def forward(self, image: Any) -> Any:
        image = torch.relu(self.norm(self.conv(image)))
        return torch.softmax(self.head(image.mean((2, 3))) * 0.5, -1)


class _FlatPort(paddle.nn.Layer):  # type: ignore[misc]
    def __init__(self, scale: float) -> None:
        super().__init__()
        self.conv, self.norm = paddle.nn.Conv2D(3, 4, 3), paddle.nn.BatchNorm2D(4)
        self.head, self.scale = paddle.nn.Linear(4, 4), scale

    def forward(self, image: Any) -> Any:
        image = paddle.nn.functional.relu(self.norm(self.conv(image)))
        logits = self.head(image.mean([2, 3])) * self.scale
        return paddle.nn.functional.softmax(logits, -1)


@pytest.mark.parametrize("scale", [0.5, 0.25])
def test_what_a_folded_norm_holds_is_not_blamed_for_a_fault_elsewhere(scale: float) -> None:
    torch.manual_seed(0)
    module = _FlatReference().train()
    module(torch.randn(8, 3, 6, 6))
    port = _FlatPort(scale)
    pg.assign_weight(port, module.eval(), example_inp=_both(IMAGE))
    port.eval()
    file = io.BytesIO()
    given = (torch.from_numpy(IMAGE),)
    torch.onnx.export(module, given, file, input_names=["image"], dynamo=False)
    proto = onnx.load_from_string(file.getvalue())
    report = _compared(port, proto, auto_weights=False)
    assert report.passed == (scale == 0.5)
    assert [told.cause_id for told in report.findings if told.fails] == (
        [] if scale == 0.5 else ["scale"]
    )


def _both(array: Any) -> Any:
    return {"image": paddle.to_tensor(array)}, {"image": torch.from_numpy(array)}
