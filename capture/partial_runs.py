"""A model whose forward raises, cut short where it does: what it had computed until then is what it
returns, so that this part can be captured, run and compared as any model is.

Modules are followed by their calls, which are the same events in an eager run and in a traced one.
"""

from __future__ import annotations

import traceback
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from padiff_graph.capture.abilities import Values
from padiff_graph.capture.backend import Backend
from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.capture.leaf_names import leaves
from padiff_graph.capture.noted_runs import arguments_by_name

__all__ = ["CALL", "cut_short"]

IsTensor = Callable[[Any], bool]
INPUT = "input"
CALL = "call of "
"""How the names begin of what a model returns that is cut short: of no output of its own, so that
nothing of the other model stands in the same place."""


class _Cut(BaseException):
    """Raised behind the last event of the run that stopped; no forward catches it."""


@dataclass
class _Call:
    """One call of a module that has not returned."""

    path: str
    arguments: dict[str, Any]
    finished: int


@dataclass
class _Run:
    """One run of the model: how many calls began or returned, and what was computed."""

    events: int = 0
    open: list[_Call] = field(default_factory=list)
    finished: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


@dataclass
class _Cutter:
    """Follows the runs of a model by the calls of its modules."""

    is_tensor: IsTensor
    limit: int | None = None
    error: BaseException | None = None
    stopped: _Run | None = None
    run: _Run = field(default_factory=_Run)

    def called(self, path: str, forward: Callable[..., Any]) -> Callable[..., Any]:
        """A forward that is followed."""

        def followed(*given: Any, **named: Any) -> Any:
            arguments = leaves(arguments_by_name(forward, given, named), self.is_tensor)
            place = len(self.run.open)
            self.run.open.append(_Call(path, arguments, len(self.run.finished)))
            self._event()
            result = forward(*given, **named)
            call = self.run.open[place]
            del self.run.open[place:]  # with calls inside whose exception was caught
            del self.run.finished[call.finished :]  # what was computed inside is inside of it
            self.run.finished.append((path, leaves({"": result}, self.is_tensor)))
            self._event()
            return result

        return followed

    def cut(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        """The model's own forward, which returns what it has where it stops."""

        def cut_short(*given: Any, **named: Any) -> Any:
            self.run = _Run()
            if self.limit == 0:
                return {}
            try:
                return forward(*given, **named)
            except _Cut:
                return self.computed()
            except (Exception, SystemExit) as error:
                if self.limit is not None:
                    raise
                self.limit, self.error, self.stopped = self.run.events, error, self.run
                return self.computed()

        return cut_short

    def given(self, example: Mapping[str, Any]) -> dict[str, Any]:
        """The tensors that the innermost open call was given in the run that stopped; the model's
        own where none is open."""
        if self.stopped is not None and self.stopped.open:
            return self.stopped.open[-1].arguments
        return leaves(example, self.is_tensor)

    def _event(self) -> None:
        self.run.events += 1
        if self.run.events == self.limit:  # a tracer would keep the operation that cannot be run
            raise _Cut

    def computed(self) -> dict[str, Any]:
        """What the finished calls returned and the open ones were given, by name."""
        held: dict[str, Any] = {}
        for path, tensors in self.run.finished:
            for name, tensor in tensors.items():
                _put(held, CALL + ".".join(filter(None, (path, name.strip(".")))), tensor)
        for call in self.run.open:
            for name, tensor in call.arguments.items():
                _put(held, f"{CALL}{call.path}.{INPUT}.{name}", tensor)
        return held


def _put(held: dict[str, Any], name: str, tensor: Any) -> None:
    if any(tensor is other for other in held.values()):
        return
    number = sum(other.partition("#")[0] == name for other in held)
    held[f"{name}#{number}" if number else name] = tensor


def _modules(model: Any) -> list[tuple[str, Any]]:
    list_modules = getattr(model, "named_sublayers", None) or model.named_modules
    return [(path, module) for path, module in list_modules() if path]


@contextmanager
def cut_short(
    own: Backend, model: Any, example: Mapping[str, Any], *, numbers: bool = True
) -> Iterator[dict[str, Any] | None]:
    """Inside, a model whose forward raises on an example returns what it has computed until then,
    by module; captured, it is the part that runs.

    Args:
        own: the framework.
        model: as before afterwards.
        example: keyword arguments of its forward.
        numbers: whether there are numbers to run it on; without it is traced by shapes.

    Yields:
        Where it stops, as plain data: "error", "path" and "kind" of the innermost module, "given"
        and "weights" (name, dtype, shape) there, how many tensors were "computed" until then,
        "frames" (file, line, text, tensors in its variables) from the outermost on.
        None where it does not raise.
    """
    values = own.values
    cutter = _Cutter(values.is_tensor if numbers else partial(_stands_for_one, values.is_tensor))
    modules = dict(_modules(model))
    with ExitStack() as stack:
        for path, module in modules.items():
            stack.enter_context(_forward_is(module, cutter.called(path, module.forward)))
        stack.enter_context(_forward_is(model, cutter.cut(model.forward)))
        if numbers:
            engine = own.engine(model)
            with engine.quiet():
                engine.forward(example, grad=False)
        else:
            with suppress(CaptureError):  # what stopped is known by then
                own.trace(model, example)
        if cutter.stopped is None or cutter.error is None:
            stack.close()
            yield None
            return
        path = cutter.stopped.open[-1].path if cutter.stopped.open else ""
        stop = _told(values, cutter.error, path, modules.get(path, model))
        stop["computed"] = len(cutter.computed())
        stop["given"] = _tensors(values, cutter.given(example))
        yield stop


def _stands_for_one(is_tensor: IsTensor, value: object) -> bool:
    """Whether a value is a tensor or what a tracer has in the place of one."""
    described = hasattr(value, "shape") and hasattr(value, "dtype")
    return is_tensor(value) or (described and not isinstance(value, (np.ndarray, np.generic)))


def _told(values: Values, error: BaseException, path: str, module: Any) -> dict[str, Any]:
    frames = [
        (summary.filename, summary.lineno or 0, summary.line or "", _locals(values, frame))
        for (frame, _), summary in zip(
            traceback.walk_tb(error.__traceback__),
            traceback.extract_tb(error.__traceback__),
            strict=True,
        )
        if summary.filename != __file__
    ]
    own = {
        name: tensor for name, tensor in module.named_parameters() if "." not in name
    }  # of the module itself
    return {
        "error": f"{type(error).__name__}: {error}",
        "path": path,
        "kind": type(module).__name__,
        "weights": _tensors(values, own),
        "frames": frames,
    }


def _locals(values: Values, frame: types.FrameType) -> list[tuple[str, str, tuple[int, ...]]]:
    """The tensors in the variables of a function that was running."""
    held = {name: own for name, own in frame.f_locals.items() if values.is_tensor(own)}
    return _tensors(values, held)


def _tensors(values: Values, held: Mapping[str, Any]) -> list[tuple[str, str, tuple[int, ...]]]:
    return [
        (name, values.dtype(tensor), tuple(int(extent) for extent in tensor.shape))
        for name, tensor in held.items()
    ]


@contextmanager
def _forward_is(module: Any, forward: Callable[..., Any]) -> Iterator[None]:
    own = vars(module)
    had, kept = "forward" in own, own.get("forward")
    own["forward"] = forward
    try:
        yield
    finally:
        if had:
            own["forward"] = kept
        else:
            own.pop("forward", None)
