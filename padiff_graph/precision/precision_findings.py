"""Differences of precision as findings: each tried before it is told."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from padiff_graph.capture.graph import Node, Value
from padiff_graph.capture.normal.form import NormalNode
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding, Verdict
from padiff_graph.precision.constants import Constant, lone_constants
from padiff_graph.precision.placement import HIGH, LOW
from padiff_graph.precision.profiles import Parted, Reading
from padiff_graph.precision.rounding import Emulation, rounded
from padiff_graph.precision.trials import Trial, distance

__all__ = [
    "CastLook",
    "cast_finding",
    "cast_findings",
    "constant_findings",
    "one_sided",
    "output_findings",
    "range_findings",
    "tell",
]

Closest = tuple[str, str, float, float]
WORDS = {
    "operands": "a scaled operand",
    "terms": "what is held on the way",
    "statistics": "the statistics",
    "scaled": "the scaled values",
    "result": "the result",
}
"""What the parts of an operation are called."""


@dataclass(frozen=True)
class CastLook:
    """What operations in other precisions do.

    Attributes:
        findings: of groups that change a value.
        closest: the one change that brings both sides nearest.
        nodes: the second model's operations of the groups that are told.
        silent: groups of the code's own casts that change no value forward.
    """

    findings: list[Finding]
    closest: Closest | None
    nodes: frozenset[int]
    silent: tuple[Sequence[Parted], ...]


def cast_findings(trial: Trial, groups: Sequence[Sequence[Parted]]) -> CastLook:
    """Each group is put in the other side's precision and run."""
    before = trial.apart(trial.base[0].values, trial.base[1].values)
    told: list[Finding] = []
    closest: Closest | None = None
    nodes: set[int] = set()
    silent: list[Sequence[Parted]] = []
    for group in groups:
        tried = trial.run(group)
        if not tried.changed:
            silent += [] if group[0].kernel else [group]
            continue
        finding = cast_finding(trial, group, tried.output)
        tell(told, finding)
        if not group[0].kernel:
            nodes |= {pair.second for pair in group}
        if tried.apart < (before if closest is None else closest[3]):
            closest = finding.paddle_path, finding.torch_path, before, tried.apart
    return CastLook(told, closest, frozenset(nodes), tuple(silent))


def tell(told: list[Finding], finding: Finding) -> None:
    """Adds a finding; one of the same cause on the same lines is a further place of it."""
    for place, known in enumerate(told):
        if _alike(known) == _alike(finding):
            places = tuple(dict.fromkeys((*known.places, *finding.places)))
            told[place] = replace(known, places=places, error=max(known.error, finding.error))
            return
    told.append(finding)


def _alike(finding: Finding) -> tuple[object, ...]:
    lines = finding.paddle_source, finding.torch_source
    return (finding.reason.likeness, finding.verdict, *lines)


def cast_finding(trial: Trial, group: Sequence[Parted], error: float) -> Finding:
    """A group that changes something.

    Args:
        error: the largest absolute change of an output.
    """
    pair = group[0]
    first = trial.matching.first.nodes[pair.first]
    second = trial.matching.second.nodes[pair.second]
    part = _told(pair)
    records = _record(trial, 0, first, part), _record(trial, 1, second, part)
    places = [
        (trial.matching.first.nodes[one.first].path, trial.matching.second.nodes[one.second].path)
        for one in group
    ]
    return Finding(
        "structure",
        "suspicious" if pair.kernel else "different",
        _cause(trial, pair, second),
        first.path,
        second.path,
        records[0].op,
        records[1].op,
        records[0].source,
        records[1].source,
        error=error,
        relative=error / _scale(trial) if _scale(trial) else 0.0,
        places=tuple(dict.fromkeys(places)),
        order=second.id,
    )


