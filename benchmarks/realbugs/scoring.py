"""What a tool said, held against what is right, and the table of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.realbugs.case import Case
from benchmarks.realbugs.runners.runner import Said

__all__ = ["Score", "rows", "scored", "totals"]


@dataclass(frozen=True)
class Score:
    """Both forms of one case.

    Attributes:
        case: the case's name.
        bug: whether the faulty form changes a number; otherwise it must not be an alarm.
        detected, exact, cause: of a bug.
        alarms: of the healthy form, and of the faulty one where it is harmless: how many.
        cannot: how many of the two forms the tool could not be asked about.
        faulty, healthy: what was said.
    """

    case: str
    bug: bool
    detected: bool
    exact: bool
    cause: bool
    alarms: int
    cannot: int
    faulty: Said
    healthy: Said


def scored(case: Case, faulty: Said, healthy: Said) -> Score:
    """Detected where the verdict is the right one; place and cause count only then."""
    bug = case.right.verdict != "none"
    detected = bug and faulty.verdict in ("different", "framework")
    if case.right.verdict == "different":
        detected = detected and faulty.verdict == "different"
    must_be_quiet = [healthy] if bug else [healthy, faulty]
    return Score(
        case.name,
        bug,
        detected,
        detected and faulty.place in case.right.places,
        detected and _caused(case, faulty),
        sum(said.verdict == "different" for said in must_be_quiet),
        sum(said.verdict == "cannot" for said in (healthy, faulty)),
        faulty,
        healthy,
    )


def _caused(case: Case, said: Said) -> bool:
    """Whether the cause is a right one: by its id, or by a word where the tool has no ids."""
    if said.cause is not None:
        return said.cause in case.right.causes
    return any(word in said.text.lower() for word in case.right.words)


def totals(scores: Sequence[Score]) -> dict[str, int]:
    """The sums of a table."""
    return {
        "bugs": sum(score.bug for score in scores),
        "detected": sum(score.detected for score in scores),
        "exact": sum(score.exact for score in scores),
        "cause": sum(score.cause for score in scores),
        "quiet": sum(1 if score.bug else 2 for score in scores),
        "alarms": sum(score.alarms for score in scores),
        "cannot": sum(score.cannot for score in scores),
    }


def rows(scores: Sequence[Score], cases: Sequence[Case]) -> list[str]:
    """The table in Markdown: a row a case."""
    by_name = {case.name: case for case in cases}
    lines = [
        "| case | source | right verdict | detected | exact | cause | alarms |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for score in scores:
        case = by_name[score.case]
        marks = [
            _mark(getattr(score, what)) if score.bug else "-"
            for what in ("detected", "exact", "cause")
        ]
        lines.append(
            f"| `{case.name}` | {case.sources[0].name} | {case.right.verdict} |"
            f" {' | '.join(marks)} | {score.alarms} |"
        )
    return lines


def _mark(right: bool) -> str:
    return "yes" if right else "no"
