"""Linears whose results are concatenated, against one Linear of the whole width."""

import numpy as np
import paddle
import pytest
import torch

from padiff_graph import assign_weight, compare

WIDTHS = (4, 5, 7)


class PaddleHeads(paddle.nn.Layer):
    """Several heads, or one for all (`widths` of one entry)."""

    def __init__(self, widths=WIDTHS, bias=None, order=None, also_first=False):
        super().__init__()
        self.stem = paddle.nn.Linear(6, 8)
        self.heads = paddle.nn.LayerList(
            [paddle.nn.Linear(8, width, bias_attr=bias) for width in widths]
        )
        self.out = paddle.nn.Linear(sum(widths), 3)
        self.order = order or range(len(widths))
        self.also_first = also_first

    def forward(self, x):
        x = paddle.nn.functional.relu(self.stem(x))
        heads = [head(x) for head in self.heads]
        whole = (
            paddle.concat([heads[place] for place in self.order], axis=-1)
            if len(heads) > 1
            else heads[0]
        )
        result = self.out(paddle.nn.functional.gelu(whole))
        return (result, paddle.tanh(heads[0])) if self.also_first else result


class TorchHeads(torch.nn.Module):
    """The same in torch; `read` of the first head's features alone where one is asked for."""

    def __init__(self, widths=WIDTHS, bias=True, first=0):
        super().__init__()
        self.input_layer = torch.nn.Linear(6, 8)
        self.projections = torch.nn.ModuleList(
            [torch.nn.Linear(8, width, bias=bias) for width in widths]
        )
        self.last = torch.nn.Linear(sum(widths), 3)
        self.first = first

    def forward(self, x):
        x = torch.relu(self.input_layer(x))
        whole = (
            torch.cat([projection(x) for projection in self.projections], -1)
            if len(self.projections) > 1
            else self.projections[0](x)
        )
        result = self.last(torch.nn.functional.gelu(whole))
        return (result, torch.tanh(whole[..., : self.first])) if self.first else result


def example():
    x = np.random.RandomState(0).rand(2, 5, 6).astype("float32")
    return {"x": paddle.to_tensor(x)}, {"x": torch.tensor(x)}


def passes(layer, module):
    return compare(layer, module, example(), options={"atol": 1e-5, "rtol": 1e-5})


class TorchBackwards(torch.nn.Module):
    """One Linear whose halves are concatenated the other way round, or the second half twice."""

    def __init__(self, twice=False):
        super().__init__()
        self.input_layer = torch.nn.Linear(6, 8)
        self.projection = torch.nn.Linear(8, 16)
        self.last = torch.nn.Linear(16, 3)
        self.twice = twice

    def forward(self, x):
        first, second = self.projection(torch.relu(self.input_layer(x))).chunk(2, -1)
        result = self.last(
            torch.nn.functional.gelu(torch.cat([second, second if self.twice else first], -1))
        )
        return (result, torch.tanh(first)) if self.twice else result


class PaddleTwice(PaddleHeads):
    """The second head twice, the first one by itself."""

    def forward(self, x):
        x = paddle.nn.functional.relu(self.stem(x))
        first, second = (head(x) for head in self.heads)
        return self.out(
            paddle.nn.functional.gelu(paddle.concat([second, second], axis=-1))
        ), paddle.tanh(first)


PAIRS = {
    "read in another order": lambda: (PaddleHeads((8, 8), order=(1, 0)), TorchBackwards()),
    "one part read twice": lambda: (PaddleTwice((8, 8)), TorchBackwards(twice=True)),
    "a list against one": lambda: (PaddleHeads(), TorchHeads((16,))),
    "one against a list": lambda: (PaddleHeads((16,)), TorchHeads()),
    "of equal widths": lambda: (PaddleHeads((8, 8)), TorchHeads((16,))),
    "without biases": lambda: (PaddleHeads(bias=False), TorchHeads((16,), bias=False)),
    "with a reader of one head": lambda: (PaddleHeads(also_first=True), TorchHeads((16,), first=4)),
    "lists on both sides": lambda: (PaddleHeads(), TorchHeads()),
}


@pytest.mark.parametrize("name", PAIRS)
def test_concatenated_linears_are_mapped_and_pass(name):
    layer, module = PAIRS[name]()
    report = passes(layer, module)
    assert report.passed, [finding.cause for finding in report.findings]
    assign_weight(layer, module, example_inp=example())
    first, second = (model(one["x"]) for model, one in zip((layer, module), example(), strict=True))
    first, second = (one[0] if isinstance(one, tuple) else one for one in (first, second))
    np.testing.assert_allclose(first.numpy(), second.detach().numpy(), atol=1e-6)


def test_parts_read_in_another_order_get_the_weights_of_their_own():
    layer, module = PaddleHeads((8, 8), order=(1, 0)), TorchBackwards()
    assign_weight(layer, module, example_inp=example())
    whole = module.projection.weight.detach().numpy()
    for head, rows in zip(layer.heads, (whole[:8], whole[8:]), strict=True):
        np.testing.assert_array_equal(head.weight.numpy().T, rows)


