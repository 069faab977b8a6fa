"""Mixed precision by autocast is looked at with the casts that it makes on a GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
import torch

from padiff_graph.precision.rounding import emulate
from padiff_graph.precision.stand_ins import captured
from tests.models.half_calls import seen_of


def _torch_body(h: Any, last: Any) -> Any:
    shares = torch.softmax(h @ h.transpose(1, 2), -1)
    return last(torch.nn.functional.layer_norm(h + shares @ h, h.shape[-1:]))


def _paddle_body(h: Any, last: Any) -> Any:
    shares = paddle.nn.functional.softmax(h @ h.transpose([0, 2, 1]), -1)
    return last(paddle.nn.functional.layer_norm(h + shares @ h, h.shape[-1:]))


def _torch_block(h: Any, last: Any, enabled: bool, dtype: Any = torch.bfloat16) -> Any:
    with torch.autocast("cuda", dtype=dtype, enabled=enabled):
        return _torch_body(h.float(), last).float() * 1.5


def _paddle_block(h: Any, last: Any, enabled: bool) -> Any:
    with paddle.amp.auto_cast(enable=enabled, dtype="bfloat16"):
        return _paddle_body(h.astype("float32"), last).astype("float32") * 1.5


def test_both_under_autocast_have_no_finding() -> None:
    former = torch.autocast.__enter__, paddle.nn.functional.linear, paddle.Tensor.__matmul__
    seen = seen_of(_paddle_body, _torch_body, "autocast-bfloat16")
    assert seen.findings == ()
    assert seen.result is not None and seen.result.outputs[0].second_error > 1e-4
    assert former == (
        torch.autocast.__enter__,
        paddle.nn.functional.linear,
        paddle.Tensor.__matmul__,
    )


@pytest.mark.parametrize("enabled", [(True, True), (True, False), (False, True)])
def test_a_block_that_one_side_alone_has_is_told(enabled: tuple[bool, bool]) -> None:
    seen = seen_of(
        lambda *given: _paddle_block(*given, enabled[0]),
        lambda *given: _torch_block(*given, enabled[1]),
        "autocast-bfloat16",
    )
    assert any(finding.fails for finding in seen.findings) is (enabled[0] != enabled[1])
    assert seen.result is not None


def test_a_block_of_another_precision_is_refused_in_words() -> None:
    seen = seen_of(_paddle_body, lambda *given: _torch_block(*given, True, torch.float16))
    (finding,) = seen.findings
    assert finding.cause_id == "precision.not_shown"
    assert "autocast in the forward asks for float16, the check for bfloat16" in finding.cause


class _Mixed(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = torch.nn.Linear(16, 16), torch.nn.Linear(16, 8)

    def forward(self, x: Any) -> Any:
        return self.last(torch.tanh(self.first(x)) + x * 0.3) * 1.1


def test_the_emulation_is_torchs_own_autocast() -> None:
    torch.manual_seed(0)
    model, x = _Mixed(), torch.randn(4, 16)
    side = captured(model, {"x": x}, "autocast-bfloat16")[1]
    (output,) = (node.inputs[0] for node in side.graph.of_kind("output"))
    assert output is not None
    ours = emulate(side, "bfloat16", [output]).values[output]
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):  # products are in its list
        theirs = model(x).double().numpy()
    np.testing.assert_allclose(ours, theirs, rtol=2.0**-7, atol=2.0**-9)
    assert np.abs(ours - model(x).detach().double().numpy()).max() > 2.0**-10
