"""Numbers rounded as a precision holds them, and graphs run with every value rounded.

What is assumed: an operation computes inside in float32 or better, as GPU kernels of matmul, sum,
softmax and normalisations do, and its result is rounded once, to nearest, ties to even.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from padiff_graph.capture.engine import Array, Engine, NotRunnable
from padiff_graph.capture.graph import ComputationGraph, Node, Value
from padiff_graph.capture.interpreter import Interpreter, model_values
from padiff_graph.precision.placement import HIGH, LOW, Placement

__all__ = ["Emulation", "LowSide", "RoundingRun", "emulate", "rounded"]

NOISE = 2.0**-22
"""How far another order of accumulation in float32 moves a result before it is rounded: a few
units in the last place of float32."""


def rounded(numbers: Array, precision: str) -> Array:
    """The nearest numbers of a precision, as float64: of what float32 holds of them, in which an
    operation computes.

    Args:
        numbers: floats.
        precision: "bfloat16", "float16" or "float32".
    """
    with np.errstate(over="ignore", invalid="ignore"):
        single = np.asarray(numbers, np.float32)
        if precision == "bfloat16":
            return _bfloat16(single).astype(np.float64)
        return single.astype(np.dtype(precision)).astype(np.float64)


def _bfloat16(single: Array) -> Array:
    """float32 cut to its upper half, to nearest, ties to even."""
    bits = np.ascontiguousarray(single).view(np.uint32)
    even = (bits >> np.uint32(16)) & np.uint32(1)
    upper = (bits + np.uint32(0x7FFF) + even) & np.uint32(0xFFFF0000)
    cut = upper.view(np.float32).reshape(single.shape)
    return np.where(np.isfinite(single), cut, single)


@dataclass(frozen=True)
class LowSide:
    """One stand-in, captured.

    Attributes:
        graph: as captured, float64 for the low precision.
        engine: of the stand-in.
        placement: the precision of its values.
        precision: what LOW stands for.
        casts: nodes that change the dtype and nothing else, written by hand or by promotion.
    """

    graph: ComputationGraph
    engine: Engine
    placement: Placement
    precision: str
    casts: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Emulation:
    """What one run yields.

    Attributes:
        values: those asked for, float64.
        overflows: values that the low precision cannot hold although they are finite, in order.
    """

    values: Mapping[Value, Array]
    overflows: tuple[Value, ...] = ()


def emulate(
    side: LowSide,
    precision: str | None,
    keep: Collection[Value],
    placement: Placement | None = None,
    noise: int = 0,
    nodes: Collection[int] | None = None,
) -> Emulation:
    """Runs a graph on its example.

    Args:
        side: whose graph.
        precision: what LOW stands for; None for the truth: float64 throughout, on weights and
            inputs as the low precision holds them (see `placement`).
        keep: values to hand out.
        placement: another one than the side's own.
        noise: a seed other than 0 moves results by what another order of accumulation may.
        nodes: those to run, with all that they read; None for the whole graph.

    Raises:
        NotRunnable: where an operation cannot be rerun.
    """
    run = RoundingRun(side, precision, placement or side.placement, noise)
    records = [node for node in side.graph.records() if nodes is None or node.id in nodes]
    known = run.run(records, keep=set(keep))
    arrays = {
        value: side.engine.array(tensor) for value, tensor in known.items() if tensor is not None
    }
    return Emulation(arrays, tuple(run.overflows))


class RoundingRun(Interpreter):
    """Runs in float64 and rounds what each operation yields."""

    def __init__(
        self, side: LowSide, precision: str | None, placement: Placement, noise: int
    ) -> None:
        engine = side.engine
        super().__init__(
            side.graph, engine, model_values(engine), engine.inputs(side.graph), double=True
        )
        self.precision = precision
        self.low = side.precision
        self.placement = placement
        self.overflows: list[Value] = []
        self.draws = np.random.default_rng(noise) if noise else None

    def leaf(self, node: Node) -> Any:
        """A leaf; weights and inputs are rounded in the truth too, constants of the code not."""
        tensor = super().leaf(node)
        if self.precision is None and node.kind == "constant":
            return tensor
        return self._rounded(Value(node.id), tensor, self.low)

    def operation(self, node: Node, operands: Sequence[Any]) -> Sequence[Any]:
        """An operation's results, each rounded to what holds it."""
        return self.rounded_results(node, self.unrounded(node, operands))

    def unrounded(self, node: Node, operands: Sequence[Any]) -> Sequence[Any]:
        """What an operation yields in float64.

        Raises:
            NotRunnable: where it cannot be rerun.
        """
        try:
            return super().operation(node, operands)
        except (RuntimeError, ValueError) as error:
            raise NotRunnable(f"{node.op} cannot be run on rounded values: {error}") from error

    def rounded_results(self, node: Node, results: Sequence[Any]) -> Sequence[Any]:
        """Results as what holds them leaves them; as they are in the truth."""
        precision = self.precision
        if precision is None:
            return results
        return [
            None if result is None else self._rounded(Value(node.id, number), result, precision)
            for number, result in enumerate(results)
        ]

    def _rounded(self, value: Value, tensor: Any, precision: str) -> Any:
        held = self.placement.get(value)
        if held is None:
            return tensor
        array = self.engine.array(tensor)
        if array.dtype.kind != "f":
            return tensor
        if held == LOW and self.graph.record(value.node).inputs:
            array = self.noisy(array)
        made = self.as_held(value, array, precision)
        if np.isfinite(array).sum() != np.isfinite(made).sum():
            self.overflows.append(value)
        return self.engine.tensor(made, "float64")

    def noisy(self, array: Array) -> Array:
        """Numbers as another order of accumulation may leave them; as they are without noise."""
        if self.draws is None:
            return array
        return np.asarray(array * (1 + NOISE * self.draws.standard_normal(array.shape)))

    def as_held(self, value: Value, array: Array, precision: str) -> Array:
        """Numbers as the precision of a value leaves them."""
        held = self.placement.get(value)
        return array if held is None else rounded(array, precision if held == LOW else HIGH)
