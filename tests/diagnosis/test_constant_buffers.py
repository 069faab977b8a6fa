"""Buffers of one name that hold other numbers are what is said of the region that reads them."""

import paddle
import torch

from padiff_graph import compare


class Scaled(paddle.nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.fc = paddle.nn.Linear(4, 4)
        self.register_buffer("u", paddle.to_tensor([0.6, 0.8, 0.0, 0.0]))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.fc(x) / paddle.dot(self.u, paddle.mv(self.fc.weight.t(), self.u))


class TorchScaled(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = torch.nn.Linear(4, 4)
        self.register_buffer("u", torch.tensor([0.0, 0.0, 1.0, 0.0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x) / torch.dot(self.u, torch.mv(self.fc.weight, self.u))


def test_a_vector_of_other_numbers_is_the_cause() -> None:
    torch.manual_seed(0)
    layer, module = Scaled(), TorchScaled()
    example = {"x": paddle.ones([2, 4])}, {"x": torch.ones(2, 4)}
    options = {"rtol": 1e-4, "atol": 1e-5}
    layer.fc.weight.set_value(module.fc.weight.detach().numpy().T)
    layer.fc.bias.set_value(module.fc.bias.detach().numpy())
    report = compare(layer, module, example, auto_weights=False, options=options)
    failing = [finding for finding in report.findings if finding.fails]
    assert [finding.cause_id for finding in failing][:1] == ["weights.differ"], str(report)
    assert "u and u" in failing[0].cause
    # a power iteration's vector is carried over with the weights
    assert compare(layer, module, example, options=options).passed
    assert (layer.u.numpy() == module.u.numpy()).all()


class Turned(paddle.nn.Layer):
    def __init__(self, base: float) -> None:
        super().__init__()
        made = paddle.to_tensor([1.0, base**-0.25, base**-0.5, base**-0.75])
        self.register_buffer("frequency", made, persistable=False)
        self.fc = paddle.nn.Linear(4, 4)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.fc(x) * paddle.cos(paddle.arange(3.0).unsqueeze(1) * self.frequency)


class TorchTurned(torch.nn.Module):
    def __init__(self, base: float) -> None:
        super().__init__()
        made = torch.tensor([1.0, base**-0.25, base**-0.5, base**-0.75])
        self.register_buffer("frequency", made, persistent=False)
        self.fc = torch.nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x) * torch.cos(torch.arange(3.0)[:, None] * self.frequency)


def test_a_table_that_the_constructor_computes_is_the_cause() -> None:
    torch.manual_seed(0)
    example = {"x": paddle.randn([2, 3, 4])}, {"x": torch.randn(2, 3, 4)}
    example[0]["x"].set_value(example[1]["x"].numpy())
    options = {"rtol": 1e-4, "atol": 1e-5}
    right = compare(Turned(5e5), TorchTurned(5e5), example, auto_weights=True, options=options)
    assert right.passed, str(right)
    report = compare(Turned(1e4), TorchTurned(5e5), example, auto_weights=True, options=options)
    failing = [finding for finding in report.findings if finding.fails]
    assert [finding.cause_id for finding in failing][:1] == ["values.table"], str(report)
    assert "frequency" in failing[0].cause, str(report)
