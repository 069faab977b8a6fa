"""Replacements for what a forward computes with: eager tensors in static mode, and values that lack
what eager tensors have."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
import paddle.pir.core

from padiff_graph.capture.paddle import internals
from padiff_graph.capture.paddle.internals import Patch
from padiff_graph.capture.paddle.recording import Recording

__all__ = ["by_mode", "operand_patches"]

Value = paddle.pir.Value

OPERATORS = (
    "__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__",
    "__truediv__", "__rtruediv__", "__floordiv__", "__rfloordiv__", "__mod__", "__rmod__",
    "__pow__", "__rpow__", "__matmul__", "__rmatmul__", "__neg__", "__abs__",
    "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__",
    "__and__", "__or__", "__xor__", "__invert__", "__getitem__",
)  # fmt: skip
"""Operators of eager tensors; called in static mode they would abort the process."""

METHODS = ("clone", "detach", "astype", "cast", "cpu", "cuda", "to", "contiguous")
"""Methods of eager tensors written in C++, likewise."""

NUMBERS = ("numpy", "item", "tolist", "__bool__", "__int__", "__float__", "__index__")
"""Methods of eager tensors that hand their numbers to Python."""

BOUND = ("detach",)
"""Methods of values written in C++: they ask nobody about their operand and note no line."""

HOST = 0
"""`_C_ops.memcpy`'s number of the CPU (phi/kernels/memcpy_kernel.cc)."""


def operand_patches(recording: Recording) -> list[Patch]:
    """The rows of this theme."""
    return [
        *_tensor_patches(recording),
        *_value_patches(recording),
        *_place_patches(),
        _exact_scale(),
        _signed_zero(),
        *_products(),
    ]


def by_mode(eager: Callable[..., Any], symbolic: Callable[..., Any]) -> Callable[..., Any]:
    """Calls the one in dynamic mode, the other in static mode."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if internals.dynamic_tracer() is not None:
            return eager(*args, **kwargs)
        return symbolic(*args, **kwargs)

    return call


def _tensor_patches(recording: Recording) -> list[Patch]:
    tensor = internals.TENSOR
    used = "an eager tensor that the code holds becomes a value of the program where it is used"
    read = "numbers of an eager tensor can be read in static mode too"
    names = [name for name in (*OPERATORS, *METHODS) if hasattr(tensor, name)]
    return [
        *(
            Patch(tensor, name, _lifted(name, recording), used)
            for name in names
            if hasattr(Value, name)
        ),
        *(Patch(tensor, name, _read(name, recording), read) for name in NUMBERS),
    ]


def _lifted(name: str, recording: Recording) -> Callable[..., Any]:
    symbolic = getattr(Value, name)

    def as_value(self: Any, *args: Any, **kwargs: Any) -> Any:
        return symbolic(recording.resolved(self), *args, **kwargs)

    lifted = by_mode(getattr(internals.TENSOR, name), as_value)
    lifted.__name__ = name
    return lifted


def _read(name: str, recording: Recording) -> Callable[..., Any]:
    eager = getattr(internals.TENSOR, name)

    def read(self: Any, *args: Any, **kwargs: Any) -> Any:
        with internals.dynamic(recording.tracer):
            return eager(self, *args, **kwargs)

    return by_mode(eager, read)


def _value_patches(recording: Recording) -> list[Patch]:
    def converted(tensor: Any) -> Any:
        return recording.resolved(tensor)

    why = "Paddle has it in dynamic mode only"
    return [
        *(
            Patch(Value, name, _bound(name, recording), "reads past in-place calls, notes no line")
            for name in BOUND
        ),
        *(
            Patch(owner, name, by_mode(getattr(internals.TENSOR, name), view), why)
            for owner in (Value, internals.TENSOR)
            for name, view in (("view", _viewed), ("view_as", _viewed_as))
        ),
        Patch(
            paddle.pir.core,
            "_convert_into_value",
            converted,
            "makes a parameter of the program of every eager tensor",
        ),
    ]


def _bound(name: str, recording: Recording) -> Callable[..., Any]:
    plain = getattr(Value, name)

    def call(self: Any) -> Any:
        result = plain(recording.resolved(self))
        internals.place(result.get_defining_op(), sys._getframe(1))
        return result

    return call


def _viewed(self: Any, *shape_or_dtype: Any, **keywords: Any) -> Any:
    """`view([2, 3])`, `view(2, 3)`, `view("int32")`, and the same by keyword."""
    given = shape_or_dtype
    if not given:
        given = tuple(value for name, value in keywords.items() if name != "name")
    if len(given) > 1 or isinstance(given[0], int):
        return paddle.reshape(self, list(given))
    if isinstance(given[0], (list, tuple)):
        return paddle.reshape(self, given[0])
    return paddle._C_ops.view_dtype(self, given[0])


def _viewed_as(self: Any, other: Any, name: str | None = None) -> Any:
    return paddle.reshape(self, list(other.shape))


def _exact_scale() -> Patch:
    """A number added to whole numbers, or multiplied with them, as a tensor of their own dtype
    where float32 does not hold it."""
    plain = paddle._C_ops.scale

    def scaled(x: Any, factor: Any, bias: Any, bias_after_scale: bool, *more: Any) -> Any:
        numbers = [number for number in (factor, bias) if isinstance(number, (int, float))]
        if len(numbers) < 2 or not _whole(x) or all(map(_held_by_float32, numbers)):
            return plain(x, factor, bias, bias_after_scale, *more)

        def times(value: Any) -> Any:
            return value if factor == 1 else paddle.multiply(value, _alone(factor, x.dtype))

        added = _alone(bias, x.dtype)
        if bias_after_scale:
            return paddle.add(times(x), added)
        return times(paddle.add(x, added))

    why = "a program keeps both numbers as float32, eager mode has them as float64"
    return Patch(paddle._C_ops, "scale", by_mode(plain, scaled), why)


def _signed_zero() -> Patch:
    """A zero below zero is written as a product: programs hold equal attributes once, for the whole
    process, and -0.0 equals 0.0, so that whichever was made first would stand for both."""
    plain = paddle._C_ops.full

    def filled(shape: Any, value: Any, dtype: Any, *more: Any) -> Any:
        if not isinstance(value, float) or value != 0.0 or math.copysign(1.0, value) > 0.0:
            return plain(shape, value, dtype, *more)
        signs, zeros = (plain(shape, number, dtype, *more) for number in (-1.0, 0.0))
        return paddle.multiply(signs, zeros)

    why = "a program has no zero below zero once it has had one above"
    return Patch(paddle._C_ops, "full", by_mode(plain, filled), why)


def _products() -> list[Patch]:
    """Products of batches of matrices of which one has fewer axes: Paddle gives a program's value
    the other's batch, though the kernel broadcasts both."""
    why = "a program's value has the batch of the operand with more axes, and is not broadcast"
    eager, operator = paddle._C_ops.matmul, Value.__matmul__
    return [
        Patch(paddle._C_ops, "matmul", by_mode(eager, _broadcast(eager)), why),
        Patch(Value, "__matmul__", _broadcast(operator), why),
    ]


