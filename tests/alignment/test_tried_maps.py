"""Candidates for parameters that structure leaves open, tried by running: toy pairs of several
kinds, each with a counterpart that is wrong."""

import numpy as np
import paddle
import pytest
import torch
import torch.nn.functional as F

import padiff_graph as pg
from padiff_graph.alignment.align import align
from tests.models import rebuilt_pairs as models

OPTIONS = {"rtol": 1e-5, "atol": 1e-5}


class Unfolded(paddle.nn.Layer):
    """A convolution as unfold and product."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.wrong = wrong
        self.kernel = self.create_parameter([5, 27])
        self.offset = self.create_parameter([5], is_bias=True)

    def forward(self, x):
        columns = paddle.nn.functional.unfold(x, 3, paddings=1)
        result = paddle.matmul(self.kernel, columns) + self.offset.unsqueeze(-1)
        result = result.reshape([x.shape[0], 5, 6, 6])
        return result * 1.5 if self.wrong else result


class Convolved(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 5, 3, padding=1)

    def forward(self, x):
        return self.conv(x)


class Cell(paddle.nn.Layer):
    """A recurrent cell written out, with its gates in another order than the other model's."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.wrong = wrong
        self.gates, self.kept = paddle.nn.Linear(5, 12), paddle.nn.Linear(3, 12)

    def forward(self, x):
        squash, hidden, cell = paddle.nn.functional.sigmoid, x[:, 0, :3] * 0, x[:, 0, :3] * 0
        for step in range(2):
            i, f, o, g = paddle.chunk(self.gates(x[:, step]) + self.kept(hidden), 4, -1)
            cell = squash(f) * cell + squash(i) * paddle.tanh(g)
            hidden = squash(o) * (cell if self.wrong else paddle.tanh(cell))
        return hidden


class TorchCell(torch.nn.Module):
    """The same with its gates in an order given by their letters."""

    def __init__(self, order: str = "ifgo") -> None:
        super().__init__()
        self.order = order
        self.gates, self.kept = torch.nn.Linear(5, 12), torch.nn.Linear(3, 12)

    def forward(self, x):
        hidden, cell = x[:, 0, :3] * 0, x[:, 0, :3] * 0
        for step in range(2):
            parts = torch.chunk(self.gates(x[:, step]) + self.kept(hidden), 4, -1)
            gate = dict(zip(self.order, parts, strict=True))
            cell = torch.sigmoid(gate["f"]) * cell + torch.sigmoid(gate["i"]) * torch.tanh(
                gate["g"]
            )
            hidden = torch.sigmoid(gate["o"]) * torch.tanh(cell)
        return hidden


def own_order() -> torch.nn.Module:
    """A cell with its gates in an order that no framework has."""
    return TorchCell("foig")


class Layers(paddle.nn.Layer):
    """The cells of a recurrent layer, called one by one."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.wrong = wrong
        self.cells = paddle.nn.LayerList([paddle.nn.GRUCell(5, 3), paddle.nn.GRUCell(3, 3)])

    def forward(self, x):
        states, rows = [None, None], []
        for step in range(2):
            value = x[:, step]
            for place, cell in enumerate(self.cells):
                value, states[place] = cell(value, states[place])
            rows.append(value * 1.1 if self.wrong else value)
        return paddle.stack(rows, 1)


class Library(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.GRU(5, 3, 2, batch_first=True)

    def forward(self, x):
        return self.layers(x)[0]


class Normalised(paddle.nn.Layer):
    """A square weight that is divided by its norm before use."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.wrong = wrong
        self.weight = self.create_parameter([6, 6])

    def forward(self, x):
        weight = self.weight / self.weight.norm(axis=0, keepdim=True)
        result = paddle.matmul(x, weight)
        return paddle.tanh(result) if self.wrong else result


class TorchNormalised(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(6, 6))

    def forward(self, x):
        return F.linear(x, self.weight / self.weight.norm(dim=1, keepdim=True))


class LowRank(paddle.nn.Layer):
    """A square weight with a product of two square ones added; all three are transposed."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.wrong = wrong
        self.weight, self.a, self.b = (self.create_parameter([6, 6]) for _ in range(3))

    def forward(self, x):
        return x @ (self.weight + (0.4 if self.wrong else 0.5) * self.a @ self.b)


class TorchLowRank(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight, self.a, self.b = (torch.nn.Parameter(torch.randn(6, 6)) for _ in range(3))

    def forward(self, x):
        return F.linear(x, self.weight + 0.5 * self.b @ self.a)


class Patches(paddle.nn.Layer):
    """Patches by a convolution, and by a matrix over patches with their channels last."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.wrong = wrong
        self.conv = paddle.nn.Conv2D(3, 5, (2, 3), stride=(2, 3))

    def forward(self, x):
        result = self.conv(x).flatten(2).transpose([0, 2, 1])
        return result.flip([1]) if self.wrong else result


