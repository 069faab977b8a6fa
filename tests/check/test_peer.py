"""The cases that today's tool was measured on.

Each must be right, with the place and the cause named.
"""

import re

import numpy as np
import paddle
import pytest
import torch

from padiff_graph import compare
from tests.models.breakable_pairs import (
    ConvNet,
    Crossed,
    Mlp,
    TorchConvNet,
    TorchCrossed,
    TorchMlp,
    batch,
    copy_linear,
    images,
    paired,
    rng,
)

CLOSE = {"atol": 1e-4}
MODES = ("mean", "strict")


def check(layer, module, example, mode="mean", **given):
    options = {**CLOSE, "compare_mode": mode, **given.pop("options", {})}
    return compare(layer, module, example, options=options, **given)


def failing(report):
    return [finding for finding in report.findings if finding.fails]


def told(report):
    return "\n".join(
        f"{finding.phase} {finding.verdict} {finding.paddle_path} {finding.torch_path}:"
        f" {finding.cause}"
        for finding in report.findings
    )


def mlp(**knobs):
    layer, module = Mlp(**knobs), TorchMlp(square=knobs.get("square", False))
    return layer, module, batch(4, 16)


def only(report, verdict=None, phase=None):
    """The one failing finding."""
    assert not report.passed, told(report)
    found = failing(report)
    assert len(found) == 1, told(report)
    assert verdict is None or found[0].verdict == verdict, told(report)
    assert phase is None or found[0].phase == phase, told(report)
    return found[0]


@pytest.mark.parametrize("mode", MODES)
def test_healthy(mode):
    report = check(*mlp(), mode=mode)
    assert report.passed, told(report)
    assert report.compared.regions > 3 and report.compared.gradients > 5 and not failing(report)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("activation", "word"), [(paddle.nn.GELU, "gelu"), (paddle.nn.LeakyReLU, "leaky")]
)
def test_another_activation(activation, word, mode):
    found = only(check(*mlp(activation=activation()), mode=mode))
    assert found.paddle_path == "act"
    assert word in found.cause.lower() and "relu" in found.cause.lower()
    assert found.paddle_source or found.torch_source


def test_a_removed_activation():
    found = only(check(*mlp(skip=("act",))), "missing")
    assert "relu" in found.cause.lower()
    assert "breakable_pairs.py" in found.torch_source


def test_a_missing_residual():
    found = only(check(*mlp(residual=False)), "missing")
    assert "add" in found.cause.lower()


def test_a_missing_residual_in_a_convolutional_net():
    found = only(check(ConvNet(residual=False), TorchConvNet(), images()), "missing")
    assert "add" in found.cause.lower()


def test_called_in_swapped_order_with_auto_weights():
    report = check(Crossed(swapped=True), TorchCrossed(), batch(3, 6))
    assert report.passed, told(report)
    warned = [
        finding
        for finding in report.findings
        if finding.verdict == "suspicious" and finding.phase == "weights"
    ]
    assert (
        warned
        and "fc1" in warned[0].cause
        and "fc2" in warned[0].cause
        and "cross" in warned[0].cause
    )


def test_called_in_swapped_order_with_weights_equal_by_name():
    layer, module = Crossed(swapped=True), TorchCrossed()
    copy_linear(layer.fc1, module.fc1)
    copy_linear(layer.fc2, module.fc2)
    report = check(layer, module, batch(3, 6), auto_weights=False)
    assert not report.passed
    assert any("swapped with" in finding.cause for finding in failing(report)), told(report)
    assert {finding.paddle_path for finding in failing(report)} <= {"fc1", "fc2"}


def test_defined_in_another_order():
    for auto_weights in (True, False):
        layer, module = Crossed(), TorchCrossed(defined_swapped=True)
        copy_linear(layer.fc1, module.fc1)
        copy_linear(layer.fc2, module.fc2)
        report = check(layer, module, batch(3, 6), auto_weights=auto_weights)
        assert report.passed, told(report)
        assert not [finding for finding in report.findings if finding.verdict == "suspicious"]


def test_a_square_weight_not_transposed():
    layer, module = Crossed(), TorchCrossed()
    copy_linear(layer.fc1, module.fc1, transpose=False)
    copy_linear(layer.fc2, module.fc2)
    found = only(check(layer, module, batch(3, 6), auto_weights=False), phase="weights")
    assert found.paddle_path == "fc1" and "transpose" in found.cause


def test_a_missing_bias():
    layer, module, example = mlp(bias=False)
    torch.nn.init.normal_(module.down.bias)
    found = only(check(layer, module, example))
    assert (
        "bias" in found.cause.lower() and found.paddle_path == "fc2" and found.torch_path == "down"
    )


