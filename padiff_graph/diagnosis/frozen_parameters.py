"""Parameters that one model trains and the other does not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from padiff_graph.executor.region_parameters import first_reads
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.result import Matching

__all__ = ["frozen_parameters"]

FLAGS = {"paddle": "stop_gradient is set"}
"""What freezes a parameter, by framework; `requires_grad is False` in all others."""
UNASKED = "gradients were not asked for; where the port is trained, ask with diff_phase 'both'"
UNREAD = 1 << 30
"""Behind every operation: where a parameter stands that nothing reads."""


def frozen_parameters(matching: Matching, *, graded: bool) -> list[Finding]:
    """One finding for each side that freezes parameters. Regions differentiate all of them, so only
    the models' own flags tell.

    Args:
        matching: of the two models.
        graded: whether gradients are compared: else a flag is worth a word, and no difference in
            what was asked.
    """
    if not graded and "onnx" in matching.frameworks:
        return []
    reads = first_reads(matching.second.graph)
    groups: dict[int, list[tuple[int, str, str]]] = defaultdict(list)
    for first, second, frozen in _unlike(matching):
        groups[frozen].append((reads.get(second, UNREAD), first, second))
    findings = [_finding(matching, frozen, sorted(rows)) for frozen, rows in groups.items()]
    if graded:
        return findings
    return [
        replace(finding, phase="structure", verdict="suspicious", advice=UNASKED)
        for finding in findings
    ]


def _unlike(matching: Matching) -> Iterator[tuple[str, str, int]]:
    """(first, second, the side that freezes it) of parameters that one side alone trains."""
    firsts, seconds = matching.first.graph.parameters, matching.second.graph.parameters
    for row in matching.parameters:
        for piece in row.pieces:
            first, second = firsts.get(row.first), seconds.get(piece.second)
            if first is None or second is None or first.buffer or second.buffer:
                continue
            if first.trainable != second.trainable:
                yield row.first, piece.second, 1 if first.trainable else 0


def _finding(matching: Matching, frozen: int, rows: list[tuple[int, str, str]]) -> Finding:
    order, *names = rows[0]
    places = dict.fromkeys((_owner(first), _owner(second)) for _, first, second in rows)
    cause = Cause.of(
        "parameter.frozen",
        side=frozen,
        parameter=names[frozen],
        flag=FLAGS.get(matching.frameworks[frozen], "requires_grad is False"),
        counterpart=names[1 - frozen],
    )
    return Finding(
        "backward",
        "different",
        cause,
        *next(iter(places)),
        places=tuple(places),
        order=order,
        frameworks=matching.frameworks,
    )


def _owner(name: str) -> str:
    return name.rpartition(".")[0]
