"""Leaving a model and torch's global state as they were, bit for bit, also after an exception."""

from __future__ import annotations

import itertools
import random
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch.nn.parameter import is_lazy

from padiff_graph.capture.python_state import PythonState, Watch
from padiff_graph.capture.torch.internals import hooks_of

__all__ = ["quiet", "without_warnings"]

FRAMES_A_LEVEL = 12
"""Python frames for one module inside another: chosen three times what 200 nested modules take
beyond Python's own limit (4 a level are enough in torch 2.13, 0 are not)."""
OWN = frozenset(vars(torch.nn.Module())) - {"training"}
"""Attributes that torch keeps in every module, without the mode: a forward may change it."""

PutBack = Callable[[], None]


@contextmanager
def quiet(model: torch.nn.Module, *, values: bool = True) -> Iterator[Watch]:
    """Puts back parameters, buffers, gradients, hooks, what modules hold in Python, however deep,
    modes, RNG, default dtype and gradient recording; without `values` no numbers of tensors.

    Values are copied beforehand and written back only where they differ, so that a model that was
    not changed is not touched (its tensors' versions stay). Inside, Python may recurse as deep as
    the model is nested.
    """
    named = _named(model)
    every = frozenset(id(tensor) for tensor in itertools.chain(model.parameters(), model.buffers()))
    python = PythonState(model.named_modules(), _Copies(), OWN, every, values, (torch.nn.Module,))
    leaves = [tensor for tensor in python.met if tensor.is_leaf and not tensor.is_meta]
    numbers = _copied([t for t in named.values() if values and not t.is_meta])
    put_back: list[PutBack] = [
        _global_state(),
        _lazy(model),
        python.restore,
        lambda: _put_numbers_back(numbers),
        _flags_and_gradients([*named.values(), *leaves]),
        _hooks([*named.values(), *leaves]),
    ]
    with ExitStack() as undo:
        for put in reversed(put_back):
            undo.callback(put)
        with torch.inference_mode(False), _deep_enough(model):
            yield Watch(python, lambda: _written(named, numbers))


PLAIN = (torch.Tensor, torch.nn.Parameter)
VIEWED = (torch.float32, torch.float64)
"""Tensors whose memory numpy may look at: of these classes and dtypes."""


class _Copies:
    """torch's word on tensors that stand in Python attributes."""

    def is_tensor(self, value: object) -> bool:
        return isinstance(value, torch.Tensor)

    def copied(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """Its numbers; None on the meta device, for a fake tensor and one that waits for a run."""
        waiting = is_lazy(tensor)
        if waiting or tensor.is_meta or isinstance(tensor, torch._subclasses.FakeTensor):
            return None
        return tensor.detach().clone()

    def unchanged(self, tensor: torch.Tensor, numbers: torch.Tensor) -> bool:
        return tensor.shape == numbers.shape and _equal(_dense(tensor), _dense(numbers))

    def put_back(self, tensor: torch.Tensor, numbers: torch.Tensor) -> None:
        _write_back(tensor, numbers)


def _named(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers by name, each once; without those that wait for a first run."""
    seen: set[int] = set()
    named: dict[str, torch.Tensor] = {}
    for name, tensor in itertools.chain(model.named_parameters(), model.named_buffers()):
        if id(tensor) not in seen and not is_lazy(tensor):
            seen.add(id(tensor))
            named[name] = tensor
    return named


def _lazy(model: torch.nn.Module) -> PutBack:
    """Modules and parameters that become others at their first run: they go on waiting for it."""
    every = itertools.chain(model.parameters(), model.buffers())
    waiting: list[Any] = [t for t in every if is_lazy(t)]
    kinds: list[tuple[Any, type]] = [(thing, type(thing)) for thing in (*model.modules(), *waiting)]

    def put_back() -> None:
        for thing, kind in kinds:
            if type(thing) is not kind:
                thing.__class__ = kind
                if isinstance(thing, torch.Tensor):
                    thing.data = thing.data.new_empty(0)

    return put_back


def _copied(tensors: Sequence[torch.Tensor]) -> dict[int, tuple[torch.Tensor, torch.Tensor]]:
    """Each tensor with its numbers, by its identity."""
    return {id(tensor): (tensor, tensor.detach().clone()) for tensor in tensors}


def _put_numbers_back(numbers: Mapping[int, tuple[torch.Tensor, torch.Tensor]]) -> None:
    for tensor, before in numbers.values():
        _write_back(tensor, before)


def _written(
    named: Mapping[str, torch.Tensor], numbers: Mapping[int, tuple[torch.Tensor, torch.Tensor]]
) -> frozenset[str]:
    """Names of tensors that do not hold these numbers any more."""
    copies = _Copies()
    return frozenset(
        name
        for name, tensor in named.items()
        if id(tensor) in numbers and not copies.unchanged(tensor, numbers[id(tensor)][1])
    )


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
    hooks = [(held, dict(held)) for held in _hooks_of_all_modules()]

    def put_back() -> None:
        for held, before in hooks:
            # an export that fails leaves one of its own there in torch 2.6
            if held.keys() != before.keys():
                held.clear()
                held.update(before)
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(recording)
        torch.set_rng_state(of_torch)
        random.setstate(of_python)
        np.random.set_state(of_numpy)
        if of_devices is not None:
            torch.cuda.set_rng_state_all(of_devices)

    return put_back


def _hooks_of_all_modules() -> list[dict[int, Any]]:
    """The tables of hooks that every module calls."""
    members = vars(torch.nn.modules.module).items()
    return [own for name, own in members if name.startswith("_global_") and isinstance(own, dict)]


def _flags_and_gradients(tensors: Sequence[torch.Tensor]) -> PutBack:
    before = [(tensor, tensor.requires_grad, tensor.grad) for tensor in tensors]
    gradients = [tensor.grad for tensor in tensors if tensor.grad is not None]
    numbers = _copied([gradient for gradient in gradients if not gradient.is_meta])

    def put_back() -> None:
        for tensor, requires_grad, gradient in before:
            if tensor.requires_grad is not requires_grad and tensor.is_leaf:
                tensor.requires_grad_(requires_grad)
            if tensor.grad is not gradient:
                tensor.grad = gradient
        _put_numbers_back(numbers)

    return put_back


def _hooks(tensors: Sequence[torch.Tensor]) -> PutBack:
    before = [(tensor, dict(hooks_of(tensor))) for tensor in tensors]

    def put_back() -> None:
        for tensor, hooks in before:
            now = hooks_of(tensor)
            if list(now.items()) != list(hooks.items()):
                now.clear()
                now.update(hooks)

    return put_back


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
    if _equal_throughout(tensor, numbers):
        return True
    with torch.no_grad():
        if not torch.equal(tensor.isnan(), numbers.isnan()):
            return False
        return bool(torch.equal(tensor.nan_to_num(), numbers.nan_to_num()))


def _equal_throughout(tensor: torch.Tensor, numbers: torch.Tensor) -> bool:
    """Whether two tensors hold the same numbers and none is NaN; by numpy where it may look at the
    memory of both, in a third of the time."""
    if tensor.dtype == numbers.dtype and all(map(_viewed, (tensor, numbers))):
        return bool(np.array_equal(tensor.detach().numpy(), numbers.detach().numpy()))
    return bool(torch.equal(tensor, numbers))


def _viewed(tensor: torch.Tensor) -> bool:
    """Whether numpy may look at its memory."""
    plain = type(tensor) in PLAIN and tensor.dtype in VIEWED
    return plain and tensor.device.type == "cpu" and not bool(tensor.is_neg())
