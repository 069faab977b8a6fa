"""The interpreter on a hand-made graph, by an engine that needs no framework."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import pytest

from padiff_graph.capture.engine import NotRunnable
from padiff_graph.capture.graph import ComputationGraph, Node, TensorType, Value
from padiff_graph.capture.interpreter import Interpreter

TWO = TensorType((2,), "float32")
X, W, C, SUM, NOISE, PARTS, OUT = range(7)


class Plain:
    """An engine whose tensors are arrays; it notes what it is asked."""

    framework = "plain"

    def __init__(self, unrunnable: Sequence[str] = ()) -> None:
        self.unrunnable = unrunnable
        self.ran: list[tuple[str, bool]] = []
        self.draws: list[Any] = []
        self.recorded = True

    @contextmanager
    def recording(self, on: bool) -> Iterator[None]:
        before, self.recorded = self.recorded, on
        yield
        self.recorded = before

    def saving(self) -> Any:
        return nullcontext()

    def tensor(self, array: Any, dtype: str | None = None, requires_grad: bool = False) -> Any:
        return np.array(array, dtype)

    def array(self, tensor: Any) -> Any:
        return tensor

    def run(
        self, node: Node, operands: Sequence[Any], *, double: bool = False, draw: Any = None
    ) -> tuple[Any, ...]:
        if node.op in self.unrunnable:
            raise NotRunnable(f"{node.op} cannot be rerun")
        self.ran.append((node.op, self.recorded))
        self.draws.append(draw)
        if node.op == "split":
            return operands[0][:1], None, operands[0][1:]
        if node.op == "noise":
            return (operands[0] + (0 if draw is None else draw),)
        return (sum(operand for operand in operands if operand is not None),)


def graph(noise: frozenset[str] = frozenset({"random"})) -> ComputationGraph:
    """(x + w + c + noise), split; its first part is the output.

    `noise` are the marks of the noise.
    """
    one = TensorType((1,), "float32")
    nodes = [
        Node(X, "input", name="x", outputs=(TWO,)),
        Node(W, "parameter", name="w", outputs=(TWO,)),
        Node(C, "constant", outputs=(TWO,), constant=np.ones((2, 1), np.float32)),
        Node(SUM, "operation", "add", inputs=(Value(X), Value(W), None, Value(C)), outputs=(TWO,)),
        Node(NOISE, "operation", "noise", inputs=(Value(SUM),), outputs=(TWO,), marks=noise),
        Node(PARTS, "operation", "split", inputs=(Value(NOISE),), outputs=(one, None, one)),
        Node(OUT, "output", name="output", inputs=(Value(PARTS),)),
    ]
    return ComputationGraph.build("plain", nodes)


class Seen(Interpreter):
    """Notes values as they come, and draws threes."""

    def __init__(self, captured: ComputationGraph, engine: Plain, **how: Any) -> None:
        inputs = {X: np.array([1, 2], np.float32)}
        weights = {"w": np.array([10, 20], np.float32)}
        super().__init__(captured, engine, weights.__getitem__, inputs, **how)  # type: ignore[arg-type]
        self.values: list[Value] = []
        self.dtypes: set[str] = set()

    def draw(self, node: Node) -> Any:
        return np.full(2, 3, np.float32)

    def produced(self, value: Value, tensor: Any) -> None:
        self.values.append(value)
        self.dtypes.add(str(tensor.dtype))


def test_program_order_leaves_and_kept_values() -> None:
    captured = graph()
    run = Seen(captured, Plain())
    known = run.run(captured.records(), keep={Value(PARTS)})
    assert run.values == [Value(n) for n in range(6)] + [Value(PARTS, 2)], "no result, no value"
    assert list(known) == [Value(PARTS)], "all else is let go"
    np.testing.assert_array_equal(known[Value(PARTS)], [15])  # 1 + 10 + 1 + 3


def test_all_values_are_kept_where_asked() -> None:
    captured = graph()
    known = Seen(captured, Plain()).run(captured.records(), keep=None)
    assert known[Value(PARTS, 1)] is None, "an operation may yield nothing at a place"
    assert known[Value(C)].shape == (2,), "a constant stands in the shape of its type"
    assert len(known) == 8


def test_a_value_is_let_go_after_its_last_read() -> None:
    captured = graph()
    alive: list[set[int]] = []

    class Watched(Seen):
        def operation(self, node: Node, operands: Sequence[Any]) -> Sequence[Any]:
            alive.append({value.node for value in known})
            return super().operation(node, operands)

    known: dict[Value, Any] = {}
    Watched(captured, Plain()).run(captured.records(), known)
    assert alive == [{X, W, C}, {SUM}, {NOISE}]
    assert known == {}


def test_values_that_stand_beforehand_replace_what_makes_them() -> None:
    captured = graph()
    known: dict[Value, Any] = {Value(SUM): np.zeros(2, np.float32)}
    nodes = [captured.record(NOISE), captured.record(PARTS)]
    out = Seen(captured, Plain()).run(nodes, known, {Value(PARTS, 2)})
    np.testing.assert_array_equal(out[Value(PARTS, 2)], [3])


@pytest.mark.parametrize(
    ("marks", "drawn"), [({"random"}, True), ({"random", "unshareable_random"}, False)]
)
def test_draws_go_to_random_operations_that_can_share_them(marks: set[str], drawn: bool) -> None:
    captured = graph(frozenset(marks))
    engine = Plain()
    Seen(captured, engine).run(captured.records())
    assert [draw is not None for draw in engine.draws] == [False, drawn, False]


@pytest.mark.parametrize(("record", "wanted"), [(True, [True, False, True]), (False, [False] * 3)])
def test_no_grad_marks_and_recording(record: bool, wanted: list[bool]) -> None:
    captured = graph(frozenset({"random", "no_grad"}))
    engine = Plain()
    Seen(captured, engine, record=record).run(captured.records())
    assert [recorded for _, recorded in engine.ran] == wanted
    assert engine.recorded, "as before"


def test_double_precision_feeds_every_leaf_in_float64() -> None:
    captured = graph()
    run = Seen(captured, Plain(), double=True)
    run.run(captured.records())
    assert run.dtypes == {"float64"}


def test_what_cannot_be_rerun_ends_the_run() -> None:
    captured = graph()
    with pytest.raises(NotRunnable, match="noise cannot be rerun"):
        Seen(captured, Plain(["noise"])).run(captured.records())


def test_what_reads_a_lost_value_is_left_out_where_failures_are_taken() -> None:
    captured = graph()

    class Tolerant(Seen):
        def failed(self, node: Node, error: NotRunnable) -> None:
            lost.append(node.op)

    lost: list[str] = []
    engine = Plain(["noise"])
    known = Tolerant(captured, engine).run(captured.records(), keep=None)
    assert lost == ["noise"]
    assert [op for op, _ in engine.ran] == ["add"]
    assert Value(SUM) in known and Value(PARTS) not in known


def test_a_leaf_without_value_says_so() -> None:
    captured = ComputationGraph.build("plain", [Node(C, "constant", name="big", outputs=(TWO,))])
    with pytest.raises(NotRunnable, match="the value of constant big is not known"):
        Seen(captured, Plain()).run(captured.records())