def test_a_missing_bias_that_is_zero_now():
    layer, module, example = mlp(bias=False)
    torch.nn.init.zeros_(module.down.bias)
    found = only(check(layer, module, example))
    assert "bias" in found.cause.lower()


def test_a_cut_gradient_path():
    found = only(check(*mlp(detach=True)), phase="backward")
    assert "cut" in found.cause and "breakable_pairs.py" in found.paddle_source


@pytest.mark.parametrize("mode", MODES)
def test_layer_norm_epsilon(mode):
    found = only(check(*mlp(epsilon=1e-12), mode=mode))
    assert found.paddle_path == "norm" and found.torch_path == "ln"
    assert "1e-12" in found.cause and "1e-05" in found.cause and "epsilon" in found.cause


@pytest.mark.parametrize("train", [True, False])
def test_every_batch_norm_epsilon(train):
    layer, module = ConvNet(epsilons=(1e-3, 1e-3, 1e-3)), TorchConvNet()
    if not train:
        layer.eval(), module.eval()
    found = only(check(layer, module, images()))
    assert "0.001" in found.cause and "1e-05" in found.cause
    assert [place[0] for place in found.places] == ["bn1", "bn2", "bn3"]


def test_one_batch_norm_epsilon():
    found = only(check(ConvNet(epsilons=(1e-5, 1e-2, 1e-5)), TorchConvNet(), images()))
    assert found.paddle_path == "bn2" and found.torch_path == "norms.1" and "0.01" in found.cause


@pytest.mark.parametrize("steps", [1, 3])
def test_batch_norm_momentum(steps):
    layer, module = ConvNet(momentum=0.5), TorchConvNet()
    given = {}
    if steps > 1:
        given = {
            "steps": steps,
            "optimizer": [
                paddle.optimizer.SGD(0.01, parameters=layer.parameters()),
                torch.optim.SGD(module.parameters(), lr=0.01),
            ],
        }
    found = only(check(layer, module, images(), **given))
    assert "momentum" in found.cause and "0.5" in found.cause
    assert len(found.places) == 3


def test_rows_flipped():
    found = only(check(*mlp(flip=True)), "extra")
    assert "flip" in found.cause.lower() and "breakable_pairs.py" in found.paddle_source


def test_another_output_shape():
    class Expanded(Mlp):
        def forward(self, x):
            y = super().forward(x)
            return paddle.stack([y, y, y], axis=1)

    report = check(Expanded(), TorchMlp(), batch(4, 16))
    assert not report.passed
    assert any(
        "shape" in finding.cause or finding.verdict == "extra" for finding in failing(report)
    ), told(report)


def test_losses_that_differ():
    layer, module, example = mlp()
    losses = [lambda out: (out * out).mean() * 1.0016, lambda out: (out * out).mean()]
    found = only(check(layer, module, example, loss_fn=losses), phase="loss")
    assert "loss functions differ" in found.cause and "0.16%" in found.cause


@pytest.mark.parametrize("steps", [1, 5])
def test_adamw_decay(steps):
    layer, module, example = mlp()
    optimizer = [
        paddle.optimizer.AdamW(1e-3, parameters=layer.parameters(), weight_decay=0.1),
        torch.optim.AdamW(module.parameters(), lr=1e-3, weight_decay=0.01),
    ]
    found = only(check(layer, module, example, steps=steps, optimizer=optimizer), phase="optimizer")
    assert (
        "from step 1" in found.cause
        and "weight decay" in found.cause
        and "0.1 (paddle)" in found.cause
        and "0.01 (torch)" in found.cause
    )


def test_training_noise_is_called_rounding():
    torch.manual_seed(2)
    paddle.seed(2)
    layer, module = ConvNet(), TorchConvNet()
    report = compare(layer, module, images(), options={"compare_mode": "strict"})
    assert not report.passed and not failing(report), told(report)
    rounding = [finding for finding in report.findings if finding.verdict == "rounding"]
    assert rounding and report.required_tolerance["rtol"] > 1e-7
    assert "would have been enough" in rounding[0].cause
    advised = re.findall(r"(rtol|atol)=([\d.e+-]+)", rounding[0].advice)
    assert advised
    for name, said in ((name, float(number)) for name, number in advised):
        again = compare(layer, module, images(), options={"compare_mode": "strict", name: said})
        assert again.passed, told(again)


