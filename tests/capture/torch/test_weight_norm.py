"""A weight norm whose magnitudes do not fit its axis: torch would write past its results."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from padiff_graph.capture.engine import NotRunnable
from padiff_graph.capture.torch.aten_call import run_node
from padiff_graph.capture.torch.trace import trace

CPU = torch.device("cpu")


def normed() -> tuple:
    """The captured operation of a normed Linear of 8 features to 5, and its operands."""
    layer = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(8, 5))
    graph = trace(layer, {"input": torch.ones(2, 8)})
    node = next(record for record in graph.records() if "_weight_norm" in record.op)
    parametrized = layer.parametrizations.weight
    held = {"original0": parametrized.original0, "original1": parametrized.original1}
    names = [graph.record(value.node).name.rsplit(".", 1)[-1] for value in node.inputs]
    return layer, node, [held[name].detach() for name in names]


def test_magnitudes_that_fit_the_axis_are_used():
    layer, node, operands = normed()
    (result,) = run_node(node, operands, CPU)
    assert torch.equal(result, layer.weight)


@pytest.mark.parametrize("axis", [1, -1])
def test_magnitudes_of_another_axis_are_refused(axis):
    _, node, operands = normed()
    other = replace(node, attrs={**node.attrs, "dim": axis})
    with pytest.raises(NotRunnable, match="are needed"):
        run_node(other, operands, CPU)
