"""Rows of a map that the computation contradicts: what a file says is not used then, what the user
says stands, and either is told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from padiff_graph.alignment.aligned import Alignment
from padiff_graph.alignment.correspondence import ParameterEntry, ResolvedMap, inside
from padiff_graph.alignment.evidence import derive
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.layer_map.declared_rows import declared_rows
from padiff_graph.matching.ladder import match
from padiff_graph.matching.result import Matching, ParameterRow, Piece

__all__ = ["contradicted_rows"]

ADVICE = "mend or take out the row; `suggest` writes the map anew"
SURE = 0.9
"""Confidence above which the evidence leaves one choice, as `Match.confidence` defines it."""


def contradicted_rows(alignment: Alignment) -> tuple[Finding, ...]:
    """One finding for all rows that speak of something that is not there, and one for each other
    row that does not hold for these two models."""
    matching, resolved = alignment.matching, alignment.resolved
    unknown = _unknown(matching, resolved.suggested)
    unfit = _unfit(alignment)
    if _of_others(resolved, unknown, unfit):
        causes = [_other_models(resolved.written_for)]
    else:
        causes = [
            Cause.of("map.module_unknown", side=side, paths=paths)
            for side, paths in enumerate(unknown)
            if paths
        ]
        if unfit:
            causes.append(Cause.of("map.parameter_unfit", parameters=unfit))
    causes += _modules(matching, resolved.suggested)
    causes += declared_rows(matching, (*resolved.pairs, *resolved.hints))
    rows = {row.first: row for row in matching.parameters if row.first not in unfit}
    causes += _parameters(_CONTRADICTED, rows, resolved.suggested_parameters)
    causes += _parameters(_GIVEN, _without_the_user(alignment, rows), resolved.parameters)
    causes += _uses(matching, resolved)
    return tuple(
        Finding(
            "weights", "suspicious", cause, "", "", advice=ADVICE, frameworks=matching.frameworks
        )
        for cause in causes
    )


_CONTRADICTED = "map.parameter_contradicted", "map.transform_contradicted"
_GIVEN = "map.parameter_given", "map.transform_given"


def _of_others(
    resolved: ResolvedMap, unknown: tuple[tuple[str, ...], ...], unfit: tuple[str, ...]
) -> bool:
    """Whether nothing that the map says of modules and parameters is about these models."""
    modules = [{pair[side] for pair in resolved.suggested} - {""} for side in (0, 1)]
    parameters = (*resolved.parameters, *resolved.suggested_parameters)
    said = [*modules[0], *modules[1], *parameters]
    if resolved.pairs or resolved.hints:  # of these every path is there
        return False
    return len(said) > 1 and len(said) == len(unknown[0]) + len(unknown[1]) + len(unfit)


def _other_models(written_for: tuple[str, str]) -> Cause:
    if not all(written_for):
        return Cause.of("map.other_models")
    first, second = written_for
    return Cause.of("map.other_models", first_said=first, second_said=second)


def _modules(matching: Matching, suggested: tuple[tuple[str, str], ...]) -> list[Cause]:
    """Pairs of modules none of whose matched operations has its partner in the other module."""
    if not suggested:
        return []
    reached: dict[str, set[str]] = defaultdict(set)
    for held in matching.matches:
        ours, theirs = matching.first.nodes[held.first], matching.second.nodes[held.second]
        if not ours.leaf and not theirs.leaf:
            reached[ours.path].add(theirs.path)
    known = matching.first.graph.modules, matching.second.graph.modules
    contradicted = []
    for first, second in suggested:
        if first not in known[0] or second not in known[1]:
            continue
        partners = {path for at, paths in reached.items() if inside(at, first) for path in paths}
        if partners and not any(inside(path, second) for path in partners):
            facts = {"first_path": first, "second_path": second}
            contradicted.append(Cause.of("map.module_contradicted", **facts))
    return contradicted


def _unknown(
    matching: Matching, suggested: tuple[tuple[str, str], ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Modules of each side that the model does not have, or that compute nothing any more."""

    def missing(side: int, known: Iterable[str]) -> tuple[str, ...]:
        paths = dict.fromkeys(pair[side] for pair in suggested)
        return tuple(path for path in paths if path and path not in known)

    return (
        missing(0, matching.first.graph.modules),
        missing(1, matching.second.graph.modules),
    )


