"""A shrunk finding as a script that runs alone, with its numbers beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from runpy import run_path

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.capture.graph import ComputationGraph, Value
from padiff_graph.capture.interpreter import differentiable
from padiff_graph.capture.normal.index_map import View
from padiff_graph.check.comparison import compare
from padiff_graph.errors import UsageError
from padiff_graph.export.repro_text import Comparison
from padiff_graph.file_writing import new_file
from padiff_graph.printable import code_comment
from padiff_graph.report.source_lines import short_source
from padiff_graph.shrinking.pair_text import CLASSES, arrays_of, pair_text
from padiff_graph.shrinking.shrink import OPTIONS, Shrunk, told
from padiff_graph.shrinking.trial import Shown

__all__ = ["shows_again", "write_shrunk"]

Saved = dict[str, Array]


def write_shrunk(shrunk: Shrunk, path: str | os.PathLike[str]) -> Path:
    """Writes a script, and beside it an .npz with its numbers.

    The script needs numpy and the two frameworks. Run by itself it prints how far both models are
    apart, outputs and gradients; `--double` computes in float64. `padiff-graph align
    FILE.py:pair` checks the small pair.

    Args:
        shrunk: what `shrink` found, in this process.
        path: where to write, a .py file.

    Raises:
        UsageError: another suffix.
        NotWrittenError: the files cannot be written.
    """
    target = Path(path)
    if target.suffix != ".py":
        raise UsageError(f"expected a path that ends in .py, found {target.name}")
    shown = shrunk.shown
    saved = _numbers(shown)
    comparisons = [*_outputs(shown, saved), *_gradients(shown, saved)]
    text = pair_text(shown.piece, _docstring(shrunk, target.name), comparisons)
    with new_file(target) as script, new_file(target.with_suffix(".npz")) as values:
        script.write_text(text, encoding="utf-8")
        np.savez(values, **saved)  # type: ignore[arg-type]
    return target


def shows_again(shrunk: Shrunk, path: str | os.PathLike[str]) -> bool:
    """Whether the pair of a written script shows the finding: the last proof."""
    layer, module, inputs = run_path(os.fspath(path))["pair"]()
    options = shrunk.shown.report.options
    named = {name: value for name, value in options.items() if name in OPTIONS}
    report = compare(layer, module, inputs, options=named)
    return any(
        finding.fails and finding.cause_id == shrunk.original.cause_id
        for finding in report.findings
    )


def _docstring(shrunk: Shrunk, name: str) -> list[str]:
    finding = shrunk.original
    lines = [f"{finding.verdict} ({finding.phase}): {finding.cause}", ""]
    for framework, path, source in (
        (finding.frameworks[0], finding.paddle_path, finding.paddle_source),
        (finding.frameworks[1], finding.torch_path, finding.torch_source),
    ):
        where = short_source(source) if source else ""
        lines.append(f"{framework}: {path or '(root)'}  {where}".rstrip())
    return [
        *lines,
        "",
        *told(shrunk),
        "",
        f"python {name} runs both models on the numbers beside this file; --double computes in",
        "float64, where rounding vanishes and a real difference stays.",
        f"padiff-graph align {name}:pair checks them.",
    ]


def _numbers(shown: Shown) -> Saved:
    """The piece's numbers, weights as the check left them."""
    saved = arrays_of(shown.piece)
    assert shown.report.engines is not None
    sides = zip(("first", "second"), shown.report.engines, shown.piece.sides, strict=True)
    for label, engine, side in sides:
        held = engine.parameters()
        for leaf in side.leaves.values():
            if leaf.name in held and leaf.kind == "parameter":
                array = engine.array(held[leaf.name])
                saved[f"{label}_{leaf.name}"] = array.astype(leaf.array.dtype)
    return saved


