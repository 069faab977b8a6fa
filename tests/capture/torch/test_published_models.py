"""Mechanisms of published models on which a capture once failed, rebuilt small."""

import pytest
import torch
from torch import nn

from padiff_graph.capture.api import capture_graph
from padiff_graph.capture.certificate import certify
from padiff_graph.capture.torch.engine import TorchEngine
from padiff_graph.capture.torch.trace import RUNGS, trace

X = torch.randn(3, 4, generator=torch.Generator().manual_seed(7))
BELOW = ["", *(rung.name for rung in RUNGS[:-1])]


def assert_captured(model, below=""):
    graph = trace(model, {"x": X}, below=below)
    certificate = certify(graph, TorchEngine(model), {"x": X})
    assert certificate.valid, certificate.reasons
    assert certificate.counts["input gradient"] == 1
    return graph


class Linear(nn.Module):
    def __init__(self, body, **buffers):
        super().__init__()
        self.lin = nn.Linear(4, 4)
        self.body = body
        for name, buffer in buffers.items():
            self.register_buffer(name, buffer)

    def forward(self, x):
        return self.body(self, x)


@pytest.mark.parametrize(
    "body",
    [
        lambda self, x: self.lin(x),
        lambda self, x: self.lin(x) @ self.heads.to_dense(),
        lambda self, x: torch.sparse.mm(self.heads, self.lin(x).t()),
    ],
    ids=["unread", "dense", "product"],
)
def test_a_sparse_buffer(body):
    # Whisper marks its alignment heads in one
    model = Linear(body, heads=torch.eye(4).to_sparse())
    graph = capture_graph(model, {"x": X})
    assert graph.certificate.valid and graph.certificate.counts["parameter gradient"] == 2
    assert graph.parameters["heads"].type.shape == (4, 4)
    TorchEngine(model).assign({"heads": 2 * torch.eye(4).numpy()})
    assert model.heads.is_sparse and torch.equal(model.heads.to_dense(), 2 * torch.eye(4))


@pytest.mark.parametrize("below", BELOW)
@pytest.mark.parametrize(
    "body",
    [
        lambda self, x: self.lin(x).to(x.device) * 2,
        lambda self, x: self.lin(x).to("cpu", torch.float64, copy=True).cpu() * 2,
        lambda self, x: x @ self.lin.weight.to(x.device) + self.lin(x),
        lambda self, x: self.lin.to(x.device)(x),
    ],
    ids=["value", "copy", "parameter", "module"],
)
def test_a_differentiable_value_is_moved(body, below):
    assert_captured(Linear(body), below)


@pytest.mark.parametrize("below", BELOW)
@pytest.mark.parametrize(
    "body",
    [
        lambda self, x: self.lin(x).view(*torch.tensor([2, 6])),
        lambda self, x: self.lin(x).view(*torch.tensor(x.shape).flip(0).tolist()),
        lambda self, x: self.lin(x).view((x[:, 0] > -100).sum().item(), -1),
        lambda self, x: self.lin(x).view((x[:, 0] > -100).sum(), 4),
    ],
    ids=["tensor", "list", "item", "counted"],
)
def test_a_view_by_numbers_of_tensors(body, below):
    assert_captured(Linear(body), below)


class Spectral(nn.Module):
    """As neural operators have it: products of some frequencies, written into zeros."""

    def __init__(self, write):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4, dtype=torch.cfloat))
        self.write = write

    def forward(self, x):
        spectrum = torch.fft.rfft2(x)
        kept = torch.zeros_like(spectrum)
        self.write(kept, spectrum, self.weight)
        return torch.fft.irfft2(kept, s=x.shape)


def write_slices(kept, spectrum, weight):
    kept[..., :2, :2] = torch.einsum("ab,bc->ac", spectrum[:2, :2], weight[:2, :2])
    kept[..., -1:, :2] = spectrum[..., -1:, :2] * weight[:1, :2]


def write_column(kept, spectrum, weight):
    kept[:, 1] = spectrum[:, 0] * weight[:3, 1]


def write_conjugate(kept, spectrum, weight):
    kept[:, -2:] = (spectrum[:, -2:] * weight[:3, :2]).conj()


@pytest.mark.parametrize("below", BELOW)
@pytest.mark.parametrize("write", [write_slices, write_column, write_conjugate])
def test_a_complex_part_is_written(write, below):
    assert_captured(Spectral(write), below)


def test_two_hundred_nested_modules():
    class Nested(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner(x)

    model = nn.Linear(4, 4)
    for _ in range(200):
        model = Nested(model)
    graph = capture_graph(model, {"x": X})
    assert graph.certificate.valid
    assert [node.path.count(".") for node in graph.of_kind("operation")] == [199]
