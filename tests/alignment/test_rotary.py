"""Rotary embeddings in four spellings, each against each: the order of query and key that goes with
both is found, and a wrong order is not passed."""

import itertools
import math

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg
from padiff_graph.alignment.align import align
from tests.models import rebuilt_pairs as models

OPTIONS = {"rtol": 1e-4, "atol": 1e-5}
BATCH, STEPS, HEADS, SIZE = 2, 5, 2, 8
WIDTH = HEADS * SIZE
SPELLINGS = ("pairs", "halves", "copy", "complex")
IN_PAIRS = {"pairs", "complex"}
"""Spellings that turn neighbouring features; the others turn feature i with i + SIZE / 2."""
ANGLES = np.outer(np.arange(STEPS), 100.0 ** (-np.arange(0, SIZE, 2) / SIZE)).astype("float32")


class Attention(paddle.nn.Layer):
    """Attention with one head of keys and values for all heads of queries."""

    def __init__(self, spelling: str, fused: bool = False, width: int = SIZE) -> None:
        super().__init__()
        self.width = width
        self.turn, self.out = getattr(self, spelling), paddle.nn.Linear(WIDTH, WIDTH)
        self.fused = paddle.nn.Linear(WIDTH, WIDTH + 2 * SIZE) if fused else None
        if not fused:
            self.query, self.key = paddle.nn.Linear(WIDTH, WIDTH), paddle.nn.Linear(WIDTH, SIZE)
            self.value = paddle.nn.Linear(WIDTH, SIZE)
        self.register_buffer("angles", paddle.to_tensor(ANGLES), persistable=False)

    def waves(self):
        return paddle.cos(self.angles).unsqueeze(1), paddle.sin(self.angles).unsqueeze(1)

    def pairs(self, x):
        (cos, sin), one, two = self.waves(), x[..., 0::2], x[..., 1::2]
        return paddle.stack([one * cos - two * sin, one * sin + two * cos], -1).flatten(-2)

    def halves(self, x):
        (cos, sin), (one, two) = self.waves(), paddle.chunk(x, 2, -1)
        return paddle.concat([one * cos - two * sin, one * sin + two * cos], -1)

    def copy(self, x):
        cos, sin = (paddle.concat([wave, wave], -1) for wave in self.waves())
        one, two = paddle.chunk(x, 2, -1)
        return x * cos + paddle.concat([-two, one], -1) * sin

    def complex(self, x):
        pairs = paddle.as_complex(x.reshape([*x.shape[:-1], SIZE // 2, 2]))
        return paddle.as_real(pairs * paddle.complex(*self.waves())).flatten(-2)

    def parts(self, x):
        if self.fused is not None:
            return paddle.split(self.fused(x), [WIDTH, SIZE, SIZE], -1)
        return self.query(x), self.key(x), self.value(x)

    def forward(self, x):
        query, key, value = self.parts(x)
        query = self.turn(query.reshape([BATCH, STEPS, HEADS, SIZE]))
        key = self.turn(key.reshape([BATCH, STEPS, 1, SIZE])).transpose([0, 2, 3, 1])
        value = value.reshape([BATCH, STEPS, 1, SIZE]).transpose([0, 2, 1, 3])
        scores = paddle.matmul(query.transpose([0, 2, 1, 3]), key) / math.sqrt(self.width)
        mixed = paddle.matmul(paddle.nn.functional.softmax(scores, -1), value)
        return self.out(mixed.transpose([0, 2, 1, 3]).reshape([BATCH, STEPS, WIDTH]))


class TorchAttention(torch.nn.Module):
    def __init__(self, spelling: str, fused: bool = False) -> None:
        super().__init__()
        self.turn, self.out = getattr(self, spelling), torch.nn.Linear(WIDTH, WIDTH)
        self.fused = torch.nn.Linear(WIDTH, WIDTH + 2 * SIZE) if fused else None
        if not fused:
            self.query, self.key = torch.nn.Linear(WIDTH, WIDTH), torch.nn.Linear(WIDTH, SIZE)
            self.value = torch.nn.Linear(WIDTH, SIZE)
        self.register_buffer("angles", torch.tensor(ANGLES), persistent=False)

    def waves(self):
        return torch.cos(self.angles).unsqueeze(1), torch.sin(self.angles).unsqueeze(1)

    def pairs(self, x):
        (cos, sin), one, two = self.waves(), x[..., 0::2], x[..., 1::2]
        return torch.stack([one * cos - two * sin, one * sin + two * cos], -1).flatten(-2)

    def halves(self, x):
        (cos, sin), (one, two) = self.waves(), x.chunk(2, -1)
        return torch.cat([one * cos - two * sin, one * sin + two * cos], -1)

    def copy(self, x):
        cos, sin = (torch.cat([wave, wave], -1) for wave in self.waves())
        one, two = x.chunk(2, -1)
        return x * cos + torch.cat([-two, one], -1) * sin

    def complex(self, x):
        pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], SIZE // 2, 2))
        turns = torch.polar(torch.ones_like(self.angles), self.angles).unsqueeze(1)
        return torch.view_as_real(pairs * turns).flatten(-2)

    def parts(self, x):
        if self.fused is not None:
            return self.fused(x).split([WIDTH, SIZE, SIZE], -1)
        return self.query(x), self.key(x), self.value(x)

    def forward(self, x):
        query, key, value = self.parts(x)
        query = self.turn(query.reshape(BATCH, STEPS, HEADS, SIZE)).transpose(1, 2)
        key = self.turn(key.reshape(BATCH, STEPS, 1, SIZE)).transpose(1, 2)
        value = value.reshape(BATCH, STEPS, 1, SIZE).transpose(1, 2)
        scores = torch.softmax(query @ key.transpose(-1, -2) / math.sqrt(SIZE), -1)
        return self.out((scores @ value).transpose(1, 2).reshape(BATCH, STEPS, WIDTH))


def _ported(ours: str, theirs: str, wrong: bool = False):
    """A pair with the torch model's weights, in the order that goes with the spellings; or in the
    other one, which no port may have."""
    paddle.seed(0)
    torch.manual_seed(0)
    layer, module = Attention(ours), TorchAttention(theirs)
    order = np.arange(SIZE).reshape(-1, 2).T.reshape(-1)  # pairs taken apart
    if ours in IN_PAIRS:
        order = np.argsort(order)
    turned = ((ours in IN_PAIRS) != (theirs in IN_PAIRS)) != wrong
    for name, parameter in module.named_parameters():
        array = parameter.detach().numpy()
        if turned and name.startswith(("query", "key")):
            heads = array.reshape(-1, SIZE, *array.shape[1:])
            array = heads[:, order].reshape(array.shape)
        dict(layer.named_parameters())[name].set_value(array.T.copy())
    given = np.random.default_rng(0).standard_normal((BATCH, STEPS, WIDTH)).astype("float32")
    return layer, module, models.example(given, "x", "x")


@pytest.mark.parametrize(("ours", "theirs"), list(itertools.product(SPELLINGS, SPELLINGS)))
def test_each_spelling_is_mapped_and_passes_against_each(ours, theirs):
    pair = _ported(ours, theirs)
    rows = align(*pair, certify=False).matching.parameters
    weights = [row for row in rows if row.first != "angles"]
    assert all(row.status == "mapped" for row in weights), rows
    report = pg.compare(*pair, auto_weights=True, options=OPTIONS)
    assert report.passed, report.findings
    assert not any(finding.fails for finding in report.findings)


@pytest.mark.parametrize(("ours", "theirs"), list(itertools.product(SPELLINGS, SPELLINGS)))
def test_a_wrong_order_of_query_and_key_is_not_passed(ours, theirs):
    pair = _ported(ours, theirs, wrong=True)
    report = pg.compare(*pair, auto_weights=False, options=OPTIONS)
    assert not report.passed
    assert any(finding.fails for finding in report.findings)


@pytest.mark.parametrize(
    ("ours", "theirs"), [pair for pair in itertools.product(SPELLINGS, SPELLINGS) if "copy" in pair]
)
def test_weights_in_their_order_are_not_blamed_for_another_fault(ours, theirs):
    layer, module, example = _ported(ours, theirs)
    layer.angles.set_value(layer.angles.numpy() * 2)
    report = pg.compare(layer, module, example, auto_weights=False, options=OPTIONS)
    assert not report.passed
    assert not [found for found in report.findings if found.cause_id.startswith("weights")]


@pytest.mark.parametrize(("ours", "theirs"), [("pairs", "copy"), ("complex", "halves")])
def test_the_right_order_passes_with_the_models_own_weights(ours, theirs):
    report = pg.compare(*_ported(ours, theirs), auto_weights=False, options=OPTIONS)
    assert report.passed, report.findings


FUSED = [
    ("pairs", True, "copy", True),
    ("complex", True, "halves", False),
    ("copy", False, "pairs", True),
    ("halves", False, "halves", True),
]


@pytest.mark.parametrize(("ours", "first", "theirs", "second"), FUSED)
def test_query_key_and_value_may_be_one_weight(ours, first, theirs, second):
    paddle.seed(0)
    torch.manual_seed(0)
    given = np.random.default_rng(0).standard_normal((BATCH, STEPS, WIDTH)).astype("float32")
    pair = Attention(ours, first), TorchAttention(theirs, second)
    report = pg.compare(*pair, models.example(given, "x", "x"), options=OPTIONS)
    assert report.passed, report.findings
    assert not any(finding.cause_id == "weights.shuffled" for finding in report.findings)


class Normed(Attention):
    """Query and key are normed head by head, with scales and shifts."""

    def __init__(self, spelling: str, factor: float = 1.0) -> None:
        super().__init__(spelling)
        self.factor = factor
        self.query_norm, self.key_norm = paddle.nn.LayerNorm(SIZE), paddle.nn.LayerNorm(SIZE)

    def parts(self, x):
        query, key, value = super().parts(x)
        query = self.query_norm(query.reshape([BATCH, STEPS, HEADS, SIZE])) * self.factor
        return query.flatten(-2), self.key_norm(key), value


class TorchNormed(TorchAttention):
    def __init__(self, spelling: str) -> None:
        super().__init__(spelling)
        self.query_norm, self.key_norm = torch.nn.LayerNorm(SIZE), torch.nn.LayerNorm(SIZE)
        for norm in (self.query_norm, self.key_norm):
            torch.nn.init.normal_(norm.weight)
            torch.nn.init.normal_(norm.bias)

    def parts(self, x):
        query, key, value = super().parts(x)
        query = self.query_norm(query.reshape(BATCH, STEPS, HEADS, SIZE)).flatten(-2)
        return query, self.key_norm(key), value


def _example():
    given = np.random.default_rng(0).standard_normal((BATCH, STEPS, WIDTH)).astype("float32")
    return models.example(given, "x", "x")


@pytest.mark.parametrize(("ours", "theirs"), [("pairs", "copy"), ("halves", "pairs")])
@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_norms_of_query_and_key_take_the_order_of_their_features(ours, theirs, factor):
    paddle.seed(0)
    torch.manual_seed(0)
    pair = Normed(ours, factor), TorchNormed(theirs)
    report = pg.compare(*pair, _example(), options=OPTIONS)
    assert report.passed == (factor == 1.0), report.findings


FAULTS = {"angles": "values.table", "scores": "scale"}


@pytest.mark.parametrize(("ours", "theirs"), [("halves", "copy"), ("pairs", "copy")])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_and_the_other_spelling_is_not(ours, theirs, fault):
    paddle.seed(0)
    torch.manual_seed(0)
    layer, module = (
        Attention(ours, width=SIZE**2 if fault == "scores" else SIZE),
        TorchAttention(theirs),
    )
    if fault == "angles":
        layer.angles.set_value(layer.angles.numpy() * 2)
    report = pg.compare(layer, module, _example(), options=OPTIONS)
    assert not report.passed
    assert [found.cause_id for found in report.findings if found.fails] == [FAULTS[fault]]
