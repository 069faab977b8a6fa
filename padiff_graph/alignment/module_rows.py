"""From matched operations to corresponding modules."""

from __future__ import annotations

from collections import Counter, defaultdict

from padiff_graph.alignment.correspondence import ModuleRow
from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.matching.result import Matching

__all__ = ["module_rows", "unmatched_modules"]

SHARE = 0.9
"""Share of a module's matched operations that have to lie under its counterpart."""


def module_rows(matching: Matching) -> tuple[ModuleRow, ...]:
    """Which modules correspond, from the operations below them.

    A module's counterpart is the innermost module of the other side that holds what its operations
    match. Several modules may have the same one (three linears against one fused attention).
    """
    first, second = _members(matching.first), _members(matching.second)
    of: dict[str, Counter[str]] = defaultdict(Counter)
    sure: dict[tuple[str, str], list[float]] = defaultdict(list)
    matched: dict[str, int] = Counter()
    for match in matching.matches:
        one, other = matching.first.nodes[match.first], matching.second.nodes[match.second]
        if one.leaf or other.leaf:
            continue
        above = _above(other.path)
        for path in _above(one.path):
            matched[path] += 1
            for counterpart in above:
                of[path][counterpart] += 1
                sure[path, counterpart].append(match.confidence)
    rows = []
    for path in matching.first.graph.modules:
        counts = of.get(path)
        if not counts:
            continue
        ranked = _ranked(path, counts, matched[path], first, second)
        if not ranked:
            continue
        best = ranked[0]
        inside = counts[best]
        overlap = inside / max(first[path], inside)
        confidence = round(overlap * sum(sure[path, best]) / len(sure[path, best]), 4)
        holds = second[best]
        reason = f"{inside} of {first[path]} operations match" + (
            "" if inside == holds else f", of {holds} there"
        )
        rows.append(ModuleRow(path, best, confidence, reason, tuple(ranked[1:4])))
    return tuple(rows)


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
    good = [other for other, count in counts.items() if count >= SHARE * total]
    if not good:
        return []
    tail = path.rpartition(".")[2]

    def rank(other: str) -> tuple[float, int, int]:
        union = first[path] + second[other] - counts[other]
        return (
            -round(counts[other] / union, 6),
            int(other.rpartition(".")[2] != tail),
            abs(other.count(".") - path.count(".")),
        )

    ordered = sorted(good, key=rank)
    best = counts[ordered[0]] / (first[path] + second[ordered[0]] - counts[ordered[0]])
    return [
        other
        for other in ordered
        if counts[other] / (first[path] + second[other] - counts[other]) >= 0.999 * best
    ]


def _members(normal: NormalGraph) -> Counter[str]:
    """How many operations lie at or below each module."""
    found: Counter[str] = Counter()
    for node in normal.nodes:
        if not node.leaf:
            found.update(_above(node.path))
    return found


def _above(path: str) -> list[str]:
    """A path and all those around it, the root too."""
    parts = path.split(".") if path else []
    return ["", *(".".join(parts[: depth + 1]) for depth in range(len(parts)))]
