"""What is replaced in Paddle while a forward is written down; a table of (owner, name, replacement)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import paddle
import paddle.pir.core
from paddle.jit.dy2static import parameter_recorder
from paddle.utils import inplace_utils

from padiff_graph.capture.paddle import internals
from padiff_graph.capture.paddle.user_lines import user_line

if TYPE_CHECKING:
    from padiff_graph.capture.paddle.recording import Recording

__all__ = ["Context", "patches"]

Value = paddle.pir.Value
Change = tuple[Any, str, Any]

OPERATORS = (
    "__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__", "__truediv__", "__rtruediv__", "__floordiv__",
    "__rfloordiv__", "__mod__", "__rmod__", "__pow__", "__rpow__", "__matmul__", "__rmatmul__", "__neg__", "__abs__",
    "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__and__", "__or__", "__xor__", "__invert__", "__getitem__",
)  # fmt: skip
"""Operators of eager tensors; called in static mode they would abort the process."""

METHODS = ("clone", "detach", "astype", "cast", "cpu", "cuda", "to", "contiguous")
"""Methods of eager tensors written in C++, likewise."""


BOUND = ("detach",)
"""Methods of values written in C++: they ask nobody about their operand and note no line."""


class Context:
    """Stands for the context of a custom function while its forward is written down; the backward is
    not: rerunning calls the function itself."""

    def save_for_backward(self, *tensors: Any) -> None:
        """Kept, as eager mode does, for a forward that reads it back."""
        self.container = tensors

    def saved_tensor(self) -> Any:
        """What was saved."""
        return self.container

    def mark_not_inplace(self, *_: Any) -> None:
        """No meaning here."""

    def mark_non_differentiable(self, *_: Any) -> None:
        """No meaning here."""

    def set_materialize_grads(self, _: bool) -> None:
        """No meaning here."""


NUMBERS = ("numpy", "item", "tolist", "__bool__", "__int__", "__float__", "__index__")
"""Methods of eager tensors that hand their numbers to Python."""


def patches(recording: Recording) -> list[Change]:
    """All replacements for the time of one recording."""
    return [
        *_tensors(recording),
        *_layers(recording),
        *_writes(recording),
        *_operations(recording),
        *_gradients(recording),
        *_answers(recording),
    ]


def _tensors(recording: Recording) -> list[Change]:
    """Eager tensors that the code holds become values of the program where they are used."""

    def lifted(name: str) -> Callable[..., Any]:
        eager = getattr(internals.TENSOR, name)
        symbolic = getattr(Value, name)

        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            if internals.dynamic_tracer() is not None:
                return eager(self, *args, **kwargs)
            return symbolic(recording.resolved(self), *args, **kwargs)

        call.__name__ = name
        return call

    changes: list[Change] = [
        (internals.TENSOR, name, lifted(name))
        for name in (*OPERATORS, *METHODS)
        if hasattr(internals.TENSOR, name) and hasattr(Value, name)
    ]

    def read(name: str) -> Callable[..., Any]:
        eager = getattr(internals.TENSOR, name)

        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            if internals.dynamic_tracer() is not None:
                return eager(self, *args, **kwargs)
            with internals.dynamic(recording.tracer):
                return eager(self, *args, **kwargs)

        return call

    changes += [(internals.TENSOR, name, read(name)) for name in NUMBERS]

    def bound(name: str) -> Callable[..., Any]:
        plain = getattr(Value, name)

        def call(self: Any) -> Any:
            result = plain(recording.resolved(self))
            internals.place(result.get_defining_op(), sys._getframe(1))
            return result

        return call

    changes += [(Value, name, bound(name)) for name in BOUND]

    def converted(tensor: Any) -> Any:
        return recording.resolved(tensor)

    changes.append((paddle.pir.core, "_convert_into_value", converted))
    return changes


class _TensorOrValue(type):
    """Lets a program's value pass for the tensor that it stands for."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return type(instance) is Value or isinstance(instance, internals.TENSOR)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, internals.TENSOR)

    def __getattr__(cls, name: str) -> Any:
        return getattr(internals.TENSOR, name)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return internals.TENSOR(*args, **kwargs)


class Tensor(metaclass=_TensorOrValue):
    """What the name `paddle.Tensor` means while a forward runs on the example."""


def _layers(recording: Recording) -> list[Change]:
    """Each call of a layer notes which operations it made."""
    plain = paddle.nn.Layer.__call__

    def called(self: Any, *args: Any, **kwargs: Any) -> Any:
        path = recording.path_of(self)
        if path is None:
            return plain(self, *args, **kwargs)
        with recording.span(path, self):
            return plain(self, *args, **kwargs)

    # Paddle labels each operation with the layer's class by walking the whole program, once a layer
    return [
        (paddle.nn.Layer, "__call__", called),
        (paddle.nn.layer.layers, "name_struct", lambda prefix=None: nullcontext()),
    ]


