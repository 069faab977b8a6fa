"""Only what may stand at a kink is run again with the weights as they are."""

from __future__ import annotations

from padiff_graph.capture.normal.operator_table import OPERATORS
from padiff_graph.check.smooth_operations import SMOOTH, smooth_operations
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


def kinked(*names: str) -> list[str]:
    """The native operations that may have a kink."""
    own = matching(*names)
    first, second = smooth_operations(own)
    assert first == second
    records = map(own.first.graph.record, own.first.graph.nodes)
    computed = [node for node in records if node.op and node.inputs]
    return [node.op for node in computed if node.id not in first]


def test_kinks_are_seen_one_by_one() -> None:
    assert kinked("tanh") == []
    assert kinked("tanh", "relu", "abs") == ["aten.relu.default", "aten.abs.default"]


def test_an_unknown_operator_may_have_one() -> None:
    assert kinked("something_new") == ["aten.something_new.default"]


def test_the_operators_are_known_ones() -> None:
    assert OPERATORS.keys() >= SMOOTH
