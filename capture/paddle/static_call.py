"""A PIR operation that eager mode cannot call, run as a static program of its own, with its
gradient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import paddle
from paddle.base import framework

from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.paddle import internals

__all__ = ["INPLACE_PASS", "StaticCall"]

INPLACE_PASS = "FLAGS_pir_apply_inplace_pass"
"""Paddle's in-place pass lets `share_data_` overwrite what others still read: off in static
runs."""

TOLD = 300
"""Characters of Paddle's own words in a refusal; chosen so that it fits a report's line or two."""


class StaticCall:
    """One operation, cloned into a program for each signature of operand types; differentiable in
    eager mode.

    Raises (when called):
        NotRunnable: where Paddle cannot build or run the program; names the operation.
    """

    def __init__(self, native: Any, name: str) -> None:
        self.native = native
        self.name = name

    def __call__(self, operands: Sequence[Any], double: bool) -> list[Any]:
        """Runs it on eager tensors (lists for vectors, None where absent)."""
        try:
            returned = _Eager.apply(_Given(self, tuple(operands)), *_flat(operands))
        except (ValueError, RuntimeError, TypeError, NotImplementedError) as error:
            raise NotRunnable(
                f"{self.name} has no eager call that is known, and as a static program it fails:"
                f" {type(error).__name__}: {str(error)[:TOLD]}"
            ) from error
        results = iter(returned if isinstance(returned, (tuple, list)) else [returned])
        grouped: list[Any] = []
        for value in self.native.results():
            width = internals.vector_width(value)
            if width is None:
                grouped.append(next(results))
            else:
                grouped.append([next(results) for _ in range(width)])
        return grouped

    def results(self, operands: Sequence[Any]) -> list[Array | None]:
        """The operation's results, members of vectors one by one."""
        with _static(paddle.static.Program()) as program:
            inputs = _Inputs(program)
            return inputs.run(self._cloned(inputs, operands))

    def gradients(self, operands: Sequence[Any], cotangents: Sequence[Any]) -> list[Array | None]:
        """Gradients of the operands, members of vectors one by one; cotangents likewise."""
        with _static(paddle.static.Program()) as program:
            inputs = _Inputs(program)
            outputs = self._cloned(inputs, operands)
            leaves = list(inputs.values)
            learning = []
            seeds = []
            for output, cotangent in zip(outputs, cotangents, strict=True):
                if cotangent is not None and output.is_dense_tensor_type():
                    learning.append(output)
                    seeds.append(inputs.declare(cotangent.numpy()))
            return inputs.run(
                paddle.autograd.ir_backward.grad(learning, leaves, seeds, allow_unused=True)
            )

    def _cloned(self, inputs: _Inputs, operands: Sequence[Any]) -> list[Any]:
        """The operation in the program at hand; its results, members of vectors one by one."""
        mapping = paddle.pir.IrMapping()
        for source, operand in zip(self.native.operands_source(), operands, strict=True):
            if operand is None:
                continue
            if isinstance(operand, list):
                members = [inputs.declare(member.numpy()) for member in operand]
                mapping.add(source, paddle._C_ops.builtin_combine(members))
            else:
                mapping.add(source, inputs.declare(operand.numpy()))
        clone = self.native.clone(mapping, paddle.pir.CloneOptions(False, True, True))
        outputs: list[Any] = []
        for value in clone.results():
            outputs += paddle._C_ops.builtin_split(value) if value.is_combine() else [value]
        return outputs


@dataclass
class _Inputs:
    """What a program under construction is fed with.

    Attributes:
        program: the program.
        values: its inputs so far.
        feed: their numbers by name.
    """

    program: Any
    values: list[Any] = field(default_factory=list)
    feed: dict[str, Array] = field(default_factory=dict)

    def declare(self, array: Array) -> Any:
        """A new input with its numbers."""
        name = f"operand{len(self.feed)}"
        self.feed[name] = array
        value = paddle.static.data(name, list(array.shape), str(array.dtype))
        value.stop_gradient = False
        self.values.append(value)
        return value

    def run(self, wanted: Sequence[Any]) -> list[Array | None]:
        """Runs the program; None where nothing is wanted."""
        present = [value for value in wanted if value is not None]
        executor = paddle.static.Executor(paddle.CPUPlace())
        arrays = iter(executor.run(self.program, feed=self.feed, fetch_list=present))
        return [None if value is None else next(arrays) for value in wanted]


@contextmanager
def _static(program: Any) -> Iterator[Any]:
    """Static mode with a program under construction."""
    former = paddle.get_flags([INPLACE_PASS])
    paddle.set_flags({INPLACE_PASS: 0})
    try:
        with framework._dygraph_guard(None), paddle.static.program_guard(program):
            yield program
    finally:
        paddle.set_flags(former)


def _flat(operands: Sequence[Any]) -> list[Any]:
    """The tensors among operands, members of vectors one by one."""
    tensors: list[Any] = []
    for operand in operands:
        if isinstance(operand, list):
            tensors += operand
        elif operand is not None:
            tensors.append(operand)
    return tensors


@dataclass(frozen=True)
class _Given:
    """The call and its operands, out of sight of autograd, which differentiates the flat
    tensors."""

    call: StaticCall
    operands: tuple[Any, ...]


class _Eager(paddle.autograd.PyLayer):  # type: ignore[misc]
    """The bridge from a static program to eager autograd."""

    @staticmethod
    def forward(ctx: Any, given: _Given, *flat: Any) -> Any:
        ctx.given = given
        # `paddle.grad` ends the process in 3.0 to 3.2 where Paddle makes zeros for an unread result
        ctx.set_materialize_grads(False)
        results = tuple(paddle.to_tensor(array) for array in given.call.results(given.operands))
        ctx.kinds = [(result.shape, result.dtype) for result in results]
        return results

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        operands = ctx.given.operands
        arrived = [
            paddle.zeros(shape, dtype) if cotangent is None else cotangent
            for cotangent, (shape, dtype) in zip(cotangents, ctx.kinds, strict=True)
        ]
        arrays = ctx.given.call.gradients(operands, arrived)
        gradients = []
        for tensor, array in zip(_flat(operands), arrays, strict=True):
            # autograd refuses a gradient for what asks for none
            absent = array is None or tensor.stop_gradient
            gradients.append(None if absent else paddle.to_tensor(array))
        return tuple(gradients)
