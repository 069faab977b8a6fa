"""What the HTML page shows, as compact plain data: every text once, named by its number.

Both graphs whole, with their links, at about a hundred bytes an operation, so that 20,000
operations stay a few megabytes.
"""

from __future__ import annotations

import linecache
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from padiff_graph.alignment.correspondence import ModuleRow
from padiff_graph.capture.graph import ComputationGraph, Node, ParameterInfo, TensorType
from padiff_graph.capture.normal.form import NormalNode
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.result import Match, Matching, ParameterRow
from padiff_graph.report.compared_tensor import ComparedTensor
from padiff_graph.report.numbers_text import cosine_text, index_text
from padiff_graph.report.report_json import finding_data
from padiff_graph.report.source_lines import short_source
from padiff_graph.report.training_charts import Chart

__all__ = ["Link", "Page", "State", "links", "page_data", "place_of"]

AROUND = 3
"""Lines of code shown before and behind the line of an operation."""
LINES = 40_000
"""At most this many lines of code go into a page, places of findings first; chosen so that a page
of 20,000 operations stays a few megabytes."""
KINDS = ("operation", "input", "output", "parameter", "buffer", "constant")
LONGEST = 200
"""Longest attribute text; chosen so that a list of extents is shown whole and a table is not."""
SMALL = 16
"""Most elements of a constant whose value is shown; chosen so that the value stays one line."""
State = Literal["passed", "failed", "unsure"]
"""What colour and sign a headline gets."""


@dataclass(frozen=True)
class Page:
    """One page.

    Attributes:
        state: what colour and sign the headline gets.
        headline: the answer.
        title: which models.
        facts: labelled numbers under the headline.
        findings, depth, rounding, parameters, notes: as in a `Report`.
        numbers: its outputs, then its layers.
        modules: rows of the module map.
        matching: both graphs; None where capture failed.
        training: charts of both trainings.
        steps: how many steps both took.
    """

    state: State
    headline: str
    title: str
    facts: tuple[tuple[str, str], ...] = ()
    findings: tuple[Finding, ...] = ()
    depth: tuple[tuple[int, str, str, str, float, str], ...] = ()
    rounding: tuple[float, ...] = ()
    parameters: tuple[ParameterRow, ...] = ()
    numbers: tuple[ComparedTensor, ...] = ()
    modules: tuple[ModuleRow, ...] = ()
    notes: tuple[str, ...] = ()
    matching: Matching | None = None
    frameworks: tuple[str, str] = ("paddle", "torch")
    training: tuple[Chart, ...] = ()
    steps: int = 0


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
    sides: list[dict[str, Any]] = []
    drawn: list[tuple[Any, ...]] = []
    if matching is not None:
        sides = [_side(normal.graph, texts) for normal in (matching.first, matching.second)]
        drawn = [_link(link, texts) for link in links(matching)]
    code = _code(_sources(page))
    data = {
        "frameworks": page.frameworks,
        "sides": sides,
        "links": drawn,
        "findings": [_finding(finding, matching) for finding in page.findings],
        "depth": [
            (order, texts(first), texts(second), phase, float(f"{error:.3g}"), verdict)
            for order, first, second, phase, error, verdict in page.depth
        ],
        "rounding": [float(f"{bound:.3g}") for bound in page.rounding],
        "numbers": [_numbers(tensor) for tensor in page.numbers],
        "parameters": [_parameter(row, matching) for row in page.parameters],
        "modules": [_module(row) for row in page.modules],
        "code": code,
        "names": {file: short_source(f"{file}:0").removesuffix(":0") for file in code},
    }
    data["texts"] = list(texts.table)
    return data


def _sources(page: Page) -> Iterable[str]:
    """Every place in code once, those of findings first."""
    sources: dict[str, None] = {}
    for finding in page.findings:
        sources.update({finding.paddle_source: None, finding.torch_source: None})
    if page.matching is not None:
        for normal in (page.matching.first, page.matching.second):
            sources.update({record.source: None for record in normal.graph.records()})
    return filter(None, sources)


def _module(row: ModuleRow) -> tuple[Any, ...]:
    """(first path, second path, confidence, reason, alternatives)."""
    confidence = round(row.confidence, 3)
    return row.paddle_path, row.torch_path, confidence, row.reason, row.alternatives


def _side(graph: ComputationGraph, texts: _Texts) -> dict[str, Any]:
    return {
        "framework": graph.framework,
        "training": graph.training,
        "modules": list(graph.modules.items()),
        "nodes": [_node(record, texts) for record in graph.records()],
    }


def _node(record: Node, texts: _Texts) -> tuple[Any, ...]:
    """(id, kind, label, path, source, types, attributes, operands).

    Operands are (role, node, output), all in one flat list.
    """
    operands: list[int] = []
    for position, value in enumerate(record.inputs):
        if value is not None:
            role = record.roles[position] if position < len(record.roles) else str(position)
            operands += (texts(role), value.node, value.output)
    return (
        record.id,
        KINDS.index(record.kind),
        texts(record.op.removesuffix(".default") or record.name),
        texts(record.path),
        texts(record.source),
        texts(", ".join(_type(kind) for kind in record.outputs if kind is not None)),
        texts(_attributes(record)),
        operands,
    )


