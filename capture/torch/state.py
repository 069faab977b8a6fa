"""What a check must leave as it was: torch's global state and a model's own; put back."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from padiff_graph.capture.generators import python_generators
from padiff_graph.capture.leaf_names import leaves
from padiff_graph.capture.python_state import python_facts
from padiff_graph.capture.torch.values import array, is_tensor

__all__ = ["generators", "kept", "snapshot", "threaded", "threads"]

PATCHABLE: tuple[Any, ...] = (
    torch.Tensor,
    torch.nn.Module,
    torch.nn.functional,
    torch.autograd.Function,
    torch.autograd,
    torch,
)
"""Where a tool might replace functions."""

PutBack = Callable[[], None]


def snapshot(model: torch.nn.Module, example: Any) -> dict[str, object]:
    """Everything that a check could change, by a label that says what it is.

    Values are compared by checksum, functions and hooks by identity. Reads every number: for tests.
    """
    facts: dict[str, object] = {
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
        functions = {name: id(own) for name, own in vars(owner).items() if callable(own)}
        facts[f"functions of {getattr(owner, '__name__', owner)}"] = functions
    for name, member in vars(torch.nn.modules.module).items():
        if name.startswith("_global_") and isinstance(member, dict):
            facts[f"global hooks {name}"] = list(member)
    for path, module in model.named_modules():
        facts.update(_of_module(f"module {path or '(root)'}", module))
    facts |= python_facts(model.named_modules(), vars(torch.nn.Module()), is_tensor, _sum)
    for name, tensor in _tensors(model):
        facts.update(_of_tensor(name, tensor))
    for name, leaf in leaves(example, is_tensor).items():
        facts[f"input {name}"] = (id(leaf), _sum(leaf), leaf.requires_grad, _sum(leaf.grad))
    return facts


def _of_module(at: str, module: torch.nn.Module) -> Iterator[tuple[str, object]]:
    own = vars(module)
    plain = {name: _identity(value) for name, value in own.items() if not name.startswith("_")}
    yield f"{at}: attributes", plain
    hooks = {name: value for name, value in own.items() if name.endswith("_hooks")}
    yield (
        f"{at}: hooks",
        {name: list(value) for name, value in hooks.items() if isinstance(value, dict)},
    )
    yield (
        f"{at}: members",
        [list(getattr(module, name)) for name in ("_parameters", "_buffers", "_modules")],
    )


def _of_tensor(name: str, tensor: torch.Tensor) -> Iterator[tuple[str, object]]:
    facts = (id(tensor), tensor.requires_grad, tensor.dtype, str(tensor.device))
    yield f"{name}: itself", facts
    yield f"{name}: values", _sum(tensor)
    yield f"{name}: gradient", None if tensor.grad is None else (id(tensor.grad), _sum(tensor.grad))


def generators() -> tuple[object, ...]:
    """Equal to an earlier answer exactly where no random number was drawn in between."""
    states = (torch.get_rng_state(), *_gpu_states())
    return (*(_sum(state) for state in states), *python_generators())


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
    """Puts modes, flags, gradients, random states and global switches back, however it ends.

    Cheap: no numbers are copied but those of the gradients that exist beforehand.
    """
    put_back = [_switches(), _of_training(model), _gradients(model)]
    try:
        yield
    finally:
        for put in put_back:
            put()


def _switches() -> PutBack:
    dtype, recording = torch.get_default_dtype(), torch.is_grad_enabled()
    rng, gpu = torch.get_rng_state(), _gpu_states()

    def put_back() -> None:
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(recording)
        torch.set_rng_state(rng)
        for device, state in enumerate(gpu):
            torch.cuda.set_rng_state(state, device)

    return put_back


def _of_training(model: torch.nn.Module) -> PutBack:
    modes = [(module, module.training) for module in model.modules()]
    flags = [(tensor, tensor.requires_grad) for _, tensor in _tensors(model)]

    def put_back() -> None:
        for module, training in modes:
            module.training = training
        for tensor, requires in flags:
            if tensor.requires_grad != requires:
                tensor.requires_grad_(requires)

    return put_back


def _gradients(model: torch.nn.Module) -> PutBack:
    before = [(tensor, tensor.grad) for _, tensor in _tensors(model) if tensor.is_leaf]
    numbers = [(grad, grad.detach().clone()) for _, grad in before if grad is not None]

    def put_back() -> None:
        for tensor, grad in before:
            tensor.grad = grad
        with torch.no_grad():
            for grad, values in numbers:
                grad.copy_(values)

    return put_back


def _tensors(model: torch.nn.Module) -> Iterator[tuple[str, Any]]:
    yield from ((f"parameter {name}", tensor) for name, tensor in model.named_parameters())
    yield from ((f"buffer {name}", tensor) for name, tensor in model.named_buffers())


def _gpu_states() -> list[Any]:
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return list(torch.cuda.get_rng_state_all())
    return []


def _identity(value: Any) -> object:
    return value if isinstance(value, (str, int, float, bool, type(None))) else id(value)


def _sum(tensor: Any) -> int | None:
    if tensor is None or tensor.is_meta:
        return None
    return zlib.crc32(array(tensor).tobytes())
