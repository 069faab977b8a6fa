"""Calls split by schema and made again; functional forms of in-place operators."""

import pytest
import torch

from padiff_graph.capture.torch.aten_facts import draws
from padiff_graph.capture.torch.aten_schema import (
    bind,
    call,
    find_overload,
    functional_form,
    mutated,
    operator_name,
)

CPU = torch.device("cpu")


def is_tensor(value):
    return isinstance(value, torch.Tensor)


@pytest.mark.parametrize(
    ("op", "args", "kwargs"),
    [
        ("aten.add.Tensor", (torch.ones(2), torch.ones(2)), {"alpha": 3}),
        ("aten.cat.default", ([torch.ones(2), torch.zeros(1)],), {}),
        ("aten.index.Tensor", (torch.arange(6.0).view(2, 3), [None, torch.tensor([2, 0])]), {}),
        ("aten.arange.start", (1, 4), {"dtype": torch.float32, "device": CPU}),
        ("aten.clone.default", (torch.ones(2),), {"memory_format": torch.contiguous_format}),
    ],
)
def test_a_call_is_split_and_made_again(op, args, kwargs):
    overload = find_overload(op)
    bound = bind(overload, args, kwargs, is_tensor)
    assert "device" not in bound.attrs
    again = call(overload, bound.operands, bound.roles, bound.attrs, CPU)
    assert torch.equal(again, overload(*args, **kwargs))


def test_roles_of_lists_and_defaults():
    bound = bind(find_overload("aten.cat.default"), ([torch.ones(1)] * 2,), {}, is_tensor)
    assert bound.roles == ["tensors[0]", "tensors[1]"] and bound.attrs == {"dim": 0}


@pytest.mark.parametrize(
    ("in_place", "functional"),
    [
        ("aten.add_.Tensor", "aten.add.Tensor"),
        ("aten.pow_.Scalar", "aten.pow.Tensor_Scalar"),
        ("aten.bernoulli_.float", "aten.bernoulli.p"),
        ("aten.add.Tensor", "aten.add.Tensor"),
        ("aten.__and__.Tensor", "aten.__and__.Tensor"),
        ("aten._foreach_add_.Scalar", "aten._foreach_add.Scalar"),
        ("aten.fill_diagonal_.default", "aten.fill_diagonal_.default"),
    ],
)
def test_functional_forms(in_place, functional):
    assert operator_name(functional_form(find_overload(in_place))) == functional


def test_what_is_written():
    assert mutated(find_overload("aten.add_.Tensor")) == ("self",)
    assert mutated(find_overload("aten.add.out")) == ("out",)
    with pytest.raises(KeyError, match=r"aten\.no_such"):
        find_overload("aten.no_such.default")


@pytest.mark.parametrize(
    ("op", "attrs", "drawn"),
    [
        ("aten.dropout.default", {"p": 0.5, "train": True}, True),
        ("aten.dropout.default", {"p": 0.5, "train": False}, False),
        ("aten.dropout.default", {"p": 0.0, "train": True}, False),
        ("aten.scaled_dot_product_attention.default", {"dropout_p": 0.0}, False),
        ("aten.lstm.input", {"dropout": 0.5, "train": True, "num_layers": 1}, False),
        ("aten.lstm.input", {"dropout": 0.5, "train": True, "num_layers": 2}, True),
        ("aten.rrelu.default", {"training": False}, False),
        ("aten.randn.default", {}, True),
    ],
)
def test_what_draws(op, attrs, drawn):
    assert draws(op, attrs) is drawn
