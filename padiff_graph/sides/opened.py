"""The models, inputs, losses and optimizers of a call some of whose models are sides: made while
the call lasts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

import numpy as np

from padiff_graph.capture.abilities import Values
from padiff_graph.capture.backend import backend, backend_here, framework_of, serving
from padiff_graph.capture.engine import same_numbers
from padiff_graph.capture.leaf_names import leaves, values
from padiff_graph.capture.remote.at_once import at_once
from padiff_graph.capture.remote.backend import remote_backend
from padiff_graph.capture.remote.client import Client
from padiff_graph.capture.remote.service import plain as plain_value
from padiff_graph.errors import UsageError
from padiff_graph.request.targets import kind_of
from padiff_graph.sides.made_side import made_side, with_weights
from padiff_graph.sides.process import WorkerProcess
from padiff_graph.sides.ray_client import RayClient
from padiff_graph.sides.recorded_backend import recorded_backend
from padiff_graph.sides.recorded_loss import recorded_loss
from padiff_graph.sides.recorded_model import RecordedModel, opened_model
from padiff_graph.sides.recorded_training import recorded_optimizers
from padiff_graph.sides.recording_file import Recording, recording_of
from padiff_graph.sides.side import Side

__all__ = ["opened_here", "with_sides"]

NAMES = ("first", "second")
WRITING = frozenset({"assign_weight"})
"""Calls that write into the first model, and mean it."""
TRAINING = ("loss_fn", "optimizer", "train_step")
PAIRED = ("layer_map", *TRAINING)
"""Arguments that say something of both models in their order."""
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

    A side's inputs, loss and optimizer are the call's where the call names none. A path to a
    recording stands for the model that was recorded; it comes second.
    """

    @wraps(call)
    def sided(layer: Any, module: Any, *given: Any, **named: Any) -> Any:
        models = recording_of(layer), recording_of(module)
        if not any(isinstance(model, (Side, Recording)) for model in models):
            return call(layer, module, *given, **named)
        if isinstance(models[0], Recording) and call.__name__ in WRITING:
            raise UsageError(
                f"{call.__name__}: the first model is written to; found the recording {layer}"
            )
        if isinstance(models[0], Recording) and not isinstance(models[1], Recording):
            return sided(module, layer, **_turned(_named(call, given, named)))
        with _opened(models) as both:
            arguments = _arguments(call, both, given, named)
            hashed = _hashed(call.__name__, both)
            if "auto_weights" in _names(call) and (hashed or all(map(_recorded, both))):
                arguments["auto_weights"] = False  # neither can be run with the other's
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
        for model in models:
            if isinstance(model, Recording):
                stack.enter_context(model)
        workers = [_started(stack, name, model) for name, model in zip(NAMES, models, strict=True)]
        first, second = at_once(
            lambda: _side(models[0], workers[0]), lambda: _side(models[1], workers[1]), workers
        )
        for model, side in zip(models, (first, second), strict=True):
            if isinstance(model, Side) and side.client is None:
                stack.enter_context(with_weights({"model": side.model}, model.weights))
        stack.enter_context(serving(_backends((first, second))))
        yield first, second


def _started(stack: ExitStack, name: str, model: Any) -> WorkerProcess | RayClient | None:
    """The interpreter or actor of a side; None for what lives in this process."""
    if not isinstance(model, Side):
        return None
    told = f"the {name} side ({model.target})"
    if model.ray is not None:
        settings = {} if isinstance(model.ray, bool) else model.ray
        return stack.enter_context(RayClient(settings, told, model.timeout))
    if model.python is None:
        return None
    worker = WorkerProcess(model.python, told, model.timeout, greeted=False)
    return stack.enter_context(worker)


def _side(model: Any, worker: WorkerProcess | RayClient | None) -> _Opened:
    """A model with what belongs to it, made where it lives."""
    if worker is not None:
        return _Opened(**worker.open(model.target, model.weights), client=worker)
    if isinstance(model, Recording):
        recorded = opened_model(model)
        own = recorded.inputs, recorded_loss(recorded), recorded.optimizer
        return _Opened(recorded, *own)
    return _Opened(**made_side(model.target)) if isinstance(model, Side) else _Opened(model)


def _backends(both: tuple[_Opened, _Opened]) -> dict[str, Any]:
    """What answers for each framework that has a model elsewhere."""
    clients: dict[str, list[Client]] = {}
    for side in both:
        if side.client is not None:
            own = clients.setdefault(side.model.framework, [])
            own += [side.client, *side.client.helpers]
    absent = {side.model.framework for side in both if _recorded(side)}
    present = (side for side in both if side.client is None and not _recorded(side))
    here = {framework_of(side.model) for side in present}
    backends = {
        framework: remote_backend(framework, held, here=framework in here)
        for framework, held in clients.items()
    }
    for framework in absent:
        # a tensor that the caller hands in is one of a framework that is loaded
        loaded = framework in here or framework in sys.modules
        beside = backend_here(framework) if loaded else None
        backends[framework] = recorded_backend(framework, backends.get(framework, beside))
    return backends


def _recorded(side: _Opened) -> bool:
    return isinstance(side.model, RecordedModel)


def _hashed(call: str, both: tuple[_Opened, _Opened]) -> bool:
    """Whether a recording holds hashes in the place of weights.

    Raises:
        UsageError: the call cannot do without them.
    """
    hashed = [
        side.model.recording.path for side in both if _recorded(side) and side.model.hashed.told
    ]
    if hashed and call in WRITING:
        raise UsageError(f"{call}: {hashed[0]} holds hashes of its weights; there is none to copy")
    if len(hashed) == len(both):
        raise UsageError(
            "both recordings hold hashes of their weights alone; one has to hold its weights, to "
            "show that they are the other's"
        )
    return bool(hashed)


