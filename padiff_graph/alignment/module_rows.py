"""From matched operations to corresponding modules."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

from padiff_graph.alignment.correspondence import ModuleRow
from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.matching.result import Matching

__all__ = ["module_rows", "unmatched_modules"]

SHARE = 0.9
"""Share of a module's matched operations that have to lie under its counterpart; chosen so that one
operation in ten may be written elsewhere."""
EQUAL = 0.999
"""Share of the best counterpart's likeness from which another is its equal; chosen to leave out
nothing but rounding."""
SHOWN = 3
"""Most alternatives that a row names."""


def module_rows(matching: Matching) -> tuple[ModuleRow, ...]:
    """Which modules correspond, from the operations below them.

    A module's counterpart is the innermost module of the other side that holds what its operations
    match. Several modules may have the same one (three linears against one fused attention).
    """
    first, second = _members(matching.first), _members(matching.second)
    tally = _tally(matching)
    rows: list[ModuleRow] = []
    for path in matching.first.graph.modules:
        counts = tally.counterparts.get(path)
        ranked = _ranked(path, counts, tally.matched[path], first, second) if counts else []
        if not counts or not ranked:
            continue
        best = ranked[0]
        inside, holds = counts[best], second[best]
        sure = tally.confidences[path, best]
        overlap = inside / max(first[path], inside)
        reason = f"{inside} of {first[path]} operations match"
        if inside != holds:
            reason = f"{reason}, of {holds} there"
        confidence = round(overlap * sum(sure) / len(sure), 4)
        rows.append(ModuleRow(path, best, confidence, reason, tuple(ranked[1 : 1 + SHOWN])))
    return tuple(rows)


@dataclass(frozen=True)
class _Tally:
    """Matched operations by the modules around them.

    Attributes:
        counterparts: for each first module, how many of its operations match some in each second
            one.
        confidences: of those matches, by both modules.
        matched: for each first module, how many of its operations match.
    """

    counterparts: dict[str, Counter[str]]
    confidences: dict[tuple[str, str], list[float]]
    matched: Counter[str]


def _tally(matching: Matching) -> _Tally:
    tally = _Tally(defaultdict(Counter), defaultdict(list), Counter())
    for match in matching.matches:
        ours, theirs = matching.first.nodes[match.first], matching.second.nodes[match.second]
        if ours.leaf or theirs.leaf:
            continue
        above = _above(theirs.path)
        for path in _above(ours.path):
            tally.matched[path] += 1
            for counterpart in above:
                tally.counterparts[path][counterpart] += 1
                tally.confidences[path, counterpart].append(match.confidence)
    return tally


def unmatched_modules(
    matching: Matching, rows: tuple[ModuleRow, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Modules of each side that compute something and have no row."""
    first, second = _members(matching.first), _members(matching.second)
    ours, theirs = {row.paddle_path for row in rows}, {row.torch_path for row in rows}
    return (
        tuple(path for path in matching.first.graph.modules if first[path] and path not in ours),
        tuple(
            path for path in matching.second.graph.modules if second[path] and path not in theirs
        ),
    )


def _ranked(
    path: str, counts: Counter[str], total: int, first: Counter[str], second: Counter[str]
) -> list[str]:
    """Counterparts, best first: those that hold nearly all of it, the tightest first; a module of
    the same depth or name among equals."""
    good = [module for module, count in counts.items() if count >= SHARE * total]
    if not good:
        return []
    tail = path.rpartition(".")[2]

    def likeness(module: str) -> float:
        return counts[module] / (first[path] + second[module] - counts[module])

    def rank(module: str) -> tuple[float, int, int]:
        renamed = module.rpartition(".")[2] != tail
        depth = abs(module.count(".") - path.count("."))
        return -round(likeness(module), 6), int(renamed), depth

    ordered = sorted(good, key=rank)
    return [module for module in ordered if likeness(module) >= EQUAL * likeness(ordered[0])]


def _members(normal: NormalGraph) -> Counter[str]:
    """How many operations lie at or below each module."""
    members: Counter[str] = Counter()
    for node in normal.nodes:
        if not node.leaf:
            members.update(_above(node.path))
    return members


def _above(path: str) -> list[str]:
    """A path and all those around it, the root too."""
    parts = path.split(".") if path else []
    return ["", *(".".join(parts[: depth + 1]) for depth in range(len(parts)))]
