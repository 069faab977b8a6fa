"""The repro of a finding: a script that needs neither this package nor the models."""

import subprocess
import sys

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg
from padiff_graph.errors import UsageError
from padiff_graph.repro import write_repro
from tests.report.made import report as made_report


class Port(paddle.nn.Layer):
    def __init__(self, epsilon=1e-5, detach=False, activation=paddle.nn.functional.relu):
        super().__init__()
        self.fc1, self.norm, self.fc2 = paddle.nn.Linear(8, 16), paddle.nn.LayerNorm(16, epsilon=epsilon), paddle.nn.Linear(16, 4)
        self.activation, self.detach = activation, detach

    def forward(self, x):
        y = self.activation(self.norm(self.fc1(x)))
        return self.fc2(y.detach() if self.detach else y)


class Reference(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.ln, self.up = torch.nn.Linear(16, 4), torch.nn.LayerNorm(16), torch.nn.Linear(8, 16)

    def forward(self, x):
        return self.down(torch.relu(self.ln(self.up(x))))


def found(**knobs):
    numbers = np.random.default_rng(0).standard_normal((5, 8)).astype("float32")
    return pg.compare(Port(**knobs), Reference(), ({"x": paddle.to_tensor(numbers)}, {"x": torch.from_numpy(numbers)}), options={"rtol": 1e-4, "atol": 1e-6})


def run(script, *arguments):
    done = subprocess.run([sys.executable, "-W", "ignore", str(script), *arguments], capture_output=True, text=True, cwd=script.parent, timeout=120)
    assert done.returncode == 0, done.stderr
    return {line.split(":")[0]: line for line in done.stdout.splitlines()}


def relative(line):
    return float(line.rsplit(" ", 1)[1])


def test_a_repro_shows_the_difference(tmp_path):
    report = found(epsilon=1e-3)
    script = write_repro(report, tmp_path / "repro.py")
    text = script.read_text(encoding="utf-8")
    assert "padiff" not in text, "the script needs nothing but the frameworks"
    assert "epsilon 0.001 against 1e-05" in text and "self.norm(self.fc1(x))" in text
    shown = run(script, "--double")
    assert relative(shown["output"]) > 1e-5
    assert relative(shown["gradient of norm.bias"]) < 1e-12, "what is right is shown to be right"


def test_a_cut_gradient_is_shown(tmp_path):
    shown = run(write_repro(found(detach=True), tmp_path / "repro.py"))
    assert relative(shown["output"]) < 1e-5
    assert any("no gradient on the first side, a gradient on the second" in line for line in shown.values())


def test_what_cannot_be_written_is_said(tmp_path):
    with pytest.raises(UsageError, match=r"ends in \.py"):
        write_repro(made_report(), tmp_path / "repro.txt")
    with pytest.raises(UsageError, match="no finding"):
        write_repro(made_report(passed=True), tmp_path / "repro.py")
    with pytest.raises(UsageError, match="holds no graphs"):
        write_repro(made_report(), tmp_path / "repro.py")
    assert not list(tmp_path.iterdir())
