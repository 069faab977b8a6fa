"""A run in float64 that has other tensors than the first run is laid beside it by name."""

import numpy as np

from padiff_graph.check.region_examination import beside
from padiff_graph.executor.tensor_pair import TensorPair


def _tensor(kind, name):
    return TensorPair(kind, name, name, np.zeros(2), np.zeros(2))


def test_gradients_that_one_run_alone_has_are_no_others_counterpart():
    output, value, weight = (
        _tensor("output", "y"),
        _tensor("input", "x"),
        _tensor("parameter", "fc.weight"),
    )
    assert beside([output, weight], [output, value, weight]) == (output, weight)
    assert beside([output, value, weight], [output, weight]) == (output, None, weight)
    assert beside([output, value], [output, value]) == (output, value)


def test_results_of_one_name_go_in_order():
    first, second = _tensor("output", "norm"), _tensor("output", "norm")
    value = _tensor("input", "x")
    found = beside([first, second, value], [first, second])
    assert found[0] is first and found[1] is second and found[2] is None
