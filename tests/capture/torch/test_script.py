"""Captured operations as lines of Python: what they compute is what the operation computed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from padiff_graph.capture.engine import NotRunnable
from padiff_graph.capture.graph import Node, TensorType
from padiff_graph.capture.torch.script import PRELUDE, expression

PAIR = TensorType((2,), "float32")


def helpers(double=False):
    names = {"torch": torch, "DOUBLE": double}
    exec(PRELUDE, names)
    return names


def operation(op, roles, outputs=(PAIR,), marks=(), **attrs):
    return Node(
        0, "operation", op, roles=roles, attrs=attrs, outputs=outputs, marks=frozenset(marks)
    )


@pytest.mark.parametrize(
    ("node", "operands", "text"),
    [
        (
            operation("aten.add.Tensor", ("self", "other"), alpha=2),
            ["a", "b"],
            "[torch.ops.aten.add.Tensor(a, b, alpha=2)]",
        ),
        (
            operation("aten.cat.default", ("tensors[0]", "tensors[1]"), dim=0),
            ["a", "b"],
            "[torch.ops.aten.cat.default([a, b], 0)]",
        ),
        (
            operation("aten.relu.default", ("self",), marks=["no_grad"]),
            ["a"],
            "[one.detach() for one in [torch.ops.aten.relu.default(a)]]",
        ),
        (
            operation("aten.unbind.int", ("self",), dim=0),
            ["a"],
            "torch_list(torch.ops.aten.unbind.int(a, 0))",
        ),
        (
            operation("aten.clamp.default", ("self",), min=float("-inf"), max=1.0),
            ["a"],
            '[torch.ops.aten.clamp.default(a, float("-inf"), 1.0)]',
        ),
        (
            operation("aten.to.dtype", ("self",), dtype="float32"),
            ["a"],
            "[torch.ops.aten.to.dtype(a, torch_dtype(torch.float32))]",
        ),
    ],
    ids=lambda value: value.op if isinstance(value, Node) else "",
)
def test_expressions(node, operands, text):
    assert expression(node, operands) == text
    results = eval(text, {**helpers(), "a": torch.ones(2), "b": torch.ones(2)})
    assert all(isinstance(result, torch.Tensor) for result in results)


def test_what_is_more_than_a_call():
    dropout = operation("aten.dropout.default", ("input",), marks=["random"], p=0.5, train=True)
    hook = operation("padiff_graph.gradient_hook.default", ("x",), token=0)
    complex_write = operation("aten.slice_scatter.default", ("self", "src"), dim=0)
    complex_write = replace(complex_write, outputs=(TensorType((2,), "complex64"),))
    for node in (dropout, hook, complex_write, operation("aten.no_such.default", ("self",))):
        with pytest.raises(NotRunnable):
            expression(node, ["a"] * len(node.roles))


@pytest.mark.parametrize("double", [False, True])
def test_helpers(double):
    names = helpers(double)
    x = names["torch_leaf"](np.ones(2, np.float32))
    unread = names["torch_leaf"](np.ones(2, np.float32))
    whole = names["torch_leaf"](np.ones(2, np.int64))
    assert x.dtype == (torch.float64 if double else torch.float32) and x.requires_grad
    seeds = [np.full(2, 3.0)]
    gradients = names["torch_gradients"]([x * 2], seeds, [x, unread, whole])
    assert gradients[0].tolist() == [6, 6] and gradients[1:] == [None, None]
    assert names["torch_gradients"]([whole], seeds, [x]) == [None]


def test_what_the_models_own_code_did():
    names = helpers()
    x = names["torch_leaf"](np.ones(2, np.float32))
    y = names["torch_leaf"](np.ones(2, np.float32))
    results = [(np.full(2, 5.0, np.float32), "float32")]
    (saved,) = names["torch_saved"](results, [np.full(2, 7.0, np.float32), None], [x, y])
    assert saved.tolist() == [5, 5]
    gradients = names["torch_gradients"]([saved], [np.ones(2, np.float32)], [x, y])
    assert gradients[0].tolist() == [7, 7] and gradients[1] is None
