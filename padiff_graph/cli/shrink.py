"""`padiff-graph shrink`: the smallest pair that keeps a difference, as a script that runs alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from padiff_graph.cli.check_options import Asked, check_options
from padiff_graph.cli.exit_codes import ALIGNED, NOT_WRITTEN, verdict_code
from padiff_graph.cli.files import ending, output_file
from padiff_graph.cli.options import PAIR
from padiff_graph.cli.speech import complain, headline, say
from padiff_graph.cli.two_targets import Targets, two_targets

if TYPE_CHECKING:
    from padiff_graph.findings.finding import Finding
    from padiff_graph.report.report import Report

__all__ = ["HELP", "SHORT", "shrink"]

SHORT = "Make a difference small: a script of a few operations that runs alone."
HELP = f"{SHORT} {PAIR}"


@two_targets
@check_options
@output_file(
    "-o",
    "--out",
    metavar="FILE.py",
    required=True,
    callback=ending(".py"),
    help="what to write; its numbers go beside it",
)
@click.option("--cause", metavar="ID", help="the finding to shrink, by its cause_id")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0),
    default=120.0,
    show_default=True,
    help="how long smaller pairs are looked for",
)
def shrink(targets: Targets, asked: Asked, out: str, cause: str | None, seconds: float) -> int:
    """`shrink`, printed; the script written and checked once more."""
    asked.check()

    from padiff_graph.check.comparison import compare
    from padiff_graph.errors import NotWrittenError, UsageError
    from padiff_graph.report.terminal import report_headline
    from padiff_graph.shrinking.script import shows_again, write_shrunk
    from padiff_graph.shrinking.shrink import shrink, told

    if targets.elsewhere:
        raise UsageError(
            "models of this process can be shrunk; name neither interpreters nor recordings"
        )
    report = compare(**asked.over(targets.load_here()))
    headline(report_headline(report).plain)
    if not any(finding.fails for finding in report.findings):
        complain("nothing fails: there is no difference to shrink, and nothing was written")
        return verdict_code(report)
    finding = None if cause is None else _named(report, cause)
    shrunk = shrink(report, finding, seconds=seconds)
    say(f"{shrunk.original.verdict}: {shrunk.original.cause}")
    for line in told(shrunk):
        say(line)
    say(f"{shrunk.checks} small pairs were checked in {shrunk.seconds:.0f} s")
    try:
        write_shrunk(shrunk, out)
    except NotWrittenError as error:
        complain(f"error: {error}; the answer above stands")
        return NOT_WRITTEN
    if not shows_again(shrunk, out):
        raise UsageError(f"{out} was written, but its pair does not show the finding by itself")
    say(f"written: {out}, and its numbers beside it; the pair in it shows the same cause")
    return ALIGNED


def _named(report: Report, cause: str) -> Finding:
    """The first failing finding with a cause.

    Raises:
        UsageError: there is none.
    """
    from padiff_graph.errors import UsageError

    failing = [finding for finding in report.findings if finding.fails]
    for finding in failing:
        if finding.cause_id == cause:
            return finding
    known = ", ".join(dict.fromkeys(finding.cause_id for finding in failing))
    raise UsageError(f"no failing finding is {cause!r}; found {known or 'none'}")
