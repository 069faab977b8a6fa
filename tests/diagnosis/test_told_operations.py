"""What is told is the operation and the setting, not the factor or the order that it shows as."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

STRICT = {"atol": 1e-4, "rtol": 1e-4, "compare_mode": "strict"}
RANDOM = np.random.default_rng(0)
SEQUENCE = RANDOM.standard_normal((2, 6, 8)).astype("float32")
SQUARE = RANDOM.standard_normal((8, 8)).astype("float32")
IMAGE = RANDOM.standard_normal((2, 4, 6, 6)).astype("float32")

Function = Callable[[Any, Any], Any]


class _PaddleInner(paddle.nn.Layer):
    def __init__(self, function: Function, **members: Callable[[], Any]) -> None:
        super().__init__()
        self.function = function
        for name, made in members.items():
            setattr(self, name, made())

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.function(self, x)


class _TorchInner(torch.nn.Module):
    def __init__(self, function: Function, **members: Callable[[], Any]) -> None:
        super().__init__()
        self.function = function
        for name, made in members.items():
            setattr(self, name, made())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self, x)


class _PaddleModel(paddle.nn.Layer):
    def __init__(self, stem: Any, body: _PaddleInner, head: Any) -> None:
        super().__init__()
        self.stem, self.body, self.head = stem, body, head

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.head(self.body(self.stem(x)))


class _TorchModel(torch.nn.Module):
    def __init__(self, stem: Any, body: _TorchInner, head: Any) -> None:
        super().__init__()
        self.stem, self.body, self.head = stem, body, head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(self.stem(x)))


def _first(
    ours: _PaddleInner, theirs: _TorchInner, x: np.ndarray, *, train: bool = False, out: int = 8
) -> tuple[pg.Report, pg.Finding]:
    paddle.seed(0)
    torch.manual_seed(0)
    if x.ndim == 4:
        layer = _PaddleModel(paddle.nn.Conv2D(4, 4, 1), ours, paddle.nn.Conv2D(4, 4, 1))
        module = _TorchModel(torch.nn.Conv2d(4, 4, 1), theirs, torch.nn.Conv2d(4, 4, 1))
    else:
        layer = _PaddleModel(paddle.nn.Linear(8, 8), ours, paddle.nn.Linear(out, 8))
        module = _TorchModel(torch.nn.Linear(8, 8), theirs, torch.nn.Linear(out, 8))
    (layer.train if train else layer.eval)()
    module.train(train)
    example = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}
    report = pg.compare(layer, module, example, options=STRICT)
    failing = [finding for finding in report.findings if finding.fails]
    assert not report.passed and failing
    return report, failing[0]


MEMBERLESS: list[Any] = [
    pytest.param(
        lambda s, x: paddle.roll(x, -1, 1),
        lambda s, x: torch.roll(x, 1, 1),
        SEQUENCE,
        "pd_op.roll",
        id="a roll to the other side",
    ),
    pytest.param(
        lambda s, x: x + 0,
        lambda s, x: x.flip(1),
        SEQUENCE,
        "Flip",
        id="a flip that is missing",
    ),
    pytest.param(
        lambda s, x: paddle.nn.functional.pad(x, [1, 0, 0, 1]),
        lambda s, x: torch.nn.functional.pad(x, (0, 1, 1, 0)),
        IMAGE,
        "pad",
        id="a padding on other sides",
    ),
    pytest.param(
        lambda s, x: x - x.mean(-1),
        lambda s, x: x - x.mean(-1, keepdim=True),
        SQUARE,
        "keepdim",
        id="an axis that is not kept",
    ),
    pytest.param(
        lambda s, x: x / (x.std(-1, keepdim=True) + 0.1),
        lambda s, x: x / (x.std(-1, keepdim=True, unbiased=False) + 0.1),
        SEQUENCE,
        "unbiased",
        id="an unbiased deviation",
    ),
    pytest.param(
        lambda s, x: x / x.std(unbiased=False),
        lambda s, x: x / x.std(),
        SEQUENCE,
        "correction",
        id="a biased deviation of all",
    ),
]


@pytest.mark.parametrize(("ours", "theirs", "x", "word"), MEMBERLESS)
def test_the_operation_is_told_where_it_stands(
    ours: Function, theirs: Function, x: np.ndarray, word: str
) -> None:
    _, first = _first(_PaddleInner(ours), _TorchInner(theirs), x)
    assert first.paddle_path == "body" and word in first.cause


def _written(value: float) -> Function:
    def written(s: Any, x: Any) -> Any:
        x = x * 1
        x[:, 2] = value
        if isinstance(x, torch.Tensor):
            x[1].zero_()
        else:
            x[1] = 0.0
        return x

    return written


def test_a_number_that_is_written_into_a_slice() -> None:
    """The number differs, not the operations around it."""
    _, first = _first(_PaddleInner(_written(1.0)), _TorchInner(_written(1.5)), SEQUENCE)
    assert first.verdict == "different" and first.paddle_path.startswith("body"), first
    x = {"x": paddle.to_tensor(SQUARE)}, {"x": torch.from_numpy(SQUARE)}
    models = _PaddleInner(_written(1.5)), _TorchInner(_written(1.5))
    report = pg.compare(*models, x, options=STRICT)
    assert report.passed and not report.findings, report.findings


@pytest.mark.parametrize("train", [False, True])
def test_a_dropout_that_scales_in_evaluation_is_told_by_its_mode(train: bool) -> None:
    def applied(s: Any, x: Any) -> Any:
        return s.drop(x)

    ours = _PaddleInner(applied, drop=lambda: paddle.nn.Dropout(0.3, mode="downscale_in_infer"))
    theirs = _TorchInner(applied, drop=lambda: torch.nn.Dropout(0.3))
    _, first = _first(ours, theirs, SEQUENCE, train=train)
    assert first.paddle_path == "body.drop"
    assert "mode 'downgrade_in_infer' against 'upscale_in_train'" in first.cause


@pytest.mark.parametrize("whole", [0, 1])
def test_a_dropout_of_whole_channels_is_told_by_what_it_draws(whole: int) -> None:
    def applied(s: Any, x: Any) -> Any:
        return s.drop(x)

    kinds = paddle.nn.Dropout2D, paddle.nn.Dropout
    others = torch.nn.Dropout, torch.nn.Dropout2d
    ours = _PaddleInner(applied, drop=lambda: kinds[whole](0.3))
    theirs = _TorchInner(applied, drop=lambda: others[whole](0.3))
    _, first = _first(ours, theirs, IMAGE, train=True)
    assert first.paddle_path == "body.drop" and first.cause_id == "draws.shape"


def test_a_recurrent_layer_that_reads_time_first_is_told_so() -> None:
    def applied(s: Any, x: Any) -> Any:
        return s.rnn(x)[0]

    ours = _PaddleInner(applied, rnn=lambda: paddle.nn.LSTM(8, 5))
    theirs = _TorchInner(applied, rnn=lambda: torch.nn.LSTM(8, 5))
    _, first = _first(ours, theirs, SEQUENCE, out=5)
    assert first.paddle_path == "body.rnn" and "batch_first" in first.cause


@pytest.mark.parametrize(
    ("done", "told"),
    [
        (lambda y: y + 1, "extra Add"),
        (lambda y: y * 3, "extra Mul"),
        (lambda y: paddle.scale(y, 3.0, 1.0), "extra Mul"),
    ],
    ids=["a shift", "a factor", "both"],
)
def test_an_operation_that_multiplies_and_adds_is_told_by_what_it_does(
    done: Any, told: str
) -> None:
    class Behind(_PaddleModel):
        def forward(self, x: paddle.Tensor) -> paddle.Tensor:
            return done(super().forward(x))

    inner = _PaddleInner(lambda s, x: x), _TorchInner(lambda s, x: x)
    layer = Behind(paddle.nn.Linear(8, 8), inner[0], paddle.nn.Linear(8, 8))
    module = _TorchModel(torch.nn.Linear(8, 8), inner[1], torch.nn.Linear(8, 8))
    example = {"x": paddle.to_tensor(SEQUENCE)}, {"x": torch.from_numpy(SEQUENCE)}
    report = pg.compare(layer, module, example, options=STRICT)
    assert told in next(finding.cause for finding in report.findings if finding.fails)