def _cause(trial: Trial, pair: Parted, node: NormalNode) -> Cause:
    part = _told(pair)
    op = "Div" if trial.readings[1].divides(node) else node.op
    names = {LOW: trial.precision, HIGH: "float32"}
    dtypes = {
        "first_dtype": names[pair.first_profile[part]],
        "second_dtype": names[pair.second_profile[part]],
    }
    if pair.kernel:
        side = int(pair.second_profile[part] == HIGH)
        return Cause.of("precision.kernel", op=op, side=side, precision=trial.precision)
    weighted = any(
        edge is not None and trial.matching.second.nodes[edge.source].op == "Parameter"
        for edge in node.inputs
    )
    multiplied = node.op == "Mul" or "Normalization" in node.op
    if weighted and multiplied and pair.parts in (("scaled",), ("terms",)):
        return Cause.of("precision.weight", op=op, **dtypes)
    return Cause.of("precision.computed", what=_what(trial, pair, node), op=op, **dtypes)


def _what(trial: Trial, pair: Parted, node: NormalNode) -> str:
    """What the part is called; values of fewer elements are statistics where something reduces."""
    part = _told(pair)
    if part != "statistics":
        return WORDS[part]
    if "Normal" in node.op:
        return "the variance"
    first = trial.matching.first.nodes[pair.first]
    reduces = trial.readings[0].reduces(first) or trial.readings[1].reduces(node)
    return WORDS[part if reduces else "terms"]


def _told(pair: Parted) -> str:
    """The part that names the cause: the statistics where they differ too."""
    return "statistics" if "statistics" in pair.parts else pair.parts[0]


def _record(trial: Trial, side: int, node: NormalNode, part: str) -> Node:
    """The native operation that yields the part, of a kernel the whole."""
    reading = trial.readings[side]
    values = reading.parts(node).get(part)
    number = values[0].node if values else node.native[-1]
    return reading.side.graph.record(number)


def _scale(trial: Trial) -> float:
    return max(
        (
            float(np.abs(np.nan_to_num(trial.base[1].values[second])).max(initial=0.0))
            for _, _, _, second in trial.pairs
        ),
        default=0.0,
    )


def constant_findings(trial: Trial) -> list[Finding]:
    """Numbers that one model alone rounds, where that changes a value."""
    told: list[Finding] = []
    for constant in lone_constants(trial.readings, trial.precision):
        if not np.isfinite(constant.held):
            continue  # told as beyond the range
        placement = dict(trial.readings[constant.side].placement)
        reading = trial.readings[constant.side]
        values = (*_above(reading, constant.value), *reading.casts(constant.value))
        placement |= dict.fromkeys(values, HIGH)
        tried = trial.of(constant.side, placement)
        if tried.changed:
            told.append(_constant_finding(trial, constant, tried.output))
    return told


def _above(reading: Reading, value: Value) -> list[Value]:
    """A number and what it was moved from: as a leaf of the graph it is rounded too."""
    found, graph = [value], reading.side.graph
    for operand in graph.record(value.node).inputs:
        if operand is not None and graph.record(operand.node).constant is not None:
            found += [above for above in _above(reading, operand) if above in reading.placement]
    return found


def _constant_finding(trial: Trial, constant: Constant, error: float) -> Finding:
    cause = Cause.of(
        "precision.constant",
        value=constant.number,
        rounded=constant.held,
        precision=trial.precision,
        side=constant.side,
    )
    reader = _first_reader(trial, constant)
    return one_sided(trial, constant.side, reader, cause, error)


def _first_reader(trial: Trial, constant: Constant) -> int:
    reading = trial.readings[constant.side]
    graph = reading.side.graph
    for reader in reading.readers[constant.value]:
        if graph.record(reader).constant is None and graph.record(reader).kind == "operation":
            return reader
    return constant.value.node


