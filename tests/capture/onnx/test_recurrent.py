"""ONNX recurrent networks against torch's: gates in another order, both directions, no bias."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import padiff_graph as pg

ORDERS = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}
"""ONNX's gates in torch's order: i o f c of i f g o, z r h of r z n (the ONNX operators' pages)."""
WIDTH, HIDDEN, LENGTH, BATCH = 3, 4, 5, 2


class Recurrent(torch.nn.Module):
    """One layer, sequence first, that returns the sequence."""

    def __init__(self, kind: str, bidirectional: bool, bias: bool) -> None:
        super().__init__()
        layer = getattr(torch.nn, kind)
        self.rnn = layer(WIDTH, HIDDEN, bidirectional=bidirectional, bias=bias)

    def forward(self, x: Any) -> Any:
        return self.rnn(x)[0]


def weights(model: Recurrent, name: str, order: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """A weight of each direction, its gates in an order."""
    ways = ["", "_reverse"] if model.rnn.bidirectional else [""]
    stacked = [getattr(model.rnn, f"{name}_l0{way}").detach().numpy() for way in ways]
    return np.stack(
        [np.concatenate([weight[gate * HIDDEN :][:HIDDEN] for gate in order]) for weight in stacked]
    )


def exported(model: Recurrent, kind: str, order: tuple[int, ...], bias: bool) -> onnx.ModelProto:
    """The same network as ONNX has it."""
    tensors = {"w": weights(model, "weight_ih", order), "r": weights(model, "weight_hh", order)}
    if bias:
        halves = [weights(model, name, order) for name in ("bias_ih", "bias_hh")]
        tensors["b"] = np.concatenate(halves, axis=1)
    directions = len(tensors["w"])
    attributes = {"hidden_size": HIDDEN}
    if directions == 2:
        attributes["direction"] = "bidirectional"
    if kind == "GRU":
        attributes["linear_before_reset"] = 1
    tensors["shape"] = np.array([LENGTH, BATCH, directions * HIDDEN])
    nodes = [
        helper.make_node(kind, ["x", "w", "r", *(["b"] if bias else [])], ["spread"], **attributes),
        helper.make_node("Transpose", ["spread"], ["turned"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["turned", "shape"], ["y"]),
    ]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [LENGTH, BATCH, WIDTH])
    returned = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    initializers = [numpy_helper.from_array(array, name) for name, array in tensors.items()]
    graph = helper.make_graph(nodes, "recurrent", [given], [returned], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def compared(kind: str, order: tuple[int, ...], bidirectional: bool, bias: bool) -> pg.Report:
    """A network against its export."""
    torch.manual_seed(0)
    model = Recurrent(kind, bidirectional, bias).eval()
    x = np.random.default_rng(0).normal(size=(LENGTH, BATCH, WIDTH)).astype("float32")
    examples = {"x": torch.from_numpy(x)}, {"x": x}
    file = exported(model, kind, order, bias)
    return pg.compare(model, file, examples, options={"diff_phase": "forward"})


@pytest.mark.parametrize("kind", ORDERS)
@pytest.mark.parametrize(("bidirectional", "bias"), [(False, True), (True, True), (True, False)])
def test_a_recurrent_network_and_its_export(kind: str, bidirectional: bool, bias: bool) -> None:
    report = compared(kind, ORDERS[kind], bidirectional, bias)
    told = [finding for finding in report.findings if finding.verdict != "rounding"]
    assert report.equivalent and not told, report


@pytest.mark.parametrize(("kind", "order"), [("LSTM", (0, 1, 2, 3)), ("GRU", (0, 1, 2))])
def test_gates_in_the_wrong_order_do_not_pass(kind: str, order: tuple[int, ...]) -> None:
    assert compared(kind, order, False, True).equivalent is False
