"""A write through any view is the same as the write itself, done by the operators of the table."""

import pytest
import torch

from padiff_graph.capture.graph import Node, TensorType
from padiff_graph.capture.torch.aten_schema import call, find_overload
from padiff_graph.capture.torch.view_writes import Step, written_through

CPU = torch.device("cpu")
VIEWS = {
    "aten.view.default": {"size": (6, 4)},
    "aten.unsqueeze.default": {"dim": 1},
    "aten.transpose.int": {"dim0": 0, "dim1": 2},
    "aten.permute.default": {"dims": (2, -3, 1)},
    "aten.movedim.int": {"source": 0, "destination": 2},
    "aten.select.int": {"dim": 1, "index": 2},
    "aten.slice.Tensor": {"dim": 2, "start": 1, "end": 4, "step": 2},
    "aten.narrow.default": {"dim": 1, "start": 1, "length": 2},
    "aten.diagonal.default": {"offset": 1, "dim1": 1, "dim2": 2},
    "aten.alias.default": {},
}


def kind(tensor):
    return TensorType(tuple(tensor.shape), "float32")


def checked(op, attrs, output=0):
    parent = torch.randn(2, 3, 4)
    views = call(find_overload(op), [parent], ["self"], attrs, CPU)
    views = list(views) if isinstance(views, (list, tuple)) else [views]
    record = Node(0, "operation", op, attrs=attrs, outputs=tuple(kind(view) for view in views))
    numbers = torch.randn(views[output].shape)
    write = written_through(Step(record, 0, output), kind(parent), kind(views[output]))
    assert write is not None
    if not write.op:
        made = numbers
    elif write.whole:
        made = call(find_overload(write.op), [numbers], ["self"], write.attrs, CPU)
    else:
        made = call(find_overload(write.op), [parent, numbers], ["self", "src"], write.attrs, CPU)
    views[output].copy_(numbers)
    assert torch.equal(made, parent)


@pytest.mark.parametrize("op", VIEWS)
def test_views_of_one_result(op):
    checked(op, VIEWS[op])


@pytest.mark.parametrize(
    ("op", "attrs"),
    [
        ("aten.unbind.int", {"dim": 1}),
        ("aten.split.Tensor", {"split_size": 2, "dim": -1}),
        ("aten.chunk.default", {"chunks": 2, "dim": 2}),
    ],
)
def test_views_of_several_results(op, attrs):
    checked(op, attrs, output=1)


def test_what_cannot_be_said():
    record = Node(0, "operation", "aten.unfold.default")
    whole = TensorType((2, 3), "float32")
    assert written_through(Step(record, 0, 0), whole, whole) is None
    expanded = Node(0, "operation", "aten.expand.default", attrs={"size": (2, 3)})
    assert written_through(Step(expanded, 0, 0), TensorType((1, 3), "float32"), whole) is None
