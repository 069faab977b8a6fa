"""What got better and what got worse between two reports, as data."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

from padiff_graph.data_shapes import misfit
from padiff_graph.errors import UsageError
from padiff_graph.file_reading import UnreadableFile, load_json
from padiff_graph.file_writing import write_text
from padiff_graph.report.told_findings import FindingData, Told, paired, same_values, told_finding

__all__ = ["Change", "Outcome", "ReportDiff", "diff_reports", "read_report"]

Outcome = Literal["better", "worse", "mixed", "same", "unclear"]
MOVED = 0.1
"""Share by which an error must grow or shrink to be told: what rounding moves from run to run is
less; chosen."""
ASKED = {"forward": ("backward",), "backward": ("forward",)}
"""Phases that a check with a `diff_phase` leaves out."""
SETTINGS = ("diff_phase", "compare_mode", "single_step", "steps", "auto_weights", "precision")
"""Options that decide what is compared."""


class ReportData(TypedDict):
    """What is read of a report's JSON."""

    passed: bool
    equivalent: bool | None
    models: tuple[str, str]
    frameworks: tuple[str, str]
    findings: list[FindingData]
    regions: dict[str, int]
    compared: dict[str, int]
    options: dict[str, Any]
    tolerance: dict[str, Any]


@dataclass(frozen=True)
class Change:
    """One finding that both reports have, and how it changed.

    Attributes:
        before, after: the finding in both.
        better, worse: what of it did: "error", "places", "verdict".
    """

    before: Told
    after: Told
    better: tuple[str, ...] = ()
    worse: tuple[str, ...] = ()

    @property
    def other_values(self) -> bool:
        """Whether the cause has other values now, which is neither better nor worse."""
        return not same_values(self.before.values, self.after.values)

    @property
    def told(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.better or self.worse or self.other_values)


@dataclass(frozen=True)
class ReportDiff:
    """What `report.diff(earlier)` returns.

    Attributes:
        outcome: "better" or "worse" where only that happened, "mixed", "same", or "unclear" where
            nothing got worse, but less was compared than before.
        models, frameworks: of the later report.
        passed, equivalent: each before and after.
        gone: findings that the later report lacks, and would have, were they still there.
        unasked: findings that the later report lacks because it did not compare their places.
        new: findings that the earlier report lacks.
        changed: findings of both that changed.
        kept: how many did not.
        regions, compared: numbers before and after, by verdict and by what was compared.
        notes: what makes the two reports hard to compare, in sentences.
    """

    outcome: Outcome
    models: tuple[str, str]
    frameworks: tuple[str, str]
    passed: tuple[bool, bool]
    equivalent: tuple[bool | None, bool | None]
    gone: tuple[Told, ...] = ()
    unasked: tuple[Told, ...] = ()
    new: tuple[Told, ...] = ()
    changed: tuple[Change, ...] = ()
    kept: int = 0
    regions: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    compared: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        from padiff_graph.report.report_diff_text import diff_text

        return diff_text(self)

    def show(self) -> None:
        """Prints it."""
        print(self)

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """As JSON text; also written to `path` where given."""
        text = json.dumps(_data(self), indent=1)
        if path is not None:
            write_text(path, text)
        return text


