"""The stand-in of a torch model in half precision."""

import threading

import pytest
import torch

from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.capture.torch.stand_in import copied


class Asks(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(2, 2)

    def forward(self, x):
        return self.linear(x), x.dtype == torch.bfloat16


def test_a_compiled_model_runs_as_its_code_says():
    compiled = torch.compile(Asks(), backend="eager")
    output, asked = copied(compiled, "bfloat16")(torch.ones(1, 2, dtype=torch.float64))
    assert output.dtype is torch.float64 and asked


def test_a_model_without_shapes_is_refused():
    with pytest.raises(CaptureError, match="weight has no shape yet"):
        copied(torch.nn.LazyLinear(2), "bfloat16")


def test_a_model_that_cannot_be_copied_is_refused():
    model = Asks()
    model.lock = threading.Lock()
    with pytest.raises(CaptureError, match="Asks cannot be copied"):
        copied(model, "bfloat16")
