"""The training of a recorded model: its optimizer, and what each step left.

An optimizer that is recorded answers as one that trains: asked for a step, it is where the recorded
one was after it. So whoever trains two models side by side does not know that one is a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict

from padiff_graph.capture.abilities import WatchedPass, WatchedStep
from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.errors import UsageError
from padiff_graph.sides.digests import digest

if TYPE_CHECKING:
    from padiff_graph.sides.recorded_model import RecordedModel

__all__ = [
    "RecordedOptimizer",
    "RecordedOptimizers",
    "StepRun",
    "TrainingFacts",
    "recorded_optimizers",
    "settings_misfit",
]

PLAIN = (str, int, float, type(None))
"""What a setting is."""
Moved = tuple[int, str, str, float, float, float | None]


class StepFacts(TypedDict):
    """One step: its loss, and what each update of it was set to do to each parameter."""

    loss: float
    settings: list[dict[str, dict[str, Any]]]


class TrainingFacts(TypedDict):
    """Training steps with an optimizer, each on the recording's example.

    `given` are digests of the gradients that trials were on, by kind, step and parameter; `dtype`
    is what the model is rounded to; `band` is step, stage, name, movement, size and reach of
    everything that one unit in the last place moves.
    """

    optimizer: str
    hooked: bool
    schedule: str
    trainable: list[str]
    settings: dict[str, dict[str, Any]]
    given: dict[str, list[dict[str, str]]]
    steps: list[StepFacts]
    dtype: str
    band: list[Moved] | None


def settings_misfit(training: TrainingFacts) -> str:
    """Where settings are none of an optimizer's, in words; "" where they are."""
    every = [own for step in training["steps"] for own in step["settings"]]
    for told in (training["settings"], *every):
        for name, settings in told.items():
            if "algorithm" not in settings:
                return f"training names no algorithm for {name}"
            odd = [key for key, value in settings.items() if not isinstance(value, PLAIN)]
            if odd:
                return f"training's {odd[0]} of {name} is no plain value"
    return ""


@dataclass(frozen=True)
class StepRun:
    """What a recorded model returns in a training step.

    Attributes:
        loss: of the step.
    """

    loss: float


@dataclass
class RecordedOptimizer:
    """The optimizer that a recorded model was trained with, and how far the training has come.

    Attributes:
        model: of the recording.
        facts: what the manifest says of the training.
        taken: steps that were taken.
        learned: whether the next one has its gradients.
        trial: the steps that were taken in a trial of the optimizer alone; None outside of one.
        kind: which of the recorded trials it is.
        events: updates of the step that is being watched.
    """

    model: RecordedModel
    facts: TrainingFacts
    taken: int = 0
    learned: bool = False
    trial: int | None = None
    kind: str = ""
    events: list[WatchedStep | WatchedPass] = field(default_factory=list)

    @property
    def class_name(self) -> str:
        """Of the optimizer that was recorded."""
        return self.facts["optimizer"]

    @property
    def steps(self) -> int:
        """How many were recorded."""
        return len(self.facts["steps"])

    def run(self) -> StepRun:
        """The run of the next step.

        Raises:
            NotRunnable: no more were recorded.
        """
        if self.taken >= self.steps:
            raise NotRunnable(f"the recording holds {self.steps} training steps")
        self.learned = True
        return StepRun(self.facts["steps"][self.taken]["loss"])

    def values(self) -> dict[str, Array]:
        """Weights and buffers that training has left otherwise than they are recorded."""
        held: dict[str, Array] = {}
        if self.learned:
            held = self.of_step("training.before", self.taken + 1)
        elif self.taken:
            held = self.of_step("training.after", self.taken)
        return held | self.of_step(f"trial.{self.kind}", self.trial) if self.trial else held

    def of_step(self, kind: str, step: int) -> dict[str, Array]:
        """Arrays of a step, by parameter name."""
        start = f"{step}."
        names = self.model.recording.names(kind)
        return {
            name.removeprefix(start): self.model.array(kind, name)
            for name in names
            if name.startswith(start)
        }

    def gradients(self) -> dict[str, Array]:
        """Those that stand in the parameters."""
        if self.learned:
            return self.of_step("training.accumulated", self.taken + 1)
        return self.of_step("training.remaining", self.taken)

    def give(self, numbers: Mapping[str, Array]) -> None:
        """Gradients for the next step of a trial.

        Raises:
            UsageError: they are none that the optimizer was tried on.
        """
        if self.trial is None:
            return
        asked = {name: digest({name: array}) for name, array in numbers.items()}
        for kind, steps in self.facts["given"].items():
            held = steps[self.trial] if self.trial < len(steps) else {}
            if self.kind in ("", kind) and asked and asked.items() <= held.items():
                self.kind = kind
                return
        raise self.model.recording.refused("its optimizer was tried on other gradients")

    def advance(self) -> None:
        """One step, of the trial or of the training."""
        if self.trial is not None:
            self.trial += 1
            return
        self.taken, self.learned = self.taken + 1, False
        for number, settings in enumerate(self.facts["steps"][self.taken - 1]["settings"]):
            handed = self.of_step(f"training.handed.{number}", self.taken)
            self.events.append(WatchedStep(self, handed, settings))

    def remembers(self) -> dict[str, dict[str, Array]]:
        """State by parameter name and name of the state."""
        found: dict[str, dict[str, Array]] = {}
        for kind in self.model.recording.kinds("remembered."):
            for name, array in self.of_step(kind, self.taken).items():
                found.setdefault(name, {})[kind.removeprefix("remembered.")] = array
        return found


