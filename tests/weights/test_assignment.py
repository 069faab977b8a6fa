"""Weights copied through the graphs' own map, whatever the layout; proved by equal outputs."""

import numpy as np
import paddle
import pytest
import torch

from padiff_graph import LayerMap, WeightAlignmentError, add_special_init, assign_weight, compare
from padiff_graph.alignment.align import align
from padiff_graph.matching.difference.other_sizes import OtherSizes
from padiff_graph.request.special_init import SPECIAL
from padiff_graph.weights.parameter_findings import parameter_findings
from tests.models import rebuilt_pairs as models

paddle.seed(0)


def error(layer, module, example):
    ours, theirs = layer(**example[0]).numpy(), module(**example[1]).detach().numpy()
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def rows_of(alignment):
    return {row.first: row for row in alignment.matching.parameters}


def test_definition_order_and_names_do_not_matter():
    layer, module = models.Mlp(), models.randomised(models.TorchMlp())
    layer.eval()
    example = models.example(np.random.RandomState(0).randn(3, 8).astype("float32"), "x", "y")
    assert assign_weight(layer, module, example_inp=example) is True
    assert error(layer, module, example) < 1e-5


@pytest.mark.parametrize("other", [models.Fused, models.LengthFirst, models.Interleaved])
def test_attention_in_other_layouts(other):
    layer, module = models.Attention(), models.randomised(other())
    layer.eval()
    example = models.example(models.sequence())
    before = error(layer, module, example)
    alignment = align(layer, module, example)
    assert all(row.proved for row in alignment.matching.parameters)
    assert assign_weight(layer, module, example_inp=example)
    assert before > 0.1 and error(layer, module, example) < 1e-5


def test_transforms_in_words():
    example = models.example(models.sequence())
    fused = rows_of(align(models.Attention(), models.Fused(), example))
    assert fused["q.weight"].transform == "16 rows of [48, 16], transposed"
    first = rows_of(align(models.Attention(), models.LengthFirst(), example))
    assert first["k.weight"].transform == "rows 16:32 of [48, 16], transposed"
    assert first["o.weight"].transform == "transpose"


def test_statistics_are_copied_and_inputs_inferred():
    layer = paddle.nn.Sequential(
        paddle.nn.Conv2D(3, 4, 3), paddle.nn.BatchNorm2D(4), paddle.nn.ReLU()
    )
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU())
    module[1].running_mean.normal_()
    module[1].running_var.uniform_(0.5, 1.5)
    layer.eval()
    module.eval()
    assert assign_weight(layer, module)
    assert np.array_equal(layer[1]._mean.numpy(), module[1].running_mean.numpy())
    assert np.array_equal(layer[1]._variance.numpy(), module[1].running_var.numpy())


def test_a_parameter_without_counterpart_leaves_the_model_untouched():
    class Bigger(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.fc, self.extra = paddle.nn.Linear(8, 8), paddle.nn.Linear(8, 3)

        def forward(self, x):
            return self.extra(self.fc(x))

    layer, module = Bigger(), torch.nn.Sequential(torch.nn.Linear(8, 8))
    before = {name: tensor.numpy().copy() for name, tensor in layer.named_parameters()}
    example = models.example(np.ones((2, 8), "float32"), "x", "input")
    with pytest.raises(WeightAlignmentError, match="have no counterpart") as caught:
        assign_weight(layer, module, example_inp=example)
    assert caught.value.parameters
    assert all(
        np.array_equal(before[name], tensor.numpy()) for name, tensor in layer.named_parameters()
    )


def test_a_parameter_of_another_size_is_refused_with_the_size():
    layer = paddle.nn.Sequential(paddle.nn.Linear(8, 4), paddle.nn.Linear(4, 3))
    module = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.Linear(4, 5))
    example = models.example(np.ones((2, 8), "float32"), "input", "input")
    said = r"1.weight \[4, 3\]: Linear.out_features 3 against 5"
    with pytest.raises(WeightAlignmentError, match=said):
        assign_weight(layer, module, example_inp=example)


