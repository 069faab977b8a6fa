"""What a check must leave as it was: torch's global state and a model's own. Taken, compared, put back."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from padiff_graph.capture.leaf_names import leaves
from padiff_graph.capture.torch.values import array, is_tensor

__all__ = ["kept", "snapshot", "threaded", "threads"]

PATCHABLE: tuple[Any, ...] = (
    torch.Tensor,
    torch.nn.Module,
    torch.nn.functional,
    torch.autograd.Function,
    torch.autograd,
    torch,
)
"""Where a tool might replace functions."""


def snapshot(model: torch.nn.Module, example: Any) -> dict[str, object]:
    """Everything that a check could change, by a label that says what it is.

    Values are compared by checksum, functions and hooks by identity. Reads every number: for tests.
    """
    found: dict[str, object] = {
        "default dtype": torch.get_default_dtype(),
        "gradient recording": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")),
        "threads": threads(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "random state": _sum(torch.get_rng_state()),
        "random state of the GPUs": [_sum(state) for state in _gpu_states()],
    }
    for owner in PATCHABLE:
        found[f"functions of {getattr(owner, '__name__', owner)}"] = {
            name: id(member) for name, member in vars(owner).items() if callable(member)
        }
    for name, member in vars(torch.nn.modules.module).items():
        if name.startswith("_global_") and isinstance(member, dict):
            found[f"global hooks {name}"] = list(member)
    for path, module in model.named_modules():
        at = f"module {path or '(root)'}"
        found[f"{at}: attributes"] = {
            name: _identity(value)
            for name, value in vars(module).items()
            if not name.startswith("_")
        }
        found[f"{at}: hooks"] = {
            name: list(value)
            for name, value in vars(module).items()
            if name.endswith("_hooks") and isinstance(value, dict)
        }
        found[f"{at}: members"] = [
            list(getattr(module, name)) for name in ("_parameters", "_buffers", "_modules")
        ]
    for name, tensor in _tensors(model):
        found[f"{name}: itself"] = (
            id(tensor),
            tensor.requires_grad,
            tensor.dtype,
            str(tensor.device),
        )
        found[f"{name}: values"] = _sum(tensor)
        found[f"{name}: gradient"] = (
            None if tensor.grad is None else (id(tensor.grad), _sum(tensor.grad))
        )
    for name, leaf in leaves(example, is_tensor).items():
        found[f"input {name}"] = (
            id(leaf),
            _sum(leaf),
            leaf.requires_grad,
            None if leaf.grad is None else _sum(leaf.grad),
        )
    return found


def threads() -> int:
    """How many threads one operation runs on."""
    return int(torch.get_num_threads())


@contextmanager
def threaded(number: int) -> Iterator[None]:
    """Operations run on so many threads."""
    before = threads()
    if before == number:
        yield
        return
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def kept(model: torch.nn.Module) -> Iterator[None]:
    """Puts modes, flags, gradients, random states and global switches back at the end, however it comes.

    Cheap: no numbers are copied but those of the gradients that exist beforehand.
    """
    dtype, recording, rng, gpu = (
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.get_rng_state(),
        _gpu_states(),
    )
    modes = [(module, module.training) for module in model.modules()]
    tensors = [
        (
            tensor,
            tensor.requires_grad,
            tensor.grad,
            None if tensor.grad is None else tensor.grad.detach().clone(),
        )
        for _, tensor in _tensors(model)
    ]
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(recording)
        torch.set_rng_state(rng)
        for device, state in enumerate(gpu):
            torch.cuda.set_rng_state(state, device)
        for module, training in modes:
            module.training = training
        for tensor, requires, grad, numbers in tensors:
            if tensor.requires_grad != requires:
                tensor.requires_grad_(requires)
            if tensor.is_leaf:
                tensor.grad = grad
            if grad is not None:
                with torch.no_grad():
                    grad.copy_(numbers)


def _tensors(model: torch.nn.Module) -> Iterator[tuple[str, Any]]:
    yield from ((f"parameter {name}", tensor) for name, tensor in model.named_parameters())
    yield from ((f"buffer {name}", tensor) for name, tensor in model.named_buffers())


def _gpu_states() -> list[Any]:
    return (
        list(torch.cuda.get_rng_state_all())
        if torch.cuda.is_available() and torch.cuda.is_initialized()
        else []
    )


def _identity(value: Any) -> object:
    return value if isinstance(value, (str, int, float, bool, type(None))) else id(value)


def _sum(tensor: Any) -> int | None:
    if tensor.is_meta:
        return None
    return zlib.crc32(array(tensor).tobytes())
