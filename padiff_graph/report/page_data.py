"""What the HTML page shows, as compact plain data: every text stands once and is named by its number.

Both graphs whole, with their links, at about a hundred bytes an operation, so that 20,000 operations
stay a few megabytes.
"""

from __future__ import annotations

import linecache
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from padiff_graph.alignment.correspondence import ModuleRow
from padiff_graph.capture.graph import ComputationGraph, Node, TensorType
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.result import Match, Matching, ParameterRow
from padiff_graph.report.source_lines import short_source

__all__ = ["Link", "Page", "links", "page_data", "place_of"]

AROUND = 3
"""Lines of code shown before and behind the line of an operation."""
LINES = 40_000
"""At most this many lines of code go into a page; places of findings first."""
KINDS = ("operation", "input", "output", "parameter", "buffer", "constant")
LONGEST = 200
"""Longest attribute text."""


@dataclass(frozen=True)
class Page:
    """One page.

    Attributes:
        state: what colour and sign the headline gets.
        headline: the answer.
        title: which models.
        facts: labelled numbers under the headline.
        findings, depth, parameters, notes: as in a `Report`.
        modules: rows of the module map.
        matching: both graphs; None where capture failed.
    """

    state: Literal["passed", "failed", "unsure"]
    headline: str
    title: str
    facts: tuple[tuple[str, str], ...] = ()
    findings: tuple[Finding, ...] = ()
    depth: tuple[tuple[int, str, str, str, float, str], ...] = ()
    parameters: tuple[ParameterRow, ...] = ()
    modules: tuple[ModuleRow, ...] = ()
    notes: tuple[str, ...] = ()
    matching: Matching | None = None
    frameworks: tuple[str, str] = ("paddle", "torch")


@dataclass
class _Texts:
    """Every text once, by number."""

    table: dict[str, int] = field(default_factory=dict)

    def __call__(self, text: str) -> int:
        return self.table.setdefault(text, len(self.table))


def page_data(page: Page) -> dict[str, Any]:
    """The page's data for its script."""
    texts = _Texts()
    matching = page.matching
    sources: dict[str, None] = {}
    for finding in page.findings:
        sources.update({finding.paddle_source: None, finding.torch_source: None})
    sides: list[dict[str, Any]] = []
    if matching is not None:
        for normal in (matching.first, matching.second):
            sides.append(_side(normal.graph, texts))
            sources.update({record.source: None for record in normal.graph.records()})
    data = {
        "frameworks": page.frameworks,
        "sides": sides,
        "links": [] if matching is None else [_link(link, texts) for link in links(matching)],
        "findings": [_finding(finding, matching) for finding in page.findings],
        "depth": [
            (order, texts(first), texts(second), phase, float(f"{error:.3g}"), verdict)
            for order, first, second, phase, error, verdict in page.depth
        ],
        "parameters": [_parameter(row, matching) for row in page.parameters],
        "modules": [
            (
                row.paddle_path,
                row.torch_path,
                round(row.confidence, 3),
                row.reason,
                row.alternatives,
            )
            for row in page.modules
        ],
        "code": _code(source for source in sources if source),
        "names": {},
    }
    data["names"] = {file: short_source(f"{file}:0").removesuffix(":0") for file in data["code"]}
    data["texts"] = list(texts.table)
    return data


def _side(graph: ComputationGraph, texts: _Texts) -> dict[str, Any]:
    return {
        "framework": graph.framework,
        "training": graph.training,
        "modules": list(graph.modules.items()),
        "nodes": [_node(record, texts) for record in graph.records()],
    }


def _node(record: Node, texts: _Texts) -> tuple[Any, ...]:
    """(id, kind, label, path, source, types, attributes, operands as (role, node, output) in one flat list)."""
    operands: list[int] = []
    for position, value in enumerate(record.inputs):
        if value is not None:
            role = record.roles[position] if position < len(record.roles) else str(position)
            operands += (texts(role), value.node, value.output)
    facts = dict(record.attrs)
    if record.marks:
        facts["(marks)"] = ", ".join(sorted(record.marks))
    if record.constant is not None and record.constant.size <= 16:
        facts["(value)"] = record.constant.tolist()
    attributes = "\n".join(
        f"{name} = {_short(value)}" for name, value in facts.items() if value is not None
    )
    return (
        record.id,
        KINDS.index(record.kind),
        texts(record.op.removesuffix(".default") or record.name),
        texts(record.path),
        texts(record.source),
        texts(", ".join(_type(kind) for kind in record.outputs if kind is not None)),
        texts(attributes),
        operands,
    )


