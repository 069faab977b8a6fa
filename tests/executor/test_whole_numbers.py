"""Operations that yield whole numbers of floating ones are run unrecorded, as in a model that hands
them nothing trainable."""

from __future__ import annotations

import pytest
import torch

import padiff_graph as pg


class Counts(torch.nn.Module):
    """Rows of a bin, as mixtures of experts count them; torch refuses to record the sum."""

    def __init__(self, extra=0):
        super().__init__()
        self.fc, self.extra = torch.nn.Linear(4, 4), extra

    def forward(self, x):
        hidden = self.fc(x)
        count = torch.histc(hidden.detach(), bins=4, min=-1, max=1)
        ends = torch.cumsum(count, 0, dtype=torch.int32) + self.extra
        return hidden * ends.float()


@pytest.mark.parametrize("extra", [0, 1])
def test_a_sum_of_counts_is_compared_where_its_region_begins_with_floats(extra, tmp_path):
    torch.manual_seed(0)
    first, second, x = Counts(extra), Counts(), torch.randn(6, 4)
    pg.record(second, {"x": x}, tmp_path / "second.pgref")
    for other in (second, tmp_path / "second.pgref"):
        report = pg.compare(
            first, other, ({"x": x}, {"x": x}), options={"rtol": 1e-5, "atol": 1e-6}
        )
        assert report.passed == (extra == 0), [finding.cause for finding in report.findings]
        assert "not-comparable" not in report.regions
