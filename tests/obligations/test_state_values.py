"""How far two kept values may be apart."""

from __future__ import annotations

import numpy as np
import pytest

from padiff_graph.obligations.state_values import ROUNDING, rounding_of


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("float16", 2.0**-10), ("float32", ROUNDING), ("float64", ROUNDING), ("int64", ROUNDING)],
)
def test_half_precision_rounds_further_than_a_forward_carries(dtype: str, expected: float) -> None:
    assert rounding_of(np.zeros(2, dtype)) == expected