def _outputs(shown: Shown, saved: Saved) -> Iterator[Comparison]:
    """Outputs of both models that hold the same elements, and a cotangent for each."""
    assert shown.report.matching is not None
    graphs = shown.report.matching.first.graph, shown.report.matching.second.graph
    ends = [_ends(graph) for graph in graphs]
    pairs = list(_pairs(shown, *ends))
    for number, (_, theirs) in enumerate(ends):
        for place, value in enumerate(theirs):
            saved[f"cotangent_{CLASSES[number]}_{place}"] = _zeros(graphs[number], value)
    random = np.random.default_rng(0)
    for key, (one, other, first, second) in enumerate(pairs):
        name = f"output_{key}"
        _save_indices(saved, name, first, second)
        seeds = random.standard_normal(len(saved[f"{name}_first"])).astype(np.float32)
        for side, place, index in (
            (0, one, saved[f"{name}_first"]),
            (1, other, saved[f"{name}_second"]),
        ):
            cotangent = saved[f"cotangent_{CLASSES[side]}_{place}"]
            if cotangent.dtype.kind == "f":
                cotangent.reshape(-1)[index] = seeds
        yield Comparison(f"output {one}", "output", f"output {one}", f"output {other}", name)


def _ends(graph: ComputationGraph) -> tuple[list[str], list[Value]]:
    """The names of a small model's outputs, and their values, in order."""
    records = graph.of_kind("output")
    values = [record.inputs[0] for record in records]
    return [record.name for record in records], [value for value in values if value is not None]


def _zeros(graph: ComputationGraph, value: Value) -> Array:
    kind = graph.type_of(value)
    shape = kind.shape if kind else ()
    floating = kind is not None and differentiable(kind.dtype)
    return np.zeros(shape, np.float32 if floating else np.int64)


def _pairs(
    shown: Shown, first: tuple[list[str], list[Value]], second: tuple[list[str], list[Value]]
) -> Iterator[tuple[int, int, Array, Array]]:
    """Places of outputs with common elements, and the indices of these on both sides."""
    matching = shown.report.matching
    assert matching is not None
    told = False
    for point in matching.points:
        if point.first in first[1] and point.second in second[1]:
            told = True
            yield (
                first[1].index(point.first),
                second[1].index(point.second),
                point.first_view.indices(),
                point.second_view.indices(),
            )
    if told:
        return
    for place, values in enumerate(zip(first[1], second[1], strict=False)):
        kinds = matching.first.graph.type_of(values[0]), matching.second.graph.type_of(values[1])
        if kinds[0] is not None and kinds[1] is not None and kinds[0].shape == kinds[1].shape:
            index = np.arange(kinds[0].size)
            yield place, place, index, index


def _gradients(shown: Shown, saved: Saved) -> Iterator[Comparison]:
    """Gradients of inputs and weights that both models have."""
    matching = shown.report.matching
    assert matching is not None
    names = {
        label: {leaf.name: leaf.label for leaf in side.leaves.values()}
        for label, side in zip(("first", "second"), shown.piece.sides, strict=True)
    }
    for first, second, own, other in _leaf_pairs(shown):
        if first not in names["first"] or second not in names["second"]:
            continue
        key = f"gradient_{first}_{second}"
        _save_indices(saved, key, own.indices(), other.indices())
        label = names["first"][first]
        text = f"gradient of {first}" + (f" ({code_comment(label)})" if label else "")
        yield Comparison(text, "gradient", first, second, key)


def _leaf_pairs(shown: Shown) -> Iterator[tuple[str, str, View, View]]:
    """Inputs and parameters that correspond, by name, with the views of their common elements."""
    matching = shown.report.matching
    assert matching is not None
    graphs = matching.first.graph, matching.second.graph
    for point in matching.points:
        first, second = graphs[0].record(point.first.node), graphs[1].record(point.second.node)
        floating = differentiable(first.dtype()) and differentiable(second.dtype())
        if first.kind == second.kind == "input" and floating:
            yield first.name, second.name, point.first_view, point.second_view
    for row in matching.parameters:
        info = graphs[0].parameters[row.first]
        if info.buffer or not differentiable(info.type.dtype):
            continue
        for piece in row.pieces:
            yield row.first, piece.second, piece.first_view, piece.second_view


def _save_indices(saved: Saved, key: str, first: Array, second: Array) -> None:
    first, second = np.asarray(first).reshape(-1), np.asarray(second).reshape(-1)
    known = (first >= 0) & (second >= 0)
    saved[f"{key}_first"], saved[f"{key}_second"] = first[known], second[known]
