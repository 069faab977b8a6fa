"""Rows for ONNX recurrent networks."""

from __future__ import annotations

from typing import Any

import numpy as np

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal.call import Call, Result, Row, Unsupported
from padiff_graph.capture.normal.edges import reshape, shape_of, transpose
from padiff_graph.capture.normal.form import Edge

__all__ = [
    "recurrent",
]


GATES = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
"""Where torch's gates stand in ONNX's order: LSTM i f g o in i o f c; GRU r z n in z r h."""


def recurrent(op: str) -> Row:
    """LSTM, GRU, RNN of one layer, both directions, weights brought into torch's order of gates.

    GRU only with `linear_before_reset`, which torch and Paddle have.
    """

    def row(call: Call) -> Result:
        _refuse_recurrent(call, op)
        x, directions, hidden = call["X"], shape_of(call["W"])[0], call.number("hidden_size")
        length, batch, _ = shape_of(x)
        attrs: dict[str, Any] = {
            "hidden_size": hidden,
            "num_layers": 1,
            "bidirectional": directions == 2,
            "dropout": 0.0,
        }
        if op == "RNN":
            attrs["activation"] = str((call.get("activations") or ("Tanh",))[0]).lower()
        states = _states(call, op, (directions, batch, hidden))
        operands = [x, *states, *_weights(call, [gate * hidden for gate in GATES[op]], hidden)]
        dtype = call.builder.dtype(x)
        types = [TensorType((length, batch, directions * hidden), dtype)]
        types += [TensorType((directions, batch, hidden), dtype)] * len(states)
        y, *finals = call.results(op, operands, attrs, *types)
        spread = transpose(reshape(y, [length, batch, directions, hidden]), [0, 2, 1, 3])
        return [spread, *finals][: max(1, len(call.record.outputs))]

    return row


def _refuse_recurrent(call: Call, op: str) -> None:
    if any(call.operand(role) is not None for role in ("sequence_lens", "P")):
        raise Unsupported(f"this form of {op}")
    if call.number("layout", 0) or call.get("clip"):
        raise Unsupported(f"this form of {op}")
    if op == "GRU" and not call.number("linear_before_reset", 0):
        raise Unsupported("a GRU that resets before the product")


def _weights(call: Call, gates: list[int], hidden: int) -> list[Edge | None]:
    """For each direction W, R and both halves of B, gates in torch's order; no bias is none."""
    w, r, b = call["W"], call["R"], call.operand("B")
    order = [gate + at for gate in gates for at in range(hidden)]
    weights: list[Edge | None] = []
    for direction in range(shape_of(w)[0]):
        weights += [call.take(_one_of(call, matrix, direction), 0, order) for matrix in (w, r)]
        if b is None:
            continue
        bias = _one_of(call, b, direction)
        for half in (0, len(order)):
            weights.append(call.take(bias, 0, [half + at for at in order]))
    return weights


def _one_of(call: Call, edge: Edge, direction: int) -> Edge:
    return reshape(call.take(edge, 0, range(direction, direction + 1)), shape_of(edge)[1:])


def _states(call: Call, op: str, shape: tuple[int, ...]) -> list[Edge]:
    """Initial states; absent ones are zeros."""
    roles = ["initial_h"]
    if op == "LSTM":
        roles.append("initial_c")
    return [call.operand(role) or call.constant(np.zeros(shape, np.float32)) for role in roles]
