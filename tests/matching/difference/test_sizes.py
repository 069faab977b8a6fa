"""Sizes as structure: told where they are decided, with what follows from them, by both checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

Pair = tuple[Any, Any, dict[str, Any], dict[str, Any]]
PLAIN = np.random.default_rng(5).standard_normal


def perceptron(units: int, classes: int) -> Callable[[bool], Any]:
    def make(first: bool) -> Any:
        nn: Any = paddle.nn if first else torch.nn
        return nn.Sequential(
            nn.Linear(10, units), nn.ReLU(), nn.Linear(units, 6), nn.Tanh(), nn.Linear(6, classes)
        )

    return make


def convolutions(channels: int, kernel: int = 3) -> Callable[[bool], Any]:
    def make(first: bool) -> Any:
        nn: Any = paddle.nn if first else torch.nn
        convolution = nn.Conv2D if first else nn.Conv2d
        norm = nn.BatchNorm2D if first else nn.BatchNorm2d
        return nn.Sequential(
            convolution(3, channels, kernel, padding=kernel // 2),
            norm(channels),
            nn.ReLU(),
            convolution(channels, channels, 3, padding=1, groups=channels),
            nn.ReLU(),
            convolution(channels, 5, 1),
        )

    return make


class PaddleBlock(paddle.nn.Layer):
    def __init__(self, width: int, inner: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = paddle.nn.LayerNorm(width)
        self.query, self.key, self.value, self.out = (
            paddle.nn.Linear(width, width) for _ in range(4)
        )
        self.up, self.down = paddle.nn.Linear(width, inner), paddle.nn.Linear(inner, width)

    def forward(self, x):
        batch, length, width = x.shape
        own = self.norm(x)
        query, key, value = (
            layer(own)
            .reshape([batch, length, self.heads, width // self.heads])
            .transpose([0, 2, 1, 3])
            for layer in (self.query, self.key, self.value)
        )
        scores = query @ key.transpose([0, 1, 3, 2]) / (width // self.heads) ** 0.5
        mixed = paddle.nn.functional.softmax(scores) @ value
        x = x + self.out(mixed.transpose([0, 2, 1, 3]).reshape([batch, length, width]))
        return x + self.down(paddle.nn.functional.relu(self.up(x)))


class TorchBlock(torch.nn.Module):
    def __init__(self, width: int, inner: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = torch.nn.LayerNorm(width)
        self.query, self.key, self.value, self.out = (
            torch.nn.Linear(width, width) for _ in range(4)
        )
        self.up, self.down = torch.nn.Linear(width, inner), torch.nn.Linear(inner, width)

    def forward(self, x):
        batch, length, width = x.shape
        own = self.norm(x)
        query, key, value = (
            layer(own).view(batch, length, self.heads, width // self.heads).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        scores = query @ key.transpose(-1, -2) / (width // self.heads) ** 0.5
        mixed = torch.softmax(scores, -1) @ value
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(torch.relu(self.up(x)))


def transformer(
    width: int = 8, inner: int = 12, heads: int = 2, blocks: int = 2, rows: int = 11
) -> Callable[[bool], Any]:
    def make(first: bool) -> Any:
        nn: Any = paddle.nn if first else torch.nn
        block = PaddleBlock if first else TorchBlock
        layers = [block(width, inner, heads) for _ in range(blocks)]
        return nn.Sequential(nn.Embedding(rows, width), *layers, nn.Linear(width, 4))

    return make


IMAGE = PLAIN((2, 3, 9, 9)).astype("float32")
ROWS = PLAIN((4, 10)).astype("float32")
WORDS = np.arange(10).reshape(2, 5) % 7

CASES = {
    "units": (perceptron(12, 3), perceptron(16, 3), ROWS, "size.out_features", (12, 16), "0", 2),
    "classes": (perceptron(12, 3), perceptron(12, 5), ROWS, "size.out_features", (3, 5), "4", 1),
    "channels": (convolutions(8), convolutions(16), IMAGE, "size.out_channels", (8, 16), "0", 4),
    "kernel": (
        convolutions(8, 3),
        convolutions(8, 5),
        IMAGE,
        "size.kernel_size",
        ((3, 3), (5, 5)),
        "0",
        1,
    ),
    "inner": (
        transformer(inner=12),
        transformer(inner=20),
        WORDS,
        "size.out_features",
        (12, 20),
        "1.up",
        4,
    ),
    "width": (
        transformer(width=8),
        transformer(width=16),
        WORDS,
        "size.embedding_dim",
        (8, 16),
        "0",
        None,
    ),
    "heads": (transformer(heads=2), transformer(heads=4), WORDS, "size.num_heads", (2, 4), "1", 2),
    "rows": (
        transformer(rows=11),
        transformer(rows=9),
        WORDS,
        "size.num_embeddings",
        (11, 9),
        "0",
        1,
    ),
}


def built(first: Callable[[bool], Any], second: Callable[[bool], Any], array: Any) -> Any:
    models = first(True), second(False)
    for model in models:
        model.eval()
    return (*models, ({"input": paddle.to_tensor(array)}, {"input": torch.tensor(array)}))


@pytest.mark.parametrize("case", CASES)
def test_a_size_is_one_finding_where_it_is_decided(case: str) -> None:
    first, second, array, cause_id, values, path, places = CASES[case]
    diff = pg.structural_diff(*built(first, second, array))
    assert not diff.identical
    (finding,) = [finding for finding in diff.findings if finding.fails]
    assert (finding.cause_id, finding.paddle_path, finding.torch_path) == (cause_id, path, path)
    assert f"{values[0]} against {values[1]}" in finding.cause
    assert places is None or len(finding.places) == places


@pytest.mark.parametrize("case", CASES)
def test_the_same_sizes_are_built_alike(case: str) -> None:
    first, second, array, *_ = CASES[case]
    for make in (first, second):
        diff = pg.structural_diff(*built(make, make, array))
        assert diff.identical, str(diff)


@pytest.mark.parametrize("case", ["units", "channels", "width", "heads", "rows"])
def test_compare_tells_a_size_once_and_compares_the_rest(case: str) -> None:
    first, second, array, cause_id, _, path, _ = CASES[case]
    report = pg.compare(*built(first, second, array))
    assert not report.passed
    assert [(finding.cause_id, finding.paddle_path) for finding in report.findings] == [
        (cause_id, path)
    ]
    assert report.compared.regions


def test_without_copying_what_fits_is_held_against_each_other() -> None:
    first, second, array, cause_id, *_ = CASES["units"]
    report = pg.compare(*built(first, second, array), auto_weights=False)
    assert not report.passed
    told = {finding.cause_id for finding in report.findings if finding.phase != "weights"}
    assert told == {cause_id}
    named = [finding.paddle_path for finding in report.findings if finding.phase == "weights"]
    assert "0" not in named


@pytest.mark.parametrize("sizes", [(2, 4), (5, 3)])
def test_missing_blocks_are_a_depth(sizes: tuple[int, int]) -> None:
    first, second = (transformer(blocks=blocks) for blocks in sizes)
    diff = pg.structural_diff(*built(first, second, WORDS))
    (finding,) = [finding for finding in diff.findings if finding.fails]
    assert finding.cause_id == "size.depth"
    assert f"{sizes[0]} blocks in " in finding.cause and f"against {sizes[1]}" in finding.cause


def test_a_layer_of_many_left_out_is_no_depth() -> None:
    def make(count: int) -> Callable[[bool], Any]:
        def model(first: bool) -> Any:
            nn: Any = paddle.nn if first else torch.nn
            return nn.Sequential(nn.Linear(10, 10), *(nn.ReLU6() for _ in range(count)), nn.Tanh())

        return model

    diff = pg.structural_diff(*built(make(1), make(2), ROWS))
    assert [finding.cause_id for finding in diff.findings if finding.fails] == ["operation.missing"]


def test_sizes_of_the_example_are_no_structure() -> None:
    models = perceptron(12, 3)(True), perceptron(12, 3)(False)
    example = {"input": paddle.ones([4, 10])}, {"input": torch.ones(6, 10)}
    assert pg.structural_diff(*models, example).identical


def test_a_layer_with_its_activation_is_missing_and_no_other_way_to_build_one() -> None:
    def make(first: bool) -> Any:
        nn: Any = paddle.nn if first else torch.nn
        between = [nn.Linear(10, 10), nn.ReLU()] if first else []
        return nn.Sequential(nn.Linear(10, 10), nn.ReLU(), *between, nn.Linear(10, 3))

    result = pg.structural_diff(*built(make, make, ROWS))
    assert not result.identical
    assert [finding.cause_id for finding in result.findings] == ["operation.extra"]


def test_more_recurrent_layers_are_one_finding() -> None:
    layer = paddle.nn.LSTM(10, 4, num_layers=1)
    module = torch.nn.LSTM(10, 4, num_layers=2, batch_first=True)
    array = PLAIN((2, 3, 10)).astype("float32")
    example = {"inputs": paddle.to_tensor(array)}, {"input": torch.tensor(array)}
    told = pg.structural_diff(layer.eval(), module.eval(), example).findings
    assert [finding.cause_id for finding in told] == ["attribute.num_layers"]


class _PaddleAttention(paddle.nn.Layer):
    def __init__(self, heads: int) -> None:
        super().__init__()
        self.attend = paddle.nn.MultiHeadAttention(12, heads)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.attend(x)


class _TorchAttention(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attend = torch.nn.MultiheadAttention(12, 3, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        attended: torch.Tensor = self.attend(x, x, x)[0]
        return attended


@pytest.mark.parametrize("heads", [3, 4])
def test_heads_beside_the_batch_are_counted_by_it(heads: int) -> None:
    """As many places as heads times rows: neither is the batch by its size alone."""
    x = PLAIN((2, 6, 8)).astype("float32")
    x = np.concatenate([x, x[..., :4]], -1)
    example = {"x": paddle.to_tensor(x)}, {"x": torch.tensor(x)}
    report = pg.compare(_PaddleAttention(heads).eval(), _TorchAttention().eval(), example)
    told = [finding.cause for finding in report.findings if finding.fails]
    assert bool(told) is (heads != 3), told
    assert heads == 3 or "num_heads 4 against 3" in told[0]


class _Positions(torch.nn.Module):
    """Words with a learned table of positions, of which the example reads the first rows."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.words, self.places = torch.nn.Embedding(11, 8), torch.nn.Embedding(rows, 8)

    def forward(self, x: Any) -> Any:
        return self.words(x) + self.places(torch.arange(x.shape[1]))


