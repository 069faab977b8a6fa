"""How much a command says: `-v` and `-q`, and a log file beside it.

Every package of the tool has a logger of its own name (`padiff_graph.check`, ...), which says
nothing until somebody listens; a command listens here, and only while it runs.
"""

from __future__ import annotations

import copy
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import click

from padiff_graph.capture.chatter import AT_IMPORT
from padiff_graph.printable import printable
from padiff_graph.progress import unwatched

__all__ = [
    "answer",
    "complain",
    "headline",
    "log_path",
    "quiet",
    "say",
    "speaking",
    "speech_options",
    "verbose",
]

LOGGER = "padiff_graph"
LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)
"""What standard error shows, by how often -v stands."""
SHORT = "%(relativeCreated)7.0f ms  %(name)s: %(message)s"
LONG = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def log_path(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """A file that a log may be added to, opened once to see that it may."""
    if value is None:
        return None
    try:
        with open(value, "a", encoding="utf-8"):
            return value
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise click.BadParameter(f"{value} cannot be written: {reason}", ctx, param) from None


def speech_options() -> list[click.Parameter]:
    """The options that every command takes."""
    return [
        click.Option(
            ["-v", "--verbose"],
            count=True,
            help="say on standard error what is done, and show numbers of outputs and layers; "
            "-vv for more",
        ),
        click.Option(
            ["-q", "--quiet"], is_flag=True, help="print the first line of the answer alone"
        ),
        click.Option(
            ["--log-file"],
            metavar="FILE",
            callback=log_path,
            help="add all that -vv says to a file",
        ),
    ]


@contextmanager
def speaking(ctx: click.Context) -> Iterator[None]:
    """Listens to the tool's loggers while the block runs, as the command's options ask."""
    wanted: dict[str, Any] = {
        name: ctx.params.pop(name, None) for name in ("verbose", "quiet", "log_file")
    }
    if wanted["verbose"] and wanted["quiet"]:
        raise click.UsageError("-v and -q contradict each other; leave one of them out", ctx)
    ctx.meta[f"{LOGGER}.quiet"] = bool(wanted["quiet"])
    ctx.meta[f"{LOGGER}.verbose"] = int(wanted["verbose"] or 0)
    for beginning in AT_IMPORT:
        warnings.filterwarnings("ignore", message=beginning)
    with ExitStack() as undo:
        if wanted["quiet"] or wanted["verbose"]:
            undo.enter_context(unwatched())
        if wanted["verbose"]:
            level = LEVELS[min(wanted["verbose"], len(LEVELS) - 1)]
            undo.enter_context(_heard(logging.StreamHandler(sys.stderr), level, _Brief(SHORT)))
        if wanted["log_file"] is not None:
            handler = logging.FileHandler(wanted["log_file"], encoding="utf-8")
            undo.enter_context(_heard(handler, logging.DEBUG, _Printable(LONG)))
        _introduce(ctx)
        yield


def _introduce(ctx: click.Context) -> None:
    """The first lines of a log: what ran where."""
    from padiff_graph.version import __version__

    log = logging.getLogger(f"{LOGGER}.cli")
    python = sys.version.split()[0]
    log.info("padiff-graph %s, Python %s, in %s", __version__, python, os.getcwd())
    asked = {name: value for name, value in ctx.params.items() if value not in (None, False)}
    log.info("%s %s", ctx.command.name, asked)


class _Printable(logging.Formatter):
    """Records without control characters of the names in them."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


class _Brief(_Printable):
    """The same without tracebacks: what they say in a sentence is printed anyway."""

    def format(self, record: logging.LogRecord) -> str:
        brief = copy.copy(record)
        brief.exc_info = brief.exc_text = None
        return super().format(brief)


@contextmanager
def _heard(handler: logging.Handler, level: int, form: logging.Formatter) -> Iterator[None]:
    """The tool's loggers reach a handler while the block runs."""
    logger = logging.getLogger(LOGGER)
    handler.setLevel(level)
    handler.setFormatter(form)
    before = logger.level, logger.propagate
    logger.setLevel(min(level, logger.level or level))
    logger.propagate = False  # frameworks put handlers of their own on the root logger
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]
        handler.close()


def quiet() -> bool:
    """Whether -q stands in the command that runs."""
    return bool(_asked("quiet"))


def verbose() -> int:
    """How often -v stands in the command that runs."""
    return int(_asked("verbose") or 0)


def _asked(name: str) -> Any:
    ctx = click.get_current_context(silent=True)
    return None if ctx is None else ctx.meta.get(f"{LOGGER}.{name}")


def headline(text: str) -> None:
    """Prints the answer, without control characters of the names in it."""
    click.echo(printable(text))


def answer(text: str) -> None:
    """Prints an answer whose first line is the headline; that alone where -q stands."""
    headline(text.partition("\n")[0] if quiet() else text)


def say(text: str, *, err: bool = False) -> None:
    """Prints a line beside the answer; nothing where -q stands."""
    if not quiet():
        click.echo(printable(text), err=err)


def complain(text: str) -> None:
    """Prints what went wrong, on standard error."""
    click.echo(printable(text), err=True)
