"""`padiff-graph watch`, driven by what sleeping does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from padiff_graph.cli import watched_files
from padiff_graph.cli.answers import run
from padiff_graph.cli.commands import cli

pytest.importorskip("torch")
pytest.importorskip("paddle")

PORT = """
import paddle

class Net(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.fc = paddle.nn.Linear(4, 8)
        self.norm = paddle.nn.LayerNorm(8, epsilon=1e-3)

    def forward(self, x):
        return paddle.nn.functional.relu(self.norm(self.fc(x)))

def build():
    return Net(), {"x": paddle.ones([2, 4]) * paddle.arange(4).astype("float32")}
"""
REFERENCE = """
import torch

EPSILON = 1e-5

class Net(torch.nn.Module):
    def __init__(self, epsilon=None):
        super().__init__()
        self.fc = torch.nn.Linear(4, 8)
        self.norm = torch.nn.LayerNorm(8, eps=epsilon or EPSILON)

    def forward(self, x):
        return torch.relu(self.norm(self.fc(x)))

def build():
    return Net(), {"x": torch.ones(2, 4) * torch.arange(4)}
"""
PAIR = """
import port_w
import reference_w

def build():
    layer, first = port_w.build()
    module, second = reference_w.build()
    return layer, module, (first, second)
"""
TOLERANT = ("--rtol", "1e-4", "--atol", "1e-6")
Edit = Callable[[], None]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in (("port", PORT), ("reference", REFERENCE), ("pair", PAIR)):
        (tmp_path / f"{name}_w.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in ("port_w", "reference_w", "pair_w"):
        sys.modules.pop(name, None)


def edit(file: str, old: str, new: str) -> Edit:
    def done() -> None:
        text = Path(file).read_text()
        assert old in text
        Path(file).write_text(text.replace(old, new))

    return done


def watched(
    monkeypatch: pytest.MonkeyPatch, capsys: Any, edits: list[Edit], *arguments: str
) -> tuple[int, list[str], str]:
    """Exit code, what was printed between two changes, and errors; each sleep that finds nothing
    changed makes the next edit."""
    waiting = [*edits]
    pause = [False]

    def sleep(_: float) -> None:
        if pause[0]:  # the file is given time to settle
            pause[0] = False
        elif waiting:
            waiting.pop(0)()
            pause[0] = True
        else:
            raise KeyboardInterrupt

    monkeypatch.setattr(watched_files.time, "sleep", sleep)
    code = run(lambda: cli.main(["watch", *arguments, *TOLERANT], standalone_mode=False))
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return code, said.out.split("changed: "), said.err


def test_mended_broken_and_mended_again(folder: Path, monkeypatch: Any, capsys: Any) -> None:
    edits = [
        edit("port_w.py", "epsilon=1e-3", "epsilon=1e-5"),
        edit("port_w.py", "import paddle\n", "import paddle\ndef (\n"),
        edit("port_w.py", "def (\n", ""),
        edit("port_w.py", "functional.relu", "functional.gelu"),
    ]
    arguments = ("pair_w.py:build", "--runs", "5")
    code, runs, errors = watched(monkeypatch, capsys, edits, *arguments)
    first, mended, broken, again, other = runs
    assert code == 1
    assert first.startswith("NOT ALIGNED") and "epsilon 0.001" in first
    assert "watching 3 files" in first
    assert mended.startswith("port_w.py")
    assert "ALIGNED" in mended and "BETTER" in mended and "gone" in mended
    assert "not captured again: the second model" in mended
    assert "ALIGNED" not in broken
    assert "SyntaxError" in errors and "port_w.py" in errors
    assert "AS BEFORE" in again
    assert "WORSE" in other and "First finding" in other and "Gelu" in other


@pytest.mark.parametrize(
    "change",
    [
        edit("reference_w.py", "EPSILON = 1e-5", "EPSILON = 1e-3"),
        edit("pair_w.py", "reference_w.build()", "reference_w.Net(1e-3), reference_w.build()[1]"),
        edit(
            "pair_w.py", "import reference_w\n", "import reference_w\nreference_w.EPSILON = 1e-3\n"
        ),
    ],
    ids=["its source", "its construction", "its globals"],
)
def test_a_changed_reference_is_captured_again(
    folder: Path, monkeypatch: Any, capsys: Any, change: Edit
) -> None:
    code, runs, _ = watched(
        monkeypatch, capsys, [change], "pair_w.py:build", "--runs", "2", "--phase", "forward"
    )
    assert code == 0
    assert "BETTER" in runs[1]
    assert "second" not in runs[1]


def test_two_targets(folder: Path, monkeypatch: Any, capsys: Any) -> None:
    change = edit("port_w.py", "epsilon=1e-3", "epsilon=1e-5")
    code, runs, _ = watched(
        monkeypatch, capsys, [change], "port_w.py:build", "reference_w:build", "--runs", "2"
    )
    assert code == 0
    assert "watching 2 files" in runs[0]
    assert "not captured again: the second model" in runs[1]


def test_interrupted(folder: Path, monkeypatch: Any, capsys: Any) -> None:
    code, runs, errors = watched(monkeypatch, capsys, [], "pair_w.py:build")
    assert code == 130
    assert len(runs) == 1
    assert "stopped by Ctrl-C\n" in errors and "before it was done" not in errors


def test_a_touched_file_is_no_change(folder: Path, monkeypatch: Any, capsys: Any) -> None:
    def touched() -> None:
        text = Path("port_w.py").read_text()
        Path("port_w.py").unlink()
        Path("port_w.py").write_text(text)

    code, runs, _ = watched(monkeypatch, capsys, [touched], "pair_w.py:build")
    assert code == 130
    assert len(runs) == 1


def test_a_first_file_that_is_broken(folder: Path, monkeypatch: Any, capsys: Any) -> None:
    Path("pair_w.py").write_text("def (\n" + PAIR)
    edits = [edit("pair_w.py", "def (\n", "")]
    code, runs, errors = watched(monkeypatch, capsys, edits, "pair_w.py:build", "--runs", "2")
    assert code == 1
    assert "SyntaxError" in errors
    assert runs[1].count("NOT ALIGNED") == 1 and "epsilon" in runs[1]


def test_wrong_use(folder: Path, monkeypatch: Any, capsys: Any) -> None:
    for arguments in (("gone_w.py:build",), ("pair_w.py:build", "--mode", "loose")):
        code, _, _ = watched(monkeypatch, capsys, [], *arguments)
        assert code == 2
