"""A line on the terminal while something takes long: which step, how far, since when.

Nothing is shown elsewhere.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

__all__ = ["Steps", "shown", "unwatched"]

WATCHED: ContextVar[bool] = ContextVar("WATCHED", default=True)
"""Whether a terminal is told of steps."""


@dataclass
class Steps:
    """What long work tells: nothing happens where nobody watches.

    Attributes:
        bar: rich's progress display; None where there is no terminal.
        task: its one line.
    """

    bar: Any = None
    task: Any = None

    def step(self, name: str) -> None:
        """A new step begins; how long it takes is not known."""
        if self.bar is not None:
            self.bar.update(
                self.task, description=name, total=None, completed=0, share="", place=""
            )

    def at(self, done: int, total: int, place: str = "") -> None:
        """How far the step is."""
        if self.bar is not None:
            self.bar.update(
                self.task, total=total, completed=done, share=f"{done} of {total}", place=place
            )


@contextmanager
def unwatched() -> Iterator[None]:
    """No steps are shown while the block runs."""
    before = WATCHED.set(False)
    try:
        yield
    finally:
        WATCHED.reset(before)


@contextmanager
def shown(first: str) -> Iterator[Steps]:
    """Shows steps on standard error while the block runs, and takes the line away at the end.

    The standard streams stay as they are: what a model prints is printed.
    """
    if not (WATCHED.get() and sys.stderr.isatty()):
        yield Steps()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[share]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[place]}"),
    )
    with Progress(
        *columns,
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
        disable=console.is_dumb_terminal,
    ) as bar:
        yield Steps(bar, bar.add_task(first, total=None, share="", place=""))
