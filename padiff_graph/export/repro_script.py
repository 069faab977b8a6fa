"""A script that reruns one finding's region in both frameworks, with nothing but the frameworks and saved values."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from padiff_graph.capture.backend import backend, needed
from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.graph import Node, Value
from padiff_graph.capture.interpreter import differentiable
from padiff_graph.errors import UsageError
from padiff_graph.executor.cut_graphs import cut_graphs
from padiff_graph.executor.pair_run import Fed, Pair
from padiff_graph.executor.pair_setup import pair_of
from padiff_graph.executor.partition import Plan, Region, Slice
from padiff_graph.executor.region_parameters import share
from padiff_graph.executor.region_run import Side
from padiff_graph.executor.schedule import Stream
from padiff_graph.executor.transfer import cotangents
from padiff_graph.export.recorded_values import Recorded, recorded
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.result import Matching
from padiff_graph.report.page_data import place_of
from padiff_graph.report.report import Report
from padiff_graph.report.source_lines import code_line, short_source

__all__ = ["write_repro"]

WRITTEN = ("torch", "paddle")
"""Frameworks whose operations can be written as lines of Python."""

COMPARE = '''\
def show(name, one, other, first_index, second_index):
    """One compared tensor: the same elements of both sides, laid side by side."""
    if one is None or other is None:
        arrived = one if other is None else other
        if arrived is None or not arrived.any():
            print(f"{name}: zero on both sides")
        else:
            print(f"{name}: {'no gradient' if one is None else 'a gradient'} on the first side, {'no gradient' if other is None else 'a gradient'} on the second")
        return
    one, other = (side.reshape(-1)[index].astype(np.result_type(side, np.float64)) for side, index in ((one, first_index), (other, second_index)))
    unlike = ~((one == other) | (np.isnan(one) & np.isnan(other)))
    error, largest = float(np.abs(one - other)[unlike].max(initial=0.0)), float(np.abs(other[np.isfinite(other)]).max(initial=0.0))
    print(f"{name}: largest difference {error:.3g}, largest value {largest:.3g}, relative {error / largest if largest else error:.3g}")
'''


@dataclass
class _Written:
    """One side of the region as source.

    Attributes:
        lines: statements of its function.
        names: how the script calls each native value.
        leaves: (key in the saved file, name in the script) of everything that is fed in.
        own: operations that stand as saved numbers, and why no call could be written.
    """

    framework: str
    lines: list[str] = field(default_factory=list)
    names: dict[Value, str] = field(default_factory=dict)
    leaves: list[tuple[str, str]] = field(default_factory=list)
    own: dict[int, str] = field(default_factory=dict)


def write_repro(
    report: Report, path: str | os.PathLike[str], finding: Finding | None = None
) -> Path:
    """Writes a script, and beside it an .npz with the values, that reruns the region of a finding.

    The script needs numpy and the two frameworks only. It prints the largest difference of the
    region's output and of every gradient; `--double` computes in float64, where rounding vanishes.

    Args:
        report: of this process, with its models still alive.
        path: where to write, a .py file.
        finding: one of the report's; by default the first failing one that is about operations.

    Raises:
        UsageError: where the report or the finding has no region that can be written.
    """
    target = Path(path)
    if target.suffix != ".py":
        raise UsageError(
            f"a repro is a Python script: expected a path that ends in .py, found {target.name}"
        )
    chosen = finding if finding is not None else _first(report)
    if chosen is None:
        raise UsageError("the report has no finding to reproduce")
    if report.matching is None or report.engines is None:
        raise UsageError(
            "the report holds no graphs: a model could not be captured, or the report comes from another process"
        )
    others = [framework for framework in report.frameworks if framework not in WRITTEN]
    if others:
        raise UsageError(
            f"a repro can be written for {' and '.join(WRITTEN)}; this report is about {others[0]}"
        )
    with report.engines[0].quiet(), report.engines[1].quiet():
        try:
            source, saved = _script(report, report.matching, chosen, target)
        except NotRunnable as error:
            raise UsageError(
                f"this finding's region cannot be written as a script: {error}"
            ) from error
    target.write_text(source, encoding="utf-8")
    np.savez(target.with_suffix(".npz"), **saved)  # type: ignore[arg-type]
    return target


def _first(report: Report) -> Finding | None:
    order = sorted(
        report.findings, key=lambda one: (not one.fails, not (one.paddle_op or one.torch_op))
    )
    return next(iter(order), None)


def _script(
    report: Report, matching: Matching, finding: Finding, target: Path
) -> tuple[str, dict[str, Array]]:
    assert report.engines is not None
    engines = report.engines
    pair = pair_of(matching, engines, share(matching, *engines))
    plan = cut_graphs(matching)
    region = _region(matching, plan, finding)
    feed = _feed(pair, plan, region)
    saved: dict[str, Array] = {}
    grown = _cotangents(pair, region, saved)
    first = _side(pair.first, region.first, feed.first, grown[0], "first", saved)
    second = _side(pair.second, region.second, feed.second, grown[1], "second", saved)
    compared = _outputs(pair, region, first, second, saved) + _gradients(
        pair, plan, region, first, second, saved
    )
    return _source(report, finding, (first, second), region, compared, bool(grown[1])), saved


def _region(matching: Matching, plan: Plan, finding: Finding) -> Region:
    """The smallest region that holds the finding's operation."""
    ours = place_of(
        matching.first.graph, finding.paddle_path, finding.paddle_op, finding.paddle_source
    )
    theirs = place_of(
        matching.second.graph, finding.torch_path, finding.torch_op, finding.torch_source
    )
    holding = [
        region
        for region in plan.regions
        if (ours in region.first.nodes or theirs in region.second.nodes)
        and region.first.nodes
        and region.second.nodes
    ]
    if not holding:
        raise UsageError(
            f"this finding names no operation that a region could be run for: {finding.cause}"
        )
    return min(
        holding,
        key=lambda region: (
            ours not in region.first.nodes,
            len(region.first.nodes) + len(region.second.nodes),
        ),
    )


