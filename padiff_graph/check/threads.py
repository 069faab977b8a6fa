"""Both frameworks on the same number of threads while a check runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from padiff_graph.capture.backend import backend

__all__ = ["alike"]


@contextmanager
def alike(frameworks: Sequence[str]) -> Iterator[None]:
    """Lets each framework compute on as many threads as the one that takes most.

    Puts that back at the end.
    On the CPU torch takes every core, Paddle one, unless OMP_NUM_THREADS says otherwise to both.
    """
    abilities = [backend(framework).threads for framework in dict.fromkeys(frameworks)]
    threaded = [ability for ability in abilities if ability is not None]
    number = max((ability.threads() for ability in threaded), default=0)
    with ExitStack() as stack:
        for ability in threaded:
            stack.enter_context(ability.threaded(number))
        yield
