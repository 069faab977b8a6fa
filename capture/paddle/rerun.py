"""One captured operation run again on other operands, in its own precision or in float64."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import paddle

from padiff_graph.capture.double_precision import FrameworkTensors, widened
from padiff_graph.capture.engine import Array, NotRunnable, Tensor
from padiff_graph.capture.graph import Node
from padiff_graph.capture.paddle import values
from padiff_graph.capture.paddle.backward_code import Custom, Hook, run_custom, run_hook
from padiff_graph.capture.paddle.given_draws import drawn
from padiff_graph.capture.paddle.pir_call import Operation

__all__ = ["rerun"]

TENSORS = FrameworkTensors(values.dtype, values.array, lambda tensor: tensor.astype("float64"))


def rerun(
    node: Node, operands: Sequence[Tensor | None], draw: Array | None, *, double: bool
) -> tuple[Tensor | None, ...]:
    """Runs it; see `padiff_graph.capture.engine.Engine.run`."""
    if node.native is None:
        raise NotRunnable(f"{node.op} was loaded from a file; capture the model again to run it")

    def run(given: Sequence[Tensor | None]) -> tuple[Tensor | None, ...]:
        return _called(node, given, draw, double)

    with paddle.no_grad() if "no_grad" in node.marks else nullcontext():
        if not double:
            return run(operands)
        with _default_double():
            return tuple(widened(node, TENSORS, operands, run(operands), run))


@contextmanager
def _default_double() -> Iterator[None]:
    """What a custom function makes of no float, and names no dtype, is made in float64."""
    former = paddle.get_default_dtype()
    paddle.set_default_dtype("float64")
    try:
        yield
    finally:
        paddle.set_default_dtype(former)


def _called(
    node: Node, operands: Sequence[Tensor | None], draw: Array | None, double: bool
) -> tuple[Tensor | None, ...]:
    if isinstance(node.native, Hook):
        return (run_hook(node.native, operands[0]),)
    if isinstance(node.native, Custom):
        return run_custom(node.native, operands)
    operation = _asked(node.native, node)
    given = operation.grouped(operands)
    if draw is not None and "random" in node.marks:
        results = drawn(operation, given, draw, double)
    else:
        results = operation(given, double)
    flat = tuple(operation.flattened(results))
    for place in WITHOUT_BACKWARD.get(operation.name, ()):
        flat[place].stop_gradient = True
    return flat


def _asked(operation: Operation, node: Node) -> Operation:
    """The operation with the attributes that its record holds, where those were changed."""
    if node.attrs is operation.attrs or dict(node.attrs) == operation.attrs:
        return operation
    return replace(operation, attrs=dict(node.attrs), _plan=None, _static=None)


WITHOUT_BACKWARD = {"cross_entropy_with_softmax": (0,)}
"""Results whose gradient Paddle's backward does not read: it ends the process where one alone is
differentiated."""
