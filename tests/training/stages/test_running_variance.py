"""Running variances in training: what the frameworks' own rules part is no departure, what is
beside them is one."""

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg
from padiff_graph.training.stages.running_variance import carried_to_unbiased

OPTIONS = {"rtol": 1e-3, "atol": 1e-5, "allow_rounding": True}
BATCH = 8


class Port(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.fc, self.norm = paddle.nn.Linear(5, 6), paddle.nn.BatchNorm1D(6)

    def forward(self, x):
        return paddle.tanh(self.norm(self.fc(x)))


class Reference(torch.nn.Module):
    def __init__(self, momentum=0.1):
        super().__init__()
        self.fc, self.norm = torch.nn.Linear(5, 6), torch.nn.BatchNorm1d(6, momentum=momentum)

    def forward(self, x):
        return torch.tanh(self.norm(self.fc(x)))


def _step(optimizer, clear, parts):
    def step(model, batch):
        size = len(batch["x"]) // parts
        for part in range(parts):
            ((model(batch["x"][part * size : (part + 1) * size]) ** 2).mean() / parts).backward()
        optimizer.step()
        clear()

    return step


def _report(parts, momentum=0.1, sizes=(BATCH, BATCH, BATCH)):
    port, reference = Port(), Reference(momentum)
    random = np.random.default_rng(1)
    arrays = [random.standard_normal((size, 5)).astype("float32") for size in sizes]
    ours = paddle.optimizer.SGD(0.05, parameters=port.parameters())
    theirs = torch.optim.SGD(reference.parameters(), 0.05)
    loops = [_step(ours, ours.clear_grad, parts), _step(theirs, theirs.zero_grad, parts)]
    batches = [({"x": array}, {"x": array}) for array in arrays]
    return pg.compare(port, reference, batches, steps=len(sizes), train_step=loops, options=OPTIONS)


@pytest.mark.parametrize("parts", [1, 2], ids=["whole", "micro-batches"])
def test_biased_and_unbiased_variances_do_not_part_two_trainings(parts):
    report = _report(parts)
    assert report.passed, [finding.cause for finding in report.findings]


def test_a_batch_of_another_size_has_another_factor():
    report = _report(1, sizes=(BATCH, BATCH // 2, BATCH))
    assert report.passed, [finding.cause for finding in report.findings]


def test_another_momentum_is_no_rule_of_a_framework():
    report = _report(2, momentum=0.3)
    assert not report.passed


def test_a_variance_is_carried_over_with_the_right_count_alone():
    random = np.random.default_rng(0)
    start = random.uniform(0.5, 2, 16)
    old = start, start * random.uniform(1, 1.01, 16)
    batch = random.uniform(0.1, 4, 16)
    new = 0.9 * old[0] + 0.1 * batch, 0.9 * old[1] + 0.1 * batch * 12 / 11
    carried = carried_to_unbiased(old, new, 12)
    assert carried is not None
    np.testing.assert_allclose(carried, new[1], rtol=1e-12)
    assert carried_to_unbiased(old, new, 24) is None
    assert carried_to_unbiased(old, (new[0], new[1] * random.uniform(0.9, 1.1, 16)), 12) is None
