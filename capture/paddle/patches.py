"""What is replaced in Paddle while a forward is written down: the whole table, and its lifetime.

A row is a `Patch`: owner, name, replacement, and why the original will not do. Rows stand by theme:
layers and gradients here, operands in `patched_operands`, in-place calls in `patched_writes`,
questions about numbers in `patched_questions`.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import paddle

from padiff_graph.capture.paddle import internals
from padiff_graph.capture.paddle.backward_code import (
    Context,
    HookEntry,
    custom_functions,
    is_value,
    rebuilt,
)
from padiff_graph.capture.paddle.internals import Patch
from padiff_graph.capture.paddle.patched_operands import by_mode, operand_patches
from padiff_graph.capture.paddle.patched_questions import question_patches
from padiff_graph.capture.paddle.patched_writes import write_patches
from padiff_graph.capture.paddle.recording import Recording
from padiff_graph.capture.paddle.user_lines import user_line

__all__ = ["patches", "recorded"]


@contextmanager
def recorded(recording: Recording) -> Iterator[None]:
    """What is run inside is written down in static mode, with all replacements in place.

    Raises:
        Exception: the first one that came up while an operand was resolved, whatever it led to.
    """
    with (
        internals.patched(patches(recording)),
        internals.building(recording.program, recording.startup, recording.cast),
    ):
        try:
            yield
        except Exception as error:
            if recording.failure is not None:
                raise recording.failure from error
            raise
        if recording.failure is not None:
            raise recording.failure


def patches(recording: Recording) -> list[Patch]:
    """All replacements for the time of one recording."""
    return [
        *operand_patches(recording),
        *_layer_patches(recording),
        *_autocast_patches(),
        *write_patches(recording),
        *_hook_patches(recording),
        *_gradient_patches(),
        *_custom_function_patches(recording),
        *question_patches(recording),
    ]


def _layer_patches(recording: Recording) -> list[Patch]:
    plain = paddle.nn.Layer.__call__

    def called(self: Any, *args: Any, **kwargs: Any) -> Any:
        path = recording.calls.path_of(self)
        if path is None:
            return plain(self, *args, **kwargs)
        with recording.calls.span(path, self):
            return plain(self, *args, **kwargs)

    def unnamed(prefix: str | None = None) -> Any:
        return nullcontext()

    return [
        Patch(paddle.nn.Layer, "__call__", called, "a program does not say whose call made what"),
        Patch(
            internals.RECURRENT,
            "_rnn_static_graph",
            internals.recurrent_steps,
            "a cell in RNN runs in a loop over arrays of tensors, which no graph holds; eagerly it"
            " runs step by step",
        ),
        Patch(
            paddle.nn.layer.layers,
            "name_struct",
            unnamed,
            "labels operations with a class name, walking the whole program once a layer",
        ),
    ]


def _autocast_patches() -> list[Patch]:
    block = internals.AUTOCAST_BLOCK
    if internals.AUTOCAST.amp_guard is not block or paddle.device.get_device() != "cpu":
        return []

    def off(enable: bool = True, *given: Any, **named: Any) -> Any:
        return block(False, *given, **named)

    why = "on a CPU an eager block casts nothing, a program's block all that no kernel is for"
    return [Patch(internals.AUTOCAST, "amp_guard", off, why)]


def _hook_patches(recording: Recording) -> list[Patch]:
    def hooked(self: Any, hook: Any) -> Any:
        entry = HookEntry(hook, user_line(sys._getframe(1)), recording.calls.place())
        hooks = recording.hook(self, entry)
        return SimpleNamespace(remove=lambda: hooks.remove(entry))

    tensor = internals.TENSOR
    why = "a program holds no gradient hooks"
    return [
        Patch(paddle.pir.Value, "register_hook", hooked, why),
        Patch(tensor, "register_hook", by_mode(tensor.register_hook, hooked), why),
    ]


def _gradient_patches() -> list[Patch]:
    plain = paddle.grad

    @functools.wraps(plain)
    def constant(*args: Any, **kwargs: Any) -> Any:
        call = inspect.signature(plain).bind(*args, **kwargs).arguments
        gradients = plain(*args, **kwargs)
        if call.get("create_graph", False):
            return gradients
        return [each.detach() if is_value(each) else each for each in gradients]

    why = "a program's gradients have gradients of their own, eager ones only where asked for"
    return [Patch(paddle, "grad", constant, why)]


def _custom_function_patches(recording: Recording) -> list[Patch]:
    base = paddle.autograd.PyLayer
    why = "the operations of a custom function's forward are differentiated by its own backward"
    alias = "a name such as `act = Act.apply`, bound before the capture, leads past our `apply`"
    return [
        Patch(base, "apply", classmethod(_applied(recording)), why),
        *(
            Patch(function, "forward", staticmethod(_by_alias(function, recording)), alias)
            for function in custom_functions(base)
        ),
    ]


def _applied(recording: Recording) -> Callable[..., Any]:
    base = paddle.autograd.PyLayer
    eager = base.apply

    def applied(cls: Any, *args: Any, **kwargs: Any) -> Any:
        if internals.dynamic_tracer() is None:
            return recording.custom(cls, args, kwargs, user_line(sys._getframe(1)))
        if hasattr(eager, "__func__"):
            return eager.__func__(cls, *args, **kwargs)
        return super(base, cls).apply(*args, **kwargs)

    return applied


def _by_alias(function: Any, recording: Recording) -> Callable[..., Any]:
    """Paddle's own `apply` calls the forward and takes eager tensors alone as an answer."""
    forward = function.forward

    def stood_for(member: Any) -> Any:
        return recording.inputs.stand_in(member) if is_value(member) else member

    def called(context: Any, *args: Any, **kwargs: Any) -> Any:
        if internals.dynamic_tracer() is not None or isinstance(context, Context):
            return forward(context, *args, **kwargs)
        returned = recording.custom(function, args, kwargs, user_line(sys._getframe(1)))
        members = returned if isinstance(returned, (tuple, list)) else [returned]
        return rebuilt(returned, members, stood_for)

    return called
