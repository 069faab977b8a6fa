"""A table that one model keeps as a frozen embedding and the other computes."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

ROWS, WIDTH = 12, 8
GROWTH = 20.0
"""An exponential behind makes more of a last unit than weights that are folded are allowed."""


def table():
    angles = np.arange(ROWS)[:, None] / 10000 ** (np.arange(WIDTH) / WIDTH)
    return np.sin(angles + np.arange(WIDTH) % 2).astype("float32")


class Computed(paddle.nn.Layer):
    """The positions are a buffer, computed in float64."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.fc = paddle.nn.Linear(WIDTH, WIDTH)
        self.register_buffer("positions", paddle.to_tensor(scale * table()), persistable=False)

    def forward(self, x):
        return paddle.exp(GROWTH * (self.fc(x) * self.positions[: x.shape[1]]))


class Kept(torch.nn.Module):
    def __init__(self, trained=False):
        super().__init__()
        self.fc = torch.nn.Linear(WIDTH, WIDTH)
        kept = torch.from_numpy(np.nextafter(table(), np.float32(2)))
        self.positions = torch.nn.Embedding(ROWS, WIDTH, _weight=kept, _freeze=not trained)

    def forward(self, x):
        return torch.exp(GROWTH * (self.fc(x) * self.positions(torch.arange(x.shape[1]))))


def checked(layer, module):
    x = np.random.default_rng(0).standard_normal((2, 5, WIDTH)).astype("float32")
    example = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}
    return pg.compare(
        layer, module, example, auto_weights=True, options={"rtol": 1e-3, "atol": 1e-5}
    )


def test_a_frozen_table_has_its_counterpart_in_a_computed_one():
    report = checked(Computed(), Kept())
    assert report.passed and not report.findings


def test_another_table_is_a_difference():
    assert not checked(Computed(scale=1.01), Kept()).passed


def test_a_table_that_is_trained_is_missing():
    report = checked(Computed(), Kept(trained=True))
    causes = [finding.cause_id for finding in report.findings if finding.fails]
    assert not report.passed and "parameter.missing" in causes


class Streaming(paddle.nn.Layer):
    """The last frames of a call stand before those of the next: a tensor attribute of a Layer is a
    buffer. `kept` says where the frames begin that are kept."""

    def __init__(self, kept):
        super().__init__()
        self.conv, self.kept = paddle.nn.Conv1D(WIDTH, WIDTH, 3), kept
        self.cache = paddle.zeros([2, WIDTH, 2])

    def forward(self, x):
        x = paddle.concat([self.cache, paddle.tanh(x)], 2)
        if self.kept is not None:
            self.cache = x[:, :, self.kept : self.kept + 2].detach()
        return self.conv(x)


class StreamingReference(torch.nn.Module):
    """The same attribute is no buffer of a Module; `keeps` says whether it is written."""

    def __init__(self, keeps=True):
        super().__init__()
        self.conv, self.keeps = torch.nn.Conv1d(WIDTH, WIDTH, 3), keeps
        self.cache = torch.zeros(2, WIDTH, 2)

    def forward(self, x):
        x = torch.cat([self.cache, torch.tanh(x)], 2)
        if self.keeps:
            self.cache = x[:, :, -2:].detach()
        return self.conv(x)


def streamed(layer, module):
    x = np.random.default_rng(0).standard_normal((2, WIDTH, 5)).astype("float32")
    example = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}
    return pg.compare(layer, module, example, options={"rtol": 1e-3, "atol": 1e-5})


def test_a_cache_is_a_buffer_of_one_model_and_an_attribute_of_the_other():
    report = streamed(Streaming(5), StreamingReference())
    assert report.passed and not report.findings
    assert streamed(Streaming(None), StreamingReference(keeps=False)).passed


@pytest.mark.parametrize(("kept", "keeps"), [(4, True), (None, True), (5, False)])
def test_a_cache_that_is_kept_otherwise_is_a_difference(kept, keeps):
    report = streamed(Streaming(kept), StreamingReference(keeps))
    failing = [finding for finding in report.findings if finding.fails]
    assert not report.passed and failing[0].cause_id.startswith("state.")


def test_a_cache_that_begins_with_other_numbers_is_a_difference():
    layer = Streaming(5)
    layer.cache = paddle.full([2, WIDTH, 2], 0.5)
    assert not streamed(layer, StreamingReference()).passed
