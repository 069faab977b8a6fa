"""The models, inputs, losses and optimizers of a call some of whose models are sides: made while
the call lasts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

from padiff_graph.capture.backend import backend, framework_of, serving
from padiff_graph.capture.remote.at_once import at_once
from padiff_graph.capture.remote.backend import remote_backend
from padiff_graph.capture.remote.client import Client
from padiff_graph.errors import UsageError
from padiff_graph.sides.made_side import made_side
from padiff_graph.sides.process import WorkerProcess
from padiff_graph.sides.side import Side

__all__ = ["opened_here", "with_sides"]

NAMES = ("first", "second")
Call = TypeVar("Call", bound=Callable[..., Any])


@dataclass(frozen=True)
class _Opened:
    """One side's model with what belongs to it; the model alone where it is no side."""

    model: Any
    inputs: Any = None
    loss: Any = None
    optimizer: Any = None
    client: Client | None = None


def with_sides(call: Call) -> Call:
    """A call of (layer, module, example_inp, ...) whose models may be `Side`s.

    A side's inputs, loss and optimizer are the call's where the call names none.
    """

    @wraps(call)
    def sided(layer: Any, module: Any, *given: Any, **named: Any) -> Any:
        if not isinstance(layer, Side) and not isinstance(module, Side):
            return call(layer, module, *given, **named)
        with _opened((layer, module)) as both:
            arguments = _arguments(call, both, given, named)
            return call(both[0].model, both[1].model, **arguments)

    return sided  # type: ignore[return-value]


def opened_here(first: Any, second: Any, example_inp: Any = None) -> dict[str, Any]:
    """`compare`'s arguments for two models of this process, each a side or a model.

    Raises:
        UsageError: a side's function cannot be found, raises, or returns something else.
    """
    both = _side(first, None), _side(second, None)
    losses, optimizers = [side.loss for side in both], [side.optimizer for side in both]
    return {
        "layer": both[0].model,
        "module": both[1].model,
        "example_inp": _inputs(both, example_inp),
        "loss_fn": _both_or_none("loss_fn", losses),
        "optimizer": _both_or_none("optimizer", optimizers),
    }


@contextmanager
def _opened(models: tuple[Any, Any]) -> Iterator[tuple[_Opened, _Opened]]:
    with ExitStack() as stack:
        workers = [_started(stack, name, model) for name, model in zip(NAMES, models, strict=True)]
        first, second = at_once(
            lambda: _side(models[0], workers[0]), lambda: _side(models[1], workers[1]), workers
        )
        stack.enter_context(serving(_backends((first, second))))
        yield first, second


def _started(stack: ExitStack, name: str, model: Any) -> WorkerProcess | None:
    """The interpreter of a side; None for what lives in this process."""
    if not isinstance(model, Side) or model.python is None:
        return None
    return stack.enter_context(WorkerProcess(model.python, f"the {name} side ({model.target})"))


def _side(model: Any, worker: WorkerProcess | None) -> _Opened:
    """A model with what belongs to it, made where it lives."""
    if worker is not None:
        return _Opened(**worker.open(model.target), client=worker)
    return _Opened(**made_side(model.target)) if isinstance(model, Side) else _Opened(model)


def _backends(both: tuple[_Opened, _Opened]) -> dict[str, Any]:
    """What answers for each framework that has a model elsewhere."""
    clients: dict[str, list[Client]] = {}
    for side in both:
        if side.client is not None:
            clients.setdefault(side.model.framework, []).append(side.client)
    here = {framework_of(side.model) for side in both if side.client is None}
    return {
        framework: remote_backend(framework, held, here=framework in here)
        for framework, held in clients.items()
    }


def _arguments(
    call: Callable[..., Any],
    both: tuple[_Opened, _Opened],
    given: tuple[Any, ...],
    named: Mapping[str, Any],
) -> dict[str, Any]:
    """The call's own arguments by name, filled from the sides."""
    code = call.__wrapped__.__code__ if hasattr(call, "__wrapped__") else call.__code__
    names = code.co_varnames[2 : code.co_argcount]
    arguments = {**dict(zip(names, given, strict=False)), **named}
    arguments["example_inp"] = _inputs(both, arguments.get("example_inp"))
    for argument, values in (
        ("loss_fn", [side.loss for side in both]),
        ("optimizer", [side.optimizer for side in both]),
    ):
        if argument in names and arguments.get(argument) is None:
            arguments[argument] = _both_or_none(argument, values)
    return arguments


def _both_or_none(argument: str, values: list[Any]) -> list[Any] | None:
    if all(value is None for value in values):
        return None
    if any(value is None for value in values):
        missing = NAMES[values.index(None)]
        raise UsageError(f"{argument}: the {missing} side's function names none; the other's does")
    return values


def _inputs(both: tuple[_Opened, _Opened], given: Any) -> Any:
    """`example_inp`: as given, or each side's own, or one side's numbers for both."""
    if given is None:
        own = [side.inputs for side in both]
        if own[0] is None and own[1] is None:
            raise UsageError(
                "there are no inputs: let a side's function return (model, inputs), or give "
                "example_inp"
            )
        filled = [
            _numbers(both[1 - number], own[1 - number]) if inputs is None else inputs
            for number, inputs in enumerate(own)
        ]
    else:
        filled = list(given)
    return tuple(_there(side, inputs) for side, inputs in zip(both, filled, strict=True))


def _there(side: _Opened, inputs: Any) -> Any:
    """Inputs where the model lives."""
    if side.client is None or hasattr(inputs, "origin"):
        return inputs
    return side.client.ask("example", inputs)


def _numbers(side: _Opened, inputs: Any) -> Any:
    """A side's inputs as arrays, in plain containers."""
    tools = backend(framework_of(side.model)).values
    if tools.is_tensor(inputs):
        return tools.array(inputs)
    if isinstance(inputs, Mapping):
        return {name: _numbers(side, member) for name, member in inputs.items()}
    if isinstance(inputs, (list, tuple)):
        return [_numbers(side, member) for member in inputs]
    return inputs
