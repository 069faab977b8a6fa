"""Leaving a model and torch's global state as they were, bit for bit, also after an exception."""

from __future__ import annotations

import itertools
import random
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from padiff_graph.capture.torch.internals import hooks_of

__all__ = ["quiet", "without_warnings"]

CONTAINERS = (dict, list, set)
"""Attributes of modules that are looked into, one level deep."""

FRAMES_A_LEVEL = 12
"""Python frames for one module inside another: chosen three times what 200 nested modules take
beyond Python's own limit (4 a level are enough in torch 2.13, 0 are not)."""

PutBack = Callable[[], None]


@contextmanager
def quiet(model: torch.nn.Module, *, values: bool = True) -> Iterator[None]:
    """Puts back parameters, buffers, gradients, hooks, every attribute of every module, modes, RNG,
    default dtype and gradient recording; without `values` no numbers of parameters and buffers.

    Values are copied beforehand and written back only where they differ, so that a model that was
    not changed is not touched (its tensors' versions stay). Inside, Python may recurse as deep as
    the model is nested.
    """
    modules = list(model.modules())
    tensors = _tensors(model, modules)
    put_back: list[PutBack] = [
        _global_state(),
        _attributes(modules),
        _containers(modules),
        _numbers([tensor for tensor in tensors if values and not tensor.is_meta]),
        _flags_and_gradients(tensors),
        _hooks(tensors),
    ]
    try:
        with torch.inference_mode(False), _deep_enough(model):
            yield
    finally:
        for put in put_back:
            put()


@contextmanager
def without_warnings() -> Iterator[None]:
    """Nothing is warned of inside."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _deep_enough(model: torch.nn.Module) -> Iterator[None]:
    before = sys.getrecursionlimit()
    levels = max(name.count(".") for name, _ in model.named_modules())
    sys.setrecursionlimit(before + FRAMES_A_LEVEL * levels)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def _global_state() -> PutBack:
    of_torch, of_python, of_numpy = torch.get_rng_state(), random.getstate(), np.random.get_state()
    of_devices = None
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        of_devices = torch.cuda.get_rng_state_all()
    dtype, recording = torch.get_default_dtype(), torch.is_grad_enabled()

    def put_back() -> None:
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(recording)
        torch.set_rng_state(of_torch)
        random.setstate(of_python)
        np.random.set_state(of_numpy)
        if of_devices is not None:
            torch.cuda.set_rng_state_all(of_devices)

    return put_back


def _attributes(modules: Sequence[torch.nn.Module]) -> PutBack:
    before = [(module, dict(vars(module))) for module in modules]

    def put_back() -> None:
        for module, own in before:
            now = vars(module)
            if list(now) != list(own) or any(now[name] is not own[name] for name in own):
                now.clear()
                now.update(own)

    return put_back


def _containers(modules: Sequence[torch.nn.Module]) -> PutBack:
    """Members of lists, dicts and sets that modules hold: among them their tables of hooks."""
    held = [value for module in modules for value in vars(module).values()]
    before = [(value, _members(value)) for value in held if isinstance(value, CONTAINERS)]

    def put_back() -> None:
        for container, members in before:
            _refill(container, members)

    return put_back


def _tensors(model: torch.nn.Module, modules: Sequence[torch.nn.Module]) -> list[torch.Tensor]:
    """Parameters, buffers, and leaf tensors held as plain attributes; each once."""
    attributes = (value for module in modules for value in vars(module).values())
    held = (value for value in attributes if isinstance(value, torch.Tensor) and value.is_leaf)
    every = itertools.chain(model.parameters(), model.buffers(), held)
    return [
        tensor
        for tensor in {id(tensor): tensor for tensor in every}.values()
        if not isinstance(tensor, torch.nn.parameter.UninitializedTensorMixin)
    ]


def _numbers(tensors: Sequence[torch.Tensor]) -> PutBack:
    before = [(tensor, tensor.detach().clone()) for tensor in tensors]

    def put_back() -> None:
        for tensor, numbers in before:
            _write_back(tensor, numbers)

    return put_back


def _flags_and_gradients(tensors: Sequence[torch.Tensor]) -> PutBack:
    before = [(tensor, tensor.requires_grad, tensor.grad) for tensor in tensors]
    gradients = [tensor.grad for tensor in tensors if tensor.grad is not None]
    put_numbers_back = _numbers([gradient for gradient in gradients if not gradient.is_meta])

    def put_back() -> None:
        for tensor, requires_grad, gradient in before:
            if tensor.requires_grad is not requires_grad and tensor.is_leaf:
                tensor.requires_grad_(requires_grad)
            if tensor.grad is not gradient:
                tensor.grad = gradient
        put_numbers_back()

    return put_back


def _hooks(tensors: Sequence[torch.Tensor]) -> PutBack:
    before = [(tensor, _members(hooks_of(tensor))) for tensor in tensors]

    def put_back() -> None:
        for tensor, members in before:
            if members or hooks_of(tensor):
                _refill(hooks_of(tensor), members)

    return put_back


def _members(container: Any) -> list[Any]:
    return list(container.items()) if isinstance(container, dict) else list(container)


def _refill(container: Any, members: list[Any]) -> None:
    now = _members(container)
    unchanged = len(now) == len(members)
    if unchanged and all(_same(new, old) for new, old in zip(now, members, strict=True)):
        return
    container.clear()
    if isinstance(container, list):
        container.extend(members)
    else:
        container.update(members)


def _same(new: Any, old: Any) -> bool:
    if isinstance(new, tuple) and isinstance(old, tuple) and len(new) == len(old) == 2:
        return new[0] is old[0] and new[1] is old[1]
    return new is old


def _write_back(tensor: torch.Tensor, numbers: torch.Tensor) -> None:
    if tensor.shape == numbers.shape and _equal(_dense(tensor), _dense(numbers)):
        return
    with torch.no_grad():
        if tensor.shape != numbers.shape:
            tensor.data = numbers
        tensor.copy_(numbers)


def _dense(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor to compare by: sparse ones cannot be."""
    return tensor if tensor.layout == torch.strided else tensor.detach().to_dense()


def _equal(tensor: torch.Tensor, numbers: torch.Tensor) -> bool:
    """Whether two tensors hold the same numbers, NaN being equal to NaN."""
    if torch.equal(tensor, numbers):
        return True
    with torch.no_grad():
        if not torch.equal(tensor.isnan(), numbers.isnan()):
            return False
        return bool(torch.equal(tensor.nan_to_num(), numbers.nan_to_num()))