def _feed(pair: Pair, plan: Plan, region: Region) -> Fed:
    """The values that one region reads."""
    reached: list[Fed] = []

    def stop(_region: Region, feed: Fed) -> Mapping[Value, Array]:
        reached.append(feed)
        return {}

    Stream(pair.sides, plan, [region.cut.index], stop, lambda _region, _reason: None).run()
    if not reached:
        raise NotRunnable("the values that it reads could not be computed by themselves")
    return reached[0]


def _side(
    side: Side,
    part: Slice,
    feed: Mapping[Value, Array],
    seeds: Mapping[Value, Array],
    label: str,
    saved: dict[str, Array],
) -> _Written:
    """The operations of one side as statements; what they read goes into `saved`."""
    written = _Written(side.engine.framework)
    graph = side.graph
    scripts = backend(written.framework).scripts
    if scripts is None:
        raise NotRunnable(f"operations of {written.framework} cannot be written as lines of Python")
    for value in part.values:
        _leaf(
            written,
            value,
            feed[value],
            f"{label}_value_{value.node}_{value.output}",
            saved,
            graph.record(value.node).path or graph.record(value.node).name,
            side.dtype(value),
        )
    for number in part.leaves:
        record = graph.record(number)
        if record.kind in ("parameter", "buffer"):
            array = side.parameters[record.name]
        elif record.constant is not None:
            kind = record.outputs[0] if record.outputs else None
            array = (
                record.constant.reshape(kind.shape)
                if kind is not None and kind.size == record.constant.size
                else record.constant
            )
        elif number in side.inputs:
            array = side.engine.array(side.inputs[number])
        else:
            raise NotRunnable(f"the value of {record.kind} {record.name or number!r} is not known")
        _leaf(
            written,
            Value(number),
            np.asarray(array),
            f"{label}_{record.kind}_{number}",
            saved,
            record.name,
            side.dtype(Value(number)),
        )
    calls: dict[int, str] = {}
    for number in part.nodes:
        record = graph.record(number)
        for output in range(max(len(record.outputs), 1)):
            written.names[Value(number, output)] = f"v{number}[{output}]"
        try:
            calls[number] = scripts.expression(record, _operands(written, record))
        except NotRunnable as error:
            written.own[number] = str(error)
    for number, kept in (
        recorded(side, part, feed, seeds, list(written.own)) if written.own else {}
    ).items():
        calls[number] = _kept(written, graph.record(number), kept, f"{label}_own_{number}", saved)
    for number in part.nodes:
        record = graph.record(number)
        where = (
            f"  # {record.path or '(root)'}, {short_source(record.source)}" if record.source else ""
        )
        written.lines.append(f"v{number} = {calls[number]}{where}")
    return written


def _operands(written: _Written, record: Node) -> list[str]:
    return ["None" if operand is None else written.names[operand] for operand in record.inputs]


