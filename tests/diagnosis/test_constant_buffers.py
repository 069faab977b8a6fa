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
