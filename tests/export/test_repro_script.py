"""The repro of a finding: a script that needs neither this package nor the models."""

import dataclasses
import re
import subprocess
import sys

import numpy as np
import paddle
import pytest
import torch

import padiff_graph as pg
from padiff_graph.errors import UsageError
from padiff_graph.export.repro_script import write_repro
from padiff_graph.findings.cause import Cause
from tests.models.made_reports import report as made_report


class HalfTheGradient(paddle.autograd.PyLayer):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return paddle.nn.functional.relu(x)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensor()
        return 0.5 * gradient * (x > 0).astype(gradient.dtype)


class Port(paddle.nn.Layer):
    def __init__(
        self, epsilon=1e-5, detach=False, hook=1.0, rate=0.0, activation=paddle.nn.functional.relu
    ):
        super().__init__()
        self.fc1, self.norm, self.fc2 = (
            paddle.nn.Linear(8, 16),
            paddle.nn.LayerNorm(16, epsilon=epsilon),
            paddle.nn.Linear(16, 4),
        )
        self.activation, self.detach, self.hook, self.drop = (
            activation,
            detach,
            hook,
            paddle.nn.Dropout(rate),
        )

    def forward(self, x):
        y = self.drop(self.activation(self.norm(self.fc1(x))))
        if self.hook != 1.0 and not y.stop_gradient:
            y.register_hook(lambda gradient: gradient * self.hook)
        return self.fc2(y.detach() if self.detach else y)


class Reference(torch.nn.Module):
    def __init__(self, rate=0.0):
        super().__init__()
        self.down, self.ln, self.up, self.drop = (
            torch.nn.Linear(16, 4),
            torch.nn.LayerNorm(16),
            torch.nn.Linear(8, 16),
            torch.nn.Dropout(rate),
        )

    def forward(self, x):
        return self.down(self.drop(torch.relu(self.ln(self.up(x)))))


def found(reference=0.0, **knobs):
    numbers = np.random.default_rng(0).standard_normal((5, 8)).astype("float32")
    return pg.compare(
        Port(**knobs),
        Reference(reference),
        ({"x": paddle.to_tensor(numbers)}, {"x": torch.from_numpy(numbers)}),
        options={"rtol": 1e-4, "atol": 1e-6},
    )


def run(script, *arguments):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), *arguments],
        capture_output=True,
        text=True,
        cwd=script.parent,
        timeout=120,
    )
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
    assert f"different (forward): {report.findings[0].cause}" in next(iter(shown.values())), (
        "it says first what it is about"
    )
    assert relative(shown["output"]) > 1e-5
    assert relative(shown["gradient of norm.bias"]) < 1e-12, "what is right is shown to be right"


def test_a_cut_gradient_is_shown(tmp_path):
    shown = run(write_repro(found(detach=True), tmp_path / "repro.py"))
    assert relative(shown["output"]) < 1e-5
    assert any(
        "no gradient on the first side, a gradient on the second" in line for line in shown.values()
    )


@pytest.mark.parametrize("precision", [(), ("--double",)], ids=["single", "double"])
@pytest.mark.parametrize(
    "knobs",
    [{"hook": 0.5}, {"activation": lambda x: HalfTheGradient.apply(x)}],
    ids=["hook", "custom function"],
)
def test_what_is_python_code_of_the_model_stands_as_numbers(tmp_path, knobs, precision):
    script = write_repro(found(**knobs), tmp_path / "repro.py")
    assert "As saved numbers: paddle's v" in script.read_text(encoding="utf-8")
    shown = run(script, *precision)
    assert relative(shown["output"]) < 1e-5
    halved = [line for name, line in shown.items() if name.startswith("gradient of what")]
    assert [round(relative(line), 4) for line in halved] == [0.5]


def test_draws_stand_as_numbers(tmp_path):
    report = found(0.4, rate=0.5)
    finding = next(one for one in report.findings if "ratio" in one.cause)
    shown = run(write_repro(report, tmp_path / "repro.py", finding))
    # kept by both: twice as large against 1 / 0.6; by one alone, as a draw fell between the rates
    assert 0.199 < relative(shown["output"]) < 1.5


def test_both_sides_of_a_script_have_the_same_draws(tmp_path):
    report = found(0.4, rate=0.4, hook=0.5)
    finding = next(one for one in report.findings if one.fails)
    script = write_repro(report, tmp_path / "repro.py", finding)
    assert "dropout" in script.read_text(encoding="utf-8")
    shown = run(script)
    assert relative(shown["output"]) < 1e-5
    halved = [line for name, line in shown.items() if name.startswith("gradient of what")]
    assert [round(relative(line), 4) for line in halved] == [0.5]


class Scaled(torch.nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.linear, self.factor = torch.nn.Linear(8, 8), factor

    def forward(self, x):
        return torch.tanh(self.linear(x)) * self.factor


@pytest.mark.parametrize("precision", [(), ("--double",)], ids=["single", "double"])
def test_half_precision_values_are_written(tmp_path, precision):
    numbers = torch.linspace(-1, 1, 40).reshape(5, 8).bfloat16()
    report = pg.compare(
        Scaled(0.5).bfloat16(),
        Scaled(0.25).bfloat16(),
        ({"x": numbers}, {"x": numbers.clone()}),
        options={"rtol": 1e-2},
    )
    shown = run(write_repro(report, tmp_path / "repro.py"), *precision)
    assert round(relative(shown["output"]), 2) == 1.0


def test_a_script_holds_only_what_it_calls(tmp_path):
    text = write_repro(found(epsilon=1e-3), tmp_path / "repro.py").read_text(encoding="utf-8")
    functions = re.findall(r"^def (\w+)", text, re.M)
    assert {"show", "first", "second", "torch_leaf"} <= set(functions)
    assert all(len(re.findall(rf"\b{name}\(", text)) > 1 for name in functions), functions


def test_the_first_finding_about_operations_is_taken(tmp_path):
    report = found(epsilon=1e-3)
    weights = dataclasses.replace(
        report.findings[0],
        phase="weights",
        reason=Cause.of("region.not_compared", text="other weights"),
        paddle_op="",
        torch_op="",
    )
    text = write_repro(
        dataclasses.replace(report, findings=(weights, *report.findings)), tmp_path / "repro.py"
    ).read_text(encoding="utf-8")
    assert "epsilon" in text.splitlines()[2]


def test_what_cannot_be_written_is_said(tmp_path):
    with pytest.raises(UsageError, match=r"ends in \.py"):
        write_repro(made_report(), tmp_path / "repro.txt")
    with pytest.raises(UsageError, match="no finding"):
        write_repro(made_report(passed=True), tmp_path / "repro.py")
    with pytest.raises(UsageError, match="holds no graphs"):
        write_repro(made_report(), tmp_path / "repro.py")
    assert not list(tmp_path.iterdir())