def _attributes(record: Node) -> str:
    """A line for each attribute; marks and a small constant's value besides."""
    facts = dict(record.attrs)
    if record.marks:
        facts["(marks)"] = ", ".join(sorted(record.marks))
    if record.constant is not None and record.constant.size <= SMALL:
        facts["(value)"] = record.constant.tolist()
    return "\n".join(
        f"{name} = {_short(value)}" for name, value in facts.items() if value is not None
    )


def _type(kind: TensorType) -> str:
    return f"{kind.dtype}[{', '.join(map(str, kind.shape))}]"


def _short(value: object) -> str:
    text = str(value)
    if len(text) > LONGEST:
        return f"{text[:LONGEST]} ..."
    return text


@dataclass(frozen=True, slots=True)
class Link:
    """Native operations that correspond.

    Attributes:
        first, second: their numbers on each side.
        match: what says so.
        moved: whether one side is data movement in front of the other, without counterpart of its
            own.
    """

    first: tuple[int, ...]
    second: tuple[int, ...]
    match: Match
    moved: bool = False


def links(matching: Matching) -> Iterable[Link]:
    """All native operations that correspond: operations themselves, then what edges stand for."""
    for match in matching.matches:
        first, second = matching.first.nodes[match.first], matching.second.nodes[match.second]
        if first.native and second.native:
            yield Link(first.native, second.native, match)
    for match in matching.matches:
        first, second = matching.first.nodes[match.first], matching.second.nodes[match.second]
        for moved in _movements(first):
            if second.native:
                yield Link(moved, second.native[-1:], match, True)
        for moved in _movements(second):
            if first.native:
                yield Link(first.native[-1:], moved, match, True)


def _movements(node: NormalNode) -> Iterable[tuple[int, ...]]:
    """The native operations that move data on each edge into a node."""
    return (edge.through for edge in node.inputs if edge is not None and edge.through)


def _link(link: Link, texts: _Texts) -> tuple[Any, ...]:
    """(first native ids, second native ids, rung, confidence, reason)."""
    reason = link.match.reason
    if link.moved:
        reason = "moves data in front of an operation that corresponds"
    confidence = round(link.match.confidence, 3)
    return link.first, link.second, texts(link.match.rung), confidence, texts(reason)


def _finding(finding: Finding, matching: Matching | None) -> dict[str, Any]:
    data = finding_data(finding)
    for key, number in (("error", finding.error), ("relative", finding.relative)):
        data[key] = f"{number:.3g}" if number else ""
    data["fails"] = finding.fails
    data["nodes"] = [-1, -1]
    if matching is not None:
        first = (finding.paddle_path, finding.paddle_op, finding.paddle_source)
        second = (finding.torch_path, finding.torch_op, finding.torch_source)
        data["nodes"] = [
            place_of(matching.first.graph, *first),
            place_of(matching.second.graph, *second),
        ]
    return data


def place_of(graph: ComputationGraph, path: str, op: str, source: str) -> int:
    """The operation that a finding names; -1 where that side has none."""
    if not op:
        return -1
    alike = [record for record in graph.records() if record.path == path and record.op == op]
    for record in alike:
        if record.source == source:
            return record.id
    return alike[0].id if alike else -1


def _parameter(row: ParameterRow, matching: Matching | None) -> tuple[Any, ...]:
    """(first, second names, transform, status, confidence, reason, proved, first shape, shapes)."""
    names = list(dict.fromkeys(piece.second for piece in row.pieces))
    first: Mapping[str, ParameterInfo] = {}
    second: Mapping[str, ParameterInfo] = {}
    if matching is not None:
        first, second = matching.first.graph.parameters, matching.second.graph.parameters
    return (
        row.first,
        names,
        row.transform,
        row.status,
        round(row.confidence, 3),
        row.reason,
        row.proved,
        _shape(first, row.first),
        [_shape(second, name) for name in names],
    )


def _numbers(tensor: ComparedTensor) -> list[str]:
    """One compared tensor, in words."""
    return [
        tensor.first,
        tensor.second,
        tensor.op,
        tensor.verdict,
        cosine_text(tensor.cosine),
        f"{tensor.relative_l2:.2g}",
        f"{tensor.error:.2g}",
        index_text(tensor),
    ]


def _shape(parameters: Mapping[str, ParameterInfo], name: str) -> list[int]:
    return list(parameters[name].type.shape) if name in parameters else []


def _code(sources: Iterable[str]) -> dict[str, dict[int, str]]:
    """Lines around every source place, by file and number."""
    code: dict[str, dict[int, str]] = {}
    count = 0
    for source in sources:
        file, _, line = source.rpartition(":")
        if not file or not line.isdigit() or count > LINES:
            continue
        lines: Sequence[str] = linecache.getlines(os.fspath(file))
        kept = code.setdefault(file, {})
        for number in range(max(1, int(line) - AROUND), min(len(lines), int(line) + AROUND) + 1):
            if number not in kept:
                kept[number] = lines[number - 1].rstrip()
                count += 1
    return code
