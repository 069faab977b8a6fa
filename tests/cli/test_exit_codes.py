"""Only a verdict ends with 0 or 1; what a user's code does ends in none of them."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from padiff_graph.cli.answers import run
from padiff_graph.cli.commands import GRAPH_FILES, cli
from padiff_graph.cli.exit_codes import MEANINGS
from padiff_graph.export.graph_formats import WRITERS

pytest.importorskip("torch")
pytest.importorskip("paddle")

PAIRS = Path(__file__).parents[1] / "models"
TOLERANT = ("--rtol", "1e-4", "--atol", "1e-6")
ENDING = """
import sys
import click
from cli_pairs import *

class Ends(torch.nn.Module):
    def __init__(self, end):
        super().__init__()
        self.end, self.a = end, torch.nn.Linear(4, 3)
    def forward(self, data):
        self.end()
        return self.a(data)

def ending(end):
    return lambda: (PaddleNet(), Ends(end), example())

def throwing(error):
    def end():
        raise error
    return ending(end)

in_forward = ending(lambda: sys.exit(0))
clicks_own = throwing(click.exceptions.Exit(0))
end_of_file = throwing(EOFError("no more"))
broken_pipe = throwing(BrokenPipeError(32, "gone"))
interrupted = throwing(KeyboardInterrupt())

def in_loss():
    layer, module, inputs = healthy()
    losses = [lambda y: y.mean(), lambda y: sys.exit(0)]
    return {"layer": layer, "module": module, "example_inp": inputs, "loss_fn": losses}

def in_pair():
    sys.exit(0)

def in_a_kernel():
    layer = paddle.nn.LayerNorm(3, epsilon=0.1)  # more than its kernel takes
    inputs = {"input": paddle.ones([2, 3])}, {"input": torch.ones(2, 3)}
    return layer, torch.nn.LayerNorm(3, 0.1), inputs
"""


@pytest.fixture(autouse=True)
def beside_the_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ending_pairs.py").write_text(ENDING)
    (tmp_path / "ends_at_import.py").write_text("import sys\nsys.exit(0)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(PAIRS))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "ending_pairs", raising=False)


def call(capsys: Any, *arguments: Any) -> tuple[int, str, str]:
    code = run(lambda: cli.main([str(argument) for argument in arguments], standalone_mode=False))
    said = capsys.readouterr()
    assert "Traceback" not in said.err + said.out
    return code, said.out, said.err


@pytest.mark.parametrize(
    ("pair", "code", "says"),
    [
        ("ends_at_import:pair", 2, "SystemExit: 0"),
        ("ending_pairs:in_pair", 2, "SystemExit: 0"),
        ("ending_pairs:in_forward", 3, "SystemExit"),
        ("ending_pairs:in_loss", 3, "SystemExit"),
        ("ending_pairs:clicks_own", 3, "Exit"),
        ("ending_pairs:end_of_file", 3, "EOFError"),
        ("ending_pairs:broken_pipe", 3, "BrokenPipeError"),
        ("ending_pairs:interrupted", 130, "stopped"),
        ("ending_pairs:in_a_kernel", 3, "ValueError in paddle/"),
    ],
)
def test_what_a_model_does_is_no_verdict(capsys: Any, pair: str, code: int, says: str) -> None:
    answered, _, err = call(capsys, "align", pair, *TOLERANT)
    assert answered == code
    assert says in err


@pytest.mark.parametrize("command", ["diff", "suggest"])
def test_nor_for_the_other_commands(capsys: Any, command: str) -> None:
    assert call(capsys, command, "ending_pairs:in_forward")[0] == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ("align", "explodes:pair", "--mode", "loose"),
        ("align", "explodes:pair", "--atol", "-1"),
        ("align", "explodes:pair", "--steps", "0"),
        ("align", "explodes:pair", "--map", "gone.yaml"),
        ("align", "explodes:pair", "--repro", "r.txt"),
        ("align", "explodes:pair", "--html", "r", "--json", "./r"),
        ("diff", "explodes:pair", "--map", "gone.yaml"),
        ("capture", "explodes:pair", "-o", "g.png"),
        ("convert", "gone.pt", "--map", "gone.yaml", "-o", "m.txt"),
    ],
)
def test_options_are_read_before_the_pair(capsys: Any, arguments: tuple[str, ...]) -> None:
    Path("explodes.py").write_text("raise SystemError('imported')\n")
    code, _, err = call(capsys, *arguments)
    assert code == 2
    assert "imported" not in err


def test_a_verdict_stands_where_its_report_cannot_be_written(capsys: Any) -> None:
    code, out, err = call(
        capsys, "align", "cli_pairs:healthy", *TOLERANT, "--json", "/dev/full", "--html", "r.html"
    )
    assert code == 4
    assert out.startswith("ALIGNED")
    assert "/dev/full cannot be written: no space left" in err and "stands" in err
    assert Path("r.html").exists()


def test_a_model_of_odd_names_does_not_steer_the_terminal(capsys: Any) -> None:
    code, out, err = call(capsys, "align", "\x1b]0;owned\x07:f")
    assert code == 2
    assert "\x1b" not in out + err


def test_nobody_reads(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "padiff_graph", "--help"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 4
    assert "Traceback" not in done.stderr


def test_a_target_that_may_not_be_written(capsys: Any, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everything")
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        code, out, _ = call(capsys, "suggest", "cli_pairs:healthy", "-o", "m.yaml")
    finally:
        tmp_path.chmod(stat.S_IRWXU)
    assert code == 4 and out


def test_the_codes_are_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    rows = dict(re.findall(r"^\| (\d+) \| (.*) \|$", page, re.MULTILINE))
    assert rows == {str(code): meaning for code, meaning in MEANINGS.items()}


def test_graph_files_are_those_that_are_written() -> None:
    assert tuple(WRITERS) == GRAPH_FILES


def test_too_little_memory_is_one_sentence(capsys):
    assert run(partial(np.zeros, 1 << 55)) == 3
    said = capsys.readouterr().err
    assert said.startswith("nothing was compared: the memory was not enough: Unable to allocate")
    assert said.count("\n") == 1
