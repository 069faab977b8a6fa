"""Two whole runs laid side by side from arrays by name: no framework is loaded."""

from __future__ import annotations

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.capture.normal.index_map import View
from padiff_graph.check.eager_models import EagerModel
from padiff_graph.check.whole_quantities import held_quantities, pair_outputs
from padiff_graph.matching.result import ParameterRow, Piece
from padiff_graph.referee.tolerance import Quantity, Tolerance

W = np.arange(6, dtype=np.float32).reshape(2, 3)
ASKED = Tolerance(1e-6, 1e-6)
TRANSPOSED = ParameterRow(
    "fc.weight",
    (Piece("linear.weight", View.of((2, 3)), View.of((3, 2)).transpose([1, 0])),),
    "transpose",
    1.0,
    "given",
)


def model(gradients: dict[str, Array] | None = None, **buffers: Array) -> EagerModel:
    return EagerModel({}, buffers, gradients or {})


def held_of(
    first: EagerModel, second: EagerModel, *rows: ParameterRow, inputs: str = ""
) -> list[Quantity]:
    pairs = [("x", inputs)] if inputs else []
    return held_quantities(rows, pairs, (first, second), ASKED, gradients=True)


def test_outputs_pair_by_name_then_by_place_where_as_many_are_left() -> None:
    pairs = pair_outputs(None, ["a", "logits"], ["scores", "a"])
    assert pairs == [("a", "a"), ("logits", "scores")]
    assert pair_outputs(None, ["a", "b"], ["a"]) == [("a", "a")]


def test_a_parameter_gradient_is_read_through_the_map() -> None:
    first = model({"parameter:fc.weight": W})
    second = model({"parameter:linear.weight": np.ascontiguousarray(W.T)})
    (held,) = held_of(first, second, TRANSPOSED)
    assert held.within and held.error == 0
    assert (held.kind, held.first, held.second) == ("parameter", "fc.weight", "linear.weight")


def test_a_gradient_that_one_side_lacks_is_zero_there() -> None:
    (held,) = held_of(model({"parameter:fc.weight": W}), model(), TRANSPOSED)
    assert not held.within and held.reason == "no gradient arrives on the second side"
    second = model({"parameter:linear.weight": np.zeros((3, 2), np.float32)})
    assert held_of(model(), second, TRANSPOSED) == []
    (held,) = held_of(model(), model({"input:y": W}), inputs="y")
    assert held.reason == "no gradient arrives on the first side"


def test_buffers_are_held_where_both_sides_have_them() -> None:
    row = ParameterRow(
        "norm.mean", (Piece("bn.mean", View.of((3,)), View.of((3,))),), "identity", 1.0, "given"
    )
    ours = EagerModel({}, {"norm.mean": np.ones(3)}, {})
    theirs = EagerModel({}, {"bn.mean": np.full(3, 2.0)}, {})
    (held,) = held_of(ours, theirs, row)
    assert (held.kind, held.error) == ("buffer", 1.0)
    assert held_of(ours, model(), row) == []