def _arguments(
    call: Callable[..., Any],
    both: tuple[_Opened, _Opened],
    given: tuple[Any, ...],
    named: Mapping[str, Any],
) -> dict[str, Any]:
    """The call's own arguments by name, filled from the sides."""
    names = _names(call)
    arguments = _named(call, given, named)
    arguments["example_inp"] = _inputs(both, arguments.get("example_inp"))
    if any(map(_recorded, both)):
        if arguments.get("train_step") is not None:
            raise UsageError(
                "train_step: a recording holds no loop of its user's; give optimizers, or check "
                "with the model itself"
            )
        if "loss_fn" in names:
            arguments["loss_fn"] = _recorded_losses(both, arguments.get("loss_fn"))
        if "optimizer" in names:
            arguments["optimizer"] = recorded_optimizers(
                [side.optimizer for side in both], arguments
            )
        return arguments
    for argument, own in (
        ("loss_fn", [side.loss for side in both]),
        ("optimizer", [side.optimizer for side in both]),
    ):
        if argument in names and arguments.get(argument) is None:
            arguments[argument] = _both_or_none(argument, own)
    return arguments


def _recorded_losses(both: tuple[_Opened, _Opened], given: Any) -> list[Any] | None:
    """The loss that was recorded beside the other side's own, or the call's; None where a side has
    none.

    Raises:
        UsageError: the call names a loss in the place of the recorded one.
    """
    losses = [side.loss for side in both]
    if given is not None:
        named = list(given) if isinstance(given, (tuple, list)) else []
        if len(named) != len(both) or named[1] is not None:
            raise UsageError(
                "loss_fn: a recording has the loss that it was made with; give [first_loss, None]"
            )
        if losses[1] is None:
            raise UsageError(
                "loss_fn: the recording was made without a loss; record with it, or leave it out"
            )
        losses[0] = named[0]
    return None if None in losses else losses


def _names(call: Callable[..., Any]) -> tuple[str, ...]:
    """The call's parameters behind the two models."""
    code = call.__wrapped__.__code__ if hasattr(call, "__wrapped__") else call.__code__
    return code.co_varnames[2 : code.co_argcount]


def _named(
    call: Callable[..., Any], given: tuple[Any, ...], named: Mapping[str, Any]
) -> dict[str, Any]:
    return {**dict(zip(_names(call), given, strict=False)), **named}


def _turned(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments for the models in the other order, since a recording stands second."""
    paired = [name for name in PAIRED if arguments.get(name) is not None]
    if paired:
        raise UsageError(
            f"{paired[0]}: the recording was given first and stands second in a check; give it "
            "second, and what belongs to both models in that order"
        )
    example = arguments.get("example_inp")
    if isinstance(example, (tuple, list)) and len(example) == len(NAMES):
        arguments["example_inp"] = (example[1], example[0])
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
        if isinstance(given, (Mapping, str)) or not isinstance(given, Sequence) or len(given) != 2:
            raise UsageError(
                "example_inp is a pair of dicts from forward's argument name to value, one for "
                f"each side; found {kind_of(given)}"
            )
        filled = list(given)
    return tuple(_there(side, inputs) for side, inputs in zip(both, filled, strict=True))


def _there(side: _Opened, inputs: Any) -> Any:
    """Inputs where the model lives."""
    if _recorded(side):
        return _as_recorded(side.model, inputs)
    if side.client is None or hasattr(inputs, "origin"):
        return inputs
    return side.client.ask("example", inputs)


def _as_recorded(model: RecordedModel, inputs: Any) -> Any:
    """The inputs that a recording was made with; these must be the same."""
    tools = backend(model.framework).values

    def filled(value: object) -> bool:
        return isinstance(value, np.ndarray) or tools.is_tensor(value)

    def refused(found: str) -> UsageError:
        return UsageError(
            f"{model.recording.path} was recorded with other inputs: {found}; check with those of "
            "the recording, or record again"
        )

    if not isinstance(inputs, Mapping):
        raise UsageError(
            "example_inp is a pair of dicts from forward's argument name to value, or left out; "
            f"found {kind_of(inputs)} for the recording {model.recording.path}"
        )
    given, own = leaves(inputs, filled), leaves(model.inputs, filled)
    plain, own_plain = values(inputs, filled), values(model.inputs, filled)
    names = {*given, *plain}, {*own, *own_plain}
    if names[0] != names[1]:
        told = (", ".join(sorted(own)) or "nothing" for own in names)
        raise refused("found {}, recorded {}".format(*told))
    for name, leaf in own.items():
        if name not in given or not _equal(tools, given[name], leaf):
            raise refused(f"{name} differs")
    for name, value in own_plain.items():
        if name not in plain or not _same_plain(plain[name], value):
            raise refused(f"{name} is {plain.get(name)!r}, it was {value!r}")
    return model.inputs


def _equal(tools: Values, first: Any, second: Any) -> bool:
    """Whether two tensors or arrays hold the same numbers in the same dtype."""
    both = [
        (leaf, str(leaf.dtype))
        if isinstance(leaf, np.ndarray)
        else (tools.array(leaf), tools.dtype(leaf))
        for leaf in (first, second)
    ]
    (left, kind), (right, other) = both
    return kind == other and left.shape == right.shape and same_numbers(left, right)


def _same_plain(given: Any, recorded: Any) -> bool:
    """Whether a value that is no tensor is what was recorded; an object was recorded in words."""
    return given is recorded or plain_value(given) == recorded


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
