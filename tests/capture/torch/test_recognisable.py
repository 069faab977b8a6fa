"""Names, paths, lines and constants of a torch capture, as the user would say them."""

import inspect
import pickle
from collections import OrderedDict
from dataclasses import dataclass

import networkx as nx
import numpy as np
import pytest
import torch
from torch import nn

from padiff_graph.capture.api import capture_graph
from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.capture.certificate import certify
from padiff_graph.capture.torch.engine import TorchEngine as engine
from padiff_graph.capture.torch.trace import trace

X = torch.ones(2, 4)


@dataclass
class Answer:
    logits: torch.Tensor
    extra: dict


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 4)

    def forward(self, x):
        return self.lin(x).relu()


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = Block()
        self.again = self.block
        self.items = nn.ModuleDict({"head": nn.Linear(4, 4)})
        self.rows = nn.ModuleList([Block(), Block()])
        self.items["head"].weight = self.block.lin.weight
        self.unused = nn.Linear(4, 4)

    def forward(self, batch, scale=None, flag=False, mask=None):
        x = self.block(batch["x"])
        x = self.block(x)
        x = self.again(x)
        for row in self.rows:
            x = row(x)
        x = nn.functional.linear(x, self.rows[0].lin.weight)
        x = self.items["head"](x) * (scale or 1)
        return Answer(x, {"states": (x + batch["parts"][0], [x if flag else -x])})


EXAMPLE = {"batch": {"x": X, "parts": [X, None]}, "scale": 2.0, "flag": True, "mask": None}


@pytest.fixture(scope="module", params=["", "torch.export"])
def graph(request):
    model = Model()
    found = trace(model, EXAMPLE, below=request.param)
    found.certificate = certify(found, engine(model), EXAMPLE)
    return found


def test_it_is_certified(graph):
    assert graph.certificate.valid, graph.certificate.reasons
    assert nx.is_directed_acyclic_graph(graph)


def test_leaves_are_named(graph):
    assert [node.name for node in graph.of_kind("input")] == ["batch.x", "batch.parts.0"]
    assert [node.name for node in graph.of_kind("output")] == [
        "logits",
        "extra.states.0",
        "extra.states.1.0",
    ]
    assert any("scale=2.0" in note and "flag=True" in note for note in graph.notes)


def test_paths_and_calls(graph):
    linears = [
        (node.path, node.call)
        for node in graph.of_kind("operation")
        if node.op == "aten.linear.default"
    ]
    assert linears == [
        ("block.lin", 0),
        ("block.lin", 1),
        ("block.lin", 2),
        ("rows.0.lin", 0),
        ("rows.1.lin", 0),
        ("", 0),
        ("items.head", 0),
    ]


def test_parameters_by_first_name(graph):
    assert graph.parameters["block.lin.weight"].aliases == ("again.lin.weight", "items.head.weight")
    assert "unused.weight" in graph.parameters
    assert "unused.weight" not in {node.name for node in graph.of_kind("parameter")}
    assert sum(node.name == "block.lin.weight" for node in graph.of_kind("parameter")) == 1
    assert graph.modules["rows.1.lin"] == "Linear"


def test_lines_are_the_users(graph):
    _, start = inspect.getsourcelines(Block.forward)
    wanted = f"{__file__}:{start + 1}"
    assert {node.source for node in graph.of_kind("operation") if node.path == "block.lin"} == {
        wanted
    }
    assert all(node.source.startswith(__file__) for node in graph.of_kind("operation"))


def test_pickle_keeps_the_graph(graph):
    again = pickle.loads(pickle.dumps(graph))
    assert [node.op for node in again.records()] == [node.op for node in graph.records()]
    assert again.certificate == graph.certificate and again.session is None


@pytest.mark.parametrize(
    "answer, names",
    [
        (lambda x: x, ["output"]),
        (lambda x: (x, [x, None]), ["0", "1.0"]),
        (lambda x: OrderedDict(a=x, b={"c": x}), ["a", "b.c"]),
    ],
)
def test_outputs_of_any_nesting(answer, names):
    class Net(nn.Linear):
        def forward(self, x):
            return answer(super().forward(x))

    assert [node.name for node in capture_graph(Net(4, 4), {"x": X}).of_kind("output")] == names


