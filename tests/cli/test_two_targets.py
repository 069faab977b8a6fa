"""Two targets on the command line: inputs from a file, and what does not go together."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from padiff_graph.cli.answers import run
from padiff_graph.cli.commands import cli

MODELS = Path(__file__).parents[1] / "sides" / "side_models.py"
FIRST, SECOND = f"{MODELS}:paddle_without_inputs", f"{MODELS}:torch_side"
TOLERANT = ("--rtol", "1e-4", "--atol", "1e-5")


def _call(capsys: Any, *arguments: Any) -> tuple[int, str, str]:
    code = run(lambda: cli.main([str(argument) for argument in arguments], standalone_mode=False))
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    return code, said.out, " ".join(said.err.split())


def test_inputs_come_from_a_file(capsys: Any, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    path = tmp_path / "inputs.npz"
    np.savez(path, x=random.standard_normal((5, 6)).astype("float32"))
    own = ("--first-python", sys.executable, "--second-python", sys.executable)
    code, out, err = _call(capsys, "align", FIRST, SECOND, "--inputs", path, *own, *TOLERANT)
    assert code == 0 and out.startswith("ALIGNED"), out + err


def test_a_file_of_inputs_that_is_none_is_wrong_use(capsys: Any, tmp_path: Path) -> None:
    path = tmp_path / "inputs.npz"
    path.write_text("x")
    code, _, err = _call(capsys, "align", FIRST, SECOND, "--inputs", path)
    assert code == 2 and "numpy.savez" in err and str(path) in err.replace(" ", "")


@pytest.mark.parametrize("option", ["--first-python", "--second-python", "--inputs"])
def test_a_pair_has_no_interpreters(capsys: Any, option: str) -> None:
    code, _, err = _call(capsys, "align", FIRST, option, "x")
    assert code == 2 and "two targets" in err


def test_a_file_of_onnx_needs_no_interpreter(capsys: Any) -> None:
    code, _, err = _call(capsys, "align", FIRST, "m.onnx", "--second-python", "python")
    assert code == 2 and "needs no interpreter" in err
