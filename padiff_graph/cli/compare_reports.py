"""`padiff-graph compare-reports`: what changed between two reports that were written."""

from __future__ import annotations

import click

from padiff_graph.cli.exit_codes import ALIGNED, DIFFERENT, NOTHING
from padiff_graph.cli.files import output_file, to, written
from padiff_graph.cli.speech import answer

__all__ = ["compare_reports"]

CODES = {
    "better": ALIGNED,
    "same": ALIGNED,
    "worse": DIFFERENT,
    "mixed": DIFFERENT,
    "unclear": NOTHING,
}
"""What each outcome ends with."""


@click.argument("earlier", metavar="EARLIER.json")
@click.argument("later", metavar="LATER.json")
@output_file("--json", "json_file", help="write what changed as JSON")
def compare_reports(earlier: str, later: str, json_file: str | None) -> int:
    """What got better and what got worse between two reports, each as --json wrote it.

    Ends with 0 where nothing got worse, 1 where something did, 3 where less was compared.
    """
    from padiff_graph.report.report_diff import diff_reports, read_report

    difference = diff_reports(read_report(earlier), read_report(later))
    answer(str(difference))
    wanted = []
    if json_file is not None:
        wanted.append((json_file, lambda: to(json_file, difference.to_json)))
    return written(wanted, CODES[difference.outcome])
