"""The engine of a recorded model: it answers what the recording holds, and says so where it does
not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, cast

import numpy as np

from padiff_graph.capture.engine import Array, NotRunnable, Run, same_numbers
from padiff_graph.capture.graph import ComputationGraph, Node, Value
from padiff_graph.capture.leaf_names import leaves, output_leaves
from padiff_graph.capture.leaf_names import replace as replaced
from padiff_graph.capture.python_state import ABSENT, Change, PythonState, Watch
from padiff_graph.capture.remote.engine import restored
from padiff_graph.capture.shown_gradients import SIZES, shown_gradient
from padiff_graph.sides.recorded_model import RecordedModel, RecordedTensor

__all__ = ["BEFORE", "RecordedEngine", "is_recorded", "value_name"]

BEFORE, FORWARD, BACKWARD = range(3)
"""What has happened to the model since it was last looked after."""
CALL = "a recording holds what one model did on one example; "


def is_recorded(engine: object) -> bool:
    """Whether an engine is of a recorded model."""
    return isinstance(engine, RecordedEngine)


def value_name(value: Value) -> str:
    """A value's name in a recording."""
    return f"{value.node}.{value.output}"


class _RecordedPython:
    """The attributes that the recorded run changed, as `PythonState` answers for them."""

    def __init__(self, engine: RecordedEngine) -> None:
        self.engine = engine
        whole = engine.model.facts["whole"]
        self.runs = [_attributes(whole), _attributes(whole["again"] or whole)]
        left = whole["left"]
        self.before = {tuple(place): leaves for place, leaves in left["before"]}
        self.others = {tuple(place): (plain, value) for place, plain, value in left["others"]}

    @property
    def after(self) -> Mapping[tuple[str, str], Any]:
        """What the last run left."""
        return self.runs[self.engine.calls > 1]

    def changed(self) -> Iterator[Change]:
        """Places that the run left otherwise."""
        if self.engine.stage != BEFORE:
            for owner, name in self.after:
                yield Change(owner, name, None, None)

    def now(self, owner: str, name: str) -> Any:
        """What stands there, as far as it is known."""
        place = owner, name
        held = self.before if self.engine.stage == BEFORE else self.after
        if place in held:
            return ABSENT if held[place] is None else restored(held[place])
        plain, value = self.others.get(place, (True, ABSENT))
        if not plain:
            where = f"{owner}.{name}".removeprefix(".")
            raise NotRunnable(f"{CALL}not what stands at {where}")
        return value

    def restore(self) -> None:
        """Puts everything back; the next call is another run."""
        self.engine.stage = BEFORE


