"""The last state of a recurrent layer, taken from what it says of its state or from its last step:
one value under two results, between which nothing is cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

STRICT = {"atol": 1e-4, "rtol": 1e-4, "compare_mode": "strict"}
X = np.random.default_rng(5).standard_normal((2, 5, 6)).astype("float32")

Taken = Callable[[Any, Any, Any], Any]
"""What goes into the head, of the steps, the state and the function that joins two."""

TAKEN: dict[str, Taken] = {
    "state": lambda steps, state, join: state[-1],
    "first state": lambda steps, state, join: state[0],
    "last step": lambda steps, state, join: steps[:, -1],
    "step before": lambda steps, state, join: steps[:, -2],
    "both states": lambda steps, state, join: join([state[-2], state[-1]], -1),
    "both ends": lambda steps, state, join: join([steps[:, -1, :4], steps[:, 0, 4:]], -1),
}


class _Paddle(paddle.nn.Layer):
    def __init__(self, kind: str, taken: Taken, directions: int, layers: int) -> None:
        super().__init__()
        direction = "bidirect" if directions == 2 else "forward"
        layer = getattr(paddle.nn, kind)
        self.recurrent = layer(6, 4, num_layers=layers, direction=direction)
        self.head, self.taken = paddle.nn.Linear(4 * directions, 3), taken

    def forward(self, x: Any) -> Any:
        steps, state = self.recurrent(x)
        state = state[0] if isinstance(state, tuple) else state
        return self.head(self.taken(steps, state, paddle.concat))


class _Torch(torch.nn.Module):
    def __init__(self, kind: str, taken: Taken, directions: int, layers: int) -> None:
        super().__init__()
        layer = getattr(torch.nn, {"SimpleRNN": "RNN"}.get(kind, kind))
        self.recurrent = layer(6, 4, layers, batch_first=True, bidirectional=directions == 2)
        self.head, self.taken = torch.nn.Linear(4 * directions, 3), taken

    def forward(self, x: Any) -> Any:
        steps, state = self.recurrent(x)
        state = state[0] if isinstance(state, tuple) else state
        return self.head(self.taken(steps, state, torch.cat))


def _compared(kind: str, taken: tuple[str, str], directions: int, layers: int) -> pg.Report:
    first = _Paddle(kind, TAKEN[taken[0]], directions, layers)
    second = _Torch(kind, TAKEN[taken[1]], directions, layers)
    example = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X)}
    return pg.compare(first, second, example, auto_weights=True, options=STRICT)


@pytest.mark.parametrize("kind", ["GRU", "LSTM", "SimpleRNN"])
@pytest.mark.parametrize(
    ("directions", "layers", "taken"),
    [
        (1, 1, ("state", "last step")),
        (1, 2, ("last step", "state")),
        (2, 1, ("both states", "both ends")),
    ],
)
def test_state_is_the_last_step(
    kind: str, directions: int, layers: int, taken: tuple[str, str]
) -> None:
    for pair in (taken, taken[::-1]):
        assert _compared(kind, pair, directions, layers).passed


@pytest.mark.parametrize(
    ("directions", "layers", "taken"),
    [
        (1, 1, ("state", "step before")),
        (1, 2, ("first state", "last step")),
        (2, 1, ("both states", "last step")),
    ],
)
def test_another_step_is_not(directions: int, layers: int, taken: tuple[str, str]) -> None:
    for pair in (taken, taken[::-1]):
        report = _compared("GRU", pair, directions, layers)
        assert report.equivalent is False and report.findings[0].fails


class _Steps(paddle.nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.recurrent = paddle.nn.GRU(6, 4, num_layers=2)

    def forward(self, input: Any) -> Any:
        return (self.recurrent(input)[0],)


def test_a_state_that_is_returned_besides_takes_no_cut_away(tmp_path: Path) -> None:
    """Without the cut a recording has no gradients of the layer: what arrives at it comes from the
    state too."""
    reference = torch.nn.GRU(6, 4, 2, batch_first=True)
    example = {"input": paddle.to_tensor(X)}, {"input": torch.from_numpy(X)}
    pg.record(reference, example[1], tmp_path / "reference.pgref")
    report = pg.compare(_Steps(), tmp_path / "reference.pgref", example, options=STRICT)
    assert not report.regions.get("not-comparable"), report.findings
