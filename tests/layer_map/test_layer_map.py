"""LayerMap: what users say, and the file."""

import numpy as np
import paddle
import pytest
import torch

from padiff_graph import LayerMap, UsageError, compare, structural_diff, suggest_layer_map
from padiff_graph.alignment.align import align
from tests.models import rebuilt_pairs as models


def test_pairs_merge_and_take_either_orientation():
    layer, module = models.Mlp(), models.TorchMlp()
    layer_map = LayerMap()
    layer_map.map = {layer.fc1: module.a}
    layer_map.map = {module.b: layer.fc2}
    layer_map.map["norm"] = "n"
    assert len(layer_map.map) == 3
    assert layer_map.resolve(layer, module).pairs == (("fc1", "a"), ("fc2", "b"), ("norm", "n"))


def test_what_is_left_out():
    layer, module = models.Mlp(), models.TorchMlp()
    layer_map = LayerMap()
    layer_map.ignore(layer.fc1)
    layer_map.ignore_recursivly(module.b)
    layer_map.ignore_class(layer, paddle.nn.LayerNorm)
    scope = layer_map.resolve(layer, module)
    assert scope.output_ignored("fc1") and not scope.ignored("fc1")
    assert scope.ignored("b", 1) and not scope.ignored("b", 0)
    assert scope.ignored("norm")


@pytest.mark.parametrize("wrong", [torch.nn.Linear(1, 1), "nothing.here"])
def test_a_module_of_neither_model_is_refused(wrong):
    layer_map = LayerMap()
    layer_map.ignore(wrong)
    with pytest.raises(UsageError, match="in neither model"):
        layer_map.resolve(models.Mlp(), models.TorchMlp())


def test_the_file_comes_back_as_it_was(tmp_path):
    example = models.example(models.sequence())
    layer, module = models.Attention(), models.Interleaved()
    found = LayerMap().auto(layer, module, example)
    found.ignore("o")
    found.save(tmp_path / "map.yaml")
    again = LayerMap.load(tmp_path / "map.yaml")
    assert again.to_yaml() == found.to_yaml()
    first, second = found.parameters, again.parameters
    array = np.random.RandomState(0).randn(models.E, models.E).astype("float32")
    for one, other in zip(first, second, strict=True):
        for piece, same in zip(one.row.pieces, other.row.pieces, strict=True):
            assert piece.first_view.same(same.first_view) and piece.second_view.same(
                same.second_view
            )
            if piece.second_view.source == array.size:
                assert np.array_equal(piece.second_view.apply(array), same.second_view.apply(array))


