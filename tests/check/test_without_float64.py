"""Float64 decides through casts of the model itself; what cannot be run in it is not passed."""

import numpy as np
import paddle
import torch

import padiff_graph

MIXING = np.random.default_rng(0).standard_normal((6, 6)).astype("float32")


class NormedAndMixed(torch.autograd.Function):
    """A custom function with numbers in float32 inside, on which float64 cannot be multiplied."""

    @staticmethod
    def forward(ctx, x, epsilon):
        root = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon)
        ctx.save_for_backward(x, root)
        return (x * root) @ torch.from_numpy(MIXING)

    @staticmethod
    def backward(ctx, gradient):
        x, root = ctx.saved_tensors
        back = gradient @ torch.from_numpy(MIXING).t()
        return back * root - x * root**3 * (back * x).mean(-1, keepdim=True), None


class TorchModel(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(6, 6)

    def forward(self, x):
        return NormedAndMixed.apply(self.fc(x), 1.01e-6)


class Model(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.fc = paddle.nn.Linear(6, 6)
        self.register_buffer("mixing", paddle.to_tensor(MIXING))

    def forward(self, x):
        y = self.fc(x)
        root = paddle.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-6)
        return (y * root) @ self.mixing


def test_an_epsilon_that_float32_rounds_over_is_not_passed():
    torch.manual_seed(0)
    x = np.random.default_rng(1).standard_normal((4, 6)).astype("float32")
    example = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}
    options = {"atol": 1e-4, "rtol": 1e-4}
    report = padiff_graph.compare(Model(), TorchModel(), example, options=options)
    regions = {entry.name: entry for entry in report.obligations}["regions"]
    assert (report.passed, report.equivalent, regions.status) == (False, None, "not shown")
    assert not any(finding.verdict == "rounding" for finding in report.findings)


class CastInside(torch.autograd.Function):
    """A custom function that casts to float32 by itself: float64 would be float32 unseen."""

    @staticmethod
    def forward(ctx, x, epsilon):
        x = x.float()
        root = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon)
        ctx.save_for_backward(x, root)
        return x * root

    @staticmethod
    def backward(ctx, gradient):
        x, root = ctx.saved_tensors
        return gradient * root - x * root**3 * (gradient * x).mean(-1, keepdim=True), None


class TorchCast(TorchModel):
    def forward(self, x):
        return CastInside.apply(self.fc(x), 1.01e-6)


class PaddleCast(Model):
    def forward(self, x):
        y = self.fc(x)
        return y * paddle.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-6)


class TorchTables(TorchModel):
    """Tables made of whole numbers, in the default dtype and by casts, and multiplied with."""

    def forward(self, x, ids):
        steps = torch.arange(4) / 3
        seen = torch.nn.functional.one_hot(ids, 4).float()
        return torch.einsum("bi,ij,jk->bk", seen, torch.tril(torch.ones(4, 4)), self.fc(x)) + (
            seen @ steps[:, None].float()
        )


class PaddleTables(Model):
    offset = 0.0

    def forward(self, x, ids):
        steps = paddle.arange(4) / 3
        seen = paddle.nn.functional.one_hot(ids, 4)
        return seen @ paddle.cumsum(self.fc(x), 0) + seen @ (steps + self.offset).unsqueeze(1)


class PaddleTablesOff(PaddleTables):
    offset = 2e-5


def tables(layer):
    torch.manual_seed(0)
    x = np.random.default_rng(1).standard_normal((4, 6)).astype("float32")
    ids = np.array([0, 3, 1, 1])
    example = (
        {"x": paddle.to_tensor(x), "ids": paddle.to_tensor(ids)},
        {"x": torch.from_numpy(x), "ids": torch.from_numpy(ids)},
    )
    options = {"atol": 1e-4, "rtol": 1e-4}
    return padiff_graph.compare(layer, TorchTables(), example, options=options)


def test_a_cast_within_a_custom_function_is_no_float64():
    torch.manual_seed(0)
    x = np.random.default_rng(1).standard_normal((4, 6)).astype("float32")
    example = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}
    options = {"atol": 1e-4, "rtol": 1e-4}
    report = padiff_graph.compare(PaddleCast(), TorchCast(), example, options=options)
    assert (report.passed, report.equivalent) == (False, None)
    assert any("computes in float32" in finding.cause for finding in report.findings)


def test_float64_reaches_through_what_the_model_makes_of_whole_numbers():
    assert tables(PaddleTables()).passed
    told = tables(PaddleTablesOff())
    assert not told.passed and any(finding.fails for finding in told.findings)


class TorchFourier(TorchModel):
    """A product of spectra, whose complex values stand between regions."""

    def forward(self, x):
        spectrum = torch.fft.rfft2(x, norm="ortho") * torch.complex(self.fc.weight, self.fc.weight)
        return x + torch.fft.irfft2(spectrum, s=x.shape, norm="ortho")


class PaddleFourier(Model):
    norm = "ortho"

    def forward(self, x):
        weight = self.fc.weight.t()
        spectrum = paddle.fft.rfft2(x, norm="ortho") * paddle.complex(weight, weight)
        return x + paddle.fft.irfft2(spectrum, s=x.shape, norm=self.norm)


class PaddleFourierOff(PaddleFourier):
    norm = "backward"


def test_float64_of_complex_values_is_complex128():
    torch.manual_seed(0)
    size = tuple(TorchFourier().fc.weight.shape)
    x = np.random.default_rng(1).standard_normal((size[0], 2 * size[1] - 2)).astype("float32")
    example = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}
    options = {"atol": 1e-4, "rtol": 1e-4}
    healthy, other = (
        padiff_graph.compare(layer, TorchFourier(), example, options=options)
        for layer in (PaddleFourier(), PaddleFourierOff())
    )
    assert healthy.passed, healthy
    assert not other.passed and any(finding.fails for finding in other.findings)
