"""The table of operators agrees with itself, with what backends make, and with what asks it."""

from __future__ import annotations

import ast
import inspect
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from padiff_graph.capture.normal.operator_table import OPERATORS
from padiff_graph.capture.normal.traits import Layout, Scale, same_family, traits
from padiff_graph.matching.parameters.layouts import CROSS, RULES

CAPTURE = Path(inspect.getfile(traits)).parents[1]
ROWS = [path for path in CAPTURE.rglob("*.py") if not path.name.startswith("operator_t")]
"""Files that may make nodes or name operators: all but the table itself and its columns."""
MAKING = {"draft", "results", "made_of", "add", "unary", "along_last", "on_axis", "reduction"} | {
    "reduce_over",
    "argument",
    "boolean",
    "paired",
    "rnn_cell",
    "spatial",
    "pool",
    "adaptive_pool",
}
"""Calls that make a node of the operator they name."""

OPERATOR = re.compile("[A-Z][A-Za-z0-9]+")
"""How operators are named; shorter words are operands of ONNX."""


def made(path: Path) -> set[str]:
    """Operators that calls of a file name: capitalised words handed to what makes nodes."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return {
        word.value
        for call in calls
        if getattr(call.func, "attr", getattr(call.func, "id", "")) in MAKING
        for argument in call.args
        for word in ast.walk(argument)
        if isinstance(word, ast.Constant)
        and isinstance(word.value, str)
        and OPERATOR.fullmatch(word.value)
    }


def test_what_rows_and_rewrites_make_has_a_row() -> None:
    assert {op for path in ROWS for op in made(path)} <= OPERATORS.keys()


def test_every_operator_is_made_by_someone() -> None:
    named = {
        word.value
        for path in ROWS
        for word in ast.walk(ast.parse(path.read_text()))
        if isinstance(word, ast.Constant) and isinstance(word.value, str)
    }
    spelled = {part for word in named for part in word.split()}
    assert OPERATORS.keys() - spelled == set()


def test_an_opaque_operator_has_no_traits() -> None:
    row = traits("vendor.strange_op")
    assert row == type(row)()
    assert not same_family("vendor.strange_op", "vendor.another_op")


def test_operands_and_attributes_are_told_once() -> None:
    for op, row in OPERATORS.items():
        assert "*" not in row.operands[:-1], op
        assert len(set(row.attributes)) == len(row.attributes), op
        roles = [role for role in row.operands if role != "mask"]
        assert len(set(roles)) == len(roles), op


def test_leaves_compute_nothing() -> None:
    for op, row in OPERATORS.items():
        if row.leaf:
            assert row == type(row)(leaf=True, about=row.about), op


def test_layouts_have_the_operands_they_speak_of() -> None:
    for op, row in OPERATORS.items():
        least = {Layout.MATMUL: 2, Layout.LINEAR: 3, Layout.CONVOLUTION: 3, Layout.GATHER: 2}
        assert len(row.operands) >= least.get(row.layout, 0), op
        if row.trailing:
            assert row.operands[0] == "X" and {"axis", "axes"} & set(row.attributes), op
        if row.layout in (Layout.LINEAR, Layout.CONVOLUTION):
            assert row.operands == ("X", "W", "bias") and row.scale is Scale.EACH, op
        if row.layout in (Layout.ROWS, Layout.CHANNELS):
            assert row.role(1) == "scale" and row.family == "normalization", op


def test_every_layout_has_a_rule() -> None:
    assert set(RULES) == set(Layout)
    assert {op for pair in CROSS for op in pair} <= OPERATORS.keys()


def test_traits_of_reductions_and_axes() -> None:
    for op, row in OPERATORS.items():
        if row.ordered or row.shift_free or row.keeps_one:
            assert row.trailing, op
        if row.passes:
            assert row.operands == ("X",) and row.elementwise, op
        if row.selects:
            assert row.operands[:2] in (("data", "indices"), ("data", "*")), op


def test_a_family_has_several_members() -> None:
    sizes = Counter(row.family for row in OPERATORS.values() if row.family)
    assert min(sizes.values()) > 1


ATTRIBUTES = {
    "LeakyRelu": {"alpha": 0.1},
    "Pow": {"exponent": 2.0},
    "Clip": {"min": -0.5, "max": 0.5},
    "Swish": {"alpha": 1.0},
    "Cast": {"to": "int32"},
    "Concat": {"axis": 0},
    "CumSum": {"axis": -1, "exclusive": False, "reverse": False},
    "Trilu": {"upper": True, "diagonal": 0},
}
COMPUTED = [op for op, row in OPERATORS.items() if row.numpy is not None and not row.selects]


def computed(op: str, operands: list[np.ndarray]) -> np.ndarray:
    """The operator by numpy."""
    row = OPERATORS[op]
    attrs = {"axes": (-1,)} if "axes" in row.attributes else ATTRIBUTES.get(op, {})
    assert row.numpy is not None
    return np.asarray(row.numpy(*operands, **attrs))


def operands_of(op: str) -> list[np.ndarray]:
    """Two or three operands at random, as the operator takes them."""
    row, draw = OPERATORS[op], np.random.default_rng(0)
    count = 3 if row.variadic else 1 if op == "Pow" else len(row.operands)
    return [draw.normal(size=(4, 4)) for _ in range(count)]


@pytest.mark.filterwarnings("ignore:invalid value", "ignore:divide by zero")
@pytest.mark.parametrize("op", COMPUTED)
def test_numpy_keeps_to_the_traits(op: str) -> None:
    row, operands = OPERATORS[op], operands_of(op)
    result = computed(op, operands)
    if row.elementwise:
        assert result.shape == operands[0].shape
        flipped = computed(op, [operand[::-1] for operand in operands])
        np.testing.assert_array_equal(flipped, result[::-1])
    if row.trailing:
        assert result.shape[: operands[0].ndim - 1] == operands[0].shape[:-1]
    if row.commutative:
        np.testing.assert_allclose(computed(op, operands[::-1]), result, rtol=1e-12)
    if row.keeps_one:
        np.testing.assert_array_equal(computed(op, [operands[0][:, :1]]), operands[0][:, 0])


@pytest.mark.parametrize("op", [op for op in COMPUTED if OPERATORS[op].scale is not Scale.STAYS])
def test_numpy_lets_factors_pass_as_the_row_says(op: str) -> None:
    row, operands = OPERATORS[op], operands_of(op)
    factor = {Scale.ANY: -3.0, Scale.EACH: -3.0, Scale.POSITIVE: 3.0}.get(row.scale)
    if factor is not None:
        scaled = computed(op, [factor * operands[0], *operands[1:]])
        np.testing.assert_allclose(scaled, factor * computed(op, operands), rtol=1e-12)