def _attributes(run: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    return {tuple(place): leaves for place, leaves in run["left"]["attributes"]}


class RecordedEngine:
    """`Engine`, for a recorded model. Weights may be assigned and are remembered; nothing can be
    run with others than the recording was made with.
    """

    def __init__(self, model: RecordedModel) -> None:
        self.model = model
        self.framework = model.framework
        self.stage = BEFORE
        self.calls = 0
        self.evaluated = False
        self.assigned: dict[str, Array] = {}
        self.own = {
            name: self._weight(name, info.type.dtype)
            for name, info in model.graph.parameters.items()
        }
        self.randomised = frozenset(model.recording.names("lively"))
        self.stretches = {_key(own): number for number, own in enumerate(model.facts["regions"])}

    def _weight(self, name: str, dtype: str) -> RecordedTensor:
        return RecordedTensor(lambda: self.model.weight(name), dtype)

    @contextmanager
    def quiet(self, *, values: bool = True) -> Iterator[Watch]:
        """As of `Engine`."""
        before = self.stage, self.calls, self.evaluated, dict(self.assigned)
        self.stage, self.calls, self.evaluated = BEFORE, 0, False
        python = cast(PythonState, _RecordedPython(self))
        try:
            yield Watch(python, self._written)
        finally:
            self.stage, self.calls, self.evaluated, self.assigned = before

    def _written(self) -> frozenset[str]:
        whole = self.model.facts["whole"]
        return frozenset() if self.stage == BEFORE else frozenset(whole["left"]["written"])

    def tensor(
        self, array: Array, dtype: str | None = None, requires_grad: bool = False
    ) -> RecordedTensor:
        """As of `Engine`."""
        return RecordedTensor.of(np.array(array), dtype or "")

    def array(self, tensor: RecordedTensor) -> Array:
        """As of `Engine`."""
        return np.array(tensor.numpy())

    def parameters(self) -> dict[str, RecordedTensor]:
        """As of `Engine`."""
        held = dict(self.own)
        now = dict(self.assigned)
        if self.stage != BEFORE:
            now |= self.model.arrays(f"buffers{self._which()}")
        if self.stage == BACKWARD:
            now |= self.model.arrays("buffers.backward")
        if self.model.optimizer is not None:
            now |= self.model.optimizer.values()
        for name, array in now.items():
            held[name] = RecordedTensor.of(array, held[name].dtype)
        return held

    def assign(self, values: Mapping[str, Array]) -> None:
        """As of `Engine`."""
        for name, array in values.items():
            own = self.own[name].numpy()
            self.assigned[name] = np.asarray(array, own.dtype).reshape(own.shape)

    def inputs(self, graph: ComputationGraph) -> dict[int, RecordedTensor]:
        """As of `Engine`."""
        return {
            int(number): RecordedTensor(
                lambda number=number: self.model.array("leaves", number),  # type: ignore[misc]
                graph.record(int(number)).dtype(),
            )
            for number in self.model.recording.names("leaves")
        }

    def forward(self, example: Mapping[str, Any], *, grad: bool) -> Run:
        """As of `Engine`; the recorded run.

        Raises:
            NotRunnable: the weights are others than the recorded ones.
        """
        self.calls += 1
        whole = self.model.facts["whole"]
        outputs = self._outputs(whole["second_call"])
        run = whole if not self._which() else whole["again"]
        self.stage = FORWARD
        return Run(
            {name: RecordedTensor.of(array) for name, array in outputs.items()},
            _filled(run["structure"], outputs),
            self.model.arrays(f"buffers{self._which()}"),
            {},
            {name: RecordedTensor.of(np.zeros(())) for name in whole["differentiable"]},
            self.model.arrays(f"written{self._which()}"),
            run["containers"],
        )

    def _which(self) -> str:
        """The mark of the run that the last call was: one that draws is recorded twice."""
        again = self.model.facts["whole"]["again"] is not None
        return ".again" if again and self.calls > 1 else ""

    def _outputs(self, second_call: Mapping[str, Any]) -> dict[str, Array]:
        """What the last call yields; that of the second of two calls with grown weights, too."""
        others = [
            name
            for name, array in self.assigned.items()
            if not same_numbers(self.own[name].numpy(), array)
        ]
        if not others:
            kind = "calls.0" if self.evaluated else f"outputs{self._which()}"
            return self.model.arrays(kind)
        if self.calls > 1 and self._grown(others, second_call):
            if second_call["unasked"]:
                raise NotRunnable(second_call["unasked"])
            return self.model.arrays("calls.1")
        raise NotRunnable(f"{CALL}not with other weights, as of {others[0]} here")

    def _grown(self, others: Sequence[str], second_call: Mapping[str, Any]) -> bool:
        """Whether all that a model learns has grown as it had for the recorded second call."""
        if self.model.hashed.unknown.intersection(second_call["learned"]):
            return False
        growth = second_call["growth"]
        held = {name: self.own[name].numpy() for name in second_call["learned"]}
        grown = {
            name: array * array.dtype.type(growth if array.dtype.kind in "fc" else 1)
            for name, array in held.items()
        }
        return set(others) <= grown.keys() and all(
            same_numbers(array, self.assigned.get(name, held[name]))
            for name, array in grown.items()
        )

    def evaluate(self) -> None:
        """As of `Engine`; only the two calls in a row were recorded so.

        Raises:
            NotRunnable: there are none.
        """
        whole = self.model.facts["whole"]
        if whole["again"] is None or whole["second_call"]["unasked"]:
            raise NotRunnable(f"{CALL}not in evaluation mode")
        self.evaluated = True

    def observe(self, example: Mapping[str, Any]) -> dict[tuple[str, int], list[Array]]:
        """As of `Engine`; a recording cannot tell."""
        return {}

    def backward(
        self,
        run: Run,
        cotangents: Mapping[str, Array] | None = None,
        loss: Any = None,
        *,
        again: bool = False,
    ) -> None:
        """As of `Engine`; under the cotangents that the recording holds.

        Raises:
            NotRunnable: under others.
        """
        whole = self.model.facts["whole"]
        if whole["ungraded"]:
            raise NotRunnable(whole["ungraded"])
        if loss is not None and whole["loss"] is not None:
            if whole["loss"]["ungraded"]:
                raise NotRunnable(whole["loss"]["ungraded"])
            run.gradients.update(self.model.arrays("gradients.loss"))
            self.stage = BACKWARD
            return
        for kind in ("", ".mean"):
            recorded = self.model.arrays(f"cotangents{kind}")
            if cotangents is not None and _same(cotangents, recorded):
                run.gradients.update(self.model.arrays(f"gradients{kind}"))
                self.stage = BACKWARD
                return
        raise NotRunnable(f"{CALL}not its gradients under this loss")

    def hooked_parameters(self) -> frozenset[str]:
        """As of `Engine`."""
        return frozenset(self.model.facts["whole"]["hooked"])

    def hooked(self, gradients: Mapping[str, Array]) -> dict[str, Array]:
        """As of `Engine`; of the gradients that the recording holds."""
        after: dict[str, Array] = {}
        for name, gradient in gradients.items():
            key = f"parameter:{name}"
            kind = self._hooked_kind(name, gradient)
            if kind is None:
                raise NotRunnable(f"{CALL}not what its hooks make of other gradients")
            after[name] = self.model.array(kind, key)
        return after

    def _hooked_kind(self, name: str, gradient: Array) -> str | None:
        """The kind of array that says what hooks made of a gradient; None for another one."""
        held, key = self.model.recording.holds, f"parameter:{name}"
        for number, size in enumerate(SIZES):
            kind = f"hooked.shown.{number}"
            if held(kind, key) and same_numbers(
                gradient, shown_gradient(name, gradient.shape, size)
            ):
                return kind
        for kind, before in (("hooked", "gradients.mean"), ("hooked.loss", "gradients.loss")):
            there = held(kind, key) and held(before, key)
            if there and same_numbers(gradient, self.model.array(before, key)):
                return kind
        return None

    def run(
        self,
        node: Node,
        operands: Sequence[Any],
        *,
        double: bool = False,
        draw: Array | None = None,
    ) -> tuple[Any, ...]:
        """As of `Engine`; nothing is run.

        Raises:
            NotRunnable: always.
        """
        raise NotRunnable(f"{CALL}{node.op} cannot be run on other values")

    def grad(
        self,
        outputs: Sequence[Any],
        inputs: Sequence[Any],
        cotangents: Sequence[Any],
        *,
        again: bool = False,
    ) -> list[Any]:
        """As of `Engine`; nothing is run.

        Raises:
            NotRunnable: always.
        """
        raise NotRunnable(f"{CALL}nothing of it can be differentiated anew")

    def late(self, array: Array, dtype: str | None, arrived: Callable[[Array], None] | None) -> Any:
        """As of `Engine`; nothing is run that could read it."""
        return self.tensor(array, dtype)

    def saving(self) -> AbstractContextManager[None]:
        """As of `Engine`."""
        return nullcontext()

    def recording(self, on: bool) -> AbstractContextManager[None]:
        """As of `Engine`."""
        return nullcontext()

    # -- what is recorded on the way

    def region_weight(self, name: str) -> Array:
        """A weight as regions were recorded with it: constants replaced by random numbers."""
        if name in self.randomised:
            return self.model.array("lively", name)
        return self.own[name].numpy()

    def other_weight(self, name: str, array: Array) -> str:
        """Why a weight of a region is another one than was recorded; "" where it is not."""
        if name in self.model.hashed.unknown and name not in self.randomised:
            return f"the recording holds the hash of {name} alone, and no numbers here have it"
        if same_numbers(self.region_weight(name), array):
            return ""
        return f"the recording holds this part with other numbers in {name}"

    def value(self, value: Value, *, double: bool = False) -> Array | None:
        """A value on the way, with the weights of the regions; None where it is not recorded.

        Args:
            value: of an input or an operation.
            double: as float64 yields it from the inputs on.
        """
        number = str(value.node)
        if self.model.recording.holds("leaves", number):
            return self.model.array("leaves", number)
        name, kind = value_name(value), "values.float64" if double else "values.float32"
        return self.model.array(kind, name) if self.model.recording.holds(kind, name) else None

    def stretch(self, nodes: Sequence[int], values: Sequence[Value]) -> int | None:
        """The number of the recorded region of these operations that reads these values."""
        return self.stretches.get((tuple(nodes), tuple(values)))


def _filled(structure: Any, outputs: Mapping[str, Array]) -> Any:
    """What a run returned, with the numbers of its outputs where the tensors stand."""
    places = zip(
        output_leaves(structure, _is_tensor), leaves(structure, _is_tensor).items(), strict=True
    )
    fresh = {
        place: RecordedTensor.of(outputs[name], tensor.dtype)
        for name, (place, tensor) in places
        if name in outputs
    }
    return replaced(structure, _is_tensor, fresh)


def _is_tensor(value: object) -> bool:
    return isinstance(value, RecordedTensor)


def _key(region: Mapping[str, Any]) -> tuple[tuple[int, ...], tuple[Value, ...]]:
    return tuple(region["nodes"]), tuple(region["values"])


def _same(given: Mapping[str, Array], recorded: Mapping[str, Array]) -> bool:
    """Whether two sets of cotangents are the same."""
    return given.keys() == recorded.keys() and all(
        same_numbers(array, recorded[name]) for name, array in given.items()
    )
