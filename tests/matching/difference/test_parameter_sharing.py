"""One parameter in one model where the other has copies of it: in both directions, in every
mode."""

import numpy as np
import paddle
import pytest
import torch

import padiff_graph

WORDS, WIDTH = 11, 6
TOLERANCE = {"atol": 1e-5, "rtol": 1e-4}
IDS = np.array([[1, 2, 3], [4, 5, 0]])


def tower(side, tied, dropout=0.0):
    """Embedding, a layer, and the embedding (or a copy) as output layer."""
    lib, base = (paddle, paddle.nn.Layer) if side == "paddle" else (torch, torch.nn.Module)

    class Tower(base):
        def __init__(self):
            super().__init__()
            self.words = lib.nn.Embedding(WORDS, WIDTH)
            self.middle = lib.nn.Linear(WIDTH, WIDTH)
            self.drop = lib.nn.Dropout(dropout)
            self.logits = self.words if tied else lib.nn.Embedding(WORDS, WIDTH)

        def forward(self, ids):
            hidden = self.drop(lib.tanh(self.middle(self.words(ids))))
            return lib.matmul(hidden, self.logits.weight.T)

    return Tower()


def sharing(findings):
    return [finding for finding in findings if finding.cause_id == "parameter.shared"]


def compared(first_tied, second_tied, dropout=0.0, train=False, **options):
    models = tower("paddle", first_tied, dropout), tower("torch", second_tied, dropout)
    if not second_tied:
        models[1].logits.weight.data.copy_(models[1].words.weight.data)
    for model in models:
        model.train() if train else model.eval()
    example = {"ids": paddle.to_tensor(IDS)}, {"ids": torch.tensor(IDS)}
    return padiff_graph.compare(*models, example, options={**TOLERANCE, **options})


@pytest.mark.parametrize("first_tied", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"single_step": True},
        {"diff_phase": "forward"},
        {"dropout": 0.3, "train": True},
    ],
    ids=str,
)
def test_told_in_both_directions_and_every_mode(first_tied, options):
    report = compared(first_tied, not first_tied, **options)
    found = sharing(report.findings)
    assert not report.passed
    assert [finding.verdict for finding in found] == ["different"]
    assert "words.weight is one shared parameter" in found[0].cause
    assert "logits.weight" in found[0].cause


@pytest.mark.parametrize("tied", [False, True])
def test_equal_sharing_is_no_finding(tied):
    report = compared(tied, tied)
    assert report.passed
    assert not sharing(report.findings)


def test_frozen_copies_stay_equal():
    models = tower("paddle", tied=False), tower("torch", tied=True)
    models[0].words.weight.stop_gradient = models[0].logits.weight.stop_gradient = True
    models[1].words.weight.requires_grad_(False)
    example = {"ids": paddle.to_tensor(IDS)}, {"ids": torch.tensor(IDS)}
    assert not sharing(padiff_graph.compare(*models, example).findings)


def repeated(side, shared):
    """One block twice, or two blocks."""
    lib, base = (paddle, paddle.nn.Layer) if side == "paddle" else (torch, torch.nn.Module)

    class Repeated(base):
        def __init__(self):
            super().__init__()
            self.once = lib.nn.Sequential(lib.nn.Linear(WIDTH, WIDTH), lib.nn.LayerNorm(WIDTH))
            self.again = self.once if shared else self.other()

        def other(self):
            return lib.nn.Sequential(lib.nn.Linear(WIDTH, WIDTH), lib.nn.LayerNorm(WIDTH))

        def forward(self, x):
            return self.again(lib.tanh(self.once(x)))

    return Repeated()


@pytest.mark.parametrize("first_shared", [False, True])
def test_a_block_called_twice_is_one_finding(first_shared):
    models = repeated("paddle", first_shared), repeated("torch", not first_shared)
    if first_shared:
        models[1].again.load_state_dict(models[1].once.state_dict())
    x = np.random.default_rng(0).standard_normal((4, WIDTH)).astype("float32")
    result = padiff_graph.structural_diff(
        *models, ({"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)})
    )
    found = sharing(result.findings)
    assert [finding.verdict for finding in found] == ["different"]
    assert "and 3 more parameters alike" in found[0].cause


def test_one_parameter_read_in_disjoint_pieces_is_no_finding():
    class Fused(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.packed = paddle.nn.Linear(WIDTH, 3 * WIDTH)

        def forward(self, x):
            query, key, value = paddle.split(self.packed(x), 3, axis=-1)
            scores = paddle.nn.functional.softmax(paddle.matmul(query, key, transpose_y=True), -1)
            return paddle.matmul(scores, value)

    class Apart(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.query, self.key, self.value = (torch.nn.Linear(WIDTH, WIDTH) for _ in range(3))

        def forward(self, x):
            scores = torch.softmax(self.query(x) @ self.key(x).transpose(-1, -2), -1)
            return scores @ self.value(x)

    x = np.random.default_rng(0).standard_normal((2, 4, WIDTH)).astype("float32")
    example = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}
    report = padiff_graph.compare(Fused(), Apart(), example, options=TOLERANCE)
    assert report.passed
    assert not report.findings
