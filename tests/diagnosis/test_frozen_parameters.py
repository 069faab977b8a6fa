"""Parameters that one model trains and the other does not, by what was asked."""

import numpy as np
import paddle
import pytest
import torch

import padiff_graph

VERDICTS = {"both": "different", "forward": "suspicious"}


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("phase", VERDICTS)
def test_a_frozen_weight_is_told_whatever_was_asked(phase, side):
    x = np.ones((2, 4), "float32")
    layer, module = paddle.nn.Linear(4, 3), torch.nn.Linear(4, 3)
    if side:
        module.weight.requires_grad_(False)
    else:
        layer.weight.stop_gradient = True
    example = {"input": paddle.to_tensor(x)}, {"input": torch.from_numpy(x)}
    options = {"atol": 1e-5, "rtol": 1e-5, "diff_phase": phase}
    report = padiff_graph.compare(layer, module, example, options=options)
    told = [found for found in report.findings if found.cause_id == "parameter.frozen"]
    assert [(found.verdict, found.reason.get("side")) for found in told] == [
        (VERDICTS[phase], side)
    ]
    assert report.passed == (phase == "forward")
