"""Both frameworks on the same number of threads while a check runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from padiff_graph.capture.backend import room

__all__ = ["alike"]


@contextmanager
def alike(frameworks: Sequence[str]) -> Iterator[None]:
    """Lets each framework compute on as many threads as the one that takes most, and puts that back.

    On the CPU torch takes every core, Paddle one, unless OMP_NUM_THREADS says otherwise to both.
    """
    states = [room(framework, "state") for framework in dict.fromkeys(frameworks)]
    number = max(state.threads() for state in states)
    with ExitStack() as stack:
        for state in states:
            stack.enter_context(state.threaded(number))
        yield
