"""Files that a command is asked to write: options that name them, and the writing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from padiff_graph.cli.exit_codes import NOT_WRITTEN
from padiff_graph.cli.speech import complain, say

if TYPE_CHECKING:
    from padiff_graph.report.report import Report
    from padiff_graph.report.structural_diff_result import StructuralDiff

__all__ = [
    "Wanted",
    "ending",
    "output_file",
    "to",
    "views",
    "writable",
    "write_acceptance_card",
    "write_repro_script",
    "write_stop",
    "written",
]

Command = TypeVar("Command", bound=Callable[..., Any])
OUTPUTS = "padiff_graph.outputs"
"""Where a call keeps the names of its options that name files to be written."""


def writable(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """A file to be written: its folder is looked at before anything is run."""
    if value is None:
        return None
    folder = os.path.dirname(value) or "."
    if not os.path.isdir(folder):
        reason = f"{value} cannot be written: there is no folder {folder}"
        raise click.BadParameter(reason, ctx, param)
    if os.path.isdir(value):
        raise click.BadParameter(f"{value} cannot be written: it is a folder", ctx, param)
    for name, other in ctx.params.items():
        if name in ctx.meta.get(OUTPUTS, ()) and other and _same_file(value, other):
            raise click.BadParameter(f"{value} is named by two options", ctx, param)
    ctx.meta.setdefault(OUTPUTS, set()).add(param.name)
    return value


def _same_file(first: str, second: str) -> bool:
    return os.path.realpath(first) == os.path.realpath(second)


def ending(*suffixes: str) -> Callable[[click.Context, click.Parameter, str | None], str | None]:
    """`writable`, for a file that must end in one of some suffixes."""

    def check(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
        if value is not None and not value.endswith(suffixes):
            wanted = ", ".join(suffixes)
            raise click.BadParameter(
                f"expected a file that ends in {wanted}; found {value}", ctx, param
            )
        return writable(ctx, param, value)

    return check


def output_file(*names: str, **settings: Any) -> Callable[[Command], Command]:
    """An option that names a file to be written."""
    return click.option(*names, **{"metavar": "FILE", "callback": writable, **settings})


Wanted = tuple[str, Callable[[], str]]
"""A file that was asked for, and what writes it and says what was written."""


def views(
    result: Report | StructuralDiff, html: str | None, json_file: str | None, explorer: str | None
) -> list[Wanted]:
    """The views of a result that were asked for."""
    wanted: list[Wanted] = []
    if html is not None:
        wanted.append((html, lambda: to(html, result.to_html)))
    if json_file is not None:
        wanted.append((json_file, lambda: to(json_file, result.to_json)))
    if explorer is not None:
        wanted.append((explorer, lambda: _explore(result, explorer)))
    return wanted


def written(wanted: Sequence[Wanted], code: int, *, err: bool = False) -> int:
    """Writes every file that can be written; a verdict stands, but one that is missing is told."""
    from padiff_graph.errors import NotWrittenError, UsageError

    for path, write in wanted:
        try:
            say(f"written: {write()}", err=err)
        except UsageError as error:  # there is nothing to write; the check itself has its answer
            complain(f"not written: {path}: {error}")
        except NotWrittenError as error:
            complain(f"error: {error}; the answer above stands")
            code = NOT_WRITTEN
    return code


def to(path: str, write: Callable[[str], object]) -> str:
    """Writes a file of one name, which it then says."""
    write(path)
    return path


def _explore(result: Report | StructuralDiff, path: str) -> str:
    from padiff_graph.errors import UsageError
    from padiff_graph.export.model_explorer import model_explorer

    if result.matching is None:
        raise UsageError("a model could not be captured")
    paths = model_explorer(result.matching, path, result.findings)
    return " and ".join(map(str, paths))


def write_repro_script(report: Report, path: str) -> str:
    """Writes the first finding's region as a script, and says where."""
    from padiff_graph.export.repro_script import write_repro

    write_repro(report, path)
    return f"{path}, and its values beside it"


def write_acceptance_card(report: Report, path: str) -> str:
    """Writes the card, and says where."""
    from padiff_graph.export.card import write_card

    write_card(report, path)
    return path


def write_stop(error: Exception, printed: str, json_file: str | None) -> None:
    """Writes where a model stopped as JSON, where that is known and JSON was asked for."""
    from padiff_graph.file_writing import write_text
    from padiff_graph.findings.stopped_model import stopped_model
    from padiff_graph.report.stopped_text import stopped_data

    stopped = stopped_model(error)
    if stopped is None:
        return
    text = json.dumps(stopped_data(stopped), indent=2, allow_nan=False)
    if printed == "json":
        click.echo(text)
    if json_file is not None:
        written(
            [(json_file, lambda: to(json_file, lambda path: write_text(path, text)))], 0, err=True
        )
