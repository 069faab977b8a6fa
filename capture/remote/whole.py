"""Functions that are asked whole: where they are about a model of another process they run there,
from the first operation to the last, as one question with one answer.

The engine answers one call at a time. What calls it for every operation of a graph would cross as
often as there are operations, so it is marked `asked_whole`: here it is the function itself for a
model of this process, and one question for a model of another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from padiff_graph.capture.remote.engine import RemoteEngine
from padiff_graph.capture.remote.handles import Elsewhere

__all__ = ["asked_whole", "client_of", "is_away"]

P = ParamSpec("P")
R = TypeVar("R")


def asked_whole(function: Callable[P, R]) -> Callable[P, R]:
    """A function that runs in the process of the model among its arguments.

    That is told by the first argument that is a `RemoteEngine` or stands for a thing elsewhere. All
    arguments and what is returned must be able to cross.
    """
    name = f"{function.__module__}:{function.__qualname__}"

    @wraps(function)
    def asked(*args: P.args, **kwargs: P.kwargs) -> R:
        client = client_of((*args, *kwargs.values()))
        if client is None:
            return function(*args, **kwargs)
        answer: R = client.ask("whole", name, list(args), dict(kwargs))
        return answer

    asked.asked_whole = True  # type: ignore[attr-defined]
    return asked


def client_of(arguments: Iterable[Any]) -> Any:
    """Who asks the process that the first of some things lives in; None where all are here."""
    for argument in arguments:
        if isinstance(argument, RemoteEngine):
            return argument.client
        if isinstance(argument, Elsewhere):
            return argument.caller
    return None


def is_away(engine: object) -> bool:
    """Whether an engine is of a model of another process."""
    return isinstance(engine, RemoteEngine)
