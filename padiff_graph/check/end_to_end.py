"""The whole run: the user's own models, eagerly, forward and backward, held against each other.

Nothing here comes from a capture but the names: which output, input and parameter of one model is
whose counterpart in the other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from padiff_graph.capture.eager_run import Eager, lively, standing
from padiff_graph.capture.engine import Array, Engine, NotRunnable
from padiff_graph.executor.output_pairs import output_pairs
from padiff_graph.executor.transfer import mapped
from padiff_graph.matching.result import Matching, ParameterRow
from padiff_graph.referee.tolerance import Mode, Quantity, Tolerance, quantity

__all__ = ["Mode", "Quantity", "Tolerance", "WholeCheck", "check_whole", "quantity"]

Witness = Callable[[int, Eager | None], None]
"""Told of a model's eager run, 0 for the first, 1 for the second; of None where the run could not be differentiated twice."""


APART = "no output of one model could be laid beside one of the other, so the two runs have no loss in common"
"""Why nothing of two whole runs is compared."""


@dataclass(frozen=True)
class WholeCheck:
    """The whole run of both models.

    Attributes:
        quantities: outputs, the loss, gradients and buffers, in this order.
        lost: outputs that only one side has, as (side, name).
        random: whether random operations make the two runs incomparable.
        notes: what the user should know, in sentences.
    """

    quantities: tuple[Quantity, ...]
    lost: tuple[tuple[str, str], ...] = ()
    random: bool = False
    notes: tuple[str, ...] = ()

    @property
    def within(self) -> bool:
        """Whether everything counted is within the tolerance, and something was."""
        counted = [quantity for quantity in self.quantities if quantity.counted]
        return bool(counted) and all(quantity.within for quantity in counted)

    @property
    def required(self) -> dict[str, float]:
        """The tolerance that the whole run would have needed."""
        counted = [quantity for quantity in self.quantities if quantity.counted]
        return {
            "rtol": max((quantity.rtol for quantity in counted), default=0.0),
            "atol": max((quantity.atol for quantity in counted), default=0.0),
        }

    def worst(self) -> Quantity | None:
        """The counted quantity with the largest relative difference."""
        return max(
            (quantity for quantity in self.quantities if quantity.counted),
            key=lambda quantity: quantity.relative,
            default=None,
        )

    def excusing(self, names: Collection[str], reason: str) -> WholeCheck:
        """The same with some buffers not counted: a known divergence of the frameworks explains them."""
        excused = tuple(
            replace(quantity, counted=False, reason=reason)
            if quantity.kind == "buffer" and quantity.first in names
            else quantity
            for quantity in self.quantities
        )
        return replace(self, quantities=excused)