def _writes(recording: Recording) -> list[Change]:
    """In-place calls: static mode computes out of place, later readers get the result."""

    def evaluated(name: str) -> Callable[..., Any]:
        module, _, function = name.rpartition(".")
        plain = getattr(sys.modules[module], function, None)
        if plain is None:
            raise NotImplementedError(
                f"{name}_ is an in-place call that has no out-of-place counterpart in Paddle's static mode"
            )

        def call(target: Any, *args: Any, **kwargs: Any) -> Any:
            return recording.write(target, plain(target, *args, **kwargs))

        return call

    def overwritten(target: Any, value: Any, *_: Any) -> Any:
        given = (
            value
            if isinstance(value, (Value, internals.TENSOR)) or type(value) is Value
            else paddle.to_tensor(np.asarray(value))
        )
        given = recording.resolved(given)
        shape = list(target.shape)
        if list(given.shape) != shape:
            given = paddle.expand(given, shape)
        if given.dtype != target.dtype:
            given = paddle.cast(given, target.dtype)
        return recording.write(target, paddle.assign(given))

    def filled(target: Any, value: Any) -> Any:
        return recording.write(target, paddle.full_like(target, value))

    def zeroed(target: Any) -> Any:
        return filled(target, 0)

    def detached(target: Any) -> Any:
        return recording.write(target, target.detach())

    def diagonal(
        target: Any, value: Any, offset: int = 0, wrap: bool = False, name: Any = None
    ) -> Any:
        return recording.write(target, paddle._C_ops.fill_diagonal(target, value, offset, wrap))

    def indexed(program: Any, origin: Any, result: Any) -> None:
        recording.write(origin, result)

    def current(program: Any, value: Any) -> Any:
        now = recording.current(value)
        return None if now is value else now

    changes: list[Change] = [
        (inplace_utils, "eval", evaluated),
        (inplace_utils, "check_view_value", lambda value: False),
        (inplace_utils, "warnings", SimpleNamespace(warn=lambda *_, **__: None)),
        (parameter_recorder._global_inplace_map, "add", indexed),
        (parameter_recorder._global_inplace_map, "get", current),
        (
            parameter_recorder._global_parameter_recorder,
            "get",
            lambda program, tensor: recording.resolved(tensor),
        ),
    ]
    written = {
        "set_value": overwritten,
        "copy_": overwritten,
        "fill_": filled,
        "zero_": zeroed,
        "detach_": detached,
        "fill_diagonal_": diagonal,
    }
    for name, replacement in written.items():
        changes.append((Value, name, replacement))
        changes.append(
            (
                internals.TENSOR,
                name,
                _by_mode(getattr(internals.TENSOR, name), replacement, recording),
            )
        )
    set_item = internals.TENSOR.__setitem__
    changes.append(
        (
            internals.TENSOR,
            "__setitem__",
            _by_mode(
                set_item,
                lambda self, *args: Value.__setitem__(recording.leaf(self), *args),
                recording,
            ),
        )
    )
    return changes


