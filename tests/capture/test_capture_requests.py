"""What is no example of inputs is refused in words, whatever it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
import torch

from padiff_graph.capture.api import capture_graph
from padiff_graph.capture.capture_errors import CaptureError


@pytest.mark.parametrize("model", [torch.nn.Linear(3, 2), paddle.nn.Linear(3, 2)], ids=type)
@pytest.mark.parametrize(
    "example", [None, 3, True, "x", [np.ones((2, 3))], np.ones((2, 3))], ids=repr
)
def test_an_example_that_is_no_dict_is_refused(model: Any, example: Any) -> None:
    with pytest.raises(CaptureError, match="dict from argument name to input; found"):
        capture_graph(model, example)
