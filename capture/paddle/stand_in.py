"""A Paddle layer in float64 that stands for the same layer in bfloat16 or float16."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import paddle

from padiff_graph.capture import leaf_names
from padiff_graph.capture.autocast import Autocast, is_mixed, low_name
from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.capture.paddle import autocast, internals, values
from padiff_graph.capture.paddle.internals import Patch
from padiff_graph.capture.python_state import deep_copy
from padiff_graph.capture.with_loss import returning_loss

__all__ = ["asking", "copied", "example", "explicit_casts", "given"]

LOW = ("bfloat16", "float16")
FLOATS = (*LOW, "float32")


def given(model: paddle.nn.Layer) -> str:
    """The half precision that a layer's weights are given in; "" where they are in none, or in
    both."""
    held = {values.dtype(parameter) for parameter in model.parameters()} & set(LOW)
    return held.pop() if len(held) == 1 else ""


def copied(
    model: paddle.nn.Layer, precision: str, loss: Callable[[Any], Any] | None = None
) -> paddle.nn.Layer:
    """A copy in float64: of all floats, or of the low ones alone where the layer has some or
    autocast lowers the others. With a loss it returns that too.

    Raises:
        CaptureError: the layer cannot be copied.
    """
    made = deep_copy(model)
    tensors = [*made.parameters(), *made.buffers()]
    some = is_mixed(precision) or any(values.dtype(tensor) in LOW for tensor in tensors)
    chosen = LOW if some else FLOATS

    def moved(tensor: Any, device: Any, dtype: Any, blocking: Any) -> Any:
        if values.dtype(tensor) not in chosen:
            return tensor
        return made._transform(tensor, device, dtype, blocking)

    made._apply(moved, None, paddle.float64, True)
    if loss is not None:
        returning_loss(made, loss)
    if is_mixed(precision):
        _under_autocast(made, low_name(precision))
    return made


def _under_autocast(layer: paddle.nn.Layer, low: str) -> None:
    """Lets a layer of ours run as in a block of its own."""
    forward = layer.forward

    @functools.wraps(forward)
    def lowered(*args: Any, **kwargs: Any) -> Any:
        with paddle.amp.auto_cast(dtype=low):
            return forward(*args, **kwargs)

    layer.forward = lowered


def example(given: Mapping[str, Any], low_alone: bool) -> dict[str, Any]:
    """The example with its floats in float64, or the low ones alone."""
    found = leaf_names.leaves(given, values.is_tensor)
    chosen = LOW if low_alone else FLOATS
    moved = {
        name: leaf.detach().astype("float64") if values.dtype(leaf) in chosen else leaf
        for name, leaf in found.items()
    }
    answer: dict[str, Any] = leaf_names.replace(dict(given), values.is_tensor, moved)
    return answer


@contextmanager
def asking(precision: str) -> Iterator[set[int]]:
    """Code that asks for the dtype inside is answered as a layer of that precision would be.

    Yields:
        The ids of the program's casts that the code asks for by itself; Paddle writes others where
        two dtypes meet.
    """
    name = low_name(precision)
    low = getattr(paddle, name)
    state = Autocast(name, autocast.lists(name))
    finfo, cast = paddle.finfo, paddle._C_ops.cast
    noted: set[int] = set()

    def limits(asked: Any) -> Any:
        return finfo(low if asked == paddle.float64 or asked == "float64" else asked)

    def noting(tensor: Any, dtype: Any, *more: Any) -> Any:
        made = cast(tensor, paddle.float64 if dtype == low else dtype, *more)
        if isinstance(made, paddle.pir.Value):
            noted.add(made.get_defining_op().id())
        return made

    def as_type(self: Any, dtype: Any) -> Any:
        if not isinstance(dtype, paddle.base.core.DataType):
            dtype = paddle.pir.core.convert_np_dtype_to_dtype_(dtype)
        return noting(self, dtype)

    with internals.patched(
        [
            Patch(paddle, "finfo", limits, "limits of what float64 stands for are asked"),
            Patch(paddle, name, paddle.float64, "code asks whether a dtype is the low one"),
            Patch(paddle._C_ops, "cast", noting, "a cast asked for is told from one by promotion"),
            Patch(paddle.pir.Value, "astype", as_type, "a cast to the own dtype leaves no trace"),
            *_kernels(),
            *autocast.patches(state),
        ]
    ):
        yield noted


def _kernels() -> list[Patch]:
    """Functions that a CPU build composes of operations and a build for a GPU calls as one kernel,
    which computes in float32 and rounds once (seen in paddle.tensor.stat of 3.0 to 3.3)."""
    owners = (paddle, paddle.Tensor, paddle.pir.Value)
    why = "a GPU has one kernel for it"
    return [
        Patch(owner, name, _in_float32(getattr(owner, name)), why)
        for name in ("var", "std")
        for owner in owners
    ]


def _in_float32(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same; of what stands for the half precision computed in float32 and rounded once."""

    @functools.wraps(function)
    def computed(x: Any, *given: Any, **named: Any) -> Any:
        if x.dtype != paddle.float64:
            return function(x, *given, **named)
        return function(x.astype("float32"), *given, **named).astype(paddle.float64)

    return computed


def explicit_casts(graph: ComputationGraph, noted: set[int]) -> frozenset[int]:
    """Nodes that are casts asked for by the code, not by promotion."""
    return frozenset(
        node.id
        for node in graph.of_kind("operation")
        if node.op == "pd_op.cast" and node.native.native.id() in noted
    )
