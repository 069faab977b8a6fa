"""What runs in the other interpreter: `python -m padiff_graph.sides.worker FD`. It makes one model
and answers questions about it until its connection ends."""

from __future__ import annotations

import atexit
import os
import signal
import socket
import sys
import threading
import time
import traceback
import warnings
from contextlib import ExitStack, suppress
from importlib import import_module
from typing import Any

from padiff_graph.capture.backend import backend, framework_of
from padiff_graph.capture.chatter import AT_IMPORT
from padiff_graph.capture.remote.channel import Channel, Closed
from padiff_graph.capture.remote.errors import error_data
from padiff_graph.capture.remote.service import Service
from padiff_graph.capture.remote.wire import Buffers, Ref, decode, encode
from padiff_graph.request.targets import raised_at
from padiff_graph.sides.made_side import made_side, with_weights
from padiff_graph.version import __version__

__all__ = ["failed", "main", "opened"]

LOOK = 0.5
"""Seconds between two looks whether who asks is still there; chosen so that nothing feels it."""


def main(number: int) -> None:
    """Serves one connection.

    Args:
        number: its file descriptor.
    """
    os.dup2(2, 1)  # what a model prints is no answer of a command
    for beginning in AT_IMPORT:
        warnings.filterwarnings("ignore", message=beginning)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    served = threading.Event()
    atexit.register(_end_behind, served)  # the first one runs last, behind the model's own
    own = socket.socket(fileno=number)
    with suppress(Closed), ExitStack() as stack:
        stack.callback(own.detach)  # the process closes it: the model's code may have done so
        connection = Channel(own)
        connection.send(__version__, [])
        service, answer = opened(*connection.receive(), stack)
        connection.send(answer, [])
        if service is not None:
            service.serve(connection, failed)
    served.set()


def _end_behind(served: threading.Event) -> None:
    """Ends what a model started, where nobody asks any more: who asked may be gone, and ends it no
    longer. Of a process that ends otherwise who asks has to learn how."""
    if served.is_set() and os.getpgrp() == os.getpid():
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # nobody reads any more
                stream.flush()
        os.killpg(0, signal.SIGKILL)


def _end_with(asking: int) -> None:
    """Ends this process, and what a model started in it, when the one that asks is gone: killed, it
    ends nothing itself, and a long computation looks at no connection."""
    while os.getppid() == asking:
        time.sleep(LOOK)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def failed(error: BaseException) -> dict[str, Any]:
    """An exception as plain data, with its line of the user's code."""
    trace = "".join(traceback.format_exception(error))
    return error_data(error, raised_at(error), trace)


def opened(message: Any, got: Buffers, stack: ExitStack) -> tuple[Service | None, dict[str, Any]]:
    """Answers the first question: which model is to be made, with weights from which files.

    Args:
        message, got: the question.
        stack: what the model needs while it is asked.

    Returns:
        What answers further questions, None where the model could not be made; and the answer.
    """
    what, arguments, _, _ = decode(message, got, lambda ref: ref)
    try:
        if what != "open":
            raise ValueError(f"the first question is 'open'; found {what!r}")
        service, value = _made(stack, *arguments)
        return service, {"value": encode(value, [], service.stays)}
    except BaseException as error:  # the user's code, and wrong use: both are the answer
        return None, {"error": failed(error)}


def _made(
    stack: ExitStack, target: str, weights: str | None = None
) -> tuple[Service, dict[str, Any]]:
    made = made_side(target)
    stack.enter_context(with_weights(made, weights))
    model = made["model"]
    framework = framework_of(model)
    service = Service(backend(framework))
    version = str(getattr(import_module(framework), "__version__", ""))
    facts = ("model", framework, type(model).__name__, version)
    inputs = made["inputs"]
    return service, {
        "model": service.kept(model, *facts),
        "inputs": None if inputs is None else service.example(inputs),
        "loss": _function(service, made["loss"]),
        "optimizer": _function(service, made["optimizer"]),
    }


def _function(service: Service, thing: Any) -> Ref | None:
    if thing is None:
        return None
    name = str(getattr(thing, "__name__", type(thing).__name__))
    return service.stays(thing) or service.kept(thing, "function", name)


def _arguments(values: list[str]) -> int:
    if len(values) != 2 or not values[1].isdigit():
        raise SystemExit("this is started by padiff-graph itself, with a connection's number")
    return int(values[1])


if __name__ == "__main__":
    main(_arguments(sys.argv))
