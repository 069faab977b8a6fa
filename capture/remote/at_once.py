"""Both sides of a check at the same time, where one of them waits for another process only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from padiff_graph.capture.remote.client import Client
from padiff_graph.capture.remote.whole import client_of

__all__ = ["at_once"]

First = TypeVar("First")
Second = TypeVar("Second")


def at_once(
    first: Callable[[], First], second: Callable[[], Second], sides: Sequence[Any]
) -> tuple[First, Second]:
    """What both calls return.

    Two models of this process are asked one after the other: a framework's modes are the process's.
    So are two of one other process. Else what is asked of another process waits in a thread, and
    what is computed here runs in the thread that calls.

    Args:
        first, second: each about one side, and nothing of the other.
        sides: the sides' engines, or clients; None for a side of this process.

    Raises:
        What the first call raises, else what the second raises; both have ended then.
    """
    clients = [_client(side) for side in sides]
    if clients[0] is clients[1]:
        return first(), second()
    apart = 0 if clients[1] is None else 1
    calls: tuple[Callable[[], Any], Callable[[], Any]] = (first, second)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(calls[apart])
        try:
            ended = {1 - apart: _ended(calls[1 - apart]), apart: _ended(waiting.result)}
        except BaseException:  # an interrupt: nobody may wait for an answer any longer
            for client in clients:
                if client is not None:
                    client.break_off()
            raise
    for number in (0, 1):
        error = ended[number][1]
        if error is not None:
            raise error
    return ended[0][0], ended[1][0]


def _ended(call: Callable[[], Any]) -> tuple[Any, Exception | None]:
    """What a call returns, or what it raises."""
    try:
        return call(), None
    except Exception as error:
        return None, error


def _client(side: Any) -> Client | None:
    if isinstance(side, Client):
        return side
    found: Client | None = client_of((side,))
    return found
