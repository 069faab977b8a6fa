"""Replacements for in-place calls: static mode computes out of place, later readers get the
result."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import paddle
from paddle.utils import inplace_utils

from padiff_graph.capture.paddle import internals
from padiff_graph.capture.paddle.backward_code import is_value
from padiff_graph.capture.paddle.internals import Patch
from padiff_graph.capture.paddle.patched_operands import by_mode
from padiff_graph.capture.paddle.recording import Recording

__all__ = ["write_patches"]

Value = paddle.pir.Value
Write = Callable[..., Any]


def write_patches(recording: Recording) -> list[Patch]:
    """The rows of this theme."""
    return [
        *_generated_patches(recording),
        *_method_patches(recording),
        *_operation_patches(recording),
    ]


def _generated_patches(recording: Recording) -> list[Patch]:
    """In-place functions that Paddle generates from their out-of-place counterparts, and its map
    from a value to what it was overwritten with."""

    def evaluated(name: str) -> Callable[..., Any]:
        module, _, function = name.rpartition(".")
        plain = getattr(sys.modules[module], function, None)
        if plain is None:
            raise NotImplementedError(
                f"{name}_ is an in-place call that has no out-of-place counterpart in Paddle's"
                " static mode"
            )

        def call(target: Any, *args: Any, **kwargs: Any) -> Any:
            return recording.write(target, plain(target, *args, **kwargs))

        return call

    def indexed(program: Any, origin: Any, result: Any) -> None:
        recording.write(origin, result)

    def current(program: Any, value: Any) -> Any:
        now = recording.current(value)
        return None if now is value else now

    def recalled(program: Any, tensor: Any) -> Any:
        return recording.resolved(tensor)

    def nothing(*_: Any, **__: Any) -> None:
        return None

    overwritten = internals.parameter_recorder._global_inplace_map
    parameters = internals.parameter_recorder._global_parameter_recorder
    return [
        Patch(inplace_utils, "eval", evaluated, "computes out of place and tells nobody"),
        Patch(inplace_utils, "check_view_value", nothing, "refuses writes to views"),
        Patch(inplace_utils, "warnings", SimpleNamespace(warn=nothing), "warns at every write"),
        Patch(overwritten, "add", indexed, "knows nothing of views"),
        Patch(overwritten, "get", current, "knows nothing of views"),
        Patch(parameters, "get", recalled, "makes a parameter of the program of every tensor"),
    ]


def _method_patches(recording: Recording) -> list[Patch]:
    tensor = internals.TENSOR
    set_item = tensor.__setitem__

    def indexed(self: Any, *args: Any) -> None:
        Value.__setitem__(recording.inputs.value(self), *args)

    rows: list[Patch] = []
    for name, compute in METHODS.items():
        write = _written(compute, recording)
        rows += [
            Patch(Value, name, write, "values have no such method"),
            Patch(
                tensor,
                name,
                by_mode(getattr(tensor, name), write),
                "would change the user's own tensor while the program is written",
            ),
        ]
    why = "would change the user's own tensor while the program is written"
    return [*rows, Patch(tensor, "__setitem__", by_mode(set_item, indexed), why)]


def _written(compute: Write, recording: Recording) -> Write:
    def write(target: Any, *args: Any, **kwargs: Any) -> Any:
        return recording.write(target, compute(recording, target, *args, **kwargs))

    return write


def _set_value(recording: Recording, target: Any, value: Any, *_: Any) -> Any:
    if not is_value(value) and not isinstance(value, internals.TENSOR):
        value = paddle.to_tensor(np.asarray(value))
    value = recording.resolved(value)
    shape = list(target.shape)
    if list(value.shape) != shape:
        value = paddle.expand(value, shape)
    if value.dtype != target.dtype:
        value = paddle.cast(value, target.dtype)
    numbers = paddle.assign(value).detach()
    if target.stop_gradient:
        return numbers
    # eager mode puts the numbers in place, inside `no_grad` too, and leaves the tensor where it is
    # in the autograd graph: what is read from it then gives its gradient to it
    before = recording.resolved(target)
    with paddle.enable_grad():
        return numbers + (before - before.detach())


def _fill(recording: Recording, target: Any, value: Any) -> Any:
    return paddle.full_like(target, value)


def _zero(recording: Recording, target: Any) -> Any:
    return paddle.full_like(target, 0)


def _detach(recording: Recording, target: Any) -> Any:
    return target.detach()


def _fill_diagonal(
    recording: Recording,
    target: Any,
    value: Any,
    offset: int = 0,
    wrap: bool = False,
    name: Any = None,
) -> Any:
    return paddle._C_ops.fill_diagonal(target, value, offset, wrap)


METHODS: dict[str, Write] = {
    "set_value": _set_value,
    "copy_": _set_value,
    "fill_": _fill,
    "zero_": _zero,
    "detach_": _detach,
    "fill_diagonal_": _fill_diagonal,
}
"""Method that writes its tensor -> what it computes; others are generated or operations."""


def _operation_patches(recording: Recording) -> list[Patch]:
    """Operations that write an operand: `_C_ops.increment_`, batch norm's statistics."""
    operations = paddle._C_ops

    def noticed(plain: Write) -> Write:
        def call(*args: Any, **kwargs: Any) -> Any:
            results = plain(*args, **kwargs)
            recording.overwrites.made(recording.program.global_block().back())
            return results

        return by_mode(plain, call)

    rows = {}
    for name in (*filter(_writes_operand, vars(operations)), "batch_norm"):
        call = noticed(getattr(operations, name))
        rows[name] = Patch(operations, name, call, "later readers read operands")
    for name, spelled_out in SPELLED.items():
        call = _where_lost(spelled_out, rows[name].replacement, recording)
        rows[name] = Patch(operations, name, call, "some numbers in it cannot be read back")
    return list(rows.values())