class TorchPatches(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(18, 5)

    def forward(self, x):
        parts = x.reshape(2, 3, 3, 2, 2, 3).permute(0, 2, 4, 3, 5, 1)
        return self.linear(parts.reshape(2, 6, 18))


class OneHot(paddle.nn.Layer):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.wrong = wrong
        self.table = self.create_parameter([7, 5])

    def forward(self, x):
        ids = paddle.clip(x + 1, max=6) if self.wrong else x
        return paddle.matmul(paddle.nn.functional.one_hot(ids, 7), self.table)


class Embedded(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(7, 5)

    def forward(self, x):
        return self.embedding(x)


class _Windows(paddle.nn.Layer):
    """A Linear over windows that are sliced, with their channels last."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.wrong = wrong
        self.linear, self.out = paddle.nn.Linear(27, 5), paddle.nn.Linear(5, 3)

    def forward(self, x):
        padded = paddle.nn.functional.pad(x, [1, 1, 1, 1]).transpose([0, 2, 3, 1])
        starts = [(row, column) for row in range(3) for column in range(3)]
        parts = [padded[:, row : row + 6, column : column + 6] for row, column in starts]
        result = self.out(paddle.tanh(self.linear(paddle.concat(parts, -1))))
        return (result * 1.5 if self.wrong else result).transpose([0, 3, 1, 2])


class _TorchWindows(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.out = torch.nn.Conv2d(3, 5, 3, padding=1), torch.nn.Conv2d(5, 3, 1)

    def forward(self, x):
        return self.out(torch.tanh(self.conv(x)))


IDS = np.array([[0, 2, 5], [6, 1, 3]])
KINDS = {
    "unfold": (Unfolded, Convolved, (2, 3, 6, 6)),
    "one hot": (OneHot, Embedded, IDS),
    "cell": (Cell, TorchCell, (4, 2, 5)),
    "own order": (Cell, own_order, (4, 2, 5)),
    "layers": (Layers, Library, (4, 2, 5)),
    "low rank": (LowRank, TorchLowRank, (4, 6)),
    "patches": (Patches, TorchPatches, (2, 3, 6, 6)),
    "norm": (Normalised, TorchNormalised, (4, 6)),
}


def _pair(kind: str, wrong: bool):
    first, second, given = KINDS[kind]
    paddle.seed(0)
    torch.manual_seed(0)
    array = given
    if isinstance(given, tuple):
        array = np.random.default_rng(0).standard_normal(given).astype("float32")
    return first(wrong), second(), models.example(array, "x", "x")


@pytest.mark.parametrize("kind", KINDS)
def test_the_candidate_under_which_values_agree_is_the_map(kind):
    layer, module, example = _pair(kind, wrong=False)
    rows = align(layer, module, example, certify=False).matching.parameters
    assert all(row.status == "mapped" and row.proved for row in rows), rows
    assert pg.compare(layer, module, example, options=OPTIONS).passed


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_model_is_not_passed(kind):
    layer, module, example = _pair(kind, wrong=True)
    assert not pg.compare(layer, module, example, options=OPTIONS).passed


def test_an_order_of_gates_that_no_convention_has_passes_loudly():
    report = pg.compare(*_pair("own order", wrong=False), options=OPTIONS)
    loud = [finding for finding in report.findings if finding.cause_id == "weights.shuffled"]
    assert report.passed and "ALIGNED (with weights in an order of their own)" in str(report)
    assert {finding.paddle_path for finding in loud} == {"gates", "kept"}


@pytest.mark.parametrize("kind", ["unfold", "one hot"])
def test_what_no_candidate_makes_agree_stays_open(kind):
    layer, module, example = _pair(kind, wrong=True)
    rows = align(layer, module, example, certify=False).matching.parameters
    assert not any(row.proved for row in rows)
    assert any(row.status == "open" for row in rows)


@pytest.mark.parametrize("wrong", [False, True])
def test_an_order_that_nothing_behind_shows_is_tried_too(wrong):
    paddle.seed(0)
    torch.manual_seed(0)
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 6)).astype("float32")
    pair = _Windows(wrong), _TorchWindows(), models.example(x, "x", "x")
    assert pg.compare(*pair, options=OPTIONS).passed is not wrong


class Positions(paddle.nn.Layer):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.wrong = wrong
        self.table = self.create_parameter([6, 5])

    def forward(self, x):
        weights = paddle.nn.functional.one_hot(x, 6)
        return paddle.cumsum(weights, 1) @ self.table * (2.0 if self.wrong else 1.0)


class TorchPositions(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Parameter(torch.randn(6, 5))

    def forward(self, x):
        return torch.cumsum(self.table[x], 1)


@pytest.mark.parametrize("wrong", [False, True])
def test_the_same_name_shape_and_values_are_a_map(wrong):
    layer, module = Positions(wrong), TorchPositions()
    layer.table.set_value(module.table.detach().numpy())
    example = models.example(IDS % 6, "x", "x")
    report = pg.compare(layer, module, example, auto_weights=False, options=OPTIONS)
    assert report.passed == (not wrong)
    assert not any(finding.verdict == "not-comparable" for finding in report.findings)
