"""A framework some of whose models live in another process: what is theirs is asked there, the rest
of the framework here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any, cast

from padiff_graph.capture.abilities import Optimizers, State, Threads, Values
from padiff_graph.capture.backend import Backend, backend_here
from padiff_graph.capture.engine import Array
from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.capture.remote.client import Client, is_tensor
from padiff_graph.capture.remote.engine import RemoteEngine, traced
from padiff_graph.capture.remote.handles import Elsewhere, RemoteModel

__all__ = ["remote_backend"]

IN_OPTIMIZERS = (
    "refusal",
    "trainable",
    "settings",
    "state",
    "advance",
    "learn",
    "clear",
    "gradients",
    "put_gradients",
    "overwrite",
    "masters",
    "copies",
    "saved",
    "is_hooked",
    "schedule",
)
"""Functions of `Optimizers` that are one question each."""
CONTEXTS = ("watching", "kept")
"""Those of `Optimizers` that are contexts."""


def remote_backend(framework: str, clients: Sequence[Client], *, here: bool) -> Backend:
    """The backend of a framework while some of its models live elsewhere.

    Args:
        framework: its name.
        clients: of the processes that hold models of it.
        here: whether one of the models is of this process, so that its framework is imported.
    """
    own = backend_here(framework) if here else None

    def trace(model: Any, example: Mapping[str, Any], *, below: str = "") -> ComputationGraph:
        if not isinstance(model, RemoteModel):
            return _there(own).trace(model, example, below=below)
        return traced(model, example, below)

    def engine(model: Any) -> Any:
        return RemoteEngine(model) if isinstance(model, RemoteModel) else _there(own).engine(model)

    return Backend(
        framework,
        trace,
        engine,
        cast(Values, _values(own)),
        cast(State, _state(own)),
        threads=cast(Threads, _threads(own, clients)),
        optimizers=cast(Optimizers, _optimizers(own, clients)),
        function_model=None if own is None else own.function_model,
    )


def _there(own: Backend | None) -> Backend:
    if own is None:
        raise TypeError("a model of this process where all are of another one")
    return own


def _values(own: Backend | None) -> Any:
    def known(value: object) -> bool:
        return is_tensor(value) or (own is not None and own.values.is_tensor(value))

    def materialised(value: Any) -> bool:
        return bool(value.filled) if is_tensor(value) else _there(own).values.materialised(value)

    def dtype(value: Any) -> str:
        return str(value.dtype) if is_tensor(value) else _there(own).values.dtype(value)

    def array(value: Any) -> Array:
        found: Array = value.numpy() if is_tensor(value) else _there(own).values.array(value)
        return found

    def tensor(value: Array) -> Any:
        return _there(own).values.tensor(value)

    return SimpleNamespace(
        is_tensor=known, materialised=materialised, dtype=dtype, array=array, tensor=tensor
    )


def _state(own: Backend | None) -> Any:
    def kept(model: Any) -> AbstractContextManager[None]:
        if isinstance(model, RemoteModel):
            return cast(Client, model.caller).within("state.kept", model)
        return _there(own).state.kept(model)

    def snapshot(model: Any, example: Any) -> dict[str, object]:
        return _there(own).state.snapshot(model, example)

    return SimpleNamespace(kept=kept, snapshot=snapshot)


def _threads(own: Backend | None, clients: Sequence[Client]) -> Any:
    abilities = [] if own is None or own.threads is None else [own.threads]

    def threads() -> int:
        numbers = [ability.threads() for ability in abilities]
        return max([*numbers, *(int(client.ask("threads.threads")) for client in clients)])

    @contextmanager
    def threaded(number: int) -> Iterator[None]:
        with ExitStack() as stack:
            for ability in abilities:
                stack.enter_context(ability.threaded(number))
            for client in clients:
                stack.enter_context(client.within("threads.threaded", number))
            yield

    return SimpleNamespace(threads=threads, threaded=threaded)


def _optimizers(own: Backend | None, clients: Sequence[Client]) -> Any:
    """Each function goes where its first argument lives."""

    def local(name: str) -> Any:
        abilities = _there(own).optimizers
        assert abilities is not None
        return getattr(abilities, name)

    def question(name: str) -> Any:
        def asked(thing: Any, *more: Any) -> Any:
            if isinstance(thing, Elsewhere):
                return thing.caller.ask(f"optimizers.{name}", thing, *more)
            return local(name)(thing, *more)

        return asked

    def context(name: str) -> Any:
        def entered(thing: Any, *more: Any) -> AbstractContextManager[Any]:
            if isinstance(thing, Elsewhere):
                return cast(Client, thing.caller).within(f"optimizers.{name}", thing, *more)
            found: AbstractContextManager[Any] = local(name)(thing, *more)
            return found

        return entered

    def is_optimizer(thing: object) -> bool:
        if isinstance(thing, Elsewhere):
            ours = thing.caller in clients
            return ours and bool(thing.caller.ask("optimizers.is_optimizer", thing))
        return own is not None and bool(local("is_optimizer")(thing))

    functions = {name: question(name) for name in (*IN_OPTIMIZERS, "bare")}
    functions |= {name: context(name) for name in CONTEXTS}
    return SimpleNamespace(is_optimizer=is_optimizer, **functions)
