"""Float64 reaches through every operation, or is said not to."""

import numpy as np
import pytest

from padiff_graph.capture.double_precision import FrameworkTensors, widened
from padiff_graph.capture.engine import NotRunnable
from padiff_graph.capture.graph import Node

TENSORS = FrameworkTensors(
    lambda array: str(array.dtype), lambda array: array, lambda array: array.astype("float64")
)
NODE = Node(1, "operation", "some.op", path="block")


def asked(run, *operands):
    (result,) = widened(NODE, TENSORS, operands, run(operands), run)
    return result


def in_single(operands):
    """A kernel that computes in float32 whatever it is given."""
    return [np.sqrt(operands[0]).astype("float32")]


def of_integers_in_single(operands):
    """A kernel that makes float32 of whole numbers, and float64 of float64."""
    return [np.sqrt(operands[0], dtype="float64" if operands[0].dtype.kind == "f" else "float32")]


def test_whole_numbers_of_whole_numbers_are_widened():
    result = asked(in_single, np.array([1, 4, 9]))
    assert result.dtype == "float64" and list(result) == [1, 2, 3]


def test_what_is_computed_of_whole_numbers_is_computed_in_float64():
    result = asked(of_integers_in_single, np.array([2, 3]))
    assert result.dtype == "float64" and result[0] == np.sqrt(2.0)


@pytest.mark.parametrize("operand", [np.array([2, 3]), np.array([4.0, 9.0])])
def test_a_kernel_that_rounds_by_itself_is_refused(operand):
    with pytest.raises(NotRunnable, match="some.op of module 'block'.* computes in float32"):
        asked(in_single, operand)