def check_whole(
    first_engine: Engine,
    second_engine: Engine,
    first_example: Mapping[str, Any],
    second_example: Mapping[str, Any],
    *,
    matching: Matching | None = None,
    inputs: Sequence[tuple[str, str]] = (),
    parameters: Sequence[ParameterRow] | None = None,
    losses: tuple[Callable[[Any], Any], Callable[[Any], Any]] | None = None,
    backward: bool = True,
    tolerance: Tolerance | None = None,
    witness: Witness | None = None,
) -> WholeCheck:
    """Runs both models as the user would, one after the other, and compares all they yield.

    Args:
        first_engine, second_engine: the models' engines.
        first_example, second_example: each model's keyword arguments.
        matching: which outputs and parameters correspond; by name and position without one.
        inputs: which input leaves correspond, (first, second).
        parameters: the parameter map, where it is not the matching's.
        losses: one of each model's output; None for the mean of each floating output, averaged.
        backward: whether gradients are compared.
        tolerance: what differences are held against.
        witness: is told of each model's run under random cotangents, to hold its capture against.

    An exception of a model's forward or of a loss passes through as it is.
    """
    asked = tolerance or Tolerance()
    rows = parameters if parameters is not None else (matching.parameters if matching else ())
    sides: list[_Ran] = []
    for number, (engine, example) in enumerate(
        ((first_engine, first_example), (second_engine, second_example))
    ):
        ran, eager = _ran(
            engine,
            example,
            losses[number] if losses else None,
            backward,
            None if matching is None else (matching, number),
            witness is not None,
        )
        sides.append(ran)
        if witness is not None:
            witness(number, eager)
        del eager
    first, second = sides
    notes = [
        f"gradients of the whole run are not compared, {side} has none: {ran.ungraded}"
        for side, ran in zip(("the first model", "the second model"), sides, strict=True)
        if ran.ungraded
    ]
    backward = backward and not notes
    pairs, lost = _outputs(matching, list(first.outputs), list(second.outputs))
    found = [
        quantity("output", one, other, first.outputs[one], second.outputs[other], asked)
        for one, other in pairs
    ]
    if losses:
        assert first.loss is not None and second.loss is not None
        found.append(quantity("loss", "loss", "loss", first.loss, second.loss, asked))
    if backward:
        for one, other in inputs:
            found += _gradient(
                "input",
                one,
                other,
                first.gradients.get(f"input:{one}"),
                second.gradients.get(f"input:{other}"),
                asked,
            )
        for row in rows:
            found += _parameter(row, first, second, asked)
    for row in rows:
        found += _buffer(row, first, second, asked)
    for side, framework in (("first", "the first model"), ("second", "the second model")):
        names = [name for which, name in lost if which == side]
        if names:
            notes.append(
                f"outputs that only {framework} has, not compared: {', '.join(names[:6])}{f' and {len(names) - 6} more' if len(names) > 6 else ''}"
            )
    if not pairs and not losses:
        found = [replace(quantity, counted=False, reason=APART) for quantity in found]
        notes.append(APART)
    random = matching is not None and any(
        "random" in record.marks
        for normal in (matching.first, matching.second)
        for record in normal.graph.of_kind("operation")
    )
    if random:
        notes.append(
            "both models draw random numbers of their own (dropout in training mode), so their whole runs cannot be held against each other; the regions share the draws"
        )
        found = [
            replace(quantity, counted=False, reason="random draws differ between the runs")
            for quantity in found
        ]
    return WholeCheck(tuple(found), tuple(lost), random, tuple(notes))


@dataclass
class _Ran:
    """One model's run as arrays; `ungraded` says why there are no gradients where the framework has none."""

    outputs: dict[str, Array]
    buffers: dict[str, Array]
    gradients: dict[str, Array]
    loss: Array | None
    ungraded: str = ""


def _ran(
    engine: Engine,
    example: Mapping[str, Any],
    loss_fn: Callable[[Any], Any] | None,
    backward: bool,
    known: tuple[Matching, int] | None,
    witnessed: bool,
) -> tuple[_Ran, Eager | None]:
    """A model's run; where it is to witness for its capture, with its gradients under random cotangents too."""
    if witnessed:
        try:
            return _run(engine, example, loss_fn, backward, known, witnessed=True)
        except Exception:  # a custom backward may work only once: then each has a run of its own
            return _run(engine, example, loss_fn, backward, known, witnessed=False)
    return _run(engine, example, loss_fn, backward, known, witnessed=False)


def _run(
    engine: Engine,
    example: Mapping[str, Any],
    loss_fn: Callable[[Any], Any] | None,
    backward: bool,
    known: tuple[Matching, int] | None,
    witnessed: bool,
) -> tuple[_Ran, Eager | None]:
    graph = (known[0].first, known[0].second)[known[1]].graph if known is not None else None
    with engine.quiet():
        before = standing(graph, engine) if graph is not None and witnessed else {}
        run = engine.forward(example, grad=backward or (witnessed and engine.framework != "onnx"))
        outputs = {name: engine.array(tensor) for name, tensor in run.outputs.items()}
        value = loss_fn(run.structure) if loss_fn is not None else None
        loss = engine.array(value) if value is not None else None
        seeds = _mean(outputs, known) if backward and value is None else None
        # what is called back in a backward need not be linear: random cotangents tell more there
        shared = (
            witnessed
            and seeds is not None
            and lively(outputs, seeds)
            and graph is not None
            and not graph.calls_back
        )
        eager = (
            Eager.of(engine, run, outputs, before, again=backward)
            if witnessed and not shared
            else None
        )
        run.gradients, ungraded = {}, ""
        if backward:
            try:
                engine.backward(run, seeds, loss=value)
            except NotRunnable as error:  # Paddle's recurrent layers outside training mode
                if eager is not None and not eager.ungraded:
                    raise
                ungraded = str(error)
        if shared and seeds is not None and not ungraded:
            eager = Eager.of_loss(run, outputs, before, seeds)
        return _Ran(outputs, dict(run.buffers), dict(run.gradients), loss, ungraded), eager


