"""Replacements for questions about numbers: answered by the example, or refused.

Where a recording does not answer, what would silently go wrong is refused: a shape that depends on
numbers reads -1, and Python would compute with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import paddle

from padiff_graph.capture.paddle import internals
from padiff_graph.capture.paddle.backward_code import is_value
from padiff_graph.capture.paddle.internals import Patch
from padiff_graph.capture.paddle.recording import Questions, Recording

__all__ = ["question_patches"]

Value = paddle.pir.Value


def question_patches(recording: Recording) -> list[Patch]:
    """The rows of this theme."""
    if recording.questions is Questions.TRANSFORMED:
        return []
    if recording.questions is Questions.REFUSED:
        return _shape_patches(recording)
    return [*_number_patches(recording), *_shape_patches(recording), *_identity_patches()]


def _number_patches(recording: Recording) -> list[Patch]:
    def scalar(kind: type) -> Callable[[Any], Any]:
        what = f"the branch or number ({kind.__name__} of a tensor)"

        def call(self: Any) -> Any:
            return kind(recording.ask(self, what))

        return call

    def index(self: Any) -> int:
        return int(recording.ask(self, "the index (a tensor used as a number)"))

    def numpy(self: Any, *args: Any) -> Any:
        return recording.ask(self, "the value (numpy of a tensor)").copy()

    def array(self: Any, dtype: Any = None, copy: Any = None) -> Any:
        numbers = numpy(self)
        return numbers if dtype is None else numbers.astype(dtype)

    def item(self: Any, *args: Any) -> Any:
        return recording.ask(self, "the number (item of a tensor)").item(*args)

    def tolist(self: Any) -> Any:
        return recording.ask(self, "the value (tolist of a tensor)").tolist()

    why = "static mode has no numbers"
    return [
        Patch(Value, "__bool__", scalar(bool), why),
        Patch(Value, "__int__", scalar(int), why),
        Patch(Value, "__float__", scalar(float), why),
        Patch(Value, "__complex__", scalar(complex), why),
        Patch(Value, "__index__", index, why),
        Patch(Value, "__array__", array, why),
        Patch(Value, "numpy", numpy, why),
        Patch(Value, "item", item, why),
        Patch(Value, "tolist", tolist, why),
    ]


def _shape_patches(recording: Recording) -> list[Patch]:
    def shape(self: Any) -> list[int]:
        known = internals.shape_of(self)
        if -1 not in known or not self.is_dense_tensor_type():
            return known
        if recording.questions is Questions.REFUSED:
            recording.ask(self, "a shape that depends on numbers")
        if not recording.concrete:
            return known
        now = recording.current(self)
        recording.numbers.settle(now)
        return list(recording.numbers.tensor(now).shape)

    def length(self: Any) -> int:
        return int(shape(self)[0])

    def iterate(self: Any) -> Iterator[Any]:
        return (self[position] for position in range(length(self)))

    why = "static mode has -1 where a shape depends on numbers"
    return [
        Patch(Value, "shape", property(shape, internals.SHAPE.__set__), why),
        Patch(Value, "__len__", length, why),
        Patch(Value, "__iter__", iterate, "Python would index until an error comes, and none does"),
    ]


def _identity_patches() -> list[Patch]:
    plain_name = Value.__dict__["name"]

    def name(self: Any) -> str:
        try:
            plain: str = plain_name.__get__(self)
        except (ValueError, RuntimeError):
            plain = f"value_{self.id}"
        return plain

    def no_leaf(self: Any) -> bool:
        return False

    def version(self: Any) -> int:
        return 0

    return [
        Patch(paddle, "Tensor", Tensor, "isinstance(value, paddle.Tensor) has to hold"),
        Patch(
            Value,
            "name",
            property(name, plain_name.__set__),
            "values in the middle of a program have no name; eager tensors always have one",
        ),
        Patch(Value, "is_leaf", property(no_leaf), "values have no such attribute"),
        Patch(Value, "inplace_version", property(version), "values have no such attribute"),
    ]


class _TensorOrValue(type):
    """Lets a program's value pass for the tensor that it stands for."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return is_value(instance) or isinstance(instance, internals.TENSOR)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, internals.TENSOR)

    def __getattr__(cls, name: str) -> Any:
        return getattr(internals.TENSOR, name)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return internals.TENSOR(*args, **kwargs)


class Tensor(metaclass=_TensorOrValue):
    """What the name `paddle.Tensor` means while a forward runs on the example."""
