"""The whole run: the user's own models, eagerly, forward and backward, held against each other.

Nothing here comes from a capture but the names: which output, input and parameter of one model is
whose counterpart in the other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from padiff_graph.capture.eager_run import Eager
from padiff_graph.capture.engine import Array, Engine
from padiff_graph.capture.remote.at_once import at_once
from padiff_graph.capture.remote.whole import is_away
from padiff_graph.check.eager_models import (
    EagerModel,
    Loss,
    ModelRequest,
    run_eagerly,
    steady_values,
)
from padiff_graph.check.not_finite import no_numbers_notes
from padiff_graph.check.returned_answers import answers_of
from padiff_graph.check.whole_quantities import held_quantities, pair_outputs
from padiff_graph.errors import UsageError
from padiff_graph.executor.tensor_pair import TensorKind
from padiff_graph.matching.result import Matching, ParameterRow
from padiff_graph.obligations.left_behind import LeftBehind
from padiff_graph.obligations.output_findings import Answers
from padiff_graph.referee.referee import Measured
from padiff_graph.referee.tolerance import Quantity, Tolerance, quantity
from padiff_graph.report.wording import cut_short
from padiff_graph.sides.recorded_engine import is_recorded

__all__ = ["ApartUnder", "WholeCheck", "check_whole"]


APART = (
    "no output of one model could be laid beside one of the other, "
    "so the two runs have no loss in common"
)
"""Why nothing of two whole runs is compared."""
DRAWN = (
    "both models draw random numbers of their own (dropout in training mode), so their whole runs "
    "cannot be held against each other; the regions share the draws"
)
"""Why two whole runs that draw random numbers are not compared."""
SIDES = ("the first model", "the second model")
SHOWN = 6
"""Most outputs named in one note."""


@dataclass(frozen=True, slots=True)
class ApartUnder:
    """How far a quantity of both certified graphs is apart under the same random cotangents.

    Attributes:
        kind, first: what it is, and its name in the first model.
        measured: how far.
    """

    kind: TensorKind
    first: str
    measured: Measured


@dataclass(frozen=True)
class WholeCheck:
    """The whole run of both models.

    Attributes:
        quantities: outputs, the loss, gradients and buffers, in this order.
        answers: what both returned, place by place.
        random: whether random operations make the two runs incomparable.
        notes: what the user should know, in sentences.
        left: what each run left behind.
        hooked: parameters of each model whose gradients hooks of the user's change.
        ungraded: why gradients of the whole runs are not compared, "" where they are.
        outputs: what each run returned, by leaf name.
        under_random: how far the certified graphs are apart under random cotangents; None where
            their replays were not asked.
    """

    quantities: tuple[Quantity, ...]
    answers: Answers = field(default_factory=Answers)
    random: bool = False
    notes: tuple[str, ...] = ()
    left: tuple[LeftBehind, LeftBehind] = (LeftBehind(), LeftBehind())
    hooked: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())
    ungraded: str = ""
    under_random: tuple[ApartUnder, ...] | None = None
    outputs: tuple[Mapping[str, Array], Mapping[str, Array]] = field(default=({}, {}), repr=False)

    @property
    def within(self) -> bool:
        """Whether everything counted is within the tolerance, and something was."""
        counted = [quantity for quantity in self.quantities if quantity.counted]
        return bool(counted) and all(quantity.within for quantity in counted)

    @property
    def required(self) -> dict[str, float]:
        """The tolerance that the whole run would have needed."""
        counted = [
            quantity
            for quantity in self.quantities
            # what is within a tolerance of its own says nothing of the general one
            if quantity.counted and not (quantity.own and quantity.within)
        ]
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

    def excusing(self, names: Collection[tuple[str, str]], reason: str) -> WholeCheck:
        """The same with some values not counted, (kind, name in the first model): a known
        divergence of the frameworks explains them."""
        held = list(self.quantities)
        for number, own in enumerate(held):
            if (own.kind, own.first) in names:
                held[number] = replace(own, counted=False, reason=reason)
        return replace(self, quantities=tuple(held))


Witness = Callable[[dict[int, Eager | None], WholeCheck], None]
"""Told of a model's eager run, 0 for the first, 1 for the second, None where it could not be
differentiated twice, and of what both runs come to."""


def check_whole(
    first_engine: Engine,
    second_engine: Engine,
    first_example: Mapping[str, Any],
    second_example: Mapping[str, Any],
    *,
    matching: Matching | None = None,
    inputs: Sequence[tuple[str, str]] = (),
    losses: tuple[Loss, Loss] | None = None,
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
        losses: one of each model's output; None for the mean of each floating output, averaged.
        backward: whether gradients are compared.
        tolerance: what differences are held against.
        witness: is told of both models' runs under random cotangents, to hold their captures
            against; it lets go of one before the other's replay runs.

    An exception of a model's forward or of a loss passes through as it is.
    """
    engines, examples = (first_engine, second_engine), (first_example, second_example)

    def ran(side: int) -> tuple[EagerModel, Eager | None]:
        loss = losses[side] if losses else None
        request = _request(matching, side, examples[side], loss, backward)
        witnessed = witness is not None and not is_recorded(engines[side])
        return run_eagerly(engines[side], request, witnessed=witnessed)

    pair, eager = _ran_both(ran, engines)

    def steady() -> frozenset[str]:
        return steady_values(second_engine, second_example)

    whole = _compared(pair, matching, inputs, backward, tolerance or Tolerance(), steady)
    del pair
    if witness is not None:
        witness(eager, whole)
    return whole


