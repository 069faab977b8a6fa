"""What differs inside of two loss functions is named, with its place in the user's code."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

OPTIONS = {"rtol": 1e-4, "atol": 1e-6, "allow_rounding": True}
LABELS = np.random.default_rng(0).integers(1, 10, (4, 6))


class _Layer(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.fc = paddle.nn.Linear(5, 10)

    def forward(self, x):
        return {"logits": self.fc(x)}


class _Module(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(5, 10)

    def forward(self, x):
        return {"logits": self.fc(x)}


def _paddle_loss(reduction="mean", shift=1, weight=0.1, soft=False):
    def loss(output):
        logits, labels = output["logits"], paddle.to_tensor(LABELS)
        logits, labels = logits[:, : 6 - shift], labels[:, shift:]
        if soft:
            logits = paddle.nn.functional.softmax(logits)
        crossed = paddle.nn.functional.cross_entropy(
            logits.reshape([-1, 10]), labels.reshape([-1]), reduction=reduction
        )
        return crossed + weight * (logits**2).mean()

    return loss


def _torch_loss(output):
    logits, labels = output["logits"][:, :-1], torch.from_numpy(LABELS)[:, 1:]
    crossed = torch.nn.functional.cross_entropy(logits.reshape(-1, 10), labels.reshape(-1))
    return crossed + 0.1 * logits.square().mean()


def _compared(first):
    torch.manual_seed(0)
    x = np.random.default_rng(1).standard_normal((4, 6, 5)).astype("float32")
    example = {"x": x}, {"x": x}
    report = pg.compare(_Layer(), _Module(), example, loss_fn=[first, _torch_loss], options=OPTIONS)
    return report, [finding for finding in report.findings if finding.phase == "loss"]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"weight": 0.5}, ("scaled by 0.5 against 0.1",)),
        ({"reduction": "sum"}, ("reduction 'sum' against 'mean'", "both sides agree")),
        ({"soft": True}, ("Softmax",)),
        ({"shift": 2}, ("cross_entropy",)),
    ],
    ids=str,
)
def test_what_differs_in_a_loss_is_named(how, words):
    report, told = _compared(_paddle_loss(**how))
    assert not report.passed
    said = " ; ".join(finding.cause for finding in told)
    assert told[0].cause_id == "loss.differs" and all(word in said for word in words), said
    assert any("test_loss_graphs.py" in finding.paddle_source for finding in told)


def test_losses_that_agree_are_not_looked_into():
    report, told = _compared(_paddle_loss())
    assert report.passed and not told


def test_a_loss_that_cannot_be_captured_is_told_by_its_numbers():
    def opaque(output):
        return output["logits"].mean() * float(output["logits"].abs().sum())

    report, told = _compared(opaque)
    assert not report.passed and told[0].cause_id == "loss.differs"
