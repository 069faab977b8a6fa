"""What a command ends with: its exit code, or an error in one sentence."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

from padiff_graph.cli.exit_codes import (
    ALIGNED,
    INTERRUPTED,
    NOT_WRITTEN,
    NOTHING,
    WRONG,
)
from padiff_graph.cli.speech import complain, say, speaking, speech_options
from padiff_graph.errors import wants_memory

__all__ = ["CheckedCommand", "answered", "run"]

LOG = logging.getLogger(__name__)


class _Ended(Exception):
    """A command ended by an exception, which click must not read a meaning into.

    click answers SystemExit, its own Exit and Abort, EOFError and broken pipes by codes; from a
    user's model they mean none of that.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


class CheckedCommand(click.Command):
    """A command of which only what it returns becomes an exit code; it says what was asked for."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.params += speech_options()

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; an exception leaves it in an envelope."""
        with speaking(ctx):
            try:
                code = super().invoke(ctx)
            except BaseException as error:
                LOG.info("it ended by %s", type(error).__name__, exc_info=error)
                raise _Ended(error) from error
            LOG.info("exit code %s", code)
            return code


def _tell_where_it_stopped(error: BaseException) -> None:
    from padiff_graph.findings.stopped_model import stopped_model
    from padiff_graph.report.stopped_text import stopped_text

    stopped = stopped_model(error)
    if stopped is not None:
        say(stopped_text(stopped), err=True)


def run(command: Callable[[], Any]) -> int:
    """Runs a command and turns its errors into exit codes."""
    with _interrupts() as interrupts:
        try:
            code = command()
            sys.stdout.flush()
        except click.Abort:
            return _answer(KeyboardInterrupt())
        except BaseException as error:
            if interrupts:  # what Ctrl-C stopped may end otherwise: Paddle's import in ImportError
                return _answer(interrupts[0])
            if isinstance(error, click.ClickException):
                error.show()
                return WRONG
            return _answer(error.error if isinstance(error, _Ended) else error)
    return code if isinstance(code, int) else ALIGNED


@contextmanager
def _interrupts() -> Iterator[list[KeyboardInterrupt]]:
    """Each Ctrl-C that arrives inside, whatever the code that it stops makes of it."""
    arrived: list[KeyboardInterrupt] = []

    def noted(number: int, frame: FrameType | None) -> None:
        arrived.append(KeyboardInterrupt())
        raise arrived[-1]

    own = threading.current_thread() is threading.main_thread()
    if not own or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield arrived  # somebody else's handler stands
        return
    signal.signal(signal.SIGINT, noted)
    try:
        yield arrived
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def answered(error: BaseException) -> int:
    """The exit code of an exception, said in one sentence, for a command that goes on."""
    return _answer(error)


def _answer(error: BaseException) -> int:
    """The exit code of an exception, said in one sentence."""
    from padiff_graph.capture.capture_errors import CaptureError  # light
    from padiff_graph.capture.remote.errors import ElsewhereError
    from padiff_graph.errors import NotWrittenError, UsageError
    from padiff_graph.findings.stopped_model import stopped_model

    if isinstance(error, KeyboardInterrupt):
        return _told("stopped by Ctrl-C, before it was done", INTERRUPTED)
    if isinstance(error, NotWrittenError):
        return _told(f"error: {error}", NOT_WRITTEN)
    if isinstance(error, ElsewhereError):
        code = _told(f"nothing was compared: {error}", NOTHING)
        _tell_where_it_stopped(error)
        return code
    if isinstance(error, CaptureError):
        stopped = stopped_model(error)
        told = f"capture failed: {error}"
        if stopped is not None and not stopped.traced:
            told = f"nothing was compared: {stopped.error}"
        code = _told(told, NOTHING)
        _tell_where_it_stopped(error)
        return code
    if isinstance(error, ImportError) and type(error) is not ImportError:
        # its subclasses name what is not installed; a name that a module lacks is a mistake in code
        return _told(f"error: {error}", WRONG)
    if isinstance(error, (UsageError, click.UsageError)):
        return _told(f"error: {error}", WRONG)
    return _stopped(error)


def _told(sentence: str, code: int) -> int:
    complain(sentence)
    return code


def _stopped(error: BaseException) -> int:
    """An exception of the user's model in one sentence.

    Any other is a mistake of this tool and needs its traceback.
    """
    from padiff_graph.request.targets import raised_at, raised_inside

    where = raised_at(error)
    if where:
        said = f": {error}" if str(error) else ""
        code = _told(f"nothing was compared: {type(error).__name__}{where}{said}", NOTHING)
        _tell_where_it_stopped(error)
        return code
    if wants_memory(error):
        told = str(error).partition("\n")[0] or type(error).__name__
        return _told(f"nothing was compared: the memory was not enough: {told}", NOTHING)
    if isinstance(error, (FileNotFoundError, IsADirectoryError, PermissionError)):
        return _told(f"error: {error}", WRONG)
    if isinstance(error, OSError):
        return _told(f"error: {error}", NOT_WRITTEN)
    inside = raised_inside(error)
    if inside:  # a model that consists of the framework's own layers
        said = " ".join(str(error).split())
        told = f"{type(error).__name__} in {inside}: {said}; --log-file keeps the traceback"
        return _told(f"nothing was compared: {told}", NOTHING)
    if isinstance(error, SystemExit):
        return _told(f"nothing was compared: the program was told to exit ({error})", NOTHING)
    traceback.print_exception(error)
    return NOTHING
