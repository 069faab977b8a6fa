"""A recording's training: steps with the user's optimizer, and what a check asks of it alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from padiff_graph.capture.backend import backend
from padiff_graph.capture.engine import Array
from padiff_graph.errors import UsageError, UsageTypeError
from padiff_graph.export.recorded_whole import WholeRun
from padiff_graph.sides.digests import digest
from padiff_graph.sides.recorded_training import StepFacts, TrainingFacts
from padiff_graph.sides.recording_file import RecordingWriter
from padiff_graph.training.grain import held_in, of_graph
from padiff_graph.training.losses import scalar
from padiff_graph.training.optimizers import Stepper
from padiff_graph.training.stages.band import Band, trained_twice
from padiff_graph.training.stages.step_record import StepRecord
from padiff_graph.training.training_side import TrainingSide
from padiff_graph.training.training_steps import TRIALS
from padiff_graph.training.update_trial import noise

__all__ = ["Training", "check_training", "write_training"]

Values = Mapping[str, Array]


@dataclass(frozen=True)
class Training:
    """Steps to be recorded.

    Attributes:
        optimizer: the framework's own, of the model's parameters.
        steps: how many, each on the recording's example.
    """

    optimizer: Any
    steps: int


def check_training(model: Any, framework: str, training: Training, loss: Any) -> None:
    """Refuses what cannot be recorded.

    Raises:
        UsageError, UsageTypeError: there is no loss or no step, or the optimizer is none of the
            framework's that trains this model.
    """
    if isinstance(training.steps, bool) or not isinstance(training.steps, int):
        raise UsageTypeError(f"steps is a whole number of at least 1; found {training.steps!r}")
    if training.steps < 1:
        raise UsageError(f"steps is a whole number of at least 1; found {training.steps}")
    tools = backend(framework).optimizers
    if tools is None:
        raise UsageError(f"a model of {framework} cannot be trained; leave the optimizer out")
    if loss is None:
        raise UsageError("optimizer: a training is recorded under a loss; name one too")
    given = training.optimizer
    if not tools.is_optimizer(given):
        raise UsageTypeError(
            f"optimizer: expected an optimizer of {framework}; found {type(given).__qualname__}"
        )
    refusal = tools.refusal(given)
    if refusal:
        raise UsageError(f"optimizer: {refusal}")
    if Stepper.of(framework, model, given, (given,)).masters:
        raise UsageError(
            "optimizer: it owns float32 masters in the place of the weights, and what it does to "
            "them reaches the weights by lines of your own; such a training is not recorded"
        )
    if not tools.settings(given, model):
        raise UsageError(
            f"optimizer: it owns no parameter of {type(model).__qualname__}; build it from that "
            "model's parameters()"
        )


def write_training(
    writer: RecordingWriter, run: WholeRun, model: Any, training: Training
) -> TrainingFacts:
    """Writes training steps; model and optimizer are as before afterwards.

    Args:
        run: the model with its example and its loss.
        model: that the optimizer trains.
        training: the steps.
    """
    own = training.optimizer
    stepper = Stepper.of(run.graph.framework, model, own, (own,))
    tools = stepper.tools

    def loss(output: Any) -> Any:
        assert run.loss is not None
        return scalar(run.loss(output), "recorded", stepper.framework)

    side = TrainingSide(run.engine, stepper, [run.example], loss, dtype=held_in(run.graph))
    trained = sorted(tools.trainable(model) & set(stepper.settings()))
    dtype = of_graph(run.graph)
    start = side.remember()
    settings = stepper.settings()
    _write_states(writer, 0, stepper)
    try:
        before = side.values()
        given = {"noise": _tried(writer, "noise", side, _noises(before, trained))}
        side.clear()
        facts, first = _steps(writer, side, training.steps)
        losses = [step["loss"] for step in facts]
        band = trained_twice(side, start, losses, lambda band: True, dtype)
        _put_back(start)
        start = side.remember()
        for kind, gradients in (("accumulated", first.accumulated), ("handed", first.handed)):
            own = {name: gradients[name] for name in trained if name in gradients}
            if own:
                given[kind] = _tried(writer, kind, side, [own])
    finally:
        _put_back(start)
    return {
        "optimizer": type(training.optimizer).__name__,
        "hooked": tools.is_hooked(training.optimizer),
        "schedule": tools.schedule(training.optimizer),
        "trainable": sorted(tools.trainable(model)),
        "settings": settings,
        "given": given,
        "steps": facts,
        "dtype": dtype,
        "band": None if band is None else _members(band),
    }


def _noises(before: Values, trained: Sequence[str]) -> list[dict[str, Array]]:
    """The seeded gradients of as many steps as a check may try."""
    return [
        {name: noise(name, step, before[name]) for name in trained}
        for step in range(1, max(TRIALS) + 1)
    ]


def _put_back(start: Iterable[Any]) -> None:
    for put_back in start:
        put_back()


def _steps(
    writer: RecordingWriter, side: TrainingSide, count: int
) -> tuple[list[StepFacts], StepRecord]:
    """Takes the steps, each written as it comes; of the first what its optimizer was given."""
    facts: list[StepFacts] = []
    first = StepRecord()
    for step in range(1, count + 1):
        side.learn(step)
        side.step()
        record = side.record
        if step == 1:
            first = StepRecord(accumulated=record.accumulated, updates=record.updates)
        for kind, values in (
            ("before", record.before),
            ("after", record.after),
            ("accumulated", record.accumulated),
            ("remaining", record.remaining),
        ):
            _write(writer, f"training.{kind}", step, values)
        for number, update in enumerate(record.updates):
            _write(writer, f"training.handed.{number}", step, update.gradients)
        _write_states(writer, step, side.stepper)
        told = [_plain(update.settings) for update in record.updates]
        facts.append({"loss": record.loss, "settings": told})
    return facts, first


def _plain(settings: Mapping[str, Mapping[str, object]]) -> dict[str, dict[str, Any]]:
    return {name: dict(own) for name, own in settings.items()}


def _write(writer: RecordingWriter, kind: str, step: int, values: Values) -> None:
    for name, array in values.items():
        writer.add(kind, f"{step}.{name}", array)


def _write_states(writer: RecordingWriter, step: int, stepper: Stepper) -> None:
    for name, states in stepper.state().items():
        for kind, array in states.items():
            writer.add(f"remembered.{kind}", f"{step}.{name}", array)


def _tried(
    writer: RecordingWriter, kind: str, side: TrainingSide, steps: Sequence[Values]
) -> list[dict[str, str]]:
    """Writes what nothing but the update rule makes of gradients; answers with their digests."""
    stepper = side.stepper
    tools = stepper.tools
    with tools.kept(stepper.given, stepper.model):
        tools.bare(stepper.given)
        for number, gradients in enumerate(steps, 1):
            tools.put_gradients(stepper.model, gradients)
            tools.advance(stepper.given)
            values = side.values()
            _write(writer, f"trial.{kind}", number, {name: values[name] for name in gradients})
    return [{name: digest({name: array}) for name, array in one.items()} for one in steps]


def _members(band: Band) -> list[tuple[int, str, str, float, float, float | None]]:
    return [
        (*key, moved, band.sizes.get(key, 0.0), band.reach.get(key))
        for key, moved in band.moved.items()
    ]
