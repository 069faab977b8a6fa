"""The two loss functions: called with care, and held against each other on the same output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from padiff_graph.capture.backend import backend
from padiff_graph.capture.engine import Array, Engine
from padiff_graph.capture.leaf_names import leaves, output_leaves
from padiff_graph.capture.leaf_names import replace as replaced
from padiff_graph.errors import UsageTypeError
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.request.inputs import side_names
from padiff_graph.sides.recorded_loss import RecordedLoss
from padiff_graph.training.binary_cross_entropy import loss_differences

__all__ = ["Loss", "Losses", "mean_loss", "name_of", "scalar"]

BOUNDS = {np.dtype(np.float64): 1e-6, np.dtype(np.float32): 1e-4}
"""Relative difference of two losses on one output that rounding and float32 constants may explain.
"""

APART = 1e-5
"""How far outputs of two recordings may be apart, of the largest value, for their losses to be held
against each other; chosen as ten times what rounding leaves of a few dozen layers. What is left of
it in the losses beyond first order is far below float32's bound."""

SMALL = 1e-12
"""Least size that a loss or gradient is held against: a perfect fit has a loss of zero."""
TINY = 1e-30
"""Least number that is divided by."""

Loss = Callable[[Any], Any]


@dataclass
class Losses:
    """A pair of losses that refuse what is no scalar, and remember what they were last given.

    Attributes:
        given: the user's functions.
        frameworks: whose they are.
        seen: the structures that each was last called with.
        pairs: which output leaves correspond, where that is known.
    """

    given: tuple[Loss, Loss]
    frameworks: tuple[str, str]
    seen: dict[int, Any] = field(default_factory=dict)
    pairs: tuple[tuple[str, str], ...] = ()

    @property
    def functions(self) -> tuple[Loss, Loss]:
        """The losses to call."""
        return self._function(0), self._function(1)

    def _function(self, side: int) -> Loss:
        def loss(output: Any) -> Any:
            self.seen[side] = output
            name = side_names(self.frameworks)[side]
            return scalar(self.given[side](output), name, self.frameworks[side])

        return loss

    def compare(
        self, engines: tuple[Engine, Engine], outputs: Sequence[tuple[str, str]]
    ) -> Finding | None:
        """Calls both losses with the second model's output and holds value and gradient against
        each other.

        Args:
            engines: of both models.
            outputs: which output leaves correspond, (first, second).
        """
        self.pairs = tuple(outputs)
        if len(self.seen) < 2:
            return None
        recorded = [loss for loss in self.given if isinstance(loss, RecordedLoss)]
        if len(recorded) == len(self.given):
            return self._compare_recorded(recorded, outputs)
        for kind in (np.dtype(np.float64), np.dtype(np.float32)):
            try:
                values, gradients = zip(
                    *(self.of_second(side, engines, outputs, kind) for side in (0, 1)),
                    strict=True,
                )
            except Exception:
                if kind == np.float32:
                    raise
                # a loss with float32 constants of its own cannot take float64; ask it in float32
                continue
            told = _finding(values, gradients, outputs, BOUNDS[kind], self)
            if told is None:
                return None
            rows = self._rows(gradients, outputs)
            return replace(told, reason=told.reason.followed_by(*rows))
        return None

    def _compare_recorded(
        self, recorded: Sequence[RecordedLoss], outputs: Sequence[tuple[str, str]]
    ) -> Finding | None:
        """Holds two recorded losses against each other, each of its own model's outputs: where
        these are nearly one, the second is moved to the first's by its gradient.

        Its gradients themselves are not: where the frameworks round a value to either side of a
        kink they differ by much. What they lead to in the models is compared as totals.
        """
        tools = [backend(framework).values for framework in self.frameworks]
        kind, bound = np.dtype(np.float64), BOUNDS[np.dtype(np.float32)]
        wanted = [[pair[side] for pair in outputs] for side in (0, 1)]
        both = [loss.on_its_outputs(wanted[side], kind) for side, loss in enumerate(recorded)]
        held = [output_leaves(self.seen[side], tools[side].is_tensor) for side in (0, 1)]
        value, gradients = both[1]
        for first, second in outputs:
            ours, theirs = tools[0].array(held[0][first]), tools[1].array(held[1][second])
            away = _apart(ours, theirs)
            if away is None:
                return None
            if second in gradients:
                value += float(np.vdot(gradients[second], away))
        return _finding((both[0][0], value), ({}, {}), (), bound, self)

    def on_second(self, side: int) -> dict[str, Array] | None:
        """The second model's numbers by the names that they have in what a side's loss was called
        with; None where that is not known."""
        if len(self.seen) < 2 or not self.pairs:
            return None
        tools = [backend(framework).values for framework in self.frameworks]
        theirs = output_leaves(self.seen[1], tools[1].is_tensor)
        own = leaves(self.seen[side], tools[side].is_tensor)
        names = dict(zip(output_leaves(self.seen[side], tools[side].is_tensor), own, strict=True))
        held = {}
        for pair in self.pairs:
            if pair[1] not in theirs or pair[side] not in names:
                continue
            numbers = np.array(tools[1].array(theirs[pair[1]]))
            if tuple(own[names[pair[side]]].shape) == numbers.shape:
                held[names[pair[side]]] = numbers
        return held or None

    def _rows(
        self, gradients: Sequence[Mapping[str, Array]], outputs: Sequence[tuple[str, str]]
    ) -> Iterator[Cause]:
        """What the two do otherwise with the rows of an output that both take for logits, or with
        the elements of one that both take for answers."""
        tools = backend(self.frameworks[1]).values
        theirs = output_leaves(self.seen[1], tools.is_tensor)
        for _, name in outputs:
            if not all(name in side for side in gradients):
                continue
            given = tools.array(theirs[name])
            yield from loss_differences((given, given), [side[name] for side in gradients])

    def of_second(
        self,
        side: int,
        engines: tuple[Engine, Engine],
        outputs: Sequence[tuple[str, str]],
        kind: np.dtype[Any],
    ) -> tuple[float, dict[str, Array]]:
        """One side's loss of the second model's output, and its gradient by the second's output
        name.

        Args:
            side: whose loss.
            engines, outputs: as of `compare`.
            kind: what it is computed in.
        """
        own_loss = self.given[side]
        if isinstance(own_loss, RecordedLoss):
            wanted = [second for _, second in outputs]
            return own_loss.on_its_outputs(wanted, kind)
        tools = [backend(framework).values for framework in self.frameworks]
        theirs = output_leaves(self.seen[1], tools[1].is_tensor)
        names = dict(
            zip(
                output_leaves(self.seen[side], tools[side].is_tensor),
                leaves(self.seen[side], tools[side].is_tensor),
                strict=True,
            )
        )
        engine, fresh, inputs = engines[side], {}, {}
        for pair in outputs:
            source = theirs[pair[1]]
            numbers = tools[1].array(source)
            own = leaves(self.seen[side], tools[side].is_tensor)[names[pair[side]]]
            if tuple(own.shape) != tuple(source.shape):
                continue
            if numbers.dtype.kind == "f":
                tensor = engine.tensor(numbers.astype(kind), requires_grad=True)
                inputs[pair[1]] = tensor
            else:
                tensor = engine.tensor(numbers)
            fresh[names[pair[side]]] = tensor
        with engine.quiet(), engine.recording(True):
            loss = own_loss(replaced(self.seen[side], tools[side].is_tensor, fresh))
            one = engine.tensor(np.ones(tuple(loss.shape), tools[side].array(loss).dtype))
            found = engine.grad([loss], list(inputs.values()), [one])
            gradients = {
                name: np.zeros(tuple(tensor.shape)) if gradient is None else engine.array(gradient)
                for (name, tensor), gradient in zip(inputs.items(), found, strict=True)
            }
            return float(engine.array(loss).reshape(-1)[0]), gradients


