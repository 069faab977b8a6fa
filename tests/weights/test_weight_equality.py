"""The models' own weights held against the parameter map."""

from __future__ import annotations

import numpy as np

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
