"""The models' own weights held against the parameter map."""

from __future__ import annotations

import numpy as np
import paddle
import torch

import padiff_graph as pg
from padiff_graph.findings.finding import Finding
from padiff_graph.weights.weight_equality import weight_findings
from tests.models.toy_engine import Toy, ToyEngine, match

R = np.random.default_rng(1)
X, A, B = (R.standard_normal(shape, np.float32) for shape in ((2, 6), (6, 6), (6, 6)))


def compare(
    first: dict[str, np.ndarray], second: dict[str, np.ndarray], **how: object
) -> tuple[Finding, ...]:
    models = []
    for values in (first, second):
        model = Toy()
        x = model.input("x", X)
        for name, value in values.items():
            x = model.op("linear", x, model.parameter(name, value), path=name.rpartition(".")[0])
        model.output("output", x)
        models.append(model)
    return weight_findings(match(*models, [], **how), ToyEngine(models[0]), ToyEngine(models[1]))  # type: ignore[arg-type]


def test_equal_weights_are_no_finding() -> None:
    assert (
        compare({"fc1.w": A.T.copy(), "fc2.w": B}, {"fc1.w": A, "fc2.w": B}, transposed=("fc1.w",))
        == ()
    )


def test_a_square_weight_not_transposed() -> None:
    (finding,) = compare({"fc1.w": A, "fc2.w": B}, {"fc1.w": A, "fc2.w": B}, transposed=("fc1.w",))
    assert (finding.phase, finding.paddle_path) == ("weights", "fc1")
    assert "transpose" in finding.cause


def test_swapped_layers_are_one_finding() -> None:
    (finding,) = compare(
        {"fc1.w": A, "fc2.w": B},
        {"fc1.w": A, "fc2.w": B},
        rename={"fc1.w": "fc2.w", "fc2.w": "fc1.w"},
    )
    assert "swapped with" in finding.cause
    assert set(finding.places) == {("fc1", "fc2"), ("fc2", "fc1")}


def test_values_never_copied_and_values_that_differ() -> None:
    found = compare({"a.w": np.ones_like(A), "b.w": B + 1}, {"a.w": A, "b.w": B})
    assert [finding.paddle_path for finding in found] == ["a", "b"]
    assert "never copied" in found[0].cause and "different values" in found[1].cause


class _Heads(paddle.nn.Layer):
    """Heads split the wrong way, which other weights could take up."""

    def __init__(self) -> None:
        super().__init__()
        self.split, self.out = paddle.nn.Linear(8, 8), paddle.nn.Linear(8, 8)

    def forward(self, x):
        heads = self.split(x).reshape([2, 5, 4, 2]).transpose([0, 1, 3, 2])
        return self.out(paddle.nn.functional.softmax(heads, -1).reshape([2, 5, 8]))


class _TorchHeads(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.split, self.out = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)

    def forward(self, x):
        return self.out(self.split(x).view(2, 5, 2, 4).softmax(-1).reshape(2, 5, 8))


def test_where_elements_are_read_in_another_order_copying_is_never_the_advice() -> None:
    layer, module = _Heads(), _TorchHeads()
    for name, parameter in layer.named_parameters():
        parameter.set_value(dict(module.named_parameters())[name].detach().numpy().T.copy())
    x = np.random.default_rng(0).standard_normal((2, 5, 8)).astype("float32")
    example = {"x": paddle.to_tensor(x)}, {"x": torch.from_numpy(x)}
    report = pg.compare(layer, module, example, auto_weights=False)
    (finding,) = [each for each in report.findings if each.fails]
    assert finding.cause_id == "weights.read_in_another_order"
    assert "transpose" in finding.cause and "copy" not in finding.advice
