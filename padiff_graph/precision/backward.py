"""A graph run and differentiated with every value and every gradient rounded to what holds it.

What is assumed: as in the run forward, the backward of an operation computes inside in float32 or
better, and each gradient is rounded once, to the precision of what it is the gradient of. Gradients
of a value that several operations read are added one by one, rounded after each, as autograd does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.graph import Node, Value
from padiff_graph.capture.interpreter import differentiable
from padiff_graph.precision.placement import Placement
from padiff_graph.precision.rounding import LowSide, RoundingRun

__all__ = ["Backward", "differentiated"]


@dataclass(frozen=True)
class Backward:
    """What one run backward yields.

    Attributes:
        gradients: of what is trained ("parameter:NAME") and of floating inputs ("input:NAME"),
            float64.
        overflows: values whose gradient the precision cannot hold although it is finite, in the
            order in which gradients come.
    """

    gradients: Mapping[str, Array]
    overflows: tuple[Value, ...] = ()


@dataclass(frozen=True)
class _Step:
    """An operation that was recorded: its operands as leaves, and its results unrounded."""

    node: Node
    operands: Sequence[Any]
    asked: Sequence[int]
    results: Sequence[Any]


def differentiated(
    side: LowSide,
    precision: str | None,
    cotangents: Mapping[Value, Array],
    placement: Placement | None = None,
    noise: int = 0,
) -> Backward:
    """Runs a graph on its example, and back.

    Args:
        side: whose graph.
        precision, placement, noise: as of `emulate`; noise moves gradients too.
        cotangents: of values that the model hands out.

    Raises:
        NotRunnable: where an operation cannot be rerun or differentiated.
    """
    run = _Recording(side, precision, placement or side.placement, noise)
    run.run(list(side.graph.records()), keep=cotangents.keys())
    return run.back(cotangents)


class _Recording(RoundingRun):
    """Records each operation by itself, so that what it reads and yields may be rounded between."""

    def __init__(
        self, side: LowSide, precision: str | None, placement: Placement, noise: int
    ) -> None:
        super().__init__(side, precision, placement, noise)
        self.steps: list[_Step] = []
        self.needed: dict[Value, str] = {}
        """What leads back to something that is trained or handed in; leaves with their names."""
        self.lost: list[Value] = []

    def leaf(self, node: Node) -> Any:
        """A leaf; asked for its gradient where somebody may want it."""
        trained = node.kind == "parameter" and self.graph.parameters[node.name].trainable
        if (trained or node.kind == "input") and differentiable(node.dtype()):
            self.needed[Value(node.id)] = f"{node.kind}:{node.name}"
        return super().leaf(node)

    def operation(self, node: Node, operands: Sequence[Any]) -> Sequence[Any]:
        """An operation's rounded results; what it made of its operands is kept for the way back."""
        asked = [place for place, value in enumerate(node.inputs) if value and value in self.needed]
        if not asked or "no_grad" in node.marks:
            return super().operation(node, operands)
        own = list(operands)
        for place in asked:
            own[place] = self._tensor(self.engine.array(own[place]), True)
        with self.engine.recording(True):
            results = self.unrounded(node, own)
        self.steps.append(_Step(node, own, asked, results))
        for number, kind in enumerate(node.outputs):
            if kind is not None and differentiable(kind.dtype):
                self.needed[Value(node.id, number)] = ""
        return self.rounded_results(node, results)

    def back(self, cotangents: Mapping[Value, Array]) -> Backward:
        """Gradients of all leaves that are asked for."""
        arrived = {value: self._held(value, array, array) for value, array in cotangents.items()}
        for step in reversed(self.steps):
            for place, gradient in self._of_step(step, arrived):
                value = step.node.inputs[place]
                assert value is not None  # it is asked for
                own = self._held(value, self._moved(gradient), gradient)
                if value in arrived:
                    total = arrived[value] + own
                    own = self._held(value, total, total)
                arrived[value] = own
        return Backward(self._named(arrived), tuple(dict.fromkeys(self.lost)))

    def _of_step(self, step: _Step, arrived: dict[Value, Array]) -> list[tuple[int, Array]]:
        """What one operation sends back, by the place of the operand."""
        results, seeds = [], []
        for number, result in enumerate(step.results):
            seed = arrived.pop(Value(step.node.id, number), None)
            if seed is not None and result is not None:
                results.append(result)
                seeds.append(self._tensor(seed))
        if not results:
            return []
        leaves = [step.operands[place] for place in step.asked]
        try:
            gradients = self.engine.grad(results, leaves, seeds)
        except (RuntimeError, ValueError) as error:
            raise NotRunnable(f"{step.node.op} cannot be differentiated: {error}") from error
        return [
            (place, self.engine.array(gradient))
            for place, gradient in zip(step.asked, gradients, strict=True)
            if gradient is not None
        ]

    def _tensor(self, array: Array, grad: bool = False) -> Any:
        return self.engine.tensor(array, "float64" if array.dtype.kind == "f" else None, grad)

    def _moved(self, gradient: Array) -> Array:
        """A gradient as another order of accumulation may leave it."""
        return self.noisy(gradient) if gradient.dtype.kind == "f" else gradient

    def _held(self, value: Value, array: Array, sent: Array) -> Array:
        """A gradient as its precision holds it; unrounded in the truth."""
        if self.precision is None or array.dtype.kind != "f":
            return array
        made = self.as_held(value, array, self.precision)
        if np.isfinite(sent).sum() != np.isfinite(made).sum():
            self.lost.append(value)
        return made

    def _named(self, arrived: Mapping[Value, Array]) -> dict[str, Array]:
        found: dict[str, Array] = {}
        for value, name in self.needed.items():
            if name and value in arrived:
                found[name] = found[name] + arrived[value] if name in found else arrived[value]
        return found