def _broadcast(plain: Callable[..., Any]) -> Callable[..., Any]:
    def product(x: Any, y: Any, *more: Any, **named: Any) -> Any:
        result = plain(x, y, *more, **named)
        batches = [tuple(operand.shape)[:-2] for operand in (x, y)]
        if len(batches[0]) != len(batches[1]) and all(batches):
            shape = (*np.broadcast_shapes(*batches), *tuple(result.shape)[-2:])
            if tuple(result.shape) != shape:
                internals.typed(result, shape)
        return result

    return product


def _whole(value: Any) -> bool:
    return internals.spelled(value.dtype).startswith(("int", "uint"))


def _held_by_float32(number: float) -> bool:
    return float(np.float32(number)) == number


def _alone(number: float, dtype: Any) -> Any:
    """A whole number without axes; one with a fraction is cut off, as Paddle's kernel does."""
    return paddle.full([], int(number), dtype)


def _place_patches() -> list[Patch]:
    """Where values are. A program does not say; all are where Paddle puts new tensors."""
    copy = paddle._C_ops.memcpy
    here = internals.expected_place()  # in static mode Paddle answers an undefined one

    def moved(value: Any, destination: int) -> Any:
        if here.is_cpu_place() == (destination == HOST):
            return value  # eager mode hands back the tensor itself
        return paddle.assign(value)

    def place(self: Any) -> Any:
        return here

    def device(self: Any) -> Any:
        return internals.device_of(here)

    unknown = "a program answers None, which `to` takes for no wish"
    devices = (
        [Patch(Value, "device", property(device), unknown)] if hasattr(Value, "device") else []
    )
    return [
        Patch(
            paddle._C_ops,
            "memcpy",
            by_mode(copy, moved),
            "`cpu`, `cuda` and `to` have no gradient in a program, which eager mode has",
        ),
        Patch(Value, "place", property(place), unknown),
        *devices,
    ]
