"""Paddle layers larger than memory: built under LazyGuard, their weights read from files.

While such a layer runs, `layer.weight` reads the weight, and nothing holds it longer than the
operation that asked for it. What would be saved of a weight for the backward is read again then; a
weight's gradient is handed over as soon as it is there.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import paddle

from padiff_graph.capture.engine import Array
from padiff_graph.capture.late_array import fresh
from padiff_graph.capture.late_weights import Owned, ReadWhenAsked, owned
from padiff_graph.capture.late_weights import attached as registered
from padiff_graph.capture.paddle import internals, values
from padiff_graph.capture.paddle.layer_tensors import named_tensors, parameter_table

__all__ = ["Reader", "attached", "reading"]

Tensor = Any
Make = Callable[[], Tensor]
Arrived = Callable[[Array], None]


@contextmanager
def attached(model: paddle.nn.Layer, weights: Mapping[str, Array]) -> Iterator[None]:
    """Inside, parameters that LazyGuard left without numbers are read from these arrays.

    Raises:
        WeightsError: where something is missing or of another shape.
    """
    table = parameter_table(model)
    entries = []
    for name, tensor in named_tensors(model).items():
        shape, names = tuple(int(extent) for extent in tensor.shape), (name, *table[name].aliases)
        # a buffer may wait for its first run
        filled = values.materialised(tensor) or not _is_parameter(tensor)
        entries.append(Owned(names, shape, filled))
    numbers = owned(entries, weights)
    with ExitStack() as undo:
        # what a run writes has to be in memory
        statistics = {name: fresh(numbers.pop(name)) for name in [*numbers] if table[name].buffer}
        _put(model, statistics, undo)
        undo.enter_context(registered(model, numbers))
        yield


def _put(model: paddle.nn.Layer, statistics: Mapping[str, Array], undo: ExitStack) -> None:
    """Puts tensors with these numbers in the place of the model's own."""
    names = {id(tensor): name for name, tensor in named_tensors(model).items()}
    made: dict[str, Tensor] = {}
    for layer in model.sublayers(include_self=True):
        for key, tensor in list(layer._parameters.items()):
            name = names.get(id(tensor), "")
            if name not in statistics:
                continue
            if name not in made:
                made[name] = paddle.create_parameter(tensor.shape, tensor.dtype)
                made[name].set_value(statistics[name].astype(internals.spelled(tensor.dtype)))
                made[name].stop_gradient = tensor.stop_gradient
            layer._parameters[key] = made[name]
            undo.callback(layer._parameters.__setitem__, key, tensor)


def _is_parameter(tensor: Tensor) -> bool:
    return isinstance(tensor, paddle.base.framework.EagerParamBase)


@contextmanager
def reading(model: paddle.nn.Layer, make: Callable[[str, Tensor], Tensor]) -> Iterator[None]:
    """Inside, each parameter without numbers is what `make` of its first name and itself returns,
    whenever a layer is asked for it."""
    names = {id(tensor): name for name, tensor in named_tensors(model).items()}

    def made(parameter: Tensor) -> Make:
        return lambda: make(names[id(parameter)], parameter)

    with ExitStack() as undo:
        for layer in model.sublayers(include_self=True):
            held = layer._parameters
            late = {
                name: made(parameter)
                for name, parameter in held.items()
                if parameter is not None and not parameter._is_initialized()
            }
            if late:
                layer.__dict__["_parameters"] = ReadWhenAsked(held, late)
                undo.callback(layer.__dict__.__setitem__, "_parameters", held)
        yield


class _Read(paddle.autograd.PyLayer):  # type: ignore[misc]
    """A weight that is read in the forward; its gradient is handed over in the backward."""

    @staticmethod
    def forward(ctx: Any, anchor: Tensor, make: Make, arrived: Arrived) -> Tensor:
        ctx.arrived = arrived
        return make()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        ctx.arrived(values.array(gradient))
        return paddle.zeros([1])


class Reader:
    """Reads weights for one engine, and remembers which saved tensors need not be kept.

    Attributes:
        anchors: what every gradient of a weight leads to, so that the backward goes there; empty
            before the first whose gradient is asked for.
    """

    def __init__(self) -> None:
        self.anchors: list[Tensor] = []
        self.live: dict[int, tuple[weakref.ref[Any], Make]] = {}

    def read(self, array: Array, dtype: str | None, arrived: Arrived | None) -> Tensor:
        """A tensor of the numbers of now.

        Args:
            array: the numbers.
            dtype: in graph spelling, where numpy lacks it.
            arrived: is given each gradient that arrives; None where none is asked for.
        """

        def make() -> Tensor:
            made = paddle.to_tensor(fresh(array))
            if dtype is not None and internals.spelled(made.dtype) != dtype:
                made = made.astype(dtype)
            return made

        if arrived is None:
            tensor = make()
        else:
            if not self.anchors:
                self.anchors.append(paddle.zeros([1]))
                self.anchors[0].stop_gradient = False
            tensor = _Read.apply(self.anchors[0], make, arrived)
        place = tensor.data_ptr()
        self.live[place] = weakref.ref(tensor, lambda gone: self._gone(place, gone)), make
        return tensor

    def _gone(self, place: int, gone: weakref.ref[Any]) -> None:
        if place in self.live and self.live[place][0] is gone:
            del self.live[place]

    def saving(self) -> AbstractContextManager[None]:
        """Inside, what is saved of weights for a backward is their place in the file."""
        hooks: AbstractContextManager[None] = paddle.autograd.saved_tensors_hooks(
            self._packed, _unpacked
        )
        return hooks

    def _packed(self, tensor: Tensor) -> Any:
        reference, make = self.live.get(tensor.data_ptr(), (None, None))
        weight = None if reference is None else reference()
        if weight is None or weight.dtype != tensor.dtype:
            return tensor.detach()  # what the operation yields would hold the operation else
        if weight.shape == tensor.shape and weight.strides == tensor.strides:
            return make, None
        return make, (list(tensor.shape), list(tensor.strides))


def _unpacked(saved: Any) -> Tensor:
    if not isinstance(saved, tuple):
        return saved
    make, view = saved
    with paddle.no_grad():
        return make() if view is None else paddle.as_strided(make(), *view)
