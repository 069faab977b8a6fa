"""What `quiet` puts back beside what a model's own forward changes (see test_engine)."""

import sys

import pytest
import torch
from torch import nn

from padiff_graph.capture.torch.quiet import quiet, without_warnings


def test_python_may_recurse_as_deep_as_the_model_is_nested():
    model = nn.Identity()
    for _ in range(50):
        model = nn.Sequential(model)
    before = sys.getrecursionlimit()
    with quiet(model):
        assert sys.getrecursionlimit() >= before + 50
    assert sys.getrecursionlimit() == before


@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr])
def test_sparse_numbers(layout):
    model = nn.Module()
    model.register_buffer("s", torch.eye(3).to_sparse(layout=layout))
    with quiet(model):
        model.s.values().mul_(2) if layout == torch.sparse_csr else model.s.mul_(2)
    assert torch.equal(model.s.to_dense(), torch.eye(3))


def test_numbers_that_are_none_stay_untouched():
    model = nn.Module()
    model.register_buffer("b", torch.tensor([1.0, float("nan"), float("inf")]))
    version = model.b._version
    with quiet(model):
        pass
    assert model.b._version == version
    with quiet(model):
        model.b[1] = 0
    assert model.b.isnan().tolist() == [False, True, False]


def test_hooks_of_tensors():
    model = nn.Linear(2, 2)
    kept = model.weight.register_hook(lambda gradient: gradient)
    with quiet(model):
        kept.remove()
        model.bias.register_hook(lambda gradient: gradient)
    assert list(model.weight._backward_hooks) == [kept.id] and not model.bias._backward_hooks


def test_nothing_is_warned_of(recwarn):
    import warnings

    with without_warnings():
        warnings.warn("once", stacklevel=1)
    assert not recwarn.list


def test_hooks_of_all_modules_are_put_back():
    """A failed export of torch 2.6 leaves one behind."""
    own = torch.nn.modules.module.register_module_forward_hook(lambda *_: None)
    try:
        before = dict(torch.nn.modules.module._global_forward_hooks)
        with quiet(nn.Linear(2, 2)):
            torch.nn.modules.module.register_module_buffer_registration_hook(lambda *_: None)
        assert torch.nn.modules.module._global_forward_hooks == before
        assert not torch.nn.modules.module._global_buffer_registration_hooks
    finally:
        own.remove()
        torch.nn.modules.module._global_buffer_registration_hooks.clear()