def test_default_tolerances():
    report = compare(*mlp())
    assert not failing(report)
    assert report.passed or any(finding.verdict == "rounding" for finding in report.findings)
    enough = compare(*mlp(), options={"rtol": 1e-3, "atol": 1e-5})
    assert enough.passed, told(enough)


def test_batch_norm_statistics_of_a_checkpoint():
    layer, module = ConvNet(), TorchConvNet()
    for norm in module.norms:
        norm.running_mean.copy_(torch.from_numpy(rng(1).standard_normal(8).astype("float32")))
        norm.running_var.copy_(torch.from_numpy(rng(2).random(8).astype("float32") + 0.5))
    layer.eval(), module.eval()
    report = check(layer, module, images())
    assert report.passed, told(report)
    np.testing.assert_array_equal(layer.bn2._mean.numpy(), module.norms[1].running_mean.numpy())


class Scaled(paddle.nn.Layer):
    """A container that owns a parameter."""

    def __init__(self):
        super().__init__()
        self.scale = self.create_parameter([16])
        self.inner = paddle.nn.Linear(16, 16)

    def forward(self, x):
        return self.inner(x) * self.scale


class TorchScaled(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Linear(16, 16)
        self.gamma = torch.nn.Parameter(torch.randn(16))

    def forward(self, x):
        return self.gamma * self.inner(x)


class Split(paddle.nn.Layer):
    """Attention with three projections."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.o = (paddle.nn.Linear(16, 16) for _ in range(4))

    def forward(self, x):
        q, k, v = (
            proj(x).reshape([2, 5, 4, 4]).transpose([0, 2, 1, 3])
            for proj in (self.q, self.k, self.v)
        )
        weights = paddle.nn.functional.softmax(q @ k.transpose([0, 1, 3, 2]) / 2.0)
        return self.o((weights @ v).transpose([0, 2, 1, 3]).reshape([2, 5, 16]))


class TorchFused(torch.nn.Module):
    """The same with one projection."""

    def __init__(self):
        super().__init__()
        self.qkv, self.proj = torch.nn.Linear(16, 48), torch.nn.Linear(16, 16)

    def forward(self, x):
        q, k, v = self.qkv(x).reshape(2, 5, 3, 4, 4).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) / 2.0).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(2, 5, 16))


class Attention(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.attn = paddle.nn.MultiHeadAttention(16, 4)

    def forward(self, x):
        return self.attn(x, x, x)


class TorchAttention(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.mha = torch.nn.MultiheadAttention(16, 4, batch_first=True)

    def forward(self, x):
        return self.mha(x, x, x)[0]


class Gru(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.rnn = paddle.nn.GRU(16, 8, num_layers=2, direction="bidirect")

    def forward(self, x):
        return self.rnn(x)[0]


class TorchGru(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = torch.nn.GRU(16, 8, num_layers=2, bidirectional=True, batch_first=True)

    def forward(self, x):
        return self.gru(x)[0]


def instance_norms():
    return (
        paddle.nn.InstanceNorm2D(3),
        torch.nn.InstanceNorm2d(3),
        paired(rng().standard_normal((2, 3, 5, 5)).astype("float32"), "input", "input"),
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: (Scaled(), TorchScaled(), batch(4, 16)),
        lambda: (Split(), TorchFused(), batch(2, 5, 16)),
        instance_norms,
        lambda: (Attention(), TorchAttention(), batch(2, 5, 16)),
        lambda: (Gru(), TorchGru(), batch(2, 5, 16)),
    ],
    ids=["container parameter", "fused qkv", "instance norm", "multi-head attention", "gru"],
)
def test_maps_and_passes(make):
    report = check(*make())
    assert report.passed, told(report)
    assert report.compared.regions >= 1


class TwoLstms(paddle.nn.Layer):
    def __init__(self, sizes):
        super().__init__()
        self.a = paddle.nn.LSTM(16, sizes[0])
        self.b = paddle.nn.LSTM(sizes[0], sizes[1])

    def forward(self, x):
        return self.b(self.a(x)[0])[0]


class TorchTwoLstms(torch.nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.second = torch.nn.LSTM(sizes[0], sizes[1], batch_first=True)
        self.first = torch.nn.LSTM(16, sizes[0], batch_first=True)

    def forward(self, x):
        return self.second(self.first(x)[0])[0]


@pytest.mark.parametrize("sizes", [(16, 16), (12, 8)])
def test_lstms_defined_in_another_order(sizes):
    report = check(TwoLstms(sizes), TorchTwoLstms(sizes), batch(2, 5, 16))
    assert report.passed, told(report)
    rows = {row.first: row.pieces[0].second for row in report.parameters if row.pieces}
    assert all(
        second.startswith("first.") for first, second in rows.items() if first.startswith("a.")
    )


def test_recurrent_layers_in_eval_mode_are_differentiated_as_in_training():
    layer, module = TwoLstms((12, 8)), TorchTwoLstms((12, 8))
    layer.eval()
    module.eval()
    report = check(layer, module, batch(2, 5, 16))
    assert report.passed, told(report)
    assert report.compared.gradients and not any("not compared" in note for note in report.notes)


class MyLSTM(paddle.nn.LSTM):
    pass


class MyTorchLSTM(torch.nn.LSTM):
    pass


class OwnSubclass(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.inner = MyLSTM(16, 8)

    def forward(self, x):
        return self.inner(x)[0]


class TorchOwnSubclass(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body = MyTorchLSTM(16, 8, batch_first=True)

    def forward(self, x):
        return self.body(x)[0]


def test_an_own_subclass():
    report = check(OwnSubclass(), TorchOwnSubclass(), batch(2, 5, 16))
    assert report.passed, told(report)


def test_a_model_without_parameters():
    report = check(
        paddle.nn.ReLU(),
        torch.nn.ReLU(),
        paired(rng().standard_normal((3, 4)).astype("float32"), "x", "input"),
    )
    assert report.passed, told(report)


class Dropped(paddle.nn.Layer):
    def __init__(self, p=0.5):
        super().__init__()
        self.fc1, self.drop, self.fc2 = (
            paddle.nn.Linear(16, 32),
            paddle.nn.Dropout(p),
            paddle.nn.Linear(32, 8),
        )

    def forward(self, x):
        return self.fc2(self.drop(paddle.nn.functional.relu(self.fc1(x))))


class TorchDropped(torch.nn.Module):
    def __init__(self, p=0.5):
        super().__init__()
        self.a, self.b, self.p = torch.nn.Linear(16, 32), torch.nn.Linear(32, 8), p

    def forward(self, x):
        return self.b(torch.nn.functional.dropout(torch.relu(self.a(x)), self.p, self.training))


def test_dropout_in_training_mode():
    report = check(Dropped(), TorchDropped(), batch(4, 16))
    assert report.passed, told(report)


def test_another_dropout_probability():
    found = only(check(Dropped(0.1), TorchDropped(0.5), batch(4, 16)))
    assert found.paddle_path == "drop" and "0.1" in found.cause and "0.5" in found.cause


# -- the older tool's blind spots


def test_single_step_forward_finds_what_the_whole_run_finds():
    for knobs in (
        {"activation": paddle.nn.GELU()},
        {"residual": False},
        {"skip": ("act",)},
        {"epsilon": 1e-3},
        {"flip": True},
    ):
        report = check(*mlp(**knobs), options={"single_step": True, "diff_phase": "forward"})
        assert not report.passed, (knobs, told(report))


def test_a_scaled_down_bug_is_found():
    class Whisper(paddle.nn.Layer):
        def __init__(self, act):
            super().__init__()
            self.fc, self.act = paddle.nn.Linear(16, 16), act

        def forward(self, x):
            return x + 1e-6 * self.act(self.fc(x))

    class TorchWhisper(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = torch.nn.Linear(16, 16)

        def forward(self, x):
            return x + 1e-6 * torch.relu(self.fc(x))

    found = only(check(Whisper(paddle.nn.GELU()), TorchWhisper(), batch(4, 16)))
    assert found.paddle_path == "act"
    assert check(Whisper(paddle.nn.ReLU()), TorchWhisper(), batch(4, 16)).passed


def test_the_backward_comparison_is_real():
    class Halved(paddle.autograd.PyLayer):
        @staticmethod
        def forward(ctx, x):
            return x * 1.0

        @staticmethod
        def backward(ctx, grad):
            return grad * 0.5

    class Quiet(paddle.nn.Layer):
        def forward(self, x):
            return paddle.nn.functional.relu(Halved.apply(x))

    class TorchQuiet(torch.nn.Module):
        def forward(self, x):
            return torch.relu(x * 1.0)

    report = check(Quiet(), TorchQuiet(), batch(4, 16))
    assert not report.passed and any(finding.phase == "backward" for finding in failing(report)), (
        told(report)
    )
    assert check(Quiet(), TorchQuiet(), batch(4, 16), options={"diff_phase": "forward"}).passed


def test_options_do_not_leak_between_calls():
    assert check(*mlp(epsilon=1e-5), options={"rtol": 1.0}).tolerance["rtol"] == 1.0
    assert compare(*mlp()).tolerance == {"rtol": 1e-7, "atol": 0.0}