def scalar(value: Any, side: str, framework: str) -> Any:
    """The loss's value, where it is one floating number.

    Raises:
        UsageTypeError: saying what came instead.
    """
    tools = backend(framework).values
    if not tools.is_tensor(value):
        raise UsageTypeError(
            f"loss_fn: the {side} side's must return a scalar {framework} tensor; it returned"
            f" {type(value).__qualname__}"
        )
    if int(np.prod(tuple(value.shape), dtype=np.int64)) != 1:
        raise UsageTypeError(
            f"loss_fn: the {side} side's must return a scalar; it returned a tensor of shape"
            f" {list(value.shape)}; reduce it, for example with .mean()"
        )
    if not _floating(tools.dtype(value)):
        raise UsageTypeError(
            f"loss_fn: the {side} side's must return a floating number; it returned"
            f" {tools.dtype(value)}"
        )
    return value


def mean_loss(output: Any, framework: str, wanted: set[str] | None = None) -> Any:
    """The loss where the user gives none: the mean of each floating output, averaged over the
    outputs.

    Args:
        output: what the model returned.
        framework: whose tensors it holds.
        wanted: names of the outputs that count; all where None.
    """
    tools = backend(framework).values
    found = [
        leaf.mean()
        for name, leaf in output_leaves(output, tools.is_tensor).items()
        if _floating(tools.dtype(leaf)) and (wanted is None or name in wanted)
    ]
    if not found:
        raise UsageTypeError(
            "there is no floating output to train on; give loss_fn=[paddle_loss, torch_loss]"
        )
    return sum(found[1:], found[0]) / len(found)


