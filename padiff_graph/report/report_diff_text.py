"""What changed between two reports, as plain text of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from padiff_graph.printable import code_comment
from padiff_graph.report.report_diff import Change, ReportDiff
from padiff_graph.report.source_lines import short_source
from padiff_graph.report.told_findings import Told
from padiff_graph.report.wording import noun

__all__ = ["diff_text"]

HEADLINES = {
    "better": "BETTER",
    "worse": "WORSE",
    "mixed": "PARTLY BETTER, PARTLY WORSE",
    "same": "AS BEFORE",
    "unclear": "NOT CLEAR (less was compared than before)",
}
VERDICTS = {True: "aligned", False: "not aligned"}
SHOWN = 12
"""How many findings of a kind are named; chosen so that the text stays one screen."""


def diff_text(diff: ReportDiff) -> str:
    """The outcome first, then the verdict, the numbers, and each finding that is not as before."""
    return "\n".join(map(code_comment, _lines(diff)))


def _lines(diff: ReportDiff) -> Iterator[str]:
    yield f"{HEADLINES[diff.outcome]}  {' against '.join(diff.models)}"
    before, after = (VERDICTS[passed] for passed in diff.passed)
    yield f"verdict: {after}, as before" if before == after else f"verdict: {before} -> {after}"
    for title, numbers in (("regions", diff.regions), ("compared", diff.compared)):
        moved = _moved(numbers)
        if moved:
            yield f"{title}: {moved}"
    for title, findings in (
        ("gone", diff.gone),
        ("new", diff.new),
        ("not compared any more", diff.unasked),
    ):
        yield from _listed(title, findings)
    if diff.changed:
        yield "changed"
        for change in diff.changed[:SHOWN]:
            yield from _finding(change.after)
            yield f"    {'; '.join(_changes(change))}"
        yield from _rest(len(diff.changed))
    if diff.kept:
        yield f"as before: {diff.kept} {noun('findings', diff.kept)}"
    for note in diff.notes:
        yield f"note: {note}"


def _moved(numbers: Mapping[str, tuple[int, int]]) -> str:
    """Numbers that changed."""
    changed = [f"{name} {one} -> {two}" for name, (one, two) in numbers.items() if one != two]
    return ", ".join(changed)


def _listed(title: str, findings: tuple[Told, ...]) -> Iterator[str]:
    if findings:
        yield title
    for finding in findings[:SHOWN]:
        yield from _finding(finding)
    yield from _rest(len(findings))


def _rest(count: int) -> Iterator[str]:
    if count > SHOWN:
        yield f"  ... and {count - SHOWN} more"


def _finding(finding: Told) -> Iterator[str]:
    """One finding: verdict and place, then its cause."""
    first, second = finding.place
    place = first or "(root)"
    if second and second != first:
        place += f" | {second}"
    where = f"  {short_source(finding.source)}" if finding.source else ""
    yield f"  {finding.verdict}  {place}{where}"
    yield f"    {finding.cause}"


def _changes(change: Change) -> Iterator[str]:
    """What of a finding changed, each with both values."""
    before, after = change.before, change.after
    if before.verdict != after.verdict:
        yield f"verdict {before.verdict} -> {after.verdict}"
    if change.other_values:
        yield f"was: {before.cause}"
    named = (*change.better, *change.worse)
    if "error" in named:
        yield f"error {before.error:.3g} -> {after.error:.3g}"
    if "places" in named:
        yield f"places {len(before.places)} -> {len(after.places)}"
