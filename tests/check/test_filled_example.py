"""Examples that hold no numbers: no rows, or NaN alone."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg
from tests.models.around import AroundPaddle, AroundTorch

STRICT = {"atol": 1e-4, "rtol": 1e-4, "compare_mode": "strict"}
FAILS = ("different", "missing", "extra")
NO_ROWS = np.zeros((0, 8), "float32")
NAN = np.full((4, 8), np.nan, "float32")


def _checked(first, second, x, **arguments):
    inputs = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x.copy())}
    return pg.compare(AroundPaddle(first), AroundTorch(second), inputs, options=STRICT, **arguments)


REFERENCES = {
    "axis": (
        lambda h: h - h.mean(1, keepdim=True),
        lambda h: h - h.mean(1, keepdim=True),
        lambda h: h - h.mean(0, keepdim=True),
    ),
    "factor": (lambda h: h * 3, lambda h: h * 3, lambda h: h * 2),
    "order": (
        lambda h: torch.cumsum(h, 1),
        lambda h: paddle.cumsum(h, 1),
        lambda h: paddle.cumsum(h.flip([1]), 1),
    ),
}


@pytest.mark.parametrize("kind", REFERENCES)
@pytest.mark.parametrize("x", [NO_ROWS, NAN], ids=["no rows", "NaN"])
def test_what_no_numbers_show_is_asked_of_numbers(kind, x):
    reference, same, other = REFERENCES[kind]
    healthy = _checked(same, reference, x)
    assert healthy.passed, [finding.cause for finding in healthy.findings]
    assert any("random numbers there as well" in note for note in healthy.notes)
    report = _checked(other, reference, x)
    assert not report.passed
    assert any(finding.verdict in FAILS for finding in report.findings)


def _only_empty(h):
    assert h.shape[0] == 0
    return h * 2


def test_models_that_take_no_numbers_are_left_alone():
    report = _checked(_only_empty, _only_empty, NO_ROWS)
    assert report.passed
    assert any("do not run on random numbers there" in note for note in report.notes)


def test_an_example_with_numbers_is_run_as_it_is():
    x = np.random.default_rng(0).standard_normal((4, 8)).astype("float32")
    report = _checked(lambda h: h, lambda h: h, x)
    assert report.passed and not any("random numbers" in note for note in report.notes)
