"""`padiff-graph shrink`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from padiff_graph.cli.answers import run
from padiff_graph.cli.commands import cli

pytest.importorskip("torch")
pytest.importorskip("paddle")

HERE = Path(__file__).parents[1] / "models"
TOLERANT = ("--rtol", "1e-4", "--atol", "1e-6")


def shrunk(capsys: Any, *arguments: Any) -> tuple[int, str, str]:
    given = ["shrink", *map(str, arguments), *TOLERANT]
    code = run(lambda: cli.main(given, standalone_mode=False))
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return code, said.out, said.err


@pytest.fixture(autouse=True)
def beside_the_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE)
    monkeypatch.syspath_prepend(str(HERE))


def test_a_pair(capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, _ = shrunk(capsys, "cli_pairs:buggy", "-o", tmp_path / "small_pair.py")
    assert code == 0
    assert "depth: 1 of 6 operations" in out
    assert "sizes made smaller: 8 to " in out
    assert "shows the same cause" in out
    monkeypatch.chdir(tmp_path)
    code = run(lambda: cli.main(["align", "small_pair.py:pair", *TOLERANT], standalone_mode=False))
    assert code == 1
    assert "epsilon 0.001 against 1e-05" in " ".join(capsys.readouterr().out.split())


def test_what_is_aligned_is_not_shrunk(capsys: Any, tmp_path: Path) -> None:
    code, _, err = shrunk(capsys, "cli_pairs:healthy", "-o", tmp_path / "small.py")
    assert code == 0 and "nothing fails" in err
    assert not list(tmp_path.iterdir())


def test_wrong_use(capsys: Any, tmp_path: Path) -> None:
    target = tmp_path / "small.py"
    for arguments, says in (
        (("cli_pairs:buggy", "-o", target, "--cause", "mask.inverted"), "found attribute.epsilon"),
        (("cli_pairs:buggy", "-o", tmp_path / "small.txt"), ".py"),
        (("cli_pairs:buggy",), "--out"),
    ):
        code, _, err = shrunk(capsys, *arguments)
        assert code == 2 and says in err
    assert not list(tmp_path.iterdir())