class _PaddlePositions(paddle.nn.Layer):
    def __init__(self, rows: int) -> None:
        super().__init__()
        self.words, self.places = paddle.nn.Embedding(11, 8), paddle.nn.Embedding(rows, 8)

    def forward(self, x: Any) -> Any:
        return self.words(x) + self.places(paddle.arange(x.shape[1]))


@pytest.mark.parametrize("rows", [(16, 32), (32, 16), (16, 16)])
def test_a_table_that_is_read_by_a_slice_is_told_by_its_name(rows: tuple[int, int]) -> None:
    example = {"x": paddle.to_tensor(WORDS)}, {"x": torch.tensor(WORDS)}
    report = pg.compare(_PaddlePositions(rows[0]), _Positions(rows[1]), example)
    told = [(finding.cause_id, finding.cause, finding.paddle_path) for finding in report.findings]
    words = f"places.weight ({rows[0]}, 8) against places.weight ({rows[1]}, 8)"
    assert told == ([("size.shape", words, "places")] if rows[0] != rows[1] else [])


@pytest.mark.parametrize("channels", [(8, 8), (8, 12)])
def test_a_convolution_back_over_one_axis_is_no_other_one(channels: tuple[int, int]) -> None:
    """Paddle's runs over two axes."""
    models = [
        nn.Sequential(conv(6, width, 3), nn.ReLU(), back(width, 5, 4, stride=2, padding=1))
        for nn, conv, back, width in (
            (paddle.nn, paddle.nn.Conv1D, paddle.nn.Conv1DTranspose, channels[0]),
            (torch.nn, torch.nn.Conv1d, torch.nn.ConvTranspose1d, channels[1]),
        )
    ]
    x = PLAIN((2, 6, 10)).astype("float32")
    diff = pg.structural_diff(*models, ({"input": paddle.to_tensor(x)}, {"input": torch.tensor(x)}))
    told = [finding.cause_id for finding in diff.findings]
    assert told == (["size.out_channels"] if channels[0] != channels[1] else [])
