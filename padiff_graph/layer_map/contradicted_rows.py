"""Rows of a file that the computation contradicts: what they say is not used, and that is said."""

from __future__ import annotations

from collections import defaultdict

from padiff_graph.alignment.aligned import Alignment
from padiff_graph.alignment.correspondence import ParameterEntry, inside
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.result import Matching, ParameterRow

__all__ = ["contradicted_rows"]

ADVICE = "mend or take out the row; `suggest` writes the map anew"


def contradicted_rows(alignment: Alignment) -> tuple[Finding, ...]:
    """One finding for each row that the matcher once found and that does not hold for these two
    models."""
    matching = alignment.matching
    causes = [
        Cause.of("map.module_contradicted", first_path=first, second_path=second)
        for first, second in _modules(matching, alignment.resolved.suggested)
    ]
    causes += _unknown(matching, alignment.resolved.suggested)
    causes += _unfit(alignment)
    causes += _parameters(matching, alignment.resolved.suggested_parameters)
    return tuple(
        Finding(
            "weights", "suspicious", cause, "", "", advice=ADVICE, frameworks=matching.frameworks
        )
        for cause in causes
    )


def _modules(matching: Matching, suggested: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    """Rows of modules none of whose matched operations has its partner in the other module."""
    if not suggested:
        return []
    reached: dict[str, set[str]] = defaultdict(set)
    for match in matching.matches:
        ours, theirs = matching.first.nodes[match.first], matching.second.nodes[match.second]
        if not ours.leaf and not theirs.leaf:
            reached[ours.path].add(theirs.path)
    known = matching.first.graph.modules, matching.second.graph.modules
    contradicted = []
    for first, second in suggested:
        if first not in known[0] or second not in known[1]:
            continue
        partners = {path for at, paths in reached.items() if inside(at, first) for path in paths}
        if partners and not any(inside(path, second) for path in partners):
            contradicted.append((first, second))
    return contradicted


def _unknown(matching: Matching, suggested: tuple[tuple[str, str], ...]) -> list[Cause]:
    """Rows of modules that a model does not have, or that compute nothing any more."""
    sides = enumerate((matching.first.graph.modules, matching.second.graph.modules))
    return [
        Cause.of("map.module_unknown", side=side, path=path)
        for side, modules in sides
        for path in dict.fromkeys(pair[side] for pair in suggested)
        if path and path not in modules
    ]


def _unfit(alignment: Alignment) -> list[Cause]:
    """Rows of parameters that one of the models does not have, or has in another shape."""
    known, resolved = alignment.known, alignment.resolved
    fitting = known.fixed.keys() | known.suggested.keys()
    return [
        Cause.of("map.parameter_unfit", first_name=entry.paddle_name)
        for entry in (*resolved.parameters, *resolved.suggested_parameters)
        if entry.paddle_name not in fitting
    ]


def _parameters(matching: Matching, suggested: tuple[ParameterEntry, ...]) -> list[Cause]:
    """Rows of parameters whose elements the computation takes from another parameter."""
    rows = {row.first: row for row in matching.parameters}
    causes = []
    for entry in suggested:
        row = rows.get(entry.paddle_name)
        if row is None or row.status != "mapped":
            continue
        said, read = _names(entry.row), _names(row)
        if set(read) != set(said):
            facts = {"first_name": row.first, "said": said, "read": read}
            causes.append(Cause.of("map.parameter_contradicted", **facts))
    return causes


def _names(row: ParameterRow) -> tuple[str, ...]:
    return tuple(dict.fromkeys(piece.second for piece in row.pieces))
