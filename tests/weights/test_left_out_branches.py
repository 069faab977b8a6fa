"""A sum of branches of which one model reads one alone: where the weights follow, the layer that
nothing reads is named; where they do not, the models are different."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg

TOLERANT = {"atol": 1e-5, "rtol": 1e-5}
X = np.random.default_rng(0).standard_normal((4, 6)).astype("float32")


def _summed(lib: Any, base: Any, made: str, read: str) -> Any:
    """One linear behind the sum of those of `read`, of those that are `made`."""

    class Summed(base):
        def __init__(self) -> None:
            super().__init__()
            for name in made:
                setattr(self, name, lib.nn.Linear(6, 5))
            self.last = lib.nn.Linear(5, 3)

        def forward(self, x: Any) -> Any:
            return self.last(sum(getattr(self, name)(x) for name in read))

    return Summed()


def compared(
    first: tuple[str, str], second: tuple[str, str], *, auto_weights: bool = True
) -> pg.Report:
    layer = _summed(paddle, paddle.nn.Layer, *first)
    module = _summed(torch, torch.nn.Module, *second)
    if not auto_weights:
        numbers = dict(module.named_parameters())
        for name, own in layer.named_parameters():
            other = numbers[name].detach().numpy()
            own.set_value(other.T if other.ndim == 2 else other)
    example = {"x": paddle.to_tensor(X)}, {"x": torch.from_numpy(X)}
    return pg.compare(layer, module, example, options=TOLERANT, auto_weights=auto_weights)


@pytest.mark.parametrize(
    ("first", "second", "path"),
    [
        (("ab", "a"), ("ab", "ab"), "b"),
        (("ab", "b"), ("ab", "ab"), "a"),
    ],
)
def test_a_branch_that_nothing_reads_is_named(
    first: tuple[str, str], second: tuple[str, str], path: str
) -> None:
    report = compared(first, second)
    (finding,) = report.findings
    assert (finding.verdict, finding.cause_id) == ("suspicious", "parameter.sum_beside_unread")
    assert path in (finding.paddle_path, finding.torch_path)


@pytest.mark.parametrize(
    ("first", "second"),
    [(("ab", "ab"), ("ab", "ab")), (("a", "a"), ("ab", "ab")), (("ab", "a"), ("a", "a"))],
    ids=["healthy", "fused", "a layer too many that no sum stands for"],
)
def test_nothing_is_said_where_no_branch_may_be_missing(
    first: tuple[str, str], second: tuple[str, str]
) -> None:
    report = compared(first, second)
    assert report.passed
    assert not report.findings


def test_a_branch_too_many_is_a_difference() -> None:
    report = compared(("ab", "ab"), ("ab", "a"))
    assert not report.passed
    assert any(finding.fails for finding in report.findings)


def test_weights_that_are_not_copied_tell_it() -> None:
    assert compared(("ab", "ab"), ("ab", "ab"), auto_weights=False).passed
    report = compared(("ab", "a"), ("ab", "ab"), auto_weights=False)
    assert not report.passed
    assert report.equivalent is not True
