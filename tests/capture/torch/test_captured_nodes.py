"""Nodes in the making: constants evaluated, gradients followed, hooks put where they belong."""

import numpy as np
import torch

from padiff_graph.capture.graph import TensorType, Value
from padiff_graph.capture.torch.captured_nodes import CapturedNodes, Leaf
from padiff_graph.capture.torch.effects import Effects
from padiff_graph.capture.torch.fx_places import Place
from padiff_graph.capture.torch.node_order import ordered

PAIR = TensorType((2,), "float32")


def doubled(node, arrays, types):
    return arrays[0] * 2


def nodes():
    return CapturedNodes(Effects(), doubled)


def append(captured, *inputs, op="aten.relu.default", marks=frozenset()):
    node = captured.append(op, inputs, ("self",) * len(inputs), {}, (PAIR,), Place(), marks)
    return Value(node.id)


def test_what_depends_on_constants_is_evaluated():
    captured = nodes()
    constant = captured.leaf(Leaf("constant", "c", torch.ones(2)))
    x = captured.leaf(Leaf("input", "x", torch.ones(2), True))
    twice = append(captured, append(captured, constant))
    assert np.array_equal(captured.nodes[twice.node].constant, [4, 4])
    assert captured.nodes[append(captured, twice, x).node].constant is None
    random = append(captured, constant, marks=frozenset({"random"}))
    assert captured.nodes[random.node].constant is None


def test_gradients_flow_until_they_are_cut():
    captured = nodes()
    x = captured.leaf(Leaf("input", "x", torch.ones(2), True))
    index = captured.leaf(Leaf("input", "i", torch.ones(2, dtype=torch.int64), True))
    y = append(captured, x)
    assert captured.differentiable(y) and not captured.differentiable(index)
    assert not captured.differentiable(append(captured, y, op="aten.detach.default"))
    assert not captured.differentiable(append(captured, y, marks=frozenset({"no_grad"})))


def test_hooks_stand_behind_what_they_hook():
    captured = nodes()
    x = captured.leaf(Leaf("input", "x", torch.ones(2), True))
    before = append(captured, x)
    for label in ("first", "second"):
        captured.hook(x, captured.recorded.add(print, label), Place())
    captured.output("y", before)
    final = ordered(captured, {})
    assert [node.kind for node in final.nodes] == ["input", *["operation"] * 3, "output"]
    # the hook registered first sees the gradient first, so it stands last
    assert [node.attrs.get("hook") for node in final.nodes] == [None, "second", "first", None, None]
    assert [node.inputs for node in final.nodes[1:4]] == [(Value(0),), (Value(1),), (Value(2),)]


def test_what_was_added_and_is_not_read_goes():
    captured = nodes()
    x = captured.leaf(Leaf("input", "x", torch.ones(2), True))
    like = captured.nodes[append(captured, x).node]
    captured.add("aten.neg.default", (x,), ("self",), {}, (PAIR,), like=like, marks=frozenset())
    kept = captured.add(
        "aten.neg.default", (x,), ("self",), {}, (PAIR,), like=like, marks=frozenset()
    )
    final = ordered(captured, {"buffer": kept})
    assert len(final.nodes) == 3 and final.updates == {"buffer": Value(2)}
    assert list(final.tensors) == [0]


def test_a_users_hook_on_a_parameter_leaves_the_parameter_as_it_is():
    """Hooks on leaves are an obligation of the whole run; the weight keeps its place in the map."""
    captured = nodes()
    weight = torch.nn.Parameter(torch.ones(2))
    weight.register_hook(lambda gradient: gradient)
    captured.leaf(Leaf("parameter", "lin.weight", weight, True))
    assert [node.kind for node in captured.nodes] == ["parameter"]