def _kept(
    written: _Written, record: Node, kept: Recorded, key: str, saved: dict[str, Array]
) -> str:
    """An operation as what it yielded and the gradients that it sent back."""

    def text(part: str, arrays: Sequence[Array | None]) -> list[str]:
        names = [
            None if array is None else f"{key}_{part}_{place}" for place, array in enumerate(arrays)
        ]
        saved.update(
            {
                name: array
                for name, array in zip(names, arrays, strict=True)
                if name is not None and array is not None
            }
        )
        return ["None" if name is None else f'saved["{name}"]' for name in names]

    results = [
        (name, place) for place, name in enumerate(text("result", kept.results)) if name != "None"
    ]
    for rank, (_, place) in enumerate(results):
        written.names[Value(record.id, place)] = f"v{record.id}[{rank}]"
    dtypes = [
        kind.dtype if (kind := record.outputs[place]) is not None else "float32"
        for _, place in results
    ]
    pairs = ", ".join(
        f"({name}, {dtype!r})" for (name, _), dtype in zip(results, dtypes, strict=True)
    )
    return f"{written.framework}_saved([{pairs}], [{', '.join(text('gradient', kept.gradients))}], [{', '.join(_operands(written, record))}])"


def _leaf(
    written: _Written,
    value: Value,
    array: Array,
    key: str,
    saved: dict[str, Array],
    note: str,
    dtype: str,
) -> None:
    name = f"v{value.node}_{value.output}"
    saved[key] = np.ascontiguousarray(array)
    written.names[value] = name
    written.leaves.append((key, name))
    given = f', "{dtype}"' if dtype == "bfloat16" else ""  # numpy's files cannot hold it
    written.lines.append(
        f'{name} = {written.framework}_leaf(saved["{key}"]{given})'
        + (f"  # {note}" if note else "")
    )


@dataclass(frozen=True)
class _Shown:
    """One line that the script prints: names of both tensors, and the saved indices that pair their elements."""

    label: str
    kind: str
    first: str
    second: str
    key: str


def _indices(first: Array, second: Array, key: str, saved: dict[str, Array]) -> None:
    keep = (first >= 0) & (second >= 0)
    saved[f"{key}_first"], saved[f"{key}_second"] = first[keep], second[keep]


def _outputs(
    pair: Pair, region: Region, first: _Written, second: _Written, saved: dict[str, Array]
) -> list[_Shown]:
    shown = []
    for number, point in enumerate(region.cut.points):
        key = f"output_{number}"
        _indices(point.first_view.indices(), point.second_view.indices(), key, saved)
        shown.append(
            _Shown("output", "output", first.names[point.first], second.names[point.second], key)
        )
    if not shown:
        raise NotRunnable("its two sides have no value in common")
    return shown


def _gradients(
    pair: Pair,
    plan: Plan,
    region: Region,
    first: _Written,
    second: _Written,
    saved: dict[str, Array],
) -> list[_Shown]:
    """Gradients of what both sides read: boundary values through their points, parameters through the map."""
    shown = []
    for read in sorted({*region.first.reads} & {*region.second.reads}):
        for number, point in enumerate(plan.cuts[read].points):
            known = point.first in first.names and point.second in second.names
            if (
                known
                and point.first_view.injective
                and point.second_view.injective
                and differentiable(pair.second.dtype(point.second))
            ):
                key = f"gradient_{read}_{number}"
                _indices(point.first_view.indices(), point.second_view.indices(), key, saved)
                record = pair.second.graph.record(point.second.node)
                shown.append(
                    _Shown(
                        f"gradient of {record.name or 'what ' + record.op + ' yields'}",
                        "gradient",
                        first.names[point.first],
                        second.names[point.second],
                        key,
                    )
                )
    theirs = {pair.second.graph.record(number).name: number for number in region.second.leaves}
    for number in region.first.leaves:
        record = pair.first.graph.record(number)
        row = pair.rows.get(record.name) if record.kind == "parameter" else None
        for position, piece in enumerate(row.pieces if row is not None else ()):
            if (
                piece.second in theirs
                and differentiable(pair.first.dtype(Value(number)))
                and not _statistic(pair, record.name)
            ):
                key = f"gradient_{number}_{position}"
                _indices(piece.first_view.indices(), piece.second_view.indices(), key, saved)
                shown.append(
                    _Shown(
                        f"gradient of {record.name}",
                        "gradient",
                        first.names[Value(number)],
                        second.names[Value(theirs[piece.second])],
                        key,
                    )
                )
    return shown


def _statistic(pair: Pair, name: str) -> bool:
    info = pair.first.graph.parameters.get(name)
    return info is not None and info.buffer


