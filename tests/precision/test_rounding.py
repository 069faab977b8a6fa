"""The emulation against torch's own bfloat16 and float16."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from padiff_graph.capture.backend import backend
from padiff_graph.precision.band import MARGIN
from padiff_graph.precision.rounding import LowSide, emulate, rounded
from padiff_graph.precision.stand_ins import captured
from tests.models.half_operations import OPERATIONS, Calls
from tests.models.half_pairs import half_pair

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
PLACES = {"bfloat16": 2.0**-7, "float16": 2.0**-10}
"""One unit in the last place, relative."""


@pytest.mark.parametrize("precision", DTYPES)
def test_rounding_is_torchs(precision: str) -> None:
    draws = np.random.default_rng(0).standard_normal(100_000) * 10.0 ** np.arange(-40, 40).repeat(
        1250
    )
    numbers = np.concatenate([draws, [0.0, -0.0, np.inf, -np.inf, 65519.9, 65520.0, 3.4e38]])
    single = numbers.astype("float32")
    theirs = torch.from_numpy(single).to(DTYPES[precision]).double().numpy()
    np.testing.assert_array_equal(rounded(single.astype("float64"), precision), theirs)
    assert np.isnan(rounded(np.array([np.nan]), precision)).all()


def _emulated(model: torch.nn.Module, given: dict[str, Any], precision: str) -> Any:
    side: LowSide = captured(model, given, precision)[1]
    (output,) = (node.inputs[0] for node in side.graph.of_kind("output"))
    assert output is not None
    return emulate(side, precision, [output]).values[output]


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_torchs_within_the_last_place(name: str, precision: str) -> None:
    x = torch.randn(16, 64, generator=torch.Generator().manual_seed(0))
    model = Calls(OPERATIONS[name])
    ours = _emulated(model, {"x": x}, precision)
    theirs = model(x.to(DTYPES[precision])).double().numpy()
    # two roundings where an operation is two; what cancels is held against the largest value
    scale = np.maximum(np.abs(theirs), np.abs(theirs).max() * 2.0**-6)
    assert (np.abs(ours - theirs) / scale).max() <= 2 * PLACES[precision]


@pytest.mark.parametrize("precision", DTYPES)
def test_a_whole_model_errs_as_torchs_own_run(precision: str) -> None:
    _, model, (_, given) = half_pair("")
    low = {
        name: leaf.to(DTYPES[precision]) if leaf.is_floating_point() else leaf
        for name, leaf in given.items()
    }
    ours = _emulated(model, given, precision)
    side = captured(model, given, precision)[1]
    (output,) = (node.inputs[0] for node in side.graph.of_kind("output"))
    assert output is not None
    truth = emulate(side, None, [output]).values[output]
    with torch.no_grad():
        theirs = model.to(DTYPES[precision])(**low).double().numpy()
    mine, own = np.abs(ours - truth).max(), np.abs(theirs - truth).max()
    assert own <= MARGIN * mine
    assert mine <= MARGIN * own
    assert np.abs(ours - theirs).max() <= 2 * MARGIN * own


def test_a_low_model_keeps_its_float32_weights() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.LayerNorm(4))
    model[0].to(torch.bfloat16)
    copied = backend("torch").stand_in
    assert copied is not None
    made = copied.copied(model, "bfloat16")
    assert made[0].weight.dtype == torch.float64
    assert made[1].weight.dtype == torch.float32
    assert model[0].weight.dtype == torch.bfloat16