def read_report(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A report's JSON file, as `to_json` writes it.

    Raises:
        UsageError: the file cannot be read, or is no report.
    """
    from padiff_graph.report.report_json import SCHEMA_VERSION

    try:
        data = load_json(path)
    except UnreadableFile as error:
        raise UsageError(
            f"expected a report as report.to_json or --json writes it; {os.fspath(path)} cannot be "
            f"read: {error}"
        ) from None
    if not isinstance(data, dict) or "passed" not in data or "findings" not in data:
        raise UsageError(f"{os.fspath(path)} holds JSON, but no report")
    if data.get("schema_version") != SCHEMA_VERSION:
        raise UsageError(
            f"{os.fspath(path)} has schema_version {data.get('schema_version')!r}; this version "
            f"reads {SCHEMA_VERSION}"
        )
    wrong = misfit(data, ReportData)
    if wrong:
        raise UsageError(f"{os.fspath(path)} is no report as --json writes it: {wrong}")
    return data


def diff_reports(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> ReportDiff:
    """What changed between two reports, each as its JSON."""
    before = [told_finding(finding) for finding in earlier["findings"]]
    after = [told_finding(finding) for finding in later["findings"]]
    pairs, lost, new = paired(before, after)
    changes = [_change(*pair) for pair in pairs]
    changed = tuple(change for change in changes if change.told)
    unasked = [finding for finding in lost if not _would_show(finding, later, new)]
    gone = [finding for finding in lost if finding not in unasked]
    passed = bool(earlier["passed"]), bool(later["passed"])
    better = any(finding.fails for finding in gone) or passed == (False, True)
    worse = any(finding.fails for finding in new) or passed == (True, False)
    better |= any(change.better for change in changed)
    worse |= any(change.worse for change in changed)
    return ReportDiff(
        _outcome(better, worse, bool(unasked)),
        (later["models"][0], later["models"][1]),
        (later["frameworks"][0], later["frameworks"][1]),
        passed,
        (earlier["equivalent"], later["equivalent"]),
        tuple(gone),
        tuple(unasked),
        tuple(new),
        changed,
        len(changes) - len(changed),
        _numbers(earlier["regions"], later["regions"]),
        _numbers(earlier["compared"], later["compared"]),
        tuple(_notes(earlier, later)),
    )


def _outcome(better: bool, worse: bool, less: bool) -> Outcome:
    if better and worse:
        return "mixed"
    if worse:
        return "worse"
    if less:
        return "unclear"
    return "better" if better else "same"


def _change(before: Told, after: Told) -> Change:
    """How one finding changed."""
    signs = {
        "verdict": after.fails - before.fails,
        "places": len(after.places) - len(before.places),
        "error": _moved(before.error, after.error),
    }
    return Change(
        before,
        after,
        tuple(name for name, sign in signs.items() if sign < 0),
        tuple(name for name, sign in signs.items() if sign > 0),
    )


def _moved(before: float, after: float) -> int:
    """-1 where an error got smaller, 1 where it grew, 0 where it stayed about the same.

    NaN is larger than any number. Nothing measured (0.0) is no error of zero.
    """
    if 0.0 in (before, after) or before == after:
        return 0
    if before != before or after != after:
        return (after != after) - (before != before)
    if abs(after - before) <= MOVED * max(before, after):
        return 0
    return 1 if after > before else -1


def _would_show(finding: Told, later: Mapping[str, Any], new: Sequence[Told]) -> bool:
    """Whether the later report would have a finding of the earlier, were its cause still there."""
    counts = later["compared"]
    if not any(counts.values()):
        return False
    options = later["options"]
    if finding.phase in ASKED.get(str(options.get("diff_phase")), ()):
        return False
    if finding.phase == "optimizer" and not options.get("steps", 1) > 1:
        return False
    if finding.cause_id.startswith("precision.") and not later["precision"]:
        return False
    shut = [other for other in new if other.verdict == "not-comparable"]
    return not any(other.places & finding.places or ("", "") in other.places for other in shut)


def _numbers(before: Mapping[str, int], after: Mapping[str, int]) -> Mapping[str, tuple[int, int]]:
    names = dict.fromkeys([*before, *after])
    return {name: (before.get(name, 0), after.get(name, 0)) for name in names}


def _notes(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> list[str]:
    """What makes the two reports hard to compare."""
    notes = []
    for what in ("models", "frameworks"):
        if earlier[what] != later[what]:
            sides = (" and ".join(map(str, report[what])) for report in (earlier, later))
            notes.append("other {}: {}, now {}".format(what, *sides))
    for name in SETTINGS:
        given = earlier["options"].get(name), later["options"].get(name)
        if given[0] != given[1]:
            notes.append(f"another {name}: {given[0]}, now {given[1]}")
    for name, asked in later["tolerance"].items():
        before = earlier["tolerance"].get(name)
        if before != asked:
            notes.append(f"another {name}: {before}, now {asked}")
    return notes


def _data(diff: ReportDiff) -> dict[str, Any]:
    """The difference as JSON can hold it."""
    return {
        "outcome": diff.outcome,
        "models": list(diff.models),
        "frameworks": list(diff.frameworks),
        "passed": list(diff.passed),
        "equivalent": list(diff.equivalent),
        "gone": [_told_data(finding) for finding in diff.gone],
        "unasked": [_told_data(finding) for finding in diff.unasked],
        "new": [_told_data(finding) for finding in diff.new],
        "changed": [
            {
                "before": _told_data(change.before),
                "after": _told_data(change.after),
                "better": list(change.better),
                "worse": list(change.worse),
                "other_values": change.other_values,
            }
            for change in diff.changed
        ],
        "kept": diff.kept,
        "regions": {name: list(pair) for name, pair in diff.regions.items()},
        "compared": {name: list(pair) for name, pair in diff.compared.items()},
        "notes": list(diff.notes),
    }


def _told_data(finding: Told) -> dict[str, Any]:
    error = finding.error
    return {
        "phase": finding.phase,
        "verdict": finding.verdict,
        "cause": finding.cause,
        "cause_id": finding.cause_id,
        "values": None if finding.values is None else dict(finding.values),
        "paddle_path": finding.place[0],
        "torch_path": finding.place[1],
        "places": [list(place) for place in sorted(finding.places)],
        "error": error if abs(error) < float("inf") else str(error),
        "source": finding.source,
    }
