"""What the command line answers with. docs/cli.md shows the same table; a test holds them equal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from padiff_graph.report.report import Report

__all__ = [
    "ALIGNED",
    "DIFFERENT",
    "INTERRUPTED",
    "MEANINGS",
    "NOTHING",
    "NOT_WRITTEN",
    "WRONG",
    "help_text",
    "verdict_code",
]

ALIGNED, DIFFERENT, WRONG, NOTHING, NOT_WRITTEN = 0, 1, 2, 3, 4
INTERRUPTED = 130
"""128 + SIGINT, as shells answer an interrupted program."""

MEANINGS = {
    ALIGNED: "aligned, or done",
    DIFFERENT: "differences found",
    WRONG: "wrong use: an unknown target, a bad file, impossible options;"
    " nothing was run, but for the check of a `shrink` that cannot be made",
    NOTHING: "capture failed, a model raised an error or exited, or nothing could be compared",
    NOT_WRITTEN: "a file could not be written; the verdict, where there is one, is printed",
    INTERRUPTED: "interrupted by Ctrl-C",
}
"""Only a verdict, or a command that did what was asked, gives 0; only a verdict gives 1."""


def help_text() -> str:
    """The codes as the help shows them."""
    return "\n\n".join(f"{code}: {meaning}" for code, meaning in MEANINGS.items())


def verdict_code(report: Report) -> int:
    """The exit code of a report."""
    if report.passed:
        return ALIGNED
    counts = report.compared
    something = counts.outputs or counts.regions or counts.gradients
    if something or any(finding.fails for finding in report.findings):
        return DIFFERENT
    return NOTHING
