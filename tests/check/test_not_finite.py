"""Where NaN and infinity first come up, on each side."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

OPTIONS = {"rtol": 1e-4, "atol": 1e-5, "check_nan": True}


class _Paddle(paddle.nn.Layer):
    def __init__(self, floor):
        super().__init__()
        self.fc, self.floor = paddle.nn.Linear(4, 4), floor

    def forward(self, x):
        hidden = paddle.nn.functional.relu(self.fc(x)) + self.floor
        return paddle.log(hidden) * 2.0


class _Torch(torch.nn.Module):
    def __init__(self, floor):
        super().__init__()
        self.fc, self.floor = torch.nn.Linear(4, 4), floor

    def forward(self, x):
        hidden = torch.relu(self.fc(x)) + self.floor
        return torch.log(hidden) * 2.0


def _notes(floors, x=None):
    torch.manual_seed(0)
    if x is None:
        x = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    report = pg.compare(
        _Paddle(floors[0]), _Torch(floors[1]), ({"x": x}, {"x": x}), options=OPTIONS
    )
    return [note for note in report.notes if "NaN" in note or "infinity" in note]


def test_the_operation_that_yields_one_first_is_named_on_its_side():
    notes = _notes((0.0, 1.0))
    assert any(
        note.startswith("paddle: the first infinity comes out of pd_op.log in the root")
        and "test_not_finite.py:" in note
        for note in notes
    )
    assert "torch: no infinity in any value of the forward pass" in notes
    assert "paddle: no NaN in any value of the forward pass" in notes


def test_what_comes_in_with_an_input_is_said_so():
    x = np.full((2, 4), np.nan, np.float32)
    assert "torch: the first NaN comes in with the input x" in _notes((1.0, 1.0), x)


def test_nothing_is_said_where_nobody_asks():
    x = np.ones((2, 4), np.float32)
    report = pg.compare(_Paddle(1.0), _Torch(1.0), ({"x": x}, {"x": x}))
    assert not any("NaN" in note for note in report.notes)


@pytest.mark.parametrize("floor", [1.0, -9.0])
def test_a_pass_says_where_both_outputs_are_nan(floor):
    """NaN against NaN is no difference, and no comparison either."""
    x = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    report = pg.compare(
        _Paddle(floor), _Torch(floor), ({"x": x}, {"x": x}), options={"rtol": 1e-4, "atol": 1e-5}
    )
    assert report.passed
    told = [note for note in report.notes if "is NaN in both models" in note]
    assert told == ([BOTH] if floor < 0 else [])


BOTH = (
    "output is NaN in both models in 12 of 12 places, where nothing can be compared; check_nan "
    "(--check-nan) names the first operation that yields one"
)