def _operations(recording: Recording) -> list[Change]:
    """Operations that write an operand: `_C_ops.increment_`, batch norm's statistics."""

    def noticed(plain: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            found = plain(*args, **kwargs)
            if internals.dynamic_tracer() is None:
                recording.made()
            return found

        return call

    names = [
        name
        for name in vars(paddle._C_ops)
        if name.endswith(internals.INPLACE)
        and not name.startswith("_")
        and not name.endswith(("_grad_", "__"))
    ]
    return [
        (paddle._C_ops, name, noticed(getattr(paddle._C_ops, name)))
        for name in (*names, "batch_norm")
    ]


def _by_mode(eager: Any, symbolic: Any, recording: Recording) -> Callable[..., Any]:
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if internals.dynamic_tracer() is not None:
            return eager(self, *args, **kwargs)
        return symbolic(self, *args, **kwargs)

    return call


def _gradients(recording: Recording) -> list[Change]:
    """Gradient hooks and custom functions, which a program cannot hold."""

    def hooked(self: Any, hook: Any) -> Any:
        value = recording.current(self if type(self) is Value else recording.leaf(self))
        entry = (hook, user_line(sys._getframe(1)), recording.place())
        hooks = recording.hooks.setdefault(value.id, [])
        hooks.append(entry)
        return SimpleNamespace(remove=lambda: hooks.remove(entry))

    def applied(cls: Any, *args: Any, **kwargs: Any) -> Any:
        return recording.custom(cls, args, kwargs, user_line(sys._getframe(1)))

    eager_apply = paddle.autograd.PyLayer.apply

    def dispatched(cls: Any, *args: Any, **kwargs: Any) -> Any:
        if internals.dynamic_tracer() is not None:
            return (
                eager_apply.__func__(cls, *args, **kwargs)
                if hasattr(eager_apply, "__func__")
                else super(paddle.autograd.PyLayer, cls).apply(*args, **kwargs)
            )
        return applied(cls, *args, **kwargs)

    def by_alias(cls: Any) -> Any:
        """A name such as `act = Act.apply`, bound before the capture, leads past our `apply` into Paddle's own,
        which calls the forward and takes eager tensors alone as an answer."""
        forward = cls.forward

        def call(context: Any, *args: Any, **kwargs: Any) -> Any:
            if internals.dynamic_tracer() is not None or isinstance(context, Context):
                return forward(context, *args, **kwargs)
            found = applied(cls, *args, **kwargs)
            members = [
                recording.stand_in(member) if type(member) is Value else member
                for member in (found if isinstance(found, (tuple, list)) else [found])
            ]
            return type(found)(members) if isinstance(found, (tuple, list)) else members[0]

        return staticmethod(call)

    return [
        (Value, "register_hook", hooked),
        (
            internals.TENSOR,
            "register_hook",
            _by_mode(internals.TENSOR.register_hook, hooked, recording),
        ),
        (paddle.autograd.PyLayer, "apply", classmethod(dispatched)),
        *((cls, "forward", by_alias(cls)) for cls in _custom_functions(paddle.autograd.PyLayer)),
    ]


def _custom_functions(base: Any) -> list[Any]:
    return [cls for own in base.__subclasses__() for cls in (own, *_custom_functions(own))]


def _answers(recording: Recording) -> list[Change]:
    """Questions about numbers, answered by the example."""
    if not recording.answers:
        return []

    def scalar(kind: type) -> Callable[[Any], Any]:
        def call(self: Any) -> Any:
            return kind(recording.ask(self, f"the branch or number ({kind.__name__} of a tensor)"))

        return call

    def index(self: Any) -> int:
        return int(recording.ask(self, "the index (a tensor used as a number)"))

    def numpy(self: Any, *args: Any) -> Any:
        return recording.ask(self, "the value (numpy of a tensor)").copy()

    def array(self: Any, dtype: Any = None, copy: Any = None) -> Any:
        found = recording.ask(self, "the value (numpy of a tensor)").copy()
        return found if dtype is None else found.astype(dtype)

    def item(self: Any, *args: Any) -> Any:
        return recording.ask(self, "the number (item of a tensor)").item(*args)

    def tolist(self: Any) -> Any:
        return recording.ask(self, "the value (tolist of a tensor)").tolist()

    def shape(self: Any) -> Any:
        found = internals.SHAPE.__get__(self)
        if -1 in found and self.is_dense_tensor_type() and recording.concrete:
            recording.settle(recording.current(self))
            found = list(recording.known(recording.current(self)).shape)
        return found

    def length(self: Any) -> int:
        return int(shape(self)[0])

    def iterate(self: Any) -> Any:
        return iter([self[position] for position in range(length(self))])

    plain_name = Value.__dict__["name"]

    def name(self: Any) -> str:
        try:
            found: str = plain_name.__get__(self)
        except (ValueError, RuntimeError):
            # values in the middle of a program have no name; eager tensors always have one
            found = f"value_{self.id}"
        return found

    return [
        (paddle, "Tensor", Tensor),
        (Value, "__bool__", scalar(bool)),
        (Value, "__int__", scalar(int)),
        (Value, "__float__", scalar(float)),
        (Value, "__complex__", scalar(complex)),
        (Value, "__index__", index),
        (Value, "__array__", array),
        (Value, "__len__", length),
        (Value, "__iter__", iterate),
        (Value, "numpy", numpy),
        (Value, "item", item),
        (Value, "tolist", tolist),
        (Value, "shape", property(shape, internals.SHAPE.__set__)),
        (Value, "name", property(name, plain_name.__set__)),
        (Value, "is_leaf", property(lambda self: False)),
        (Value, "inplace_version", property(lambda self: 0)),
        (
            Value,
            "view",
            lambda self, shape_or_dtype, name=None: (
                paddle.reshape(self, shape_or_dtype)
                if isinstance(shape_or_dtype, (list, tuple))
                else paddle.view(self, shape_or_dtype)
            ),
        ),
    ]