def test_a_saved_map_is_a_hint():
    example = models.example(models.sequence())
    layer, module = models.Attention(), models.Fused()
    text = LayerMap().auto(layer, module, example).to_yaml()
    again = align(layer, module, example, LayerMap.from_yaml(text).resolve(layer, module))
    assert all(row.status == "mapped" for row in again.matching.parameters)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("modules: [{paddle: a}]", "torch is missing"),
        (
            (
                "parameters: [{paddle: w, shapes: {paddle: [2, 3], torch: [2, 3]}, torch: v,"
                " transform: transpose}]"
            ),
            "transposed is",
        ),
        (
            "parameters: [{paddle: w, shapes: {paddle: [2, 3], torch: [4, 3]}, torch: v}]",
            "a part needs pieces",
        ),
        ("modules: [{paddle: a, torch: b, confidence: 2}]", "from 0 to 1"),
        ("format: 99", "format 99"),
        ("- a", "expected a mapping"),
        ("a: [", "no YAML"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(text, says):
    with pytest.raises(UsageError, match=says):
        LayerMap.from_yaml(text)


def test_suggestions_hold_modules_and_parameters():
    (candidate,) = suggest_layer_map(
        models.Mlp(), models.TorchMlp(), models.example(np.ones((3, 8), "float32"), "x", "y")
    )
    assert {(row.paddle_path, row.torch_path) for row in candidate.rows} == {
        ("", ""),
        ("fc1", "a"),
        ("norm", "n"),
        ("fc2", "b"),
    }
    assert {entry.paddle_name: entry.torch_name for entry in candidate.parameters}[
        "fc1.weight"
    ] == "a.weight"
    assert (
        not candidate.unmatched_paddle
        and not candidate.unmatched_torch
        and candidate.confidence > 0.9
    )


def test_without_weights():
    with paddle.LazyGuard():
        layer = models.Mlp()
    with torch.device("meta"):
        module = models.TorchMlp()
    layer.eval()
    module.eval()
    example = (
        {"x": paddle.static.InputSpec([3, 8], "float32", "x")},
        {"y": torch.empty(3, 8, device="meta")},
    )
    assert structural_diff(layer, module, example).identical
    (candidate,) = suggest_layer_map(layer, module, example)
    assert all(entry.status == "mapped" and not entry.proved for entry in candidate.parameters)


class Scaled(torch.nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.linear, self.factor = torch.nn.Linear(8, 8), factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.linear(x)) * self.factor


class Named(torch.nn.Linear):
    def forward(self, data: torch.Tensor) -> torch.Tensor:
        return super().forward(data)


def test_what_is_said_of_one_model_names_it() -> None:
    example = {"input": torch.ones(2, 8)}, {"data": torch.ones(2, 8)}
    assert structural_diff(torch.nn.Linear(8, 8), Named(8, 8), example).notes == (
        "first model: shapes are those of the example: input [2, 8]",
        "second model: shapes are those of the example: data [2, 8]",
    )


def test_what_is_said_of_both_models_is_said_once() -> None:
    example = {"x": torch.ones(2, 8)}, {"x": torch.ones(2, 8)}
    found = structural_diff(Scaled(0.5), Scaled(0.25), example)
    assert [note for note in found.notes if "shapes are those" in note] == [
        "shapes are those of the example: x [2, 8]"
    ]
    assert [finding.cause for finding in found.findings] == ["output scaled by 0.5 against 0.25"]
    (candidate,) = suggest_layer_map(Scaled(0.5), Scaled(0.5), example)
    assert len(set(candidate.notes)) == len(candidate.notes) == 1


class Twice(paddle.nn.Layer):
    """One activation module called all over, where the other model calls functions."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = paddle.nn.ReLU()
        self.fc1, self.fc2 = paddle.nn.Linear(8, 8), paddle.nn.Linear(8, 8)

    def forward(self, x):
        return self.relu(self.fc2(self.relu(self.fc1(x))))


class TorchTwice(torch.nn.Module):
    def __init__(self, slope: float = 0.0) -> None:
        super().__init__()
        self.slope = slope
        self.fc1, self.fc2 = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.fc1(x)
        hidden = torch.nn.functional.leaky_relu(hidden, self.slope) if self.slope else hidden.relu()
        return self.fc2(hidden).relu()


def _twice(slope: float = 0.0):
    return Twice(), TorchTwice(slope), models.example(np.random.randn(3, 8).astype("float32"), "x")


@pytest.mark.parametrize("auto_weights", [True, False])
@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_the_own_map_changes_nothing(slope, auto_weights):
    layer, module, example = _twice(slope)
    text = LayerMap().auto(layer, module, example).to_yaml()
    asked = {"auto_weights": auto_weights, "options": {"atol": 1e-5, "rtol": 1e-5}}
    plain = compare(layer, module, example, **asked)
    mapped = compare(layer, module, example, **asked, layer_map=LayerMap.from_yaml(text))
    assert mapped.passed == plain.passed == (auto_weights and not slope)
    assert [finding.cause for finding in mapped.findings] == [
        finding.cause for finding in plain.findings
    ]
    assert mapped.regions == plain.regions


ROW = "modules: [{{paddle: {}, torch: {}, reason: read by matched operations}}]"


@pytest.mark.parametrize(
    ("text", "cause_id"),
    [
        (ROW.format("fc1", "fc2"), "map.module_contradicted"),
        (ROW.format("fc9", "fc2"), "map.module_unknown"),
        (
            "parameters: [{paddle: fc1.bias, torch: fc2.bias, shapes: {paddle: [8], torch: [8]},"
            " reason: read}]",
            "map.parameter_contradicted",
        ),
        (
            "parameters: [{paddle: fc1.bias, torch: fc1.bias, shapes: {paddle: [9], torch: [9]},"
            " reason: read}]",
            "map.parameter_unfit",
        ),
        (
            "parameters: [{paddle: fc1.weight, torch: fc1.weight, transform: identity,"
            " shapes: {paddle: [8, 8], torch: [8, 8]}, reason: read}]",
            "map.transform_contradicted",
        ),
        (
            "parameters: [{paddle: fc1.bias, shapes: {paddle: [8]}, status: unread, reason: no}]",
            "map.use_contradicted",
        ),
        ("unused: {torch: [fc1.weight]}", "map.use_contradicted"),
        ("modules: [{paddle: fc1, torch: fc2}]", "map.module_given"),
        ("modules: [{paddle: fc1, torch: fc2, compare: output}]", "map.module_given"),
        (
            "models: {paddle: Other, torch: TorchOther}\n"
            "modules: [{paddle: a, torch: b, reason: x}, {paddle: c, torch: d, reason: x}]",
            "map.other_models",
        ),
    ],
)
def test_a_row_that_does_not_hold_is_told_once_and_changes_no_verdict(text, cause_id):
    layer, module, example = _twice()
    options = {"atol": 1e-5, "rtol": 1e-5}
    report = compare(layer, module, example, layer_map=LayerMap.from_yaml(text), options=options)
    assert report.passed
    assert [(found.cause_id, found.verdict) for found in report.findings] == [
        (cause_id, "suspicious")
    ]
    found = structural_diff(layer, module, example, LayerMap.from_yaml(text))
    assert cause_id in [finding.cause_id for finding in found.findings]


HAND = (
    "parameters: [{{paddle: {0}, torch: {1}, transform: identity,"
    " shapes: {{paddle: {2}, torch: {2}}}}}]"
)


@pytest.mark.parametrize(
    ("text", "cause_id"),
    [
        (HAND.format("fc1.bias", "fc2.bias", [8]), "map.parameter_given"),
        (HAND.format("fc1.weight", "fc1.weight", [8, 8]), "map.transform_given"),
    ],
)
def test_a_row_by_hand_stands_and_the_report_says_what_contradicts_it(text, cause_id):
    layer, module, example = _twice()
    options = {"atol": 1e-5, "rtol": 1e-5}
    report = compare(layer, module, example, layer_map=LayerMap.from_yaml(text), options=options)
    assert not report.passed
    assert cause_id in [found.cause_id for found in report.findings]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("modules: [{paddle: fc9, torch: fc1}]", "no module 'fc9'"),
        ("modules: [{paddle: fc1, torch: fc1}, {paddle: fc1, torch: fc2}]", "contradict"),
        (
            "modules: [{paddle: fc1, torch: fc1, compare: output},"
            " {paddle: fc1, torch: fc2, compare: output}]",
            "contradict",
        ),
        (
            "modules: [{paddle: fc1, torch: fc1, compare: output}, {paddle: fc1, torch: fc2}]",
            "keep",
        ),
        ("# nothing", "is empty"),
    ],
)
def test_rows_that_cannot_mean_anything_are_refused(text, says):
    layer, module, _ = _twice()
    with pytest.raises(UsageError, match=says):
        LayerMap.from_yaml(text).resolve(layer, module)


@pytest.mark.parametrize(("ours", "theirs"), [("fc1", "fc2"), ("fc2", "fc1")])
def test_a_declared_row_that_the_computation_contradicts_names_what_is_read_there(ours, theirs):
    layer, module, example = _twice()
    declared = {getattr(layer, ours): getattr(module, theirs)}
    options = {"atol": 1e-5, "rtol": 1e-5}
    report = compare(layer, module, example, layer_map=declared, options=options)
    assert [found.cause for found in report.findings] == [
        f"the layer map pairs {ours} with {theirs} by hand; where {ours} of the Paddle model is "
        f"read, the other model reads {ours}; what lies in the pair was not compared"
    ]


class _Swish(paddle.nn.Layer):
    def forward(self, x):
        return x / (1 + paddle.exp(-x))


class _TorchSwish(torch.nn.Module):
    def forward(self, x):
        return x - x * torch.special.expit(-x)


def test_a_declared_row_of_modules_written_in_another_way_is_not_told():
    layer = paddle.nn.Sequential(paddle.nn.Linear(4, 4), _Swish(), paddle.nn.Linear(4, 4))
    module = torch.nn.Sequential(torch.nn.Linear(4, 4), _TorchSwish(), torch.nn.Linear(4, 4))
    numbers = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    example = {"input": paddle.to_tensor(numbers)}, {"input": torch.tensor(numbers)}
    options = {"atol": 1e-5, "rtol": 1e-5}
    report = compare(layer, module, example, layer_map={layer[1]: module[1]}, options=options)
    assert report.passed
    assert not report.findings
