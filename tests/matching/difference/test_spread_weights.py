"""A weight that the other model holds as the members of a list is not larger than one of them."""

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg
from tests.models import rebuilt_pairs as models

WIDTH, HIDDEN, EXPERTS = 8, 12, 3


class Listed(torch.nn.Module):
    def __init__(self, hidden=HIDDEN):
        super().__init__()
        linear, many = torch.nn.Linear, torch.nn.ModuleList
        self.gate = linear(WIDTH, EXPERTS)
        self.up = many([linear(WIDTH, hidden, bias=False) for _ in range(EXPERTS)])
        self.down = many([linear(hidden, WIDTH, bias=False) for _ in range(EXPERTS)])

    def forward(self, x):
        gate = torch.softmax(self.gate(x), -1)
        parts = zip(self.up, self.down, strict=True)
        return sum(
            down(torch.relu(up(x))) * gate[..., place, None]
            for place, (up, down) in enumerate(parts)
        )


class Stacked(paddle.nn.Layer):
    def __init__(self, power=1):
        super().__init__()
        self.gate = paddle.nn.Linear(WIDTH, EXPERTS)
        self.up = self.create_parameter([EXPERTS, WIDTH, HIDDEN])
        self.down = self.create_parameter([EXPERTS, HIDDEN, WIDTH])
        self.power = power

    def forward(self, x):
        gate = paddle.nn.functional.softmax(self.gate(x), -1)
        hidden = paddle.nn.functional.relu(paddle.einsum("bsd,ndh->bsnh", x, self.up))
        parts = paddle.einsum("bsnh,nhd->bsnd", hidden, self.down)
        return paddle.einsum("bsnd,bsn->bsd", parts, gate**self.power)


def _report(layer, module):
    array = np.random.default_rng(0).standard_normal((2, 6, WIDTH)).astype("float32")
    layer.eval()
    example = models.example(array, "x", "x")
    options = {"rtol": 1e-4, "atol": 1e-5}
    return pg.compare(layer, module.eval(), example, options=options)


@pytest.mark.parametrize("power", [1, 2])
def test_a_stack_is_no_other_size_than_a_list(power):
    report = _report(Stacked(power), Listed())
    assert report.passed == (power == 1)
    assert not any(finding.cause_id.startswith("size.") for finding in report.findings)
    causes = {finding.cause_id for finding in report.findings if finding.fails}
    assert causes <= {"construction.operations"}


def test_members_that_hold_more_numbers_than_the_stack_are_told():
    report = _report(Stacked(), Listed(hidden=2 * HIDDEN))
    assert not report.passed
    assert any(finding.fails for finding in report.findings)