def _mean(outputs: Mapping[str, Array], known: tuple[Matching, int] | None) -> dict[str, Array]:
    """Cotangents of the mean of each floating output, averaged over the outputs that both models have."""
    wanted = set(outputs)
    if known is not None:
        pairs, _ = _outputs(
            known[0],
            *(
                [node.name for node in normal.graph.of_kind("output")]
                for normal in (known[0].first, known[0].second)
            ),
        )
        wanted = {pair[known[1]] for pair in pairs} or wanted
    floating = {
        name: array
        for name, array in outputs.items()
        if array.dtype.kind in "fc" and array.size and name in wanted
    }
    return {
        name: np.full(array.shape, 1.0 / (len(floating) * array.size), array.dtype)
        for name, array in floating.items()
    }


def _outputs(
    matching: Matching | None, firsts: list[str], seconds: list[str]
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Which outputs correspond, and which only one side has."""
    if matching is not None:
        pairs = [
            (pair.first, pair.second)
            for pair in output_pairs(matching)
            if pair.first in firsts and pair.second in seconds
        ]
    else:
        pairs = [(name, name) for name in firsts if name in seconds]
        left = (
            [name for name in firsts if name not in seconds],
            [name for name in seconds if name not in firsts],
        )
        if len(left[0]) == len(left[1]):
            pairs += list(zip(*left, strict=True))
    taken = {one for one, _ in pairs}, {other for _, other in pairs}
    lost = [("first", name) for name in firsts if name not in taken[0]] + [
        ("second", name) for name in seconds if name not in taken[1]
    ]
    return pairs, lost


def _gradient(
    kind: Literal["input", "parameter"],
    one: str,
    other: str,
    first: Array | None,
    second: Array | None,
    asked: Tolerance,
) -> list[Quantity]:
    """A gradient that one side lacks is zero there."""
    if first is None and second is None:
        return []
    some = first if first is not None else second
    assert some is not None
    found = quantity(
        kind,
        one,
        other,
        first if first is not None else np.zeros_like(some),
        second if second is not None else np.zeros_like(some),
        asked,
    )
    if (first is None or second is None) and not found.within:
        found = replace(
            found,
            reason=f"no gradient arrives on the {'first' if first is None else 'second'} side",
        )
    return [found]


def _parameter(row: ParameterRow, first: _Ran, second: _Ran, asked: Tolerance) -> list[Quantity]:
    if not row.pieces:
        return []
    one = first.gradients.get(f"parameter:{row.first}")
    parts = {
        piece.second: array
        for piece in row.pieces
        if (array := second.gradients.get(f"parameter:{piece.second}")) is not None
    }
    name = " + ".join(piece.second for piece in row.pieces)
    if one is None and not parts:
        return []
    if one is None and all(not array.any() for array in parts.values()):
        return []
    if one is None:
        shape = row.pieces[0].first_view.source
        own = np.zeros(shape)
    else:
        own = np.zeros_like(one)
    filled = {
        piece.second: parts.get(piece.second, np.zeros(piece.second_view.source))
        for piece in row.pieces
    }
    other = mapped(row, own, filled) if parts else None
    return _gradient("parameter", row.first, name, one, other, asked)


def _buffer(row: ParameterRow, first: _Ran, second: _Ran, asked: Tolerance) -> list[Quantity]:
    one = first.buffers.get(row.first)
    if (
        one is None
        or not row.pieces
        or any(piece.second not in second.buffers for piece in row.pieces)
    ):
        return []
    return [
        quantity(
            "buffer",
            row.first,
            " + ".join(piece.second for piece in row.pieces),
            one,
            mapped(row, one, second.buffers),
            asked,
        )
    ]
