"""What a check writes down on its way: seconds by step, and notes for the user."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from padiff_graph.progress import Steps

__all__ = ["CheckLog"]

LOG = logging.getLogger("padiff_graph.check")


@dataclass
class CheckLog:
    """Collected over all attempts of one check.

    Attributes:
        shown: what is told to whoever watches.
        timings: seconds by step, without those of a step inside it.
        notes: what the user should know, in sentences.
    """

    shown: Steps = field(default_factory=Steps)
    timings: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _inside: float = 0.0

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Counts the block's time, less what steps inside it count for themselves."""
        self.shown.step(step)
        outer, self._inside = self._inside, 0.0
        started = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - started
            LOG.info("%s: %.2f s", step, spent)
            self.timings[step] = self.timings.get(step, 0.0) + spent - self._inside
            self._inside = outer + spent