def _unfit(alignment: Alignment) -> tuple[str, ...]:
    """Parameters with a row that one of the models does not have, or has in another shape."""
    known, resolved = alignment.known, alignment.resolved
    fitting = known.fixed.keys() | known.suggested.keys()
    entries = (*resolved.parameters, *resolved.suggested_parameters)
    return tuple(entry.paddle_name for entry in entries if entry.paddle_name not in fitting)


def _without_the_user(
    alignment: Alignment, rows: Mapping[str, ParameterRow]
) -> Mapping[str, ParameterRow]:
    """What the computation alone surely says of parameters whose rows the user gave, where values
    did not prove the row."""
    known = alignment.known
    doubtful = {name for name in known.fixed if name in rows and not rows[name].proved}
    if not doubtful:
        return {}
    alone = replace(known, hints=replace(known.hints, parameters=()), fixed={}, suggested={})
    both = alignment.matching.first, alignment.matching.second
    read, _ = derive(match(*both, hints=alone.hints), alone)
    return {
        row.first: row for row in read.parameters if row.first in doubtful and row.confidence > SURE
    }


def _parameters(
    kinds: tuple[str, str], rows: Mapping[str, ParameterRow], entries: tuple[ParameterEntry, ...]
) -> list[Cause]:
    """Rows of parameters whose elements the computation takes from another parameter, or from other
    places of the same one."""
    causes = []
    for entry in entries:
        row = rows.get(entry.paddle_name)
        if row is None or row.status != "mapped":
            continue
        said, read = _names(entry.row), _names(row)
        if set(read) != set(said):
            causes.append(Cause.of(kinds[0], first_name=row.first, said=said, read=read))
        elif not _same_elements(entry.row.pieces, row.pieces):
            facts = {"said": entry.row.transform, "read": row.transform}
            name = ", ".join(said)
            causes.append(Cause.of(kinds[1], first_name=row.first, second_name=name, **facts))
    return causes


def _names(row: ParameterRow) -> tuple[str, ...]:
    return tuple(dict.fromkeys(piece.second for piece in row.pieces))


def _same_elements(said: tuple[Piece, ...], read: tuple[Piece, ...]) -> bool:
    """Whether two rows of one parameter take each element from the same place; of sums only the
    names are compared."""
    if said == read or any(piece.summed for piece in (*said, *read)):
        return True
    names = sorted({piece.second for piece in said})
    return bool(np.array_equal(_sources(said, names), _sources(read, names)))


def _sources(pieces: tuple[Piece, ...], names: list[str]) -> np.ndarray[Any, Any]:
    """Where each element comes from: the number of its parameter and its place there."""
    sources = np.full((2, pieces[0].first_view.source), -1, np.int64)
    for piece in pieces:
        into = piece.first_view.indices().reshape(-1)
        sources[0, into] = names.index(piece.second)
        sources[1, into] = piece.second_view.indices().reshape(-1)
    return sources


def _uses(matching: Matching, resolved: ResolvedMap) -> list[Cause]:
    """Parameters that the map takes for unread, and that are read and have their counterpart."""
    mapped = [row for row in matching.parameters if row.status == "mapped"]
    used = (
        {row.first for row in mapped},
        {piece.second for row in mapped for piece in row.pieces},
    )
    causes = []
    for side, said in enumerate((resolved.unread, resolved.unused_second)):
        wrong = tuple(name for name in said if name in used[side])
        if wrong:
            causes.append(Cause.of("map.use_contradicted", side=side, parameters=wrong))
    return causes
