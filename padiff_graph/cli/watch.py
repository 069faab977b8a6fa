"""`padiff-graph watch`: a pair checked again whenever its source changes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from padiff_graph.cli.answers import answered
from padiff_graph.cli.check_options import Asked, check_options
from padiff_graph.cli.exit_codes import ALIGNED, INTERRUPTED, WRONG, verdict_code
from padiff_graph.cli.options import PAIR
from padiff_graph.cli.speech import complain, headline, quiet, say
from padiff_graph.cli.two_targets import Targets, two_targets

if TYPE_CHECKING:
    from padiff_graph.check.kept_captures import Kept
    from padiff_graph.cli.watched_files import WatchedFiles
    from padiff_graph.report.report import Report

__all__ = ["HELP", "SHORT", "watch"]

SHORT = "Check again whenever the source of a model changes."
HELP = f"{SHORT} Ctrl-C ends it. {PAIR}"
INTERVAL = 0.5
"""Seconds between two looks at the files: a person does not notice half a second."""
NAMED = 4
"""How many changed files are named; chosen so that they stay on a line."""


@dataclass
class _Watch:
    """What goes from one check to the next.

    Attributes:
        kept: captures; None before the first check.
        held: what the modules held that are not imported anew; None where all are new.
        last: the last report that there was.
    """

    targets: Targets
    asked: Asked
    files: WatchedFiles
    kept: Kept | None = None
    held: Mapping[str, object] = field(default_factory=dict)
    last: Report | None = None

    def check(self) -> int:
        """One check, shown; its exit code. What is wrong with the user's code is told."""
        try:
            report = self._compared()
        except (Exception, SystemExit) as error:  # whatever the code does that is being written
            self.files.failed(error)
            return answered(error)
        self.files.read()
        self.show(report)
        self.last = report
        return verdict_code(report)

    def _compared(self) -> Report:
        from padiff_graph.check.comparison import compare
        from padiff_graph.check.kept_captures import Kept, compare_keeping

        arguments = self.asked.over(self.targets.load_here())
        if self.targets.elsewhere:
            return compare(**arguments)
        now = self.files.held()
        alike = all(now.get(name) == value for name, value in self.held.items())
        kept = self.kept if self.kept is not None and alike else Kept()
        report, self.kept = compare_keeping(arguments, kept)
        return report

    def show(self, report: Report) -> None:
        """The first report as a whole; then the verdict, what changed, and what comes first now."""
        from padiff_graph.report.terminal import finding_text, report_headline

        if self.last is None and not quiet():
            report.show()
            return
        headline(report_headline(report).plain)
        if self.last is None:
            return
        say(str(report.diff(self.last)))
        if report.findings and not report.passed:
            say("\nFirst finding")
            say(finding_text(report.findings[0], report.frameworks, width=80).rstrip("\n"))
        self._say_kept()

    def _say_kept(self) -> None:
        used = (False, False) if self.kept is None else self.kept.used
        sides = [side for side, was in zip(("first", "second"), used, strict=True) if was]
        if sides:
            plural = "s" if len(sides) > 1 else ""
            say(f"not captured again: the {' and the '.join(sides)} model{plural}, not changed")

    def again(self, changed: list[str]) -> None:
        """What changed files made is let go of."""
        stale = {*self.files.reload(changed)}
        held = self.files.held()
        self.held = {name: value for name, value in held.items() if name not in stale}


@two_targets
@check_options
@click.option(
    "--interval",
    type=click.FloatRange(min=0.01),
    default=INTERVAL,
    show_default=True,
    help="seconds between two looks at the files",
)
@click.option(
    "--runs", type=click.IntRange(min=1), help="end after so many checks, with the last one's code"
)
def watch(targets: Targets, asked: Asked, interval: float, runs: int | None) -> int:
    """Checks, waits for a change, checks again."""
    asked.check()

    from padiff_graph.cli.watched_files import WatchedFiles
    from padiff_graph.request.reloading import fresh_code

    files = WatchedFiles(targets.named)
    with fresh_code():
        watched = _Watch(targets, asked, files)
        code = watched.check()
        if not files.contents:
            complain("there is no file to watch")
            return code if code != ALIGNED else WRONG
        for _ in _further(runs):
            say(f"\nwatching {_counted(len(files.contents))}; Ctrl-C ends")
            try:
                changed = files.wait(interval)
            except KeyboardInterrupt:  # the way to end it: nothing is left undone
                complain("stopped by Ctrl-C")
                return INTERRUPTED
            say(f"changed: {_names(changed)}\n")
            watched.again(changed)
            code = watched.check()
    return code


def _further(runs: int | None) -> Any:
    """As many checks as are left after the first."""
    from itertools import count

    return count() if runs is None else range(runs - 1)


def _counted(files: int) -> str:
    return "1 file" if files == 1 else f"{files} files"


def _names(files: list[str]) -> str:
    from padiff_graph.report.wording import cut_short

    return cut_short([os.path.relpath(file) for file in files], NAMED)
