"""What a loss does with its rows is told from its gradient: each setting of a cross entropy with
both values, and nothing of a loss that is none."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import torch
import torch.nn.functional as F

import padiff_graph as pg
from padiff_graph.capture.noted_runs import noting_runs
from padiff_graph.capture.torch.values import array
from padiff_graph.training.cross_entropy import row_differences, rows_of

RANDOM = np.random.default_rng(0)
LOGITS = torch.from_numpy(RANDOM.standard_normal((4, 7, 6)))
LABELS = torch.from_numpy(RANDOM.integers(0, 6, (4, 7)))
WEIGHT = torch.linspace(0.5, 1.5, 6, dtype=torch.float64)


def _rows(loss, logits=LOGITS):
    leaf = logits.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(leaf), leaf)
    return rows_of(leaf.detach().numpy(), gradient.numpy())


def _crossed(shift=0, labels=LABELS, factor=1.0, **settings):
    def loss(logits):
        rows = logits[:, : 7 - shift].reshape(-1, 6)
        return factor * F.cross_entropy(rows, labels[:, shift:].reshape(-1), **settings)

    return loss


def _sentences(logits):
    rows = F.cross_entropy(logits.transpose(1, 2), LABELS, reduction="none")
    known = (LABELS != 0).double()
    return ((rows * known).sum(1) / known.sum(1)).mean()


SETTINGS = {
    "smoothing": (
        _crossed(label_smoothing=0.1),
        _crossed(),
        "loss.label_smoothing",
        (0.1, 0.0),
    ),
    "ignore_index": (
        _crossed(ignore_index=0),
        _crossed(),
        "loss.counted_rows",
        (int((LABELS != 0).sum()), 28),
    ),
    "sum": (
        _crossed(reduction="sum"),
        _crossed(),
        "loss.reduction",
        ("sum", "mean of the rows that count"),
    ),
    "mean of all rows": (
        _crossed(ignore_index=0, reduction="sum", factor=1 / 28),
        _crossed(ignore_index=0),
        "loss.reduction",
        ("mean of all rows", "mean of the rows that count"),
    ),
    "mean of sentences": (
        _sentences,
        _crossed(ignore_index=0),
        "loss.reduction",
        ("mean of the means of sentences", "mean of the rows that count"),
    ),
    "weights of classes": (
        _crossed(),
        _crossed(weight=WEIGHT),
        "loss.reduction",
        ("mean of the rows that count", "mean weighed by label"),
    ),
}


@pytest.mark.parametrize(("first", "second", "kind", "values"), SETTINGS.values(), ids=SETTINGS)
def test_a_setting_is_told_with_both_values(first, second, kind, values):
    (cause,) = row_differences(_rows(first), _rows(second))
    assert cause.kind == kind
    assert (cause.get("first_setting"), cause.get("second_setting")) == values
    assert kind != "loss.counted_rows" or cause.get("label") == 0


@pytest.mark.parametrize("places", [1, 2])
def test_shifted_labels_are_told_by_how_far(places):
    (cause,) = row_differences(_rows(_crossed(shift=2)), _rows(_crossed(shift=2 - places)))
    assert (cause.kind, cause.get("places")) == ("loss.shifted_labels", places)


def test_other_labels_are_told_by_a_row():
    labels = LABELS.clone()
    labels[1, 2] = (labels[1, 2] + 1) % 6
    (cause,) = row_differences(_rows(_crossed(labels=labels)), _rows(_crossed()))
    assert cause.kind == "loss.labels" and cause.get("row") == 9 and cause.get("count") == 1


def test_classes_may_stand_behind_the_batch():
    maps = LOGITS.transpose(1, 2).contiguous()
    rows = _rows(lambda logits: F.cross_entropy(logits, LABELS), maps)
    assert rows is not None and np.array_equal(rows.labels, LABELS.reshape(-1).numpy())


def test_a_row_that_is_sure_of_its_label_keeps_its_weight():
    sure = LOGITS.clone()
    sure[0, 0], sure[0, 0, LABELS[0, 0]] = -30.0, 30.0
    sure[1, 1], sure[1, 1, (LABELS[1, 1] + 1) % 6] = -30.0, 30.0
    rows = _rows(_crossed(), sure)
    assert rows is not None
    counted = rows.weights[rows.counted]
    np.testing.assert_allclose(counted, 1 / 28, rtol=1e-3)


@pytest.mark.parametrize(
    "loss",
    [
        lambda logits: (logits**2).mean(),
        lambda logits: _crossed()(logits) + 0.01 * (logits**2).mean(),
        lambda logits: F.cross_entropy(logits.reshape(-1, 6), torch.full((28, 6), 1 / 6).double()),
        lambda logits: F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits)),
    ],
    ids=["no cross entropy", "more than one", "labels spread evenly", "by class"],
)
def test_of_another_loss_nothing_is_told(loss):
    assert _rows(loss) is None


def test_a_check_tells_the_setting_of_its_losses():
    class Port(paddle.nn.Layer):
        def forward(self, x):
            return x * 1.0

    class Reference(torch.nn.Module):
        def forward(self, x):
            return x * 1.0

    labels = LABELS.reshape(-1)

    def ours(logits):
        target = paddle.to_tensor(labels.numpy())
        return paddle.nn.functional.cross_entropy(logits, target, ignore_index=0)

    logits = LOGITS.reshape(-1, 6).float().numpy()
    losses = [ours, lambda logits: F.cross_entropy(logits, labels)]
    report = pg.compare(
        Port(), Reference(), ({"x": logits}, {"x": logits}), loss_fn=losses, auto_weights=False
    )
    cause = next(finding for finding in report.findings if finding.phase == "loss").cause
    assert "of 28 rows" in cause and "those of label 0 are left out on one side" in cause
    assert "ignore_index is 0 (paddle) against -100 (torch)" in cause


def _classifier(framework, dropout):
    net = framework.nn
    return net.Sequential(net.Linear(6, 8), net.Tanh(), net.Dropout(dropout), net.Linear(8, 5))


@pytest.mark.parametrize("dropout", [0.0, 0.5], ids=["no draws", "dropout"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_loss_inside_of_a_loop_is_told_by_its_setting(smoothing, dropout):
    torch.manual_seed(0)
    layer, module = _classifier(paddle, dropout), _classifier(torch, dropout)
    port = paddle.optimizer.SGD(0.1, parameters=layer.parameters())
    reference = torch.optim.SGD(module.parameters(), 0.1)
    labels = np.array([0, 1, 2, 3])

    def ours(model, batch):
        crossed = paddle.nn.functional.cross_entropy
        loss = crossed(model(**batch), paddle.to_tensor(labels), label_smoothing=smoothing)
        loss.backward()
        port.step()
        port.clear_grad()
        return loss

    def theirs(model, batch):
        reference.zero_grad()
        loss = F.cross_entropy(model(**batch), torch.from_numpy(labels))
        loss.backward()
        reference.step()
        return loss

    array = RANDOM.standard_normal((4, 6)).astype(np.float32)
    example = ({"input": array}, {"input": array})
    options = {"rtol": 1e-3, "atol": 1e-5, "allow_rounding": True}
    report = pg.compare(layer, module, example, train_step=[ours, theirs], options=options)
    failing = [finding for finding in report.findings if finding.fails]
    told = "labels are smoothed by 0.1 (paddle) against 0 (torch)"
    assert report.passed is (smoothing == dropout == 0.0)
    assert [told in finding.cause for finding in failing] == [True] * bool(smoothing)


def test_hooks_on_what_a_model_returns_do_not_outlive_the_watching():
    class Scaled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(2))

        def forward(self, x):
            return x * self.scale, self.scale

    model = Scaled()
    with noting_runs(model, lambda leaf: isinstance(leaf, torch.Tensor), array, str) as runs:
        (model(torch.ones(2))[0].sum() * 3).backward()
        (slopes,) = runs.differentiated(0.0, {}).slopes
    assert slopes["0"].tolist() == [3.0, 3.0]
    assert not model.scale._backward_hooks
