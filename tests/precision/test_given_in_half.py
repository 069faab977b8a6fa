"""Models that are given in half precision: run where they can, else refused in a sentence."""

from __future__ import annotations

from typing import Any

import paddle
import pytest
import torch

import padiff_graph as pg
from padiff_graph.capture.capture_errors import MissingKernelError


class _Fused(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wide, self.norm = torch.nn.Linear(16, 16), torch.nn.LayerNorm(16)
        self.last = torch.nn.Linear(16, 4)

    def activated(self, x: Any) -> Any:
        return torch.nn.functional.silu(x)

    def forward(self, x: Any) -> Any:
        return self.last(self.activated(self.norm(self.wide(x))))


class _Spelled(_Fused):
    def activated(self, x: Any) -> Any:
        return x * torch.sigmoid(x)


class _Shifted(_Fused):
    def activated(self, x: Any) -> Any:
        return torch.nn.functional.silu(x) * 1.05


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", [_Spelled, _Shifted])
def test_torch_models_in_half_precision_are_run_as_they_are(
    dtype: torch.dtype, kind: type[_Fused]
) -> None:
    torch.manual_seed(0)
    first, second = kind().to(dtype), _Fused().to(dtype)
    x = torch.randn(4, 16).to(dtype)
    report = pg.compare(first, second, ({"x": x}, {"x": x}), options={"allow_rounding": True})
    assert report.passed is (kind is _Spelled)
    assert report.compared.gradients > 0
    assert second.wide.weight.dtype == dtype


class _Layer(paddle.nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.wide = paddle.nn.Linear(4, 4)

    def forward(self, x: Any) -> Any:
        return paddle.nn.functional.silu(self.wide(x))


class _Module(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wide = torch.nn.Linear(4, 4)

    def forward(self, x: Any) -> Any:
        return torch.nn.functional.silu(self.wide(x))


@pytest.mark.skipif(paddle.device.is_compiled_with_cuda(), reason="a GPU build has the kernels")
def test_a_build_without_kernels_says_what_to_do() -> None:
    layer, module = _Layer(), _Module().to(torch.bfloat16)
    layer.to(dtype="bfloat16")
    x = torch.ones(2, 4, dtype=torch.bfloat16)
    examples = {"x": paddle.ones([2, 4], "bfloat16")}, {"x": x}
    with pytest.raises(MissingKernelError, match="--precision bfloat16"):
        pg.compare(layer, module, examples)


class _Low(_Fused):
    def __init__(self, wide: bool) -> None:
        super().__init__()
        self.kept = wide

    def activated(self, x: Any) -> Any:
        h = x.float() if self.kept else x
        h = torch.exp(h)
        return (h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + 1e-6)).to(x.dtype)


@pytest.mark.parametrize("wide", [True, False])
def test_casts_of_models_given_in_half_precision_are_compared_unasked(wide: bool) -> None:
    torch.manual_seed(0)
    first, second = _Low(wide).to(torch.bfloat16), _Low(True).to(torch.bfloat16)
    x = torch.randn(4, 16).to(torch.bfloat16)
    report = pg.compare(first, second, ({"x": x}, {"x": x}), options={"allow_rounding": True})
    assert report.passed is wide
    told = {entry.name: entry.status for entry in report.obligations}
    assert told["half precision"] == ("shown" if wide else "not shown")
    assert told["half gradients"] == "shown"
    causes = [finding.cause_id for finding in report.findings if finding.fails]
    assert causes == ([] if wide else ["precision.computed"])
