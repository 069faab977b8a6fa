"""Sums, products, differences and quotients of any number of terms."""

from __future__ import annotations

from collections import Counter

from tests.models.graph_maker import Maker, names, the
from tests.models.spelled import BOTH, add, call, mul, scaled


@BOTH
def test_sums_and_products_of_any_number(framework: str) -> None:
    make = Maker(framework)
    shape = (2, 3)
    a, b, c = (make.input(name, shape) for name in "abc")
    total = add(make, add(make, scaled(make, a, shape, 2.0, 1.0), b, shape), c, shape)
    graph = make.normal(call(make, "tanh", "tanh", total, shape))
    node = the(graph, "Add")
    assert sorted(edge.scale for edge in node.inputs) == [1.0, 1.0, 2.0] and {
        edge.shift for edge in node.inputs
    } == {0.0}
    assert the(graph, "Tanh").inputs[0].shift == 1.0
    make = Maker(framework)
    a, b, c = (make.input(name, shape) for name in "abc")
    graph = make.normal(
        call(
            make,
            "tanh",
            "tanh",
            mul(make, mul(make, a, scaled(make, b, shape, 3.0), shape), c, shape),
            shape,
        )
    )
    assert len(the(graph, "Mul").inputs) == 3 and the(graph, "Tanh").inputs[0].scale == 3.0


@BOTH
def test_a_sum_read_twice_is_kept(framework: str) -> None:
    make = Maker(framework)
    a, b, c = (make.input(name, (2, 3)) for name in "abc")
    inner = add(make, a, b, (2, 3))
    graph = make.normal(add(make, inner, c, (2, 3)), call(make, "relu", "relu", inner, (2, 3)))
    assert Counter(names(graph)) == {"Add": 2, "Relu": 1}


@BOTH
def test_subtraction_and_division(framework: str) -> None:
    make = Maker(framework)
    a, b = make.input("a", (2, 3)), make.input("b", (2, 3))
    roles = ("self", "other") if framework == "torch" else ("x", "y")
    minus = make.op(
        "aten.sub.Tensor" if framework == "torch" else "subtract",
        dict(zip(roles, (a, b), strict=True)),
        (2, 3),
    )
    root = call(make, "sqrt", "sqrt", b, (2, 3))
    over = make.op(
        "aten.div.Tensor" if framework == "torch" else "divide",
        dict(zip(roles, (minus, root), strict=True)),
        (2, 3),
    )
    graph = make.normal(over)
    assert Counter(names(graph)) == {"Add": 1, "Pow": 1, "Mul": 1}
    assert the(graph, "Pow").attrs["exponent"] == -0.5
    assert sorted(edge.scale for edge in the(graph, "Add").inputs) == [-1.0, 1.0]