def test_a_neutral_parameter_is_kept():
    layer, module = (
        paddle.nn.Sequential(paddle.nn.Conv2D(3, 4, 1), paddle.nn.InstanceNorm2D(4)),
        torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.InstanceNorm2d(4)),
    )
    example = models.example(
        np.random.RandomState(0).randn(2, 3, 8, 8).astype("float32"), "input", "input"
    )
    layer.eval()
    module.eval()
    assert assign_weight(layer, module, example_inp=example)
    kept = {
        name: row.status
        for name, row in rows_of(align(layer, module, example)).items()
        if name.startswith("1.")
    }
    assert kept and set(kept.values()) == {"neutral"}
    assert error(layer, module, example) < 1e-5


def test_special_init_stands_in_for_the_map():
    layer, module = models.Mlp(), models.TorchMlp()
    example = models.example(np.ones((3, 8), "float32"), "x", "y")
    called = []

    @add_special_init("Mlp", models.TorchMlp)
    def init(mine, theirs):
        called.append((mine, theirs))

    try:
        before = layer.fc1.weight.numpy().copy()
        assert assign_weight(layer, module, example_inp=example)
        assert called == [(layer, module)]
        assert np.array_equal(before, layer.fc1.weight.numpy())
    finally:
        SPECIAL.pop(("Mlp", "TorchMlp"))


def test_crossed_names_are_told():
    example = models.example(np.random.RandomState(0).randn(3, 8).astype("float32"))
    swapped = align(models.Swapped(), models.Straight(), example).matching
    found = parameter_findings(swapped, OtherSizes())
    assert [finding.verdict for finding in found] == ["suspicious"]
    assert "crossed" in found[0].cause and {found[0].paddle_path, found[0].torch_path} == {
        "fc1",
        "fc2",
    }
    same = align(
        models.Mlp(), models.TorchMlp(), models.example(np.ones((3, 8), "float32"), "x", "y")
    )
    assert not same.differences and not parameter_findings(same.matching, OtherSizes())


def test_models_keep_everything_but_the_weights():
    layer, module = models.Attention(), models.randomised(models.Fused())
    layer.train()
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    assign_weight(layer, module, LayerMap(), models.example(models.sequence()))
    assert layer.training and not module.training
    assert all(torch.equal(state[name], tensor) for name, tensor in module.state_dict().items())
    assert all(tensor.grad is None for tensor in layer.parameters()) and paddle.in_dynamic_mode()


def test_experts_in_a_list_and_stacked_in_one_tensor():
    paddle.seed(1)  # a draw under which every expert is chosen by some row
    layer, module = models.Experts(), models.randomised(models.TorchExperts())
    layer.eval()
    example = models.example(models.sequence())
    alignment = align(layer, module, example)
    rows = [row for name, row in rows_of(alignment).items() if name.startswith("experts")]
    assert len(rows) == 3 and all(row.proved and row.pieces[0].second == "experts" for row in rows)
    assert alignment.matching.unused_second == ()
    assert assign_weight(layer, module, example_inp=example) is True
    assert error(layer, module, example) < 1e-5
    for number in range(3):  # [out, in] of the stack is [in, out] of a Paddle layer
        np.testing.assert_array_equal(
            layer.experts[number].weight.numpy(), module.experts[number].detach().numpy().T
        )


class Mixture(paddle.nn.Layer):
    """Runs all six experts, on the rows that chose them or on none."""

    def __init__(self):
        super().__init__()
        self.gate = paddle.nn.Linear(8, 6, bias_attr=False)
        self.experts = paddle.nn.LayerList([paddle.nn.Linear(8, 8) for _ in range(6)])

    def forward(self, x):
        shares, chosen = paddle.topk(paddle.nn.functional.softmax(self.gate(x)), 2)
        total = paddle.zeros_like(x)
        for number, expert in enumerate(self.experts):
            rows, place = paddle.nonzero(chosen == number, as_tuple=True)
            rows, place = rows.reshape([-1]), place.reshape([-1])
            made = expert(x[rows]) * shares[rows, place].unsqueeze(-1)
            total = paddle.index_add(total, rows, 0, made)
        return total


