"""Only what may stand at a kink is run again with the weights as they are."""

from __future__ import annotations

import pytest

from padiff_graph.capture.normal.operator_table import OPERATORS
from padiff_graph.check.smooth_models import SMOOTH, smooth
from padiff_graph.matching.result import Matching
from tests.models.graph_maker import Maker
from tests.models.spelled import call, composed_norm, linear

SHAPE = (2, 3, 8)


def matching(*names: str, epsilon: float = 1e-5) -> Matching:
    make = Maker("torch")
    x = linear(make, make.input("x", SHAPE), SHAPE, 8, 8, "linear.")
    x = composed_norm(make, x, SHAPE, False, epsilon)
    for name in names:
        x = call(make, name, name, x, SHAPE)
    graph = make.normal(x)
    return Matching(graph, graph, ())


@pytest.mark.parametrize(
    ("names", "told"), [(("tanh",), True), (("tanh", "relu"), False), (("abs",), False)]
)
def test_a_kink_is_seen(names: tuple[str, ...], told: bool) -> None:
    assert smooth(matching(*names)) is told


def test_an_unknown_operator_may_have_one() -> None:
    assert not smooth(matching("something_new"))


def test_the_operators_are_known_ones() -> None:
    assert OPERATORS.keys() >= SMOOTH