def _type(kind: TensorType) -> str:
    return f"{kind.dtype}[{', '.join(map(str, kind.shape))}]"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


@dataclass(frozen=True, slots=True)
class Link:
    """Native operations that correspond.

    Attributes:
        first, second: their numbers on each side.
        match: what says so.
        moved: whether one side is data movement in front of the other, without counterpart of its own.
    """

    first: tuple[int, ...]
    second: tuple[int, ...]
    match: Match
    moved: bool = False


def links(matching: Matching) -> Iterable[Link]:
    """All native operations that correspond: operations of their own, then what an edge stands for."""
    for match in matching.matches:
        first, second = matching.first.nodes[match.first], matching.second.nodes[match.second]
        if first.native and second.native:
            yield Link(first.native, second.native, match)
    for match in matching.matches:
        first, second = matching.first.nodes[match.first], matching.second.nodes[match.second]
        yield from (
            Link(edge.through, second.native[-1:], match, True)
            for edge in first.inputs
            if edge is not None and edge.through and second.native
        )
        yield from (
            Link(first.native[-1:], edge.through, match, True)
            for edge in second.inputs
            if edge is not None and edge.through and first.native
        )


def _link(link: Link, texts: _Texts) -> tuple[Any, ...]:
    """(first native ids, second native ids, rung, confidence, reason)."""
    reason = (
        "moves data in front of an operation that corresponds" if link.moved else link.match.reason
    )
    return (
        link.first,
        link.second,
        texts(link.match.rung),
        round(link.match.confidence, 3),
        texts(reason),
    )


def _finding(finding: Finding, matching: Matching | None) -> dict[str, Any]:
    found = asdict(finding)
    found["error"], found["relative"] = (
        f"{number:.3g}" if number else "" for number in (finding.error, finding.relative)
    )
    found["fails"] = finding.fails
    found["nodes"] = [-1, -1]
    if matching is not None:
        wanted = (
            (finding.paddle_path, finding.paddle_op, finding.paddle_source),
            (finding.torch_path, finding.torch_op, finding.torch_source),
        )
        found["nodes"] = [
            place_of(normal.graph, *place)
            for normal, place in zip((matching.first, matching.second), wanted, strict=True)
        ]
    return found


def place_of(graph: ComputationGraph, path: str, op: str, source: str) -> int:
    """The operation that a finding names; -1 where that side has none."""
    if not op:
        return -1
    same = [record for record in graph.records() if record.path == path and record.op == op]
    return next(
        (record.id for record in same if record.source == source), same[0].id if same else -1
    )


def _parameter(row: ParameterRow, matching: Matching | None) -> tuple[Any, ...]:
    """(first name, second names, transform, status, confidence, reason, proved, first shape, second shapes)."""
    names = list(dict.fromkeys(piece.second for piece in row.pieces))
    first: Mapping[str, Any] = {} if matching is None else matching.first.graph.parameters
    second: Mapping[str, Any] = {} if matching is None else matching.second.graph.parameters
    return (
        row.first,
        names,
        row.transform,
        row.status,
        round(row.confidence, 3),
        row.reason,
        row.proved,
        list(first[row.first].type.shape) if row.first in first else [],
        [list(second[name].type.shape) if name in second else [] for name in names],
    )


def _code(sources: Iterable[str]) -> dict[str, dict[int, str]]:
    """Lines around every source place, by file and number."""
    found: dict[str, dict[int, str]] = {}
    count = 0
    for source in sources:
        file, _, line = source.rpartition(":")
        if not file or not line.isdigit() or count > LINES:
            continue
        lines: Sequence[str] = linecache.getlines(os.fspath(file))
        kept = found.setdefault(file, {})
        for number in range(max(1, int(line) - AROUND), min(len(lines), int(line) + AROUND) + 1):
            if number not in kept:
                kept[number] = lines[number - 1].rstrip()
                count += 1
    return found
