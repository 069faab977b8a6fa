"""torch models larger than memory: built on the meta device, their weights read from files.

While such a model runs, `module.weight` reads the weight, and nothing holds it longer than the
operation that asked for it. What autograd would save of a weight for the backward is read again
then; a weight's gradient is handed over as soon as it is there.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TypeAlias

import torch

from padiff_graph.capture.engine import Array
from padiff_graph.capture.late_array import fresh
from padiff_graph.capture.late_weights import Owned, ReadWhenAsked, owned
from padiff_graph.capture.late_weights import attached as registered
from padiff_graph.capture.torch import values
from padiff_graph.capture.torch.aten_schema import DTYPES

__all__ = ["Reader", "attached", "reading", "shaped"]

Tensor: TypeAlias = torch.Tensor
Make = Callable[[], Tensor]
Arrived = Callable[[Array], None]


@contextmanager
def attached(model: torch.nn.Module, weights: Mapping[str, Array]) -> Iterator[None]:
    """Inside, what the model has on the meta device comes from these arrays: buffers at once,
    parameters when they are read.

    Raises:
        WeightsError: where something is missing or of another shape.
    """
    names = _names(model)
    numbers = owned(_owned(model, names), weights)
    made: dict[int, Tensor] = {}
    with ExitStack() as undo:
        for module, name, buffer in _meta_buffers(model):
            if id(buffer) not in made:
                array = fresh(numbers.pop(names[id(buffer)][0]))
                made[id(buffer)] = torch.from_numpy(array).to(buffer.dtype)
            module._buffers[name] = made[id(buffer)]
            undo.callback(module._buffers.__setitem__, name, buffer)
        undo.enter_context(registered(model, numbers))
        yield


def _names(model: torch.nn.Module) -> dict[int, list[str]]:
    """Every dotted name of each parameter and buffer, by its identity."""
    names: dict[int, list[str]] = {}
    for name, tensor in itertools.chain(
        model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False)
    ):
        names.setdefault(id(tensor), []).append(name)
    return names


def _owned(model: torch.nn.Module, names: Mapping[int, Sequence[str]]) -> list[Owned]:
    tensors = itertools.chain(model.parameters(), model.buffers())
    return [Owned(tuple(names[id(t)]), tuple(t.shape), not t.is_meta) for t in tensors]


def _meta_buffers(model: torch.nn.Module) -> list[tuple[torch.nn.Module, str, Tensor]]:
    return [
        (module, name, buffer)
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None and buffer.is_meta
    ]


@contextmanager
def shaped(model: torch.nn.Module) -> Iterator[None]:
    """Inside, parameters on the meta device are tensors of the host of the same shape, one number
    each: enough to trace a model by shapes alone."""
    made: dict[int, torch.nn.Parameter] = {}
    with ExitStack() as undo:
        for module in model.modules():
            for name, parameter in list(module._parameters.items()):
                if parameter is None or not parameter.is_meta:
                    continue
                if id(parameter) not in made:
                    number = torch.zeros((), dtype=parameter.dtype).expand(parameter.shape)
                    made[id(parameter)] = torch.nn.Parameter(number, parameter.requires_grad)
                module._parameters[name] = made[id(parameter)]
                undo.callback(module._parameters.__setitem__, name, parameter)
        yield


@contextmanager
def reading(model: torch.nn.Module, make: Callable[[str, Tensor], Tensor]) -> Iterator[None]:
    """Inside, each parameter on the meta device is what `make` of its first name and itself
    returns, whenever a module is asked for it."""
    names = _names(model)

    def made(parameter: Tensor) -> Make:
        return lambda: make(names[id(parameter)][0], parameter)

    with ExitStack() as undo:
        for module in model.modules():
            held = module._parameters
            late = {
                name: made(parameter)
                for name, parameter in held.items()
                if parameter is not None and parameter.is_meta
            }
            if late:
                module.__dict__["_parameters"] = ReadWhenAsked(held, late)
                undo.callback(module.__dict__.__setitem__, "_parameters", held)
        yield


class _Read(torch.autograd.Function):  # type: ignore[misc]
    """A weight that is read in the forward; its gradient is handed over in the backward."""

    @staticmethod
    def forward(ctx: Any, anchor: Tensor, make: Make, arrived: Arrived) -> Tensor:
        ctx.arrived = arrived
        return make()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, None]:
        ctx.arrived(values.array(gradient))
        return None, None, None


class Reader:
    """Reads weights for one engine, and remembers which saved tensors need not be kept.

    Attributes:
        anchors: what every gradient of a weight leads to, so that autograd goes there; empty
            before the first whose gradient is asked for.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.anchors: list[Tensor] = []
        self.live: dict[int, tuple[weakref.ref[Tensor], Make]] = {}

    def read(self, array: Array, dtype: str | None, arrived: Arrived | None) -> Tensor:
        """A tensor of the numbers of now.

        Args:
            array: the numbers.
            dtype: in graph spelling, where numpy lacks it.
            arrived: is given each gradient that arrives; None where none is asked for.
        """

        def make() -> Tensor:
            made = torch.from_numpy(fresh(array)).to(self.device)
            return made if dtype is None else made.to(DTYPES[dtype])

        if arrived is None:
            tensor = make()
        else:
            if not self.anchors:
                self.anchors.append(torch.zeros((), requires_grad=True))
            tensor = _Read.apply(self.anchors[0], make, arrived)
        place = tensor.untyped_storage().data_ptr()
        self.live[place] = weakref.ref(tensor, lambda gone: self._gone(place, gone)), make
        return tensor

    def _gone(self, place: int, gone: weakref.ref[Tensor]) -> None:
        if place in self.live and self.live[place][0] is gone:
            del self.live[place]

    def saving(self) -> Any:
        """Inside, what is saved of weights for a backward is their place in the file."""
        return torch.autograd.graph.saved_tensors_hooks(self._packed, _unpacked)

    def _packed(self, tensor: Tensor) -> Any:
        reference, make = self.live.get(_place(tensor), (None, None))
        weight = None if reference is None else reference()
        if weight is None or weight.dtype != tensor.dtype:
            return tensor.detach()  # what the operation yields would hold the operation else
        return make, tuple(tensor.shape), tensor.stride(), tensor.storage_offset()


def _place(tensor: Tensor) -> int:
    """Where its numbers begin; 0 for what has no such place."""
    return int(tensor.untyped_storage().data_ptr()) if tensor.layout == torch.strided else 0


def _unpacked(saved: Any) -> Tensor:
    if isinstance(saved, torch.Tensor):
        return saved
    make, shape, stride, offset = saved
    return make().as_strided(shape, stride, offset)