def _apart(first: Array, second: Array) -> Array | None:
    """How far an output is from another one, element by element; None where they are not nearly
    one."""
    if first.shape != second.shape:
        return None
    if first.dtype.kind != "f":
        return np.zeros(first.shape) if np.array_equal(first, second) else None
    away = np.asarray(np.subtract(first, second, dtype=np.float64))
    near = np.abs(away).max(initial=0.0) <= APART * np.abs(second).max(initial=0.0)
    return away if near else None


def _finding(
    values: Sequence[float],
    gradients: Sequence[Mapping[str, Array]],
    outputs: Sequence[tuple[str, str]],
    bound: float,
    losses: Losses,
) -> Finding | None:
    """What two losses of one output differ in: their value, else a gradient."""
    names = " and ".join(name_of(loss) for loss in losses.given)
    gap, size = abs(values[0] - values[1]), abs(values[1])
    if gap > bound * max(size, SMALL):
        share = gap / max(size, TINY)
        numbers = {"first_number": values[0], "second_number": values[1], "share": share}
        cause = Cause.of("loss.differs", losses=names, **numbers)
        return _different(cause, gap, share, losses)
    for _, name in outputs:
        if name not in gradients[0] or name not in gradients[1]:
            continue
        first, second = gradients[0][name], gradients[1][name]
        error = float(np.abs(first - second).max(initial=0.0))
        scale = float(np.abs(second).max(initial=0.0))
        if error > bound * max(scale, SMALL):
            cause = Cause.of("loss.gradient_differs", losses=names, towards=name, error=error)
            return _different(cause, error, error / scale if scale else error, losses)
    return None


def _different(cause: Cause, error: float, relative: float, losses: Losses) -> Finding:
    frameworks = losses.frameworks
    return Finding(
        "loss", "different", cause, error=error, relative=relative, frameworks=frameworks
    )


def name_of(loss: Loss) -> str:
    """What the user calls a loss: its own name, else its class's."""
    name = str(getattr(loss, "__name__", ""))
    return "the lambda" if name == "<lambda>" else name or type(loss).__name__


def _floating(dtype: str) -> bool:
    return dtype.startswith(("float", "bfloat"))
