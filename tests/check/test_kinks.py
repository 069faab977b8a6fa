"""Equal values under a maximum: the frameworks choose other slopes there, and nothing else may hide
behind that."""

import numpy as np
import paddle
import pytest
import torch

import padiff_graph

X = np.tile(np.random.default_rng(0).standard_normal((2, 6)).astype("float32"), (2, 1))
OPTIONS = {"atol": 1e-4, "rtol": 1e-4, "compare_mode": "strict"}


class Pooled(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.fc, self.out = paddle.nn.Linear(6, 6), paddle.nn.Linear(6, 3)

    def forward(self, x):
        return self.out(paddle.max(paddle.nn.functional.relu(self.fc(x)), axis=0, keepdim=True))


class TorchPooled(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.out = torch.nn.Linear(6, 6), torch.nn.Linear(6, 3)

    def forward(self, x):
        return self.out(torch.max(torch.relu(self.fc(x)), 0, keepdim=True).values)


@pytest.mark.parametrize("hooked", [False, True])
def test_what_follows_from_a_kink_passes_and_nothing_else(hooked):
    torch.manual_seed(0)
    layer, module = Pooled(), TorchPooled()
    if hooked:
        module.fc.weight.register_hook(lambda gradient: gradient * 0.5)
    example = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X)}
    report = padiff_graph.compare(layer, module, example, options=OPTIONS)
    told = {finding.verdict for finding in report.findings}
    assert "framework-divergence" in told
    assert report.passed != hooked == any(finding.fails for finding in report.findings)


class Products(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.fc = paddle.nn.Linear(6, 3)

    def forward(self, x):
        return self.fc(x) * x.prod(-1, keepdim=True)


class TorchProducts(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(6, 3)

    def forward(self, x):
        return self.fc(x) * x.prod(-1, keepdim=True)


@pytest.mark.parametrize("hooked", [False, True])
def test_a_gradient_that_a_framework_loses_at_zero_passes_and_nothing_else(hooked):
    torch.manual_seed(0)
    layer, module = Products(), TorchProducts()
    if hooked:
        module.fc.weight.register_hook(lambda gradient: gradient * 0.5)
    x = X.copy()
    x[0, 0] = 0.0
    example = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}
    report = padiff_graph.compare(layer, module, example, options=OPTIONS)
    assert "framework.overflow" in [finding.cause_id for finding in report.findings]
    assert report.passed != hooked


def test_a_second_look_tells_nothing_that_the_first_has_told() -> None:
    """Two norms in training: the running variances differ by framework, whatever the weights."""
    paddle.seed(0)
    torch.manual_seed(0)
    x = np.random.default_rng(0).standard_normal((4, 6)).astype("float32")
    layer = paddle.nn.Sequential(
        paddle.nn.Linear(6, 6), paddle.nn.BatchNorm1D(6), paddle.nn.BatchNorm1D(6)
    )
    module = torch.nn.Sequential(
        torch.nn.Linear(6, 6), torch.nn.BatchNorm1d(6), torch.nn.BatchNorm1d(6)
    )
    options = {"atol": 0.0, "rtol": 0.0}
    example = {"input": paddle.to_tensor(x)}, {"input": torch.from_numpy(x)}
    report = padiff_graph.compare(layer, module, example, options=options)
    told = [own for own in report.findings if own.cause_id == "statistics.differ"]
    assert len(told) == 1 and told[0].places == (("1", "1"), ("2", "2"))
