"""What two binary cross entropies do otherwise is told by its setting, however they are spelled."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from padiff_graph.training.binary_cross_entropy import answers_of, loss_differences

RANDOM = np.random.default_rng(3)
LOGITS = RANDOM.standard_normal((6, 9)).astype(np.float32) * 2
ANSWERS = (RANDOM.random((6, 9)) < 0.4).astype(np.float32)
OTHERS = np.where(np.arange(9) == 2, 1 - ANSWERS, ANSWERS)
MASK = (np.arange(6) < 4).astype(np.float32)[:, None] * np.ones(9, np.float32)


def _gradient(loss, values=LOGITS):
    given = torch.from_numpy(values).requires_grad_()
    loss(given).backward()
    return given.grad.numpy()


def _plain(x, answers=ANSWERS, **settings):
    return F.binary_cross_entropy_with_logits(x, torch.from_numpy(answers), **settings)


def _told(first, second, values=LOGITS):
    both = [_gradient(loss, values) for loss in (first, second)]
    return [(cause.kind, dict(cause.facts)) for cause in loss_differences((values, values), both)]


CASES = {
    "sum": (
        lambda x: _plain(x, reduction="sum"),
        "loss.reduction",
        ("sum", "mean of the rows that count"),
    ),
    "positive weight": (
        lambda x: _plain(x, pos_weight=torch.tensor(3.0)),
        "loss.positive_weight",
        (3.0, 1.0),
    ),
    "answers": (
        lambda x: _plain(x, OTHERS),
        "loss.labels",
        (int(OTHERS[0, 2]), int(ANSWERS[0, 2])),
    ),
    "mask": (
        lambda x: _plain(x, weight=torch.from_numpy(MASK)),
        "loss.counted_rows",
        (36, 54),
    ),
}


@pytest.mark.parametrize("kind", CASES)
def test_a_setting_is_told_with_both_values(kind):
    loss, cause, values = CASES[kind]
    (told,) = _told(loss, _plain)
    assert told[0] == cause
    assert (told[1]["first_setting"], told[1]["second_setting"]) == values


def test_one_loss_spelled_twice_differs_in_nothing():
    def spelled(x):
        share, answers = torch.sigmoid(x), torch.from_numpy(ANSWERS)
        return -(answers * share.log() + (1 - answers) * (1 - share).log()).mean()

    assert not _told(spelled, _plain)


def test_probabilities_are_told_as_logits_are():
    shares = 1 / (1 + np.exp(-LOGITS))

    def crossed(x, **settings):
        return F.binary_cross_entropy(x, torch.from_numpy(ANSWERS), **settings)

    told = _told(lambda x: crossed(x, reduction="sum"), crossed, shares)
    assert [kind for kind, _ in told] == ["loss.reduction"]


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: (x**2).mean(),
        lambda x: F.mse_loss(x.sigmoid(), torch.from_numpy(ANSWERS)),
        lambda x: F.smooth_l1_loss(x, torch.from_numpy(ANSWERS)),
        lambda x: _plain(x) + 0.1 * x.abs().mean(),
        lambda x: _plain(x, np.float32(0.1) + 0.8 * ANSWERS),
    ],
    ids=["square", "distance", "huber", "another term", "soft answers"],
)
def test_nothing_is_told_of_another_loss(loss):
    assert answers_of(LOGITS, _gradient(loss)) is None
