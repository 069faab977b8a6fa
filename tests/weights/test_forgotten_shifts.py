"""Which differences of weights whatever reads the result forgets, proved from the graph."""

import numpy as np
import pytest
from synthetic import Graph

from padiff_graph.weights.forgotten_shifts import forgotten_by

R = np.random.default_rng(0)
WEIGHT = R.standard_normal((8, 6)).astype(np.float32)
CENTRED = WEIGHT - WEIGHT.mean(1, keepdims=True)


def head(reader: str = "LogSoftmax", handed: bool = False, shape=(4, 6)):
    graph = Graph()
    x = graph.leaf("Input", "x", 4, 8)
    logits = graph.op("Linear", [x, graph.parameter("head.weight", 8, 6)], (4, 6), "head")
    outputs = {"output": graph.op(reader, [logits], shape, "")}
    return graph.finish(**outputs, **({"logits": logits} if handed else {}))


def test_a_softmax_forgets_a_shift_of_all_classes():
    assert forgotten_by(head(), "head.weight", CENTRED, WEIGHT) == "LogSoftmax"


@pytest.mark.parametrize(
    "graph", [head("Relu"), head(handed=True)], ids=["another reader", "handed out as well"]
)
def test_what_else_reads_the_result_does_not_forget_it(graph):
    assert forgotten_by(graph, "head.weight", CENTRED, WEIGHT) is None


def test_other_differences_are_not_forgotten():
    over_inputs = WEIGHT - WEIGHT.mean(0, keepdims=True)
    one_class = WEIGHT.copy()
    one_class[:, 0] += 1e-3
    for own in (over_inputs, one_class):
        assert forgotten_by(head(), "head.weight", own, WEIGHT) is None


def test_a_weight_that_is_read_elsewhere_too_is_not_forgotten():
    graph = Graph()
    weight = graph.parameter("tied", 8, 6)
    x = graph.op("Linear", [graph.leaf("Input", "x", 4, 8), weight], (4, 6), "head")
    finished = graph.finish(
        output=graph.op("Softmax", [x], (4, 6), ""), more=graph.op("Relu", [weight], (8, 6), "")
    )
    assert forgotten_by(finished, "tied", CENTRED, WEIGHT) is None