def _cotangents(
    pair: Pair, region: Region, saved: dict[str, Array]
) -> tuple[Mapping[Value, Array], Mapping[Value, Array]]:
    """Seeded random cotangents of the outputs, the same elements on both sides; none where there are no gradients."""
    if not region.cut.exact or not all(
        differentiable(pair.second.dtype(value)) for value in region.cut.second
    ):
        return {}, {}
    random = np.random.default_rng(0)
    weights = {
        value: random.standard_normal(pair.second.shape(value)).astype(np.float32)
        for value in region.cut.second
    }
    ours = cotangents(
        region.cut, weights, {value: tuple(pair.first.shape(value)) for value in region.cut.first}
    )
    for label, arrays in (("first", ours), ("second", weights)):
        for value, array in arrays.items():
            saved[f"cotangent_{label}_{value.node}_{value.output}"] = array
    return ours, weights


def _source(
    report: Report,
    finding: Finding,
    sides: tuple[_Written, _Written],
    region: Region,
    compared: Sequence[_Shown],
    grown: bool,
) -> str:
    places = (
        (report.frameworks[0], finding.paddle_path, finding.paddle_source),
        (report.frameworks[1], finding.torch_path, finding.torch_source),
    )
    head = [
        '"""The region of one finding, run by itself.',
        "",
        f"{finding.verdict} ({finding.phase}): {finding.cause}",
        "",
    ]
    for framework, path, source in places:
        head.append(
            f"{framework}: {path or '(root)'}  {short_source(source) if source else ''}".rstrip()
        )
        if source and code_line(source):
            head.append(f"    {code_line(source)}")
    head += [
        "",
        "Runs this region alone in both frameworks, on the values saved beside this file.",
        "--double computes in float64: rounding vanishes there, a real difference stays.",
    ]
    head += [
        f"As saved numbers: {side.framework}'s v{number}, {reason}."
        for side in sides
        for number, reason in side.own.items()
    ]
    head += ['"""', ""]
    used = sorted({side.framework for side in sides})
    quoted = [
        head[0],
        *(line.replace("\\", "\\\\").replace('"""', "'''") for line in head[1:-2]),
        *head[-2:],
    ]
    lines = [
        *quoted,
        "import sys",
        "from pathlib import Path",
        "",
        "import numpy as np",
        *(f"import {name}" for name in used),
        "",
    ]
    lines += [
        'saved = np.load(Path(__file__).with_suffix(".npz"))',
        'DOUBLE = "--double" in sys.argv',
        "",
        "",
    ]
    head, lines = lines, [*COMPARE.splitlines(), "", ""]
    for side, label, values in zip(
        sides, ("first", "second"), (region.cut.first, region.cut.second), strict=True
    ):
        outputs = [side.names[value] for value in values]
        seeds = (
            [f'saved["cotangent_{label}_{value.node}_{value.output}"]' for value in values]
            if grown
            else []
        )
        leaves = [name for _, name in side.leaves]
        lines += [
            f"def {label}():",
            f'    """{side.framework}: values and gradients by name."""',
            *(f"    {line}" for line in side.lines),
        ]
        lines += [
            f"    outputs = [{', '.join(outputs)}]",
            f"    found = dict(zip({outputs!r}, [{side.framework}_array(one) for one in outputs]))",
        ]
        if grown:
            lines += [
                f"    leaves = [{', '.join(leaves)}]",
                f"    gradients = {side.framework}_gradients(outputs, [{', '.join(seeds)}], leaves)",
                f"    return found, dict(zip({leaves!r}, gradients))",
                "",
                "",
            ]
        else:
            lines += ["    return found, {}", "", ""]
    lines += [
        'if __name__ == "__main__":',
        "    print(__doc__.splitlines()[2])",
        "    (one, one_gradients), (other, other_gradients) = first(), second()",
    ]
    for shown in compared:
        if shown.kind == "gradient" and not grown:
            continue
        sources = (
            ("one", "other") if shown.kind == "output" else ("one_gradients", "other_gradients")
        )
        lines.append(
            f'    show({shown.label!r}, {sources[0]}["{shown.first}"], {sources[1]}["{shown.second}"], saved["{shown.key}_first"], saved["{shown.key}_second"])'
        )
    for name in used:
        lines = [*_needed(needed(backend(name).scripts).PRELUDE, lines), *lines]
    return "\n".join([*head, *lines]) + "\n"


def _needed(prelude: str, lines: Sequence[str]) -> list[str]:
    """Of the functions that a framework's statements may call those that these call."""
    functions = {
        text.partition("(")[0].removeprefix("def "): text
        for text in prelude.strip().split("\n\n\n")
    }
    body, needed = "\n".join(lines), ""
    while (
        found := "".join(f"{text}\n\n\n" for name, text in functions.items() if name in body)
    ) != needed:
        body, needed = body + found, found
    return needed.splitlines()