def one_sided(trial: Trial, side: int, number: int, cause: Cause, error: float) -> Finding:
    """A finding at an operation of one side, and at what stands nearest on the other."""
    normals = trial.matching.first, trial.matching.second
    partner = {
        (match.first, match.second)[side]: (match.second, match.first)[side]
        for match in trial.matching.matches
    }
    graph = trial.readings[side].side.graph
    record = graph.record(number)
    placed = [
        node for node in normals[side].nodes if node.native and node.id in partner and not node.leaf
    ]
    after = [node for node in placed if max(node.native) >= number]
    before = [node for node in placed if max(node.native) < number]
    nearest = min(after, key=lambda node: max(node.native), default=None)
    last = max(before, key=lambda node: max(node.native), default=None)
    other = normals[1 - side].nodes[partner[nearest.id]] if nearest else None
    paths = [normals[1 - side].nodes[partner[node.id]].path for node in (nearest, last) if node]
    path = _common(paths if last else ["", *paths])
    source = other.source if other else ""
    op = trial.readings[1 - side].side.graph.record(other.native[-1]).op if other else ""
    mine, theirs = (record.path, record.op, record.source), (path, op, source)
    first, second = (mine, theirs) if side == 0 else (theirs, mine)
    order = nearest.id if nearest and side == 1 else (other.id if other else 0)
    scale = _scale(trial)
    return Finding(
        "structure",
        "different",
        cause,
        first[0],
        second[0],
        first[1],
        second[1],
        first[2],
        second[2],
        error=error,
        relative=error / scale if scale else 0.0,
        places=((first[0], second[0]),),
        order=order,
    )


def _common(paths: Sequence[str]) -> str:
    """The innermost module that holds all of these."""
    split = [path.split(".") for path in paths]
    shared = []
    for words in zip(*split, strict=False):
        if len(set(words)) > 1:
            break
        shared.append(words[0])
    return ".".join(shared)


def range_findings(trial: Trial, truth: tuple[Emulation, Emulation]) -> list[Finding]:
    """The first number of a side that its precision cannot hold, where the other side has none."""
    told: list[Finding] = []
    counts = [len(base.overflows) for base in trial.base]
    for side, base in enumerate(trial.base):
        if not base.overflows or counts[1 - side]:
            continue
        value: Value = base.overflows[0]
        record = trial.readings[side].side.graph.record(value.node)
        cause = Cause.of("precision.range", op=record.op, precision=trial.precision, side=side)
        told.append(one_sided(trial, side, value.node, cause, 0.0))
    return told


def output_findings(trial: Trial, told_nodes: Collection[int]) -> list[Finding]:
    """Outputs of other dtypes: a warning where the wider one holds no number that the other could
    not, as behind a cast, and where the difference is told at the operation before it.

    Args:
        trial: both sides.
        told_nodes: operations of the second model of which a difference is told already.
    """
    told: list[Finding] = []
    for name, first, second_name, second in trial.pairs:
        held = trial.readings[0].placement[first], trial.readings[1].placement[second]
        if held[0] == held[1]:
            continue
        wide = trial.base[held.index(HIGH)].values[(first, second)[held.index(HIGH)]]
        error = distance(rounded(wide, trial.precision), wide)
        edge = trial.matching.second.outputs.get(second_name)
        known = edge is not None and edge.source in told_nodes
        verdict: Verdict = "different" if error and not known else "suspicious"
        told.append(_output_finding(trial, (name, first, second), held, verdict, error))
    return told


def _output_finding(
    trial: Trial,
    output: tuple[str, Value, Value],
    held: tuple[str, str],
    verdict: Verdict,
    error: float,
) -> Finding:
    names = {LOW: trial.precision, HIGH: "float32"}
    name, *values = output
    dtypes = {"first_dtype": names[held[0]], "second_dtype": names[held[1]]}
    cause = Cause.of("precision.output", output=name, **dtypes)
    first, second = (
        reading.side.graph.record(value.node)
        for reading, value in zip(trial.readings, values, strict=True)
    )
    return Finding(
        "structure",
        verdict,
        cause,
        first.path,
        second.path,
        first.op,
        second.op,
        first.source,
        second.source,
        error=error,
        order=len(trial.matching.second.nodes),
    )