def _writes_operand(name: str) -> bool:
    return (
        name.endswith(internals.INPLACE)
        and not name.startswith("_")
        and not name.endswith(("_grad_", "__"))
    )


def _where_lost(spelled_out: Write, plain: Write, recording: Recording) -> Write:
    """Calls the one where a program would lose a number of the arguments, the other elsewhere."""

    def call(*args: Any) -> Any:
        numbers = [number for given in args if isinstance(given, list) for number in given]
        if any(map(_lost, numbers)):
            return spelled_out(recording, *args)
        return plain(*args)

    return by_mode(plain, call)


def _lost(number: Any) -> bool:
    """Whether an attribute of an operation cannot hold a number: a complex one, or one that float64
    rounds."""
    if isinstance(number, (complex, np.complexfloating)):
        return True
    return isinstance(number, (int, np.integer)) and int(float(number)) != int(number)


def _set_held(
    recording: Recording,
    target: Any,
    starts: Any,
    ends: Any,
    steps: Any,
    axes: Any,
    decrease_axes: Any,
    none_axes: Any,
    shape: list[int],
    numbers: list[Any],
) -> Any:
    held = _held(recording, numbers, shape, internals.spelled(target.dtype))
    return paddle._C_ops.set_value_with_tensor_(
        target, held, starts, ends, steps, axes, decrease_axes, none_axes
    )


def _assign_held(
    recording: Recording, target: Any, shape: list[int], dtype: Any, numbers: list[Any], place: Any
) -> Any:
    return _held(recording, numbers, shape, internals.spelled(dtype))


def _held(recording: Recording, numbers: list[Any], shape: list[int], dtype: str) -> Any:
    """Numbers as a tensor that the code holds."""
    with internals.dynamic(recording.tracer):
        tensor = paddle.to_tensor(np.array(numbers).reshape(shape), dtype=dtype)
    return recording.inputs.value(tensor)


SPELLED: dict[str, Write] = {"set_value_": _set_held, "assign_value_": _assign_held}
"""Operation that spells numbers out in its attributes -> the same with the numbers in a tensor.

Paddle cannot read complex attributes of an operation (`Unsupported ir Attribute type`, 3.3.1), and
holds whole numbers in them as float64.
"""