class TorchMixture(torch.nn.Module):
    """Runs the experts that a row chose."""

    def __init__(self):
        super().__init__()
        self.gate = torch.nn.Linear(8, 6, bias=False)
        self.experts = torch.nn.ModuleList(torch.nn.Linear(8, 8) for _ in range(6))

    def forward(self, x):
        shares, chosen = torch.topk(torch.softmax(self.gate(x), -1), 2)
        total = torch.zeros_like(x)
        for number in chosen.unique().tolist():
            rows, place = torch.where(chosen == number)
            made = self.experts[number](x[rows]) * shares[rows, place, None]
            total = total.index_add(0, rows, made)
        return total


def test_experts_that_no_row_chose_go_as_their_siblings():
    paddle.seed(0)
    layer, module = Mixture(), models.randomised(TorchMixture())
    layer.eval()
    few = np.random.RandomState(0).randn(2, 8).astype("float32")
    example = {"x": paddle.to_tensor(few)}, {"x": torch.from_numpy(few)}
    assert len(torch.topk(module.gate(example[1]["x"]), 2).indices.unique()) < 6
    assert assign_weight(layer, module, example_inp=example) is True
    for ours, theirs in zip(layer.experts, module.experts, strict=True):
        np.testing.assert_array_equal(ours.weight.numpy(), theirs.weight.detach().numpy().T)
        np.testing.assert_array_equal(ours.bias.numpy(), theirs.bias.detach().numpy())
    idle = [row for row in rows_of(align(layer, module, example)).values() if not row.proved]
    assert idle and all("siblings" in row.reason for row in idle)


@pytest.mark.parametrize("seed", [0, 3])
def test_a_check_copies_experts_that_another_router_ran(seed):
    paddle.seed(seed)
    layer, module = Mixture(), models.randomised(TorchMixture())
    layer.eval()
    few = np.random.RandomState(seed).randn(3, 8).astype("float32")
    example = {"x": paddle.to_tensor(few)}, {"x": torch.from_numpy(few)}
    report = compare(layer, module, example, options={"rtol": 1e-4, "atol": 1e-5})
    assert report.passed, [finding.cause for finding in report.findings]
    for ours, theirs in zip(layer.experts, module.experts, strict=True):
        np.testing.assert_array_equal(ours.weight.numpy(), theirs.weight.detach().numpy().T)


def test_a_flip_that_the_weights_can_absorb_is_warned_of():
    class Flipped(models.Mlp):
        def forward(self, x):
            return self.fc2(paddle.flip(paddle.nn.functional.relu(self.fc1(x)), [-1]))

    class Plain(models.TorchMlp):
        def forward(self, y):
            return self.b(torch.relu(self.a(y)))

    report = compare(
        Flipped(),
        models.randomised(Plain()),
        models.example(np.random.RandomState(0).randn(3, 8).astype("float32"), "x", "y"),
        options={"rtol": 1e-4, "atol": 1e-5},
    )
    assert report.passed, str(report)
    assert [finding.verdict for finding in report.findings if "another order" in finding.cause], (
        str(report)
    )


def test_weight_norm_over_the_last_axis():
    class Normed(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.conv = paddle.nn.utils.weight_norm(paddle.nn.Conv1D(6, 8, 3, padding=1), dim=2)

        def forward(self, x):
            return paddle.nn.functional.gelu(self.conv(x))

    class TorchNormed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.utils.parametrizations.weight_norm(
                torch.nn.Conv1d(6, 8, 3, padding=1), dim=2
            )

        def forward(self, x):
            return torch.nn.functional.gelu(self.conv(x))

    layer, module = Normed(), models.randomised(TorchNormed())
    layer.eval()
    example = models.example(np.random.RandomState(0).randn(2, 6, 7).astype("float32"))
    assert assign_weight(layer, module, example_inp=example) is True
    assert error(layer, module, example) < 1e-5