@pytest.mark.parametrize("widths", [(4, 5, 7), (8, 8)])
def test_rows_say_where_the_parts_come_from(widths):
    layer, module = PaddleHeads(widths), TorchHeads((16,))
    assign_weight(layer, module, example_inp=example())
    whole = module.projections[0].weight.detach().numpy()
    start = 0
    for head, width in zip(layer.heads, widths, strict=True):
        np.testing.assert_array_equal(head.weight.numpy().T, whole[start : start + width])
        start += width


def test_the_same_linears_in_another_order_are_found_not_joined():
    report = passes(PaddleHeads(order=(1, 0, 2)), TorchHeads())
    assert not report.passed
    assert any("Concat" in finding.cause for finding in report.findings)


def test_a_bias_that_the_heads_lack_is_found():
    report = passes(PaddleHeads(bias=False), TorchHeads((16,)))
    assert not report.passed
    assert any("missing bias" in finding.cause for finding in report.findings)


class PaddleHalves(paddle.nn.Layer):
    """A Linear of which two operations read every other element."""

    def __init__(self):
        super().__init__()
        self.fc, self.out = paddle.nn.Linear(6, 8), paddle.nn.Linear(4, 3)

    def forward(self, x):
        y = self.fc(x)
        return self.out(paddle.sin(y[..., ::2]) * paddle.cos(y[..., 1::2]))


class TorchHalves(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.out = torch.nn.Linear(6, 8), torch.nn.Linear(4, 3)

    def forward(self, x):
        y = self.fc(x)
        return self.out(torch.sin(y[..., ::2]) * torch.cos(y[..., 1::2]))


def test_what_is_read_in_parts_on_both_sides_is_mapped_as_one():
    report = passes(PaddleHalves(), TorchHalves())
    assert report.passed
    assert {row.first: row.transform for row in report.parameters} == {
        "fc.weight": "transpose",
        "fc.bias": "identity",
        "out.weight": "transpose",
        "out.bias": "identity",
    }
    assert all(len(row.pieces) == 1 for row in report.parameters)


class PaddleChained(paddle.nn.Layer):
    """Two Linears of one operand, concatenated the second first, which two more read."""

    def __init__(self, fault=False):
        super().__init__()
        self.parts = paddle.nn.LayerList([paddle.nn.Linear(8, 8) for _ in range(2)])
        self.chain = paddle.nn.LayerList([paddle.nn.Linear(8, 8) for _ in range(2)])
        self.fault = fault

    def forward(self, x):
        first, second = (part(x) for part in self.parts)
        one, other = (part(second) for part in self.chain)
        whole = paddle.concat([first, second] if self.fault else [second, first], -1)
        return one, paddle.nn.functional.silu(other), whole


class TorchChained(torch.nn.Module):
    """The same with one Linear of the whole width for two."""

    def __init__(self):
        super().__init__()
        self.part, self.chain = torch.nn.Linear(8, 16), torch.nn.Linear(8, 16)

    def forward(self, x):
        first, second = self.part(x).reshape(*x.shape[:2], 2, -1).unbind(2)
        one, other = self.chain(second).reshape(*x.shape[:2], 2, -1).unbind(2)
        return one, torch.nn.functional.silu(other), torch.cat([second, first], -1)


@pytest.mark.parametrize("fault", [False, True])
def test_halves_the_other_way_round_of_which_one_is_read_by_two_more(fault):
    x = np.random.RandomState(0).rand(2, 3, 8).astype("float32")
    pair = {"x": paddle.to_tensor(x)}, {"x": torch.tensor(x)}
    report = compare(
        PaddleChained(fault), TorchChained(), pair, options={"atol": 1e-5, "rtol": 1e-5}
    )
    assert report.passed is not fault, report


def attending(lib, base, widths, scaled_query):
    """Scores of what one Linear yields, or several concatenated, with itself."""

    class Attending(base):
        def __init__(self):
            super().__init__()
            parts = [lib.nn.Linear(6, width) for width in widths]
            listed = lib.nn.LayerList if lib is paddle else lib.nn.ModuleList
            self.parts = listed(parts)
            self.last = lib.nn.Linear(sum(widths), 3)

        def forward(self, x):
            made = [part(x) for part in self.parts]
            whole = made[0] if len(made) == 1 else lib.concat(made, -1)
            whole = 2.0 * whole + 1.0
            turned = whole.transpose([0, 2, 1]) if lib is paddle else whole.transpose(1, 2)
            scores = (0.3 * whole) @ turned if scaled_query else 0.3 * (whole @ turned)
            return self.last(lib.nn.functional.softmax(scores, -1) @ whole)

    return Attending()


@pytest.mark.parametrize("widths", [((4, 4), (8,)), ((8,), (4, 4))])
@pytest.mark.parametrize("scaled", [(True, False), (False, True)])
def test_a_concatenation_that_is_read_turned_as_well(widths, scaled):
    layer = attending(paddle, paddle.nn.Layer, widths[0], scaled[0])
    module = attending(torch, torch.nn.Module, widths[1], scaled[1])
    report = passes(layer, module)
    assert report.passed
    assert not any(finding.fails for finding in report.findings)
