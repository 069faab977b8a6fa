"""suggest_layer_map: which modules and parameters of two models correspond."""

from __future__ import annotations

from typing import Any

from padiff_graph.alignment.align import align
from padiff_graph.alignment.aligned import Alignment
from padiff_graph.alignment.module_rows import unmatched_modules
from padiff_graph.capture.exclusive import one_at_a_time
from padiff_graph.check.stopped_matching import stops_told
from padiff_graph.layer_map.layer_map import LayerMap
from padiff_graph.matching.result import Matching
from padiff_graph.report.layer_map_candidate import LayerMapCandidate
from padiff_graph.request.module_tree import class_of
from padiff_graph.sides.opened import with_sides

__all__ = ["suggest_layer_map"]


@with_sides
@one_at_a_time
def suggest_layer_map(
    layer: Any, module: Any, example_inp: Any = None, layer_map: Any = None
) -> list[LayerMapCandidate]:
    """Finds which modules and parameters correspond, best first.

    Works without weights: models on the meta device or under LazyGuard, shapes in place of values.

    Args:
        layer, module: the two models; neither is changed.
        example_inp: (paddle_input, torch_input).
        layer_map: what the user knows already.
    Returns:
        One candidate; choices that the evidence leaves stand in its rows' alternatives. Empty where
        nothing corresponds.
    Raises:
        CaptureError: where a model cannot be captured; of one whose forward raises it says where,
            and how the part before compares, see `padiff_graph.findings.stopped_model`.
    """
    resolved = LayerMap.of(layer_map).resolve(layer, module)
    with stops_told(layer, module, example_inp, layer_map):
        alignment = align(layer, module, example_inp, resolved, certify=False)
    found = candidate(alignment, (class_of(layer), class_of(module)))
    return (
        [found] if found.rows or any(entry.status == "mapped" for entry in found.parameters) else []
    )


def candidate(alignment: Alignment, models: tuple[str, str]) -> LayerMapCandidate:
    """The alignment as a candidate."""
    matching = alignment.matching
    rows, entries = alignment.module_rows(), alignment.parameter_entries()
    layer_map = LayerMap()
    layer_map.map = dict(alignment.resolved.pairs)
    layer_map.fill(rows, entries, alignment.unneeded_second(), models)
    ours, theirs = unmatched_modules(matching, rows)
    return LayerMapCandidate(
        layer_map,
        rows,
        entries,
        ours + tuple(entry.paddle_name for entry in entries if entry.status == "open"),
        theirs + matching.unused_second,
        _confidence(matching),
        tuple(dict.fromkeys(alignment.notes)),
        matching,
    )


def _confidence(matching: Matching) -> float:
    """Share of operations matched, weighed by how sure each match is."""
    computing = [
        sum(not node.leaf for node in side.nodes) for side in (matching.first, matching.second)
    ]
    sure = sum(
        match.confidence for match in matching.matches if not matching.first.nodes[match.first].leaf
    )
    return round(sure / max(*computing, 1), 4)
