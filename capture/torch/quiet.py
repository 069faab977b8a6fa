"""Leaving a model and torch's global state as they were, bit for bit, also after an exception."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

__all__ = ["quiet"]

HOLDERS = (dict, list, set)


@contextmanager
def quiet(model: torch.nn.Module, *, values: bool = True) -> Iterator[None]:
    """Puts back parameters, buffers, gradients, hooks, every attribute of every module, modes, RNG,
    default dtype and gradient recording; without `values` not the numbers of parameters and buffers.

    Values are copied beforehand and written back only where they differ, so that a model that was
    not changed is not touched (its tensors' versions stay).
    """
    modules = list(model.modules())
    attributes = [(module, dict(vars(module))) for module in modules]
    holders = [
        (holder, _copied(holder))
        for _, own in attributes
        for holder in own.values()
        if isinstance(holder, HOLDERS)
    ]
    tensors = _tensors(model, attributes)
    saved = [
        (
            tensor,
            tensor.grad,
            tensor.requires_grad,
            tensor.detach().clone() if values and not tensor.is_meta else None,
        )
        for tensor in tensors
    ]
    gradients = [
        (tensor.grad, tensor.grad.detach().clone())
        for tensor in tensors
        if tensor.grad is not None and not tensor.grad.is_meta
    ]
    hooks = [
        (tensor, _copied(tensor._backward_hooks)) for tensor in tensors if tensor._backward_hooks
    ]
    generators = torch.get_rng_state(), random.getstate(), np.random.get_state()
    devices = (
        torch.cuda.get_rng_state_all()
        if torch.cuda.is_available() and torch.cuda.is_initialized()
        else None
    )
    dtype, grad = torch.get_default_dtype(), torch.is_grad_enabled()
    try:
        with torch.inference_mode(False):
            yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)
        torch.set_rng_state(generators[0])
        random.setstate(generators[1])
        np.random.set_state(generators[2])
        if devices is not None:
            torch.cuda.set_rng_state_all(devices)
        for module, own in attributes:
            now = vars(module)
            if list(now) != list(own) or any(now[name] is not own[name] for name in own):
                now.clear()
                now.update(own)
        for holder, before in holders:
            _restore(holder, before)
        for tensor, gradient, requires_grad, numbers in saved:
            if numbers is not None:
                _write_back(tensor, numbers)
            if tensor.requires_grad is not requires_grad and tensor.is_leaf:
                tensor.requires_grad_(requires_grad)
            if tensor.grad is not gradient:
                tensor.grad = gradient
        for gradient, numbers in gradients:
            _write_back(gradient, numbers)
        for tensor in tensors:
            known = next((before for owner, before in hooks if owner is tensor), None)
            if known is not None:
                _restore(tensor._backward_hooks, known)
            elif tensor._backward_hooks:
                tensor._backward_hooks.clear()


def _tensors(
    model: torch.nn.Module, attributes: list[tuple[torch.nn.Module, dict[str, Any]]]
) -> list[torch.Tensor]:
    """Parameters, buffers, and leaf tensors held as plain attributes."""
    held = (
        value
        for _, own in attributes
        for value in own.values()
        if isinstance(value, torch.Tensor) and value.is_leaf
    )
    unique = {
        id(tensor): tensor for tensor in itertools.chain(model.parameters(), model.buffers(), held)
    }
    return [
        tensor
        for tensor in unique.values()
        if not isinstance(tensor, torch.nn.parameter.UninitializedTensorMixin)
    ]


def _copied(holder: Any) -> Any:
    return list(holder.items()) if isinstance(holder, dict) else list(holder)


def _restore(holder: Any, before: list[Any]) -> None:
    now = _copied(holder)
    if len(now) == len(before) and all(
        _same(new, old) for new, old in zip(now, before, strict=True)
    ):
        return
    holder.clear()
    if isinstance(holder, list):
        holder.extend(before)
    else:
        holder.update(before)


def _same(new: Any, old: Any) -> bool:
    if isinstance(new, tuple) and isinstance(old, tuple) and len(new) == len(old) == 2:
        return new[0] is old[0] and new[1] is old[1]
    return new is old


def _write_back(tensor: torch.Tensor, values: torch.Tensor) -> None:
    if tensor.shape != values.shape or not torch.equal(tensor, values):
        with torch.no_grad():
            if (
                tensor.shape == values.shape
                and torch.equal(tensor.isnan(), values.isnan())
                and torch.equal(tensor.nan_to_num(), values.nan_to_num())
            ):
                return
            tensor.data = values if tensor.shape != values.shape else tensor.data
            tensor.copy_(values)
