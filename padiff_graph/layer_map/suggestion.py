"""suggest_layer_map: which modules and parameters of two models correspond."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from padiff_graph.alignment.align import Alignment, align
from padiff_graph.capture.exclusive import one_at_a_time
from padiff_graph.layer_map.layer_map import LayerMap
from padiff_graph.layer_map.map_file import ModuleRow, ParameterEntry
from padiff_graph.layer_map.module_rows import unmatched_modules
from padiff_graph.matching.result import Matching
from padiff_graph.request.module_tree import class_of

__all__ = ["LayerMapCandidate", "suggest_layer_map"]


@dataclass(frozen=True)
class LayerMapCandidate:
    """One way in which two models correspond.

    Attributes:
        layer_map: as a LayerMap, to be edited, saved and given back as a hint.
        rows: corresponding modules: `.paddle_path`, `.torch_path`, `.confidence`, `.reason`, `.alternatives`.
        parameters: `.paddle_name`, `.torch_name` (one or several), `.transform`, `.confidence`, `.proved`.
        unmatched_paddle, unmatched_torch: modules that compute something and parameters that are read,
            without counterpart.
        confidence: of the whole, in [0, 1].
        notes: what the user should know, in sentences.
    """

    layer_map: LayerMap
    rows: tuple[ModuleRow, ...]
    parameters: tuple[ParameterEntry, ...]
    unmatched_paddle: tuple[str, ...]
    unmatched_torch: tuple[str, ...]
    confidence: float
    notes: tuple[str, ...] = ()
    matching: Matching | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        from padiff_graph.report.structural_views import (
            candidate_text,
        )  # views are only needed to show

        return candidate_text(self)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from padiff_graph.report.structural_views import render_candidate
        from padiff_graph.report.terminal import html_of

        return html_of(render_candidate(self))

    def to_yaml(self, path: str | os.PathLike[str] | None = None) -> str:
        """The map as a file that a person can read and edit; the text is returned too."""
        return self.layer_map.to_yaml(path)


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
        CaptureError: where a model cannot be captured.
    """
    alignment = align(layer, module, example_inp, layer_map, certify=False)
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
