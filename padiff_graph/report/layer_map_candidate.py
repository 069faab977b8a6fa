"""A suggested layer map. Text and HTML are views of it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from padiff_graph.alignment.correspondence import ModuleRow, ParameterEntry
from padiff_graph.layer_map.layer_map import LayerMap
from padiff_graph.matching.result import Matching

__all__ = ["LayerMapCandidate"]


@dataclass(frozen=True)
class LayerMapCandidate:
    """One way in which two models correspond.

    Attributes:
        layer_map: as a LayerMap, to be edited, saved and given back as a hint.
        rows: corresponding modules: `.paddle_path`, `.torch_path`, `.confidence`, `.reason`,
            `.alternatives`.
        parameters: `.paddle_name`, `.torch_name` (one or several), `.transform`, `.confidence`,
            `.proved`.
        unmatched_paddle, unmatched_torch: modules that compute something and parameters that are
            read, without counterpart.
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
        from padiff_graph.report.structural_views import candidate_text  # needed to show only

        return candidate_text(self)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from padiff_graph.report.structural_views import render_candidate
        from padiff_graph.report.terminal import html_of

        return html_of(render_candidate(self))

    def to_yaml(self, path: str | os.PathLike[str] | None = None) -> str:
        """The map as a file that a person can read and edit; the text is returned too."""
        return self.layer_map.to_yaml(path)
