"""Findings as a report's JSON tells them, and which of two reports are one and the same: by cause,
values and places, never by their sentence."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from padiff_graph.findings.cause import PLACES, Cause
from padiff_graph.findings.finding import FAILING

__all__ = ["FindingData", "Told", "paired", "reason_data", "same_values", "told_finding"]

Place = tuple[str, str]
CLOSE = 1e-5
"""Relative distance up to which two numbers of a cause are one: what is measured in float32 moves
by its rounding from run to run, what somebody wrote moves by more."""


class ReasonData(TypedDict):
    """A cause in a report's JSON."""

    kind: str
    facts: dict[str, Any]
    seen: ReasonData | None
    further: list[ReasonData]


class NamedFinding(TypedDict):
    """What is read of every finding of a report's JSON."""

    phase: str
    verdict: str
    cause: str
    cause_id: str
    paddle_path: str
    torch_path: str
    paddle_source: str
    torch_source: str
    places: list[Place]
    error: float | Literal["inf", "-inf", "nan"]


class FindingData(NamedFinding, total=False):
    """A finding of a report's JSON; earlier versions wrote no reason."""

    reason: ReasonData | None


@dataclass(frozen=True)
class Told:
    """One finding of a report.

    Attributes:
        phase, verdict, cause, cause_id, error: as of `Finding`.
        values: the cause's facts by name, those left out that say where it stands; None where the
            report does not hold them.
        places: all places with this cause, as (path in the first model, path in the second).
        source: "file:line" in the first model, else in the second.
    """

    phase: str
    verdict: str
    cause: str
    cause_id: str
    values: Mapping[str, Any] | None
    places: frozenset[Place]
    place: Place
    error: float
    source: str = ""

    @property
    def fails(self) -> bool:
        """Whether this finding alone makes a check fail."""
        return self.verdict in FAILING


def reason_data(cause: Cause) -> dict[str, Any]:
    """A cause as JSON can hold it."""
    return {
        "kind": cause.kind,
        "facts": {name: _plain(value) for name, value in cause.facts},
        "seen": None if cause.seen is None else reason_data(cause.seen),
        "further": [reason_data(more) for more in cause.further],
    }


def _plain(value: object) -> Any:
    """One fact as JSON can hold it."""
    if isinstance(value, Cause):
        return reason_data(value)
    if isinstance(value, (tuple, list)):
        return [_plain(member) for member in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if isinstance(value, (bool, int, str, type(None))) else str(value)


def told_finding(data: Mapping[str, Any]) -> Told:
    """A finding of a report's JSON."""
    place = (data["paddle_path"], data["torch_path"])
    reason = data.get("reason")
    return Told(
        data["phase"],
        data["verdict"],
        data["cause"],
        data["cause_id"],
        None if reason is None else _values(reason),
        frozenset([place, *((first, second) for first, second in data["places"])]),
        place,
        float(data["error"]),
        data["paddle_source"] or data["torch_source"],
    )


def _values(reason: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a cause, and of what belongs to it, without those that say where it stands."""
    values = {name: value for name, value in reason["facts"].items() if name not in PLACES}
    values["kind"] = reason["kind"]
    if reason["seen"] is not None:
        values["seen"] = _values(reason["seen"])
    values["further"] = [_values(more) for more in reason["further"]]
    return values


def same_values(first: Any, second: Any) -> bool:
    """Whether two facts are one; floats as far as a run repeats them.

    What is not known is no difference.
    """
    if first is None or second is None:
        return True
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return first.keys() == second.keys() and all(
            same_values(value, second[name]) for name, value in first.items()
        )
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(same_values, first, second))
    if isinstance(first, float) and isinstance(second, float):
        return math.isclose(first, second, rel_tol=CLOSE)
    return bool(first == second)


def _one_place(before: Told, after: Told) -> int:
    """How many places both have."""
    return len(before.places & after.places)


def _one_reference(before: Told, after: Told) -> int:
    """How many places of the second model both have, where the first model's modules have other
    names now."""
    return len({second for _, second in before.places} & {second for _, second in after.places})


def _one_port(before: Told, after: Told) -> int:
    """How many places of the first model both have."""
    return len({first for first, _ in before.places} & {first for first, _ in after.places})


WAYS: tuple[tuple[Callable[[Told, Told], int], bool], ...] = (
    (_one_place, True),
    (_one_place, False),
    (_one_reference, True),
    (_one_port, True),
)
"""How two findings of one kind are the same: by places in common, and whether their values must be
the same too; the surest way first."""


def paired(
    earlier: Sequence[Told], later: Sequence[Told]
) -> tuple[list[tuple[Told, Told]], list[Told], list[Told]]:
    """Findings of both reports that are the same, those of the earlier alone, of the later
    alone."""
    pairs: list[tuple[Told, Told]] = []
    before, after = list(earlier), list(later)
    for shared, valued in WAYS:
        for finding in list(before):
            alike = [
                candidate
                for candidate in after
                if _kind(candidate) == _kind(finding)
                and (not valued or same_values(finding.values, candidate.values))
                and shared(finding, candidate)
            ]
            if alike:
                best = max(alike, key=lambda candidate: shared(finding, candidate))
                pairs.append((finding, best))
                before.remove(finding)
                after.remove(best)
    return pairs, before, after


def _kind(finding: Told) -> tuple[str, str]:
    return finding.phase, finding.cause_id
