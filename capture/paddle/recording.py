"""One PIR program being written down from one run of a layer's forward, faithful to eager mode.

What the forward handles are values of the program and eager tensors; `Recording` says what they are
now, after in-place calls, and what they are on the example, where the forward asks for numbers.
`patches.recorded` is what makes Paddle speak to it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import paddle

from padiff_graph.capture.graph import Kind
from padiff_graph.capture.paddle import internals
from padiff_graph.capture.paddle.backward_code import (
    Custom,
    HookEntry,
    is_value,
    rebuilt,
    results_of_custom,
)
from padiff_graph.capture.paddle.example_numbers import ExampleNumbers, ProgramInputs, Unanswerable
from padiff_graph.capture.paddle.layer_calls import LayerCalls
from padiff_graph.capture.paddle.overwrites import Overwrites
from padiff_graph.capture.paddle.user_lines import user_line

__all__ = ["Questions", "Recording"]


class Questions(Enum):
    """What becomes of questions about numbers that a forward asks."""

    REFUSED = "each ends the recording"
    TRANSFORMED = "Paddle's transform makes operations of them, or fails"
    ANSWERED = "the example answers"


@dataclass
class Recording:
    """One attempt at writing down a program.

    Attributes:
        names: (kind, dotted name) of the model's own tensors by id.
        paths: dotted path of each sublayer by id.
        concrete: whether tensors hold numbers, so that questions can be answered.
        questions: what becomes of questions about numbers.
        program: the program.
        startup: Paddle wants one; it stays empty.
        tracer: what makes dynamic mode dynamic.
        inputs: the program's leaves.
        numbers: what its values are on the example.
        overwrites: what in-place calls made of its values.
        calls: which layer made which operation.
        hooks: gradient hooks by the id of the value that they stand at.
        customs: custom functions, in the order of their ends.
        notes: what a reader of the graph should know.
        failure: the first exception out of `cast`.
    """

    names: Mapping[int, tuple[Kind, str]]
    paths: Mapping[int, str]
    concrete: bool
    questions: Questions
    program: Any = field(default_factory=paddle.static.Program)
    startup: Any = field(default_factory=paddle.static.Program)
    tracer: Any = field(default_factory=internals.dynamic_tracer)
    hooks: dict[int, list[HookEntry]] = field(default_factory=dict)
    customs: list[Custom] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)
    failure: Exception | None = None

    def __post_init__(self) -> None:
        self.inputs = ProgramInputs(self.names, self.tracer)
        self.numbers = ExampleNumbers(self.inputs, self.concrete)
        self.overwrites = Overwrites(self.numbers)
        self.calls = LayerCalls(self.program, self.paths)

    # what the forward handles

    def cast(self, operand: Any) -> Any:
        """What Paddle calls for every operand of every new operation.

        An exception out of here would end the process in C++: it is kept, and raised when the
        forward is through or stumbles over it.
        """
        try:
            return self.resolved(operand)
        except Exception as error:
            self.failure = self.failure or error
            return operand

    def resolved(self, operand: Any) -> Any:
        """The program's present value for a value or an eager tensor; anything else as it is."""
        if is_value(operand):
            value = self.overwrites.current(operand)
            self.numbers.settle(value)
            return value
        if isinstance(operand, internals.TENSOR):
            return self.overwrites.current(self.inputs.value(operand))
        return operand

    def value(self, operand: Any) -> Any:
        """The program's value for a value or an eager tensor, before any in-place call."""
        return operand if is_value(operand) else self.inputs.value(operand)

    def current(self, value: Any) -> Any:
        """The same after the in-place calls so far."""
        return self.overwrites.current(value)

    def write(self, target: Any, result: Any) -> Any:
        """Notes that an in-place call put `result` where `target` was; answers `result`."""
        if is_value(target) or isinstance(target, internals.TENSOR):
            self.overwrites.write(self.value(target), result)
        return result

    # what the forward asks

    def ask(self, value: Any, what: str) -> Any:
        """The numbers of a value, asked for by the forward; noted with the line that asks.

        Raises:
            CaptureError: where questions are not answered, or the model holds no numbers.
        """
        line = user_line(sys._getframe(1))
        where = line or "an unknown line"
        if self.questions is not Questions.ANSWERED:
            raise Unanswerable(f"{what} is asked for at {where}", line)
        try:
            tensor = self.numbers.tensor(self.current(value))
        except Unanswerable as error:
            raise Unanswerable(f"{what} is asked for at {where}: {error}", line) from None
        self.notes.setdefault(
            f"{what} at {where} was answered by the example;"
            " another input may take another way there"
        )
        with internals.dynamic(self.tracer):
            return tensor.numpy()

    # what only the backward sees

    def hook(self, target: Any, entry: HookEntry) -> list[HookEntry]:
        """Puts a gradient hook on a value; answers the list that holds it."""
        value = self.current(self.value(target))
        hooks = self.hooks.setdefault(value.id, [])
        hooks.append(entry)
        return hooks

    def custom(
        self, function: Any, arguments: tuple[Any, ...], keywords: dict[str, Any], source: str
    ) -> Any:
        """Runs a custom function's forward into the program and notes it as one piece."""
        given = tuple(self._argument(argument) for argument in arguments)
        first = self.calls.newest()
        returned, results = results_of_custom(function, given, keywords)
        path, call = self.calls.place()
        last = self.calls.newest()
        self.customs.append(
            Custom(function, given, keywords, results, first, last, source, path, call)
        )
        return rebuilt(returned, results, lambda result: result)

    def _argument(self, argument: Any) -> Any:
        if is_value(argument) or isinstance(argument, internals.TENSOR):
            return self.current(self.value(argument))
        return argument
