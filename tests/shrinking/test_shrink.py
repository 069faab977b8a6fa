"""A finding made small."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg
from padiff_graph.errors import UsageError
from padiff_graph.report.report import Report
from padiff_graph.shrinking.script import shows_again, write_shrunk
from padiff_graph.shrinking.shrink import Shrunk, shrink, told
from tests.models.breakable_pairs import ConvNet, Mlp, TorchConvNet, TorchMlp, batch, images
from tests.models.sample_reports import failed

LOOSE = {"atol": 1e-4, "rtol": 1e-3}


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Which element shows a difference is a matter of the numbers."""
    torch.manual_seed(0)
    paddle.seed(0)


def compared(layer: Any, module: Any, example: Any) -> Report:
    return pg.compare(layer, module, example, options=LOOSE)


def shrunk_of(layer: Any, module: Any, example: Any, **settings: Any) -> Shrunk:
    return shrink(compared(layer, module, example), **settings)


@pytest.mark.parametrize(
    ("changes", "cause", "operations"),
    [
        ({"skip": ("act",)}, "operation.missing", 2),
        ({"bias": False}, "operand.missing", 1),
        ({"activation": paddle.nn.GELU()}, "operation.replaced", 1),
        ({"detach": True}, "gradient.detached", 3),
    ],
)
def test_depth_width_and_batch(changes: Any, cause: str, operations: int) -> None:
    shrunk = shrunk_of(Mlp(**changes), TorchMlp(), batch(4, 16))
    assert shrunk.original.cause_id == shrunk.shown.finding.cause_id == cause
    assert shrunk.operations[1] == operations < shrunk.operations[0]
    assert shrunk.complete
    assert dict(shrunk.sizes)[24 if "bias" not in changes else 16] <= 2
    assert max(leaf.array.size for leaf in shrunk.shown.piece.second.leaves.values()) <= 8


def test_a_convolution_keeps_its_kernel() -> None:
    shrunk = shrunk_of(ConvNet(residual=False), TorchConvNet(), images())
    shapes = [leaf.array.shape for leaf in shrunk.shown.piece.first.leaves.values()]
    assert all(np.prod(shape) <= 9 for shape in shapes), shapes


class Limited(paddle.nn.Layer):
    """Only what stands behind the fifth place is wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = paddle.nn.Linear(3, 3)

    def forward(self, x: Any) -> Any:
        return paddle.concat([self.fc(x)[:, :5], 2.0 * self.fc(x)[:, 5:]], 1)


class TorchLimited(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = torch.nn.Linear(3, 3)

    def forward(self, x: Any) -> Any:
        return torch.cat([self.fc(x)[:, :5], self.fc(x)[:, 5:]], 1)


def test_a_size_that_is_needed_is_said() -> None:
    shrunk = shrunk_of(Limited(), TorchLimited(), batch(2, 16, 3))
    after = dict(shrunk.sizes)
    assert after[16] > 5
    assert shrunk.needed[after[16]]
    assert any(f"size {after[16]} is needed" in line for line in told(shrunk))


def test_time_bounds_what_is_tried() -> None:
    ticks = iter(range(1000))
    report = compared(Mlp(skip=("act",)), TorchMlp(), batch(4, 16))
    shrunk = shrink(report, seconds=0, clock=lambda: next(ticks))
    assert not shrunk.complete
    assert shrunk.checks == 1
    assert shrunk.sizes and all(before == after for before, after in shrunk.sizes)
    assert "the time ran out" in told(shrunk)[-1]


def test_what_cannot_be_shrunk_is_said() -> None:
    with pytest.raises(UsageError, match="nothing fails"):
        shrunk_of(Mlp(), TorchMlp(), batch(4, 16))
    with pytest.raises(UsageError, match="could not be captured"):
        shrink(failed())
    layer, module, example = Mlp(), TorchMlp(), batch(4, 16)
    report = pg.compare(layer, module, example, auto_weights=False, options=LOOSE)
    weights = next(finding for finding in report.findings if finding.phase == "weights")
    with pytest.raises(UsageError, match="no operation"):
        shrink(report, weights)


def test_models_and_weights_stay_as_they_were() -> None:
    layer, module, example = Mlp(skip=("act",)), TorchMlp(), batch(4, 16)
    report = compared(layer, module, example)
    before = [parameter.detach().clone() for parameter in module.parameters()]
    own = [parameter.numpy() for parameter in layer.parameters()]
    state = torch.get_rng_state()
    shrink(report)
    assert all(map(torch.equal, before, module.parameters()))
    assert all(map(np.array_equal, own, (parameter.numpy() for parameter in layer.parameters())))
    assert torch.equal(state, torch.get_rng_state())


EVIL = '"""\nimport os\nsystem("evil")\n#\u202e\x1b'


class Named(torch.nn.Module):
    """The same as `Mlp`, one module under a name that would be code."""

    def __init__(self) -> None:
        super().__init__()
        self.add_module(EVIL, torch.nn.Linear(16, 8))

    def forward(self, x: Any) -> Any:
        return torch.relu(getattr(self, EVIL)(x))


def test_names_are_data_and_never_code(tmp_path: Path) -> None:
    layer = paddle.nn.Sequential(paddle.nn.Linear(16, 8))
    example = ({"input": batch(4, 16)[0]["x"]}, batch(4, 16)[1])
    shrunk = shrunk_of(layer, Named(), example)
    target = write_shrunk(shrunk, tmp_path / "small.py")
    text = target.read_text(encoding="utf-8")
    tree = ast.parse(text)
    imports = [
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    ]
    assert sorted(imports) == ["Path", "numpy", "paddle", "sys", "torch"]
    assert not any(
        isinstance(node, ast.Attribute) and node.attr == "system" for node in ast.walk(tree)
    )
    assert "\x1b" not in text and "\u202e" not in text
    assert shows_again(shrunk, target)


def test_the_script_runs_alone(tmp_path: Path) -> None:
    shrunk = shrunk_of(Mlp(epsilon=1e-3), TorchMlp(), batch(4, 16))
    target = write_shrunk(shrunk, tmp_path / "small.py")
    assert target.with_suffix(".npz").exists()
    assert "padiff_graph" not in target.read_text().replace("padiff-graph", "")
    assert shows_again(shrunk, target)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    printed = subprocess.run(
        [sys.executable, str(target), "--double"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=environment,
    ).stdout
    assert "LayerNormalization.epsilon 0.001 against 1e-05" in printed
    lines = {line.partition(":")[0]: line for line in printed.splitlines()}
    assert "largest difference 0," not in lines["output 0"]
    assert any(name.startswith("gradient of x0") for name in lines)
    assert any("norm.weight" in name for name in lines)


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    shrunk = shrunk_of(Mlp(bias=False), TorchMlp(), batch(4, 16), seconds=5)
    with pytest.raises(UsageError, match=r"ends in \.py"):
        write_shrunk(shrunk, tmp_path / "small.txt")
    assert not list(tmp_path.iterdir())
