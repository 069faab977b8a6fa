"""Arrays of numpy are inputs as they are; models without numbers are refused in words."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg
from padiff_graph.errors import UsageError

X = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
OPTIONS = {"rtol": 1e-4, "atol": 1e-6}


def _read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "array",
    [X, _read_only(X), np.asfortranarray(X), X[::2], X[:0], X.astype(">f4")],
    ids=lambda array: f"{array.dtype.str}{array.shape}",
)
def test_an_array_is_an_input_of_both(array):
    before = array.copy()
    inputs = {"input": array}
    report = pg.compare(
        paddle.nn.Linear(6, 3), torch.nn.Linear(6, 3), (inputs, inputs), options=OPTIONS
    )
    assert report.passed and report.compared.outputs == 1
    assert inputs["input"] is array
    np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize("kind", [object, str])
def test_an_array_without_numbers_is_refused(kind):
    inputs = {"input": X.astype(kind)}
    with pytest.raises(UsageError, match="the input input is an array of .* expected numbers"):
        pg.compare(paddle.nn.Linear(6, 3), torch.nn.Linear(6, 3), (inputs, inputs))


def test_an_array_beside_a_tensor():
    example = {"input": X}, {"input": torch.from_numpy(X)}
    assert pg.compare(
        paddle.nn.Linear(6, 3), torch.nn.Linear(6, 3), example, options=OPTIONS
    ).passed


def test_one_model_is_captured_with_arrays():
    graph = pg.capture_graph(torch.nn.Linear(6, 3), {"input": X})
    assert graph.certificate.valid


def test_a_diff_takes_arrays():
    inputs = {"input": X}
    found = pg.structural_diff(paddle.nn.Linear(6, 3), torch.nn.Linear(6, 3), (inputs, inputs))
    assert found.matching.matches and not found.findings


def test_a_meta_model_is_refused_by_its_parameter():
    module = torch.nn.Linear(6, 3).to("meta")
    inputs = {"input": X}
    with pytest.raises(UsageError, match=r"module: its parameter weight holds no numbers.*1 more"):
        pg.compare(paddle.nn.Linear(6, 3), module, (inputs, inputs))


def test_a_lazily_made_layer_is_refused_by_its_parameter():
    with paddle.LazyGuard():
        layer = paddle.nn.Linear(6, 3)
    inputs = {"input": X}
    with pytest.raises(UsageError, match="layer: its parameter weight holds no numbers"):
        pg.compare(layer, torch.nn.Linear(6, 3), (inputs, inputs))