class RecordedOptimizers:
    """`Optimizers`, for recorded ones; arguments as of the protocol."""

    def is_optimizer(self, thing: object) -> bool:
        """As of `Optimizers`, like all below."""
        return isinstance(thing, RecordedOptimizer)

    def refusal(self, optimizer: RecordedOptimizer) -> str:
        """None: what cannot take a step by itself is not recorded."""
        return ""

    def trainable(self, model: RecordedModel) -> set[str]:
        """Parameters that were."""
        return set(_of(model).facts["trainable"])

    def settings(self, optimizer: RecordedOptimizer, model: object) -> dict[str, Any]:
        """Those before the first step."""
        return optimizer.facts["settings"]

    def state(self, optimizer: RecordedOptimizer, model: object) -> dict[str, dict[str, Array]]:
        """That after the last step."""
        return optimizer.remembers()

    def masters(self, optimizer: RecordedOptimizer, model: object) -> dict[str, Any]:
        """None that anybody could write: those that an optimizer made itself are settings."""
        return {}

    @contextmanager
    def watching(self, model: RecordedModel) -> Iterator[list[WatchedStep | WatchedPass]]:
        """Steps as they are recorded."""
        optimizer = _of(model)
        optimizer.events = []
        yield optimizer.events

    def is_hooked(self, optimizer: RecordedOptimizer) -> bool:
        """As it was."""
        return optimizer.facts["hooked"]

    def schedule(self, optimizer: RecordedOptimizer) -> str:
        """As it was."""
        return optimizer.facts["schedule"]

    def bare(self, optimizer: RecordedOptimizer) -> None:
        """Trials were recorded so."""

    def advance(self, optimizer: RecordedOptimizer) -> None:
        """One step further."""
        optimizer.advance()

    def learn(self, loss: Any) -> None:
        """The gradients of the step, which the model noted when it was called."""

    def clear(self, model: RecordedModel) -> None:
        """Nothing stems from before the recording."""

    def gradients(self, model: RecordedModel) -> dict[str, Array]:
        """Those of the step."""
        return _of(model).gradients()

    def put_gradients(self, model: RecordedModel, numbers: Mapping[str, Array]) -> None:
        """Those of a trial; in the training they are the recorded ones."""
        _of(model).give(numbers)

    def saved(self, optimizer: RecordedOptimizer, model: object) -> Callable[[], None]:
        """How far it has come."""
        stood = optimizer.taken, optimizer.learned

        def put_back() -> None:
            optimizer.taken, optimizer.learned = stood
            optimizer.trial, optimizer.kind = None, ""

        return put_back

    @contextmanager
    def kept(self, optimizer: RecordedOptimizer, model: object) -> Iterator[None]:
        """A trial, which ends as it began."""
        optimizer.trial, optimizer.kind = 0, ""
        try:
            yield
        finally:
            optimizer.trial, optimizer.kind = None, ""


def _of(model: RecordedModel) -> RecordedOptimizer:
    if model.optimizer is None:
        raise NotRunnable("the recording holds no training")
    return model.optimizer


def recorded_optimizers(own: Sequence[Any], arguments: Mapping[str, Any]) -> list[Any] | None:
    """The optimizers of a call with a recording: the first side's and the recorded one; None where
    a side has none.

    Args:
        own: what belongs to each side.
        arguments: of the call: "optimizer", "loss_fn" as it will be, "steps".

    Raises:
        UsageError: the call names an optimizer in the place of the recorded one, or asks for what
            was not recorded.
    """
    given, steps = arguments.get("optimizer"), arguments.get("steps", 1)
    first, second = own
    if isinstance(steps, int) and steps > 1 and given is None and None in own:
        side = ("first", "second")[first is not None]
        raise UsageError(
            f"steps: the {side} side has no optimizer, and {steps} training steps need one on "
            "each; a recording has one where it was made with --steps "
            "(record(..., optimizer=, steps=))"
        )
    if given is not None:
        named = list(given) if isinstance(given, (tuple, list)) else []
        if len(named) != len(own) or named[1] is not None:
            raise UsageError(
                "optimizer: a recording has the one that it was trained with; give "
                "[first_optimizer, None]"
            )
        if second is None:
            raise UsageError(
                "optimizer: the recording was made without one; record with it, or leave it out"
            )
        first = named[0]
    if first is None or not isinstance(second, RecordedOptimizer):
        return None
    held = min(own.steps for own in (first, second) if isinstance(own, RecordedOptimizer))
    if isinstance(steps, int) and steps > held:
        raise UsageError(f"steps: the recording holds {held}; found {steps}")
    if isinstance(first, RecordedOptimizer):
        return [first, second]
    if arguments.get("loss_fn") is None:
        raise UsageError(
            "optimizer: the recorded training is one under its loss; give loss_fn=[first_loss, "
            "None] too"
        )
    return [first, second]
