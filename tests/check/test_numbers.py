"""Numbers of outputs and layers, and tolerances of outputs by name."""

import json

import numpy as np
import pytest

import padiff_graph as pg
from padiff_graph.errors import UsageError, UsageTypeError

torch = pytest.importorskip("torch")
paddle = pytest.importorskip("paddle")


class First(paddle.nn.Layer):
    def __init__(self, factor=1.0):
        super().__init__()
        self.body, self.head, self.factor = paddle.nn.Linear(4, 6), paddle.nn.Linear(6, 3), factor

    def forward(self, x):
        hidden = paddle.tanh(self.body(x))
        return {"logits": self.head(hidden) * self.factor, "hidden": hidden}


class Second(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = torch.nn.Linear(4, 6), torch.nn.Linear(6, 3)

    def forward(self, x):
        hidden = torch.tanh(self.body(x))
        return {"logits": self.head(hidden) * 1.0, "hidden": hidden}


def compared(factor=1.0, **options):
    torch.manual_seed(0)
    values = np.random.default_rng(0).standard_normal((5, 4)).astype("float32")
    example = {"x": paddle.to_tensor(values)}, {"x": torch.from_numpy(values)}
    asked = {"rtol": 1e-4, "atol": 1e-6, "compare_mode": "strict", **options}
    return pg.compare(First(factor), Second(), example, options=asked)


@pytest.mark.parametrize(("factor", "status"), [(1.0, "shown"), (1.5, "not shown")])
def test_what_is_beyond_the_tolerance_is_not_shown_to_agree(factor, status):
    shown = {entry.name: entry for entry in compared(factor).obligations}
    assert (shown["outputs"].status, shown["gradients"].status) == (status, status)
    if factor != 1.0:
        assert shown["outputs"].by == "1 of 2 are beyond the tolerance"


def test_outputs_and_layers():
    report = compared(1.5)
    outputs = {tensor.first: tensor for tensor in report.outputs}
    assert outputs["hidden"].verdict == "within"
    assert outputs["hidden"].relative_l2 < 1e-6
    logits = outputs["logits"]
    assert logits.verdict == "beyond"
    assert logits.relative_l2 == pytest.approx(0.5, rel=1e-3)
    assert logits.cosine == pytest.approx(1.0, abs=1e-6)
    assert logits.shape == (5, 3) and len(logits.index) == 2
    wrong = [layer for layer in report.layers if layer.verdict == "different"]
    assert [layer.relative_l2 for layer in wrong] == [pytest.approx(0.5, rel=1e-3)]
    assert {layer.second for layer in report.layers} >= {"body", "head"}
    data = json.loads(report.to_json())
    assert data["outputs"][0].keys() == data["layers"][0].keys()
    assert len(data["layers"]) == len(report.layers)


def test_numbers_are_shown_when_asked_for(capsys):
    report = compared(1.5)
    report.show()
    assert "cosine" not in capsys.readouterr().out
    report.show(numbers=True)
    shown = capsys.readouterr().out
    assert "cosine" in shown and "rel. L2" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_an_output_has_its_own_tolerance():
    strict = compared(tolerances={"logits": (0.0, 0.0)})
    assert not strict.passed
    assert {tensor.first: tensor.verdict for tensor in strict.outputs} == {
        "logits": "beyond",
        "hidden": "within",
    }
    loose = compared(rtol=0.0, atol=0.0, diff_phase="forward", tolerances={"*": (1e-6, 1e-4)})
    assert loose.passed, str(loose)
    assert "is within" in str(loose)


def test_a_loose_tolerance_hides_no_bug():
    report = compared(1.5, tolerances={"log*": (100.0, 1.0)})
    assert {tensor.verdict for tensor in report.outputs} == {"within"}
    assert not report.passed
    assert any(finding.fails for finding in report.findings)


def test_what_cannot_be_meant():
    with pytest.raises(UsageError, match="logitz.*outputs are"):
        compared(tolerances={"logitz": (1e-5, 1e-4)})
    with pytest.raises(UsageTypeError, match="tolerances"):
        compared(tolerances={"logits": 1e-5})
    with pytest.raises(UsageTypeError, match="tolerances"):
        compared(tolerances=[1e-5])
    with pytest.raises(UsageError, match="0 or greater"):
        compared(tolerances={"logits": (-1.0, 0.0)})
    with pytest.raises(UsageError, match="single_step"):
        compared(tolerances={"logits": (1.0, 0.0)}, single_step=True)


def test_on_the_command_line():
    from click.testing import CliRunner

    from padiff_graph.cli.check_options import by_name

    assert by_name(None, None, ["a=b*=1e-5,0", "c=1,2"]) == {"a=b*": (1e-5, 0.0), "c": (1.0, 2.0)}
    assert by_name(None, None, []) is None
    from padiff_graph.cli.commands import cli

    for wrong in ("logits", "logits=1", "=1,2", "logits=a,b"):
        ran = CliRunner().invoke(cli, ["align", "some:pair", "--tolerance", wrong])
        assert "NAME=ATOL,RTOL" in ran.output