def test_roles_and_attributes_follow_the_schema():
    class Net(nn.Module):
        def forward(self, x, y):
            return torch.cat([x, y, x], dim=1)[:, [0, 2]].sum(-1, keepdim=True)

    operations = capture_graph(Net(), {"x": X, "y": X}).of_kind("operation")
    cat = next(node for node in operations if node.op == "aten.cat.default")
    assert cat.roles == ("tensors[0]", "tensors[1]", "tensors[2]") and cat.attrs == {"dim": 1}
    total = next(node for node in operations if node.op == "aten.sum.dim_IntList")
    assert total.attrs == {"dim": (-1,), "keepdim": True, "dtype": None}
    index = next(node for node in operations if node.op == "aten.index.Tensor")
    assert "indices[1]" in index.roles


def test_constants_are_evaluated():
    class Net(nn.Module):
        def forward(self, x):
            return x @ torch.tril(torch.ones(4, 4)) + torch.arange(4).float()

    constants = [
        node.constant
        for node in capture_graph(Net(), {"x": X}).of_kind("operation")
        if node.constant is not None
    ]
    assert any(np.array_equal(constant, np.tril(np.ones((4, 4)))) for constant in constants)
    assert any(
        np.array_equal(constant, np.arange(4.0)) and constant.dtype == np.float32
        for constant in constants
    )


def test_random_operations_keep_their_parameters():
    model = nn.Sequential(nn.Dropout(0.25), nn.Dropout(0.5))
    model[1].eval()
    graph = capture_graph(model, {"input": X})
    assert [(node.attrs["p"], "random" in node.marks) for node in graph.of_kind("operation")] == [
        (0.25, True),
        (0.5, False),
    ]


def test_the_branch_of_the_example_is_noted():
    class Net(nn.Module):
        def forward(self, x):
            if x.sum() > 3:
                return x * 2
            return x

    graph = capture_graph(Net(), {"x": X})
    assert graph.certificate.valid
    assert any(
        "test_recognisable.py" in note and "True" in note and "example" in note
        for note in graph.notes
    )
    assert any(note.startswith("not captured by torch.export") for note in graph.notes)


def test_shapes_alone():
    with torch.device("meta"):
        model = Model()
    graph = capture_graph(model, EXAMPLE)
    assert (
        not graph.certificate.valid
        and not graph.certificate.certified
        and "shapes" in graph.certificate.reasons[0]
    )
    real = capture_graph(
        Model(),
        {
            **EXAMPLE,
            "batch": {
                "x": torch.empty(2, 4, device="meta"),
                "parts": [torch.empty(2, 4, device="meta")],
            },
        },
    )
    ops = [(node.op, node.outputs) for node in graph.of_kind("operation")]
    assert ops == [(node.op, node.outputs) for node in real.of_kind("operation")]
    assert ops == [
        (node.op, node.outputs) for node in capture_graph(Model(), EXAMPLE).of_kind("operation")
    ]


class Choosy(nn.Module):
    def forward(self, x):
        return x * 2 if x.sum() > 0 else x  # the line to be named


def test_what_cannot_be_captured_names_the_line():
    with pytest.raises(CaptureError) as caught:
        capture_graph(Choosy(), {"x": torch.empty(2, device="meta")})
    line = inspect.getsourcelines(Choosy)[1] + 2
    assert caught.value.source == f"{__file__}:{line}"
    assert f"test_recognisable.py:{line}" in str(caught.value)
    assert [name for name, _ in caught.value.attempts][:2] == [
        "torch.export",
        "make_fx along the example",
    ]


def test_wrong_use_is_told():
    with pytest.raises(CaptureError, match="no torch tensor"):
        capture_graph(nn.Linear(4, 4), {"input": [[1.0, 2.0, 3.0, 4.0]]})
    with pytest.raises(CaptureError, match="run the model once"):
        capture_graph(nn.LazyLinear(3), {"input": X})
    with pytest.raises(TypeError):
        capture_graph(3, {"input": X})


def test_numbers_that_went_through_numpy_are_noted():
    class Net(nn.Module):
        def forward(self, x):
            return x * float(x.detach().numpy().sum()) + x.argmax(1).tolist()[0]

    graph = capture_graph(Net(), {"x": X})
    assert graph.certificate.valid
    assert (
        sum(
            "went through Python or numpy" in note and "test_recognisable.py" in note
            for note in graph.notes
        )
        == 1
    )


def test_a_growing_cache_is_the_captures_own():
    class Cache:
        def __init__(self):
            self.rows = []

    class Net(nn.Module):
        def forward(self, x, cache):
            cache.rows.append(x)
            return torch.cat(cache.rows, 1)

    cache = Cache()
    graph = capture_graph(Net(), {"x": X, "cache": cache})
    assert graph.certificate.valid and cache.rows == []
