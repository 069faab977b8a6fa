"""What a framework says while it traces a model, kept from the terminal and written to the log.

A forward that is traced computes on stand-ins for tensors. What the framework prints of it, and
what the model prints of such a stand-in, says nothing of the model; the model's own runs print the
same line with its numbers. Everything else that the model prints or logs goes where it went.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, TextIO

__all__ = ["AT_IMPORT", "Chatter", "without_chatter"]

AT_IMPORT = ("No ccache found",)
"""How warnings begin that a framework gives at import, whatever it is used for."""
STREAMS = ("stdout", "stderr")


@dataclass(frozen=True)
class Chatter:
    """How what a framework says is told from what a model says.

    Attributes:
        framework: its name, as of its loggers.
        folder: where its code is installed; what is printed from there is the framework's.
        stand_ins: how the text of a traced tensor begins; a printed line that holds one is dropped.
        switches: environment variables by which a user asks for the framework's log; where one is
            set, its loggers are left alone.
    """

    framework: str
    folder: str
    stand_ins: Sequence[str] = ()
    switches: Sequence[str] = ()


@contextmanager
def without_chatter(chatter: Chatter) -> Iterator[None]:
    """Inside, chatter goes to the logger `padiff_graph.capture.FRAMEWORK` at level DEBUG alone."""
    log = logging.getLogger(f"padiff_graph.capture.{chatter.framework}")
    with ExitStack() as undo:
        if not any(os.environ.get(switch) for switch in chatter.switches):
            undo.enter_context(_diverted(chatter.framework, log))
        for name in STREAMS:
            undo.enter_context(_sifted(name, chatter, log))
        yield


@contextmanager
def _diverted(framework: str, log: logging.Logger) -> Iterator[None]:
    """The framework's loggers hand their records to one of this package."""
    known = logging.root.manager.loggerDict
    loggers = [
        known[name] for name in [*known] if name == framework or name.startswith(f"{framework}.")
    ]
    divert = _Divert(log)
    kept = [logger for logger in loggers if isinstance(logger, logging.Logger)]
    for logger in kept:
        logger.addFilter(divert)
    try:
        yield
    finally:
        for logger in kept:
            logger.removeFilter(divert)


@dataclass(frozen=True, eq=False)
class _Divert(logging.Filter):
    """Lets no record through, and says it elsewhere."""

    log: logging.Logger

    def filter(self, record: logging.LogRecord) -> bool:
        if record.getMessage().strip():
            self.log.debug("%s: %s", record.name, record.getMessage())
        return False


@contextmanager
def _sifted(name: str, chatter: Chatter, log: logging.Logger) -> Iterator[None]:
    """One of Python's standard streams, sifted; nothing where there is none."""
    stream = getattr(sys, name)
    if stream is None:
        yield
        return
    sieve = _Sieve(stream, chatter, log)
    setattr(sys, name, sieve)
    try:
        yield
    finally:
        sieve.settle()
        if getattr(sys, name) is sieve:
            setattr(sys, name, stream)


@dataclass
class _Sieve:
    """A stream that keeps chatter back; what asks it for anything else asks the stream itself.

    Attributes:
        held: what was printed of a line that has not ended.
    """

    stream: TextIO
    chatter: Chatter
    log: logging.Logger
    held: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Prints whole lines, those of the framework to the log."""
        if sys._getframe(1).f_code.co_filename.startswith(self.chatter.folder):
            self._tell(text)
            return len(text)
        self.held.append(text)
        if "\n" in text:
            lines = "".join(self.held).splitlines(keepends=True)
            self.held = [] if lines[-1].endswith("\n") else [lines.pop()]
            for line in lines:
                self._print(line)
        return len(text)

    def writelines(self, lines: Sequence[str]) -> None:
        """Prints each."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Prints what is held: a prompt waits for its answer."""
        self.settle()
        self.stream.flush()

    def settle(self) -> None:
        """Prints what is held."""
        rest, self.held = "".join(self.held), []
        if rest:
            self._print(rest)

    def _print(self, line: str) -> None:
        if any(mark in line for mark in self.chatter.stand_ins):
            self._tell(line)
        else:
            self.stream.write(line)

    def _tell(self, text: str) -> None:
        if text.strip():
            self.log.debug("%s", text.rstrip("\n"))
