"""A PIR operation that eager mode cannot call, run as a static program of its own, with its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import paddle
from paddle.base import framework

from padiff_graph.capture.engine import NotRunnable

__all__ = ["INPLACE_PASS", "StaticCall"]

INPLACE_PASS = "FLAGS_pir_apply_inplace_pass"
"""Paddle's in-place pass lets `share_data_` overwrite what others still read: off in every static run."""


class StaticCall:
    """One operation, cloned into a program for each signature of operand types; differentiable in eager mode.

    Raises (when called):
        NotRunnable: where Paddle cannot build or run the program; names the operation.
    """

    def __init__(self, native: Any, name: str) -> None:
        self.native = native
        self.name = name

    def __call__(self, operands: Sequence[Any], double: bool) -> list[Any]:
        """Runs it on eager tensors (lists for vectors, None where absent)."""
        flat = [
            tensor
            for operand in operands
            for tensor in (operand if isinstance(operand, list) else [operand])
            if tensor is not None
        ]
        try:
            results = _Eager.apply(_Given(self, tuple(operands)), *flat)
        except (ValueError, RuntimeError, TypeError, NotImplementedError) as error:
            raise NotRunnable(
                f"{self.name} has no eager call that is known, and as a static program it fails: {type(error).__name__}: {str(error)[:300]}"
            ) from error
        flat_results = list(results) if isinstance(results, (tuple, list)) else [results]
        found: list[Any] = []
        for value in self.native.results():
            if value.is_combine():
                width = len(value.type().as_vec_type().as_list())
                found.append([flat_results.pop(0) for _ in range(width)])
            else:
                found.append(flat_results.pop(0))
        return found

    def run(self, operands: Sequence[Any], cotangents: Sequence[Any] | None) -> list[Any]:
        """Results as arrays, or the gradients of the operands where cotangents are given."""
        program = paddle.static.Program()
        feed: dict[str, Any] = {}
        former = paddle.get_flags([INPLACE_PASS])
        paddle.set_flags({INPLACE_PASS: 0})
        arrays = [
            [tensor.numpy() for tensor in operand]
            if isinstance(operand, list)
            else None
            if operand is None
            else operand.numpy()
            for operand in operands
        ]
        seeds = (
            None
            if cotangents is None
            else [None if cotangent is None else cotangent.numpy() for cotangent in cotangents]
        )
        try:
            with framework._dygraph_guard(None), paddle.static.program_guard(program):
                mapping = paddle.pir.IrMapping()
                inputs = []

                def declare(array: Any, value: Any) -> Any:
                    name = f"operand{len(feed)}"
                    feed[name] = array
                    made = paddle.static.data(name, list(array.shape), str(array.dtype))
                    made.stop_gradient = False
                    inputs.append(made)
                    return made

                for source, array in zip(self.native.operands_source(), arrays, strict=True):
                    if array is None:
                        continue
                    if isinstance(array, list):
                        made = paddle._C_ops.builtin_combine(
                            [declare(member, source) for member in array]
                        )
                    else:
                        made = declare(array, source)
                    mapping.add(source, made)
                clone = self.native.clone(mapping, paddle.pir.CloneOptions(False, True, True))
                outputs: list[Any] = []
                for value in clone.results():
                    outputs += value.get_defining_op() and (
                        paddle._C_ops.builtin_split(value) if value.is_combine() else [value]
                    )
                fetch = outputs
                if seeds is not None:
                    chosen = [
                        (value, seed)
                        for value, seed in zip(outputs, seeds, strict=True)
                        if seed is not None and value.is_dense_tensor_type()
                    ]
                    weights = [declare(seed, None) for _, seed in chosen]
                    fetch = paddle.autograd.ir_backward.grad(
                        [value for value, _ in chosen],
                        inputs[: len(inputs) - len(weights)],
                        weights,
                        allow_unused=True,
                    )
                found = paddle.static.Executor(paddle.CPUPlace()).run(
                    program, feed=feed, fetch_list=[value for value in fetch if value is not None]
                )
        finally:
            paddle.set_flags(former)
        values = iter(found)
        return [None if value is None else next(values) for value in fetch]


@dataclass(frozen=True)
class _Given:
    """The call and its operands, out of sight of autograd, which differentiates the flat tensors."""

    call: StaticCall
    operands: tuple[Any, ...]


class _Eager(paddle.autograd.PyLayer):  # type: ignore[misc]
    """The bridge from a static program to eager autograd."""

    @staticmethod
    def forward(ctx: Any, given: _Given, *flat: Any) -> Any:
        ctx.given = given
        return tuple(paddle.to_tensor(array) for array in given.call.run(given.operands, None))

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        gradients = ctx.given.call.run(ctx.given.operands, cotangents)
        return tuple(None if array is None else paddle.to_tensor(array) for array in gradients)
