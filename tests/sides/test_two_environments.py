"""Two environments, each a virtual environment of its own: torch is not installed in one, Paddle
not in the other, and neither where the judge runs. Their packages are linked to those here."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

MODELS = Path(__file__).parent / "environment_models.py"
TORCH = ("torch", "functorch", "nvidia", "triton", "onnxscript", "transformers")
PADDLE = ("paddle",)
OTHERS = ("ray", "__editable__", "_padiff", "padiff")
"""How those begin that no environment here has, or that it has by the path alone."""
TOLERANCE = ("--rtol", "1e-4", "--atol", "1e-5")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def environments(tmp_path_factory):
    """The interpreters of three environments: with Paddle, with torch, with neither."""
    folder = tmp_path_factory.mktemp("environments")
    without = {"paddle": TORCH, "torch": PADDLE, "judge": (*TORCH, *PADDLE)}
    return {name: _environment(folder / name, absent) for name, absent in without.items()}


def _environment(folder, absent):
    made = [sys.executable, "-m", "venv", "--without-pip", folder]
    subprocess.run(made, check=True, capture_output=True)
    (own,) = folder.glob("lib/python*/site-packages")
    for kind in ("purelib", "platlib"):
        for package in Path(sysconfig.get_path(kind)).iterdir():
            begins = package.name.lower().startswith((*absent, *OTHERS))
            if not begins and not (own / package.name).exists():
                (own / package.name).symlink_to(package)
    (own / "this_package.pth").write_text(f"{ROOT}\n")
    return folder / "bin" / "python"


def _ran(python, *arguments, cwd):
    where = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [python, *arguments], capture_output=True, text=True, env=where, cwd=cwd, timeout=240
    )


def _judged(environments, cwd, command, first, second, *more):
    where = ("--first-python", environments["paddle"], "--second-python", environments["torch"])
    targets = (f"{MODELS}:{first}", f"{MODELS}:{second}")
    judge = environments["judge"]
    return _ran(judge, "-m", "padiff_graph", command, *targets, *where, *more, cwd=cwd)


@pytest.mark.parametrize(
    ("name", "there"),
    [("paddle", [False, True]), ("torch", [True, False]), ("judge", [False, False])],
)
def test_each_environment_has_what_it_is_for(environments, tmp_path, name, there):
    code = (
        "from importlib.util import find_spec as f; import padiff_graph\n"
        "print([bool(f('torch')), bool(f('paddle'))])"
    )
    ran = _ran(environments[name], "-c", code, cwd=tmp_path)
    assert ran.stdout.strip() == str(there), ran.stderr


@pytest.mark.parametrize(("port", "code"), [("port", 0), ("wrong_port", 1)])
def test_models_of_two_environments_are_compared(environments, tmp_path, port, code):
    ran = _judged(environments, tmp_path, "align", port, "reference", *TOLERANCE)
    assert ran.returncode == code, ran.stdout + ran.stderr
    assert ("LayerNormalization.epsilon" in ran.stdout) is (code == 1)


def test_maps_and_structure_of_two_environments(environments, tmp_path):
    ran = _judged(environments, tmp_path, "suggest", "port", "reference", "-o", "map.yaml")
    assert ran.returncode == 0, ran.stderr
    assert "fc.weight" in (tmp_path / "map.yaml").read_text()
    assert _judged(environments, tmp_path, "diff", "wrong_port", "reference").returncode == 1


def test_what_one_environment_recorded_is_checked_in_the_other(environments, tmp_path):
    record = ("-m", "padiff_graph", "record", f"{MODELS}:reference", "-o", "ref.pgref")
    assert _ran(environments["torch"], *record, cwd=tmp_path).returncode == 0
    align = ("-m", "padiff_graph", "align", f"{MODELS}:port", "ref.pgref", *TOLERANCE)
    assert _ran(environments["paddle"], *align, cwd=tmp_path).returncode == 0
    both = ("-m", "padiff_graph", "align", "ref.pgref", "ref.pgref")
    assert _ran(environments["judge"], *both, cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("port", "code", "said"),
    [
        ("dies", 3, "nothing was compared: the first side"),
        ("reference", 2, "No module named 'torch'"),
        ("stops", 3, "the torch model Reference goes on with norm"),
    ],
)
def test_what_goes_wrong_there_is_told_here(environments, tmp_path, port, code, said):
    ran = _judged(environments, tmp_path, "align", port, "reference")
    assert (ran.returncode, ran.stdout) == (code, "")
    assert said in ran.stderr and "Traceback" not in ran.stderr