def _ran_both(
    ran: Callable[[int], tuple[EagerModel, Eager | None]], engines: tuple[Engine, Engine]
) -> tuple[tuple[EagerModel, EagerModel], dict[int, Eager | None]]:
    """Both models' runs, at once where one is elsewhere, and what each is a witness with."""
    if any(map(is_away, engines)):
        first, second = at_once(lambda: ran(0), lambda: ran(1), engines)
    else:
        first, second = ran(0), ran(1)
    return (first[0], second[0]), {0: first[1], 1: second[1]}


def _request(
    matching: Matching | None,
    side: int,
    example: Mapping[str, Any],
    loss: Loss | None,
    backward: bool,
) -> ModelRequest:
    if matching is None:
        return ModelRequest(example, loss, backward, None)
    graphs = matching.first.graph, matching.second.graph
    names = [[node.name for node in graph.of_kind("output")] for graph in graphs]
    shared = {pair[side] for pair in pair_outputs(matching, names[0], names[1])}
    return ModelRequest(example, loss, backward, graphs[side], shared)


def _compared(
    models: tuple[EagerModel, EagerModel],
    matching: Matching | None,
    inputs: Sequence[tuple[str, str]],
    backward: bool,
    asked: Tolerance,
    steady: Callable[[], frozenset[str]],
) -> WholeCheck:
    """Two runs held against each other."""
    first, second = models
    rows: tuple[ParameterRow, ...] = matching.parameters if matching is not None else ()
    notes = [
        f"gradients of the whole run are not compared, {side} has none: {model.ungraded}"
        for side, model in zip(SIDES, models, strict=True)
        if model.ungraded
    ]
    ungraded = "; ".join(notes)
    random = matching is not None and _draws(matching)
    answers, held = answers_of(models, matching, asked, steady if random else None)
    _check_names(asked, held)
    lossy = first.loss is not None and second.loss is not None
    if first.loss is not None and second.loss is not None:
        held.append(quantity("loss", "loss", "loss", first.loss, second.loss, asked))
    graded = backward and not ungraded
    held += held_quantities(rows, inputs, models, asked, gradients=graded)
    notes += _lost_notes(answers.lost)
    if not answers.pairs and not lossy:
        held = _uncounted(held, APART)
        notes.append(APART)
    if random:
        held = _uncounted(held, "random draws differ between the runs")
        notes.append(DRAWN)
    left = first.left, second.left
    hooked = first.hooked, second.hooked
    outputs = first.outputs, second.outputs
    notes += no_numbers_notes(answers.pairs, outputs)
    return WholeCheck(
        tuple(held), answers, random, tuple(notes), left, hooked, ungraded, outputs=outputs
    )


def _check_names(asked: Tolerance, outputs: Sequence[Quantity]) -> None:
    """Refuses tolerances of outputs that are not there: a misspelt name would be held loosely."""
    names = [name for own in outputs for name in dict.fromkeys((own.first, own.second))]
    for pattern, _, _ in asked.named:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UsageError(
                f"options: tolerances names {pattern!r}, which is no output; "
                f"outputs are {cut_short(names, SHOWN)}"
            )


def _uncounted(held: Sequence[Quantity], reason: str) -> list[Quantity]:
    return [replace(quantity, counted=False, reason=reason) for quantity in held]


def _lost_notes(lost: Sequence[tuple[str, str]]) -> list[str]:
    """Notes about outputs that only one side has."""
    notes: list[str] = []
    for key, side in zip(("first", "second"), SIDES, strict=True):
        names = [name for which, name in lost if which == key]
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            notes.append(
                f"outputs that only {side} has, not compared: {', '.join(names[:SHOWN])}{more}"
            )
    return notes


def _draws(matching: Matching) -> bool:
    """Whether a model draws random numbers."""
    return any(
        "random" in record.marks
        for normal in (matching.first, matching.second)
        for record in normal.graph.of_kind("operation")
    )
