"""The command line as users call it.

What it prints, what it writes, its exit codes, and no tracebacks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from padiff_graph.cli.answers import run
from padiff_graph.cli.commands import cli

pytest.importorskip("torch")
pytest.importorskip("paddle")

HERE = Path(__file__).parents[1] / "models"


@pytest.fixture(autouse=True)
def beside_the_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE)
    monkeypatch.syspath_prepend(str(HERE))


def call(*arguments: Any, capsys: Any) -> tuple[int, str, str]:
    code = run(lambda: cli.main([str(argument) for argument in arguments], standalone_mode=False))
    said = capsys.readouterr()
    assert "Traceback" not in said.err + said.out
    return code, said.out, said.err


TOLERANT = ("--rtol", "1e-4", "--atol", "1e-6")


def test_aligned(capsys: Any, tmp_path: Path) -> None:
    code, out, _ = call(
        "align", "cli_pairs:healthy", *TOLERANT, "--json", tmp_path / "r.json", capsys=capsys
    )
    assert code == 0
    assert out.startswith("ALIGNED")
    assert json.loads((tmp_path / "r.json").read_text())["passed"] is True


def test_difference(capsys: Any) -> None:
    code, out, _ = call("align", "cli_pairs:buggy", *TOLERANT, capsys=capsys)
    assert code == 1
    assert "NOT ALIGNED" in out
    text = " ".join(out.split())
    assert "0.001 against 1e-05" in text
    assert "cli_pairs.py:" in text


def test_training_from_a_dict(capsys: Any) -> None:
    code, out, _ = call("align", "cli_pairs:training", capsys=capsys)
    assert code == 0, out


def test_suggest_convert_and_map(capsys: Any, tmp_path: Path) -> None:
    code, out, _ = call("suggest", "cli_pairs:healthy", "-o", tmp_path / "map.yaml", capsys=capsys)
    assert code == 0
    assert "transpose" in out
    code, out, _ = call(
        "align", "cli_pairs:healthy", *TOLERANT, "--map", tmp_path / "map.yaml", capsys=capsys
    )
    assert code == 0, out

    import torch

    torch.save(sys.modules["cli_pairs"].TorchNet().state_dict(), tmp_path / "m.pt")
    code, out, _ = call(
        "convert",
        tmp_path / "m.pt",
        "--map",
        tmp_path / "map.yaml",
        "-o",
        tmp_path / "m.pdparams",
        "--script",
        tmp_path / "c.py",
        capsys=capsys,
    )
    assert code == 0
    assert "6 parameters" in out
    assert (tmp_path / "m.pdparams").exists()
    assert (tmp_path / "c.py").exists()


def test_diff(capsys: Any, tmp_path: Path) -> None:
    code, _, _ = call("diff", "cli_pairs:healthy", capsys=capsys)
    assert code == 0
    code, out, _ = call("diff", "cli_pairs:buggy", "--json", tmp_path / "d.json", capsys=capsys)
    assert code == 1
    assert "epsilon" in out
    assert json.loads((tmp_path / "d.json").read_text())["identical"] is False


@pytest.mark.parametrize("suffix", ["json", "graphml", "onnx", "svg"])
def test_capture(capsys: Any, tmp_path: Path, suffix: str) -> None:
    code, out, _ = call(
        "capture", "cli_pairs:one_model", "-o", tmp_path / f"g.{suffix}", capsys=capsys
    )
    assert code == 0
    assert "TorchNet (torch" in out
    assert (
        "replayed against eager: equal in 1 output, 1 input gradient, 6 parameter gradients" in out
    )
    assert (tmp_path / f"g.{suffix}").stat().st_size > 100


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["align", "cli_pairs"], "package.module:function"),
        (["align", "no_such_module:f"], "no module 'no_such_module'"),
        (["align", "cli_pairs:no_such_name"], "healthy"),
        (["align", "cli_pairs:nonsense"], "it returned int"),
        (["align", "cli_pairs:wrong_keys"], "modul"),
        (["align", "cli_pairs:healthy", "--mode", "loose"], "compare_mode"),
        (["align", "cli_pairs:healthy", "--phase", "backward"], "single_step"),
        (["align", "cli_pairs:healthy", "--map", "gone.yaml"], "gone.yaml"),
        (["align", "cli_pairs:healthy", "--atol", "much"], "much"),
        (["align"], "PAIR"),
        (["capture", "cli_pairs:one_model", "-o", "g.png"], ".svg"),
        (["convert", "gone.pt", "--map", "gone.yaml", "-o", "x.pdparams"], "gone.yaml"),
        (["bogus"], "bogus"),
        (["capture", "gone.onnx"], "there is none"),
        (["capture", "cli_pairs.py.onnx"], "there is none"),
        (["capture", "cli_pairs:healthy"], "a tuple of 3"),
        (["align", "cli_pairs:failing"], "cli_pairs.py:"),
        (["align", "cli_pairs:healthy", "--html", "gone/r.html"], "there is no folder gone"),
        (["suggest", "cli_pairs:healthy", "-o", "gone/m.yaml"], "there is no folder gone"),
        (["capture", "cli_pairs:one_model", "-o", "gone/g.json"], "there is no folder gone"),
    ],
)
def test_wrong_use(capsys: Any, arguments: list[str], says: str) -> None:
    code, _, err = call(*arguments, capsys=capsys)
    assert code == 2
    assert says in err


def test_capture_that_fails(capsys: Any) -> None:
    code, _, err = call("capture", "cli_pairs:uncapturable", capsys=capsys)
    assert code == 3
    assert "cannot run" in err


def test_broken_onnx_file(capsys: Any, tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no model at all")
    code, _, err = call("capture", tmp_path / "broken.onnx", capsys=capsys)
    assert (code, "export the model again" in err) == (2, True)


def test_a_model_that_raises_is_no_difference(capsys: Any) -> None:
    code, _, err = call("align", "cli_pairs:raising", capsys=capsys)
    assert code == 3
    assert "RuntimeError" in err and "cli_pairs.py:" in err and "cannot run" in err


def test_a_mistake_of_the_tool_shows_where(capsys: Any) -> None:
    assert run(lambda: bytes.fromhex("none")) == 3
    err = capsys.readouterr().err
    assert "ValueError" in err


def test_repro_and_explorer(capsys: Any, tmp_path: Path) -> None:
    code, out, _ = call(
        "align",
        "cli_pairs:buggy",
        *TOLERANT,
        "--repro",
        tmp_path / "r.py",
        "--explorer",
        tmp_path / "e.json",
        capsys=capsys,
    )
    assert code == 1
    assert all((tmp_path / name).exists() for name in ("r.py", "r.npz", "e.json", "e.mapping.json"))
    assert "written" in out
    code, _, err = call(
        "align", "cli_pairs:healthy", *TOLERANT, "--repro", tmp_path / "none.py", capsys=capsys
    )
    assert code == 0, "the check has its answer, repro or not"
    assert "no finding to reproduce" in err
    code, _, _ = call("diff", "cli_pairs:healthy", "--explorer", tmp_path / "d.json", capsys=capsys)
    assert code == 0
    assert (tmp_path / "d.mapping.json").exists()


def test_broken_import(capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_pair.py").write_text("import nothing_like_this\n")
    (tmp_path / "raising_pair.py").write_text("x = 1 / 0\n")
    monkeypatch.chdir(tmp_path)
    code, _, err = call("align", "broken_pair:f", capsys=capsys)
    assert (code, "nothing_like_this" in err) == (2, True)
    code, _, err = call("align", "raising_pair:f", capsys=capsys)
    assert (code, "raising_pair.py:1" in err) == (2, True)


def test_help_is_quick() -> None:
    before = os.times()
    subprocess.run(
        [sys.executable, "-m", "padiff_graph", "--help"], capture_output=True, check=True
    )
    after = os.times()
    assert (
        after.children_user + after.children_system - before.children_user - before.children_system
        < 0.3
    )


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from padiff_graph.cli.commands import cli; from click.testing import"
        " CliRunner; r = CliRunner().invoke(cli, ['--help']); print(r.exit_code, [m for m in"
        " ('torch', 'paddle', 'onnx', 'networkx', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0 []"


@pytest.mark.parametrize("command", ["align", "suggest", "diff", "capture", "convert"])
def test_every_command_explains_itself(command: str) -> None:
    shown = CliRunner().invoke(cli, [command, "--help"])
    assert shown.exit_code == 0
    assert len(shown.output) > 200
