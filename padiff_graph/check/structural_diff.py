"""structural_diff: where two models are built differently, without their weights."""

from __future__ import annotations

from typing import Any

from padiff_graph.alignment.align import align
from padiff_graph.alignment.correspondence import ResolvedMap
from padiff_graph.alignment.structure_findings import structure_findings
from padiff_graph.capture.exclusive import one_at_a_time
from padiff_graph.check.stopped_matching import stops_told
from padiff_graph.findings.finding import Finding
from padiff_graph.layer_map.contradicted_rows import contradicted_rows
from padiff_graph.layer_map.layer_map import LayerMap
from padiff_graph.report.structural_diff_result import StructuralDiff
from padiff_graph.sides.opened import with_sides

__all__ = ["structural_diff"]


@with_sides
@one_at_a_time
def structural_diff(
    layer: Any, module: Any, example_inp: Any = None, layer_map: Any = None
) -> StructuralDiff:
    """Compares how two models are built.

    Weights are not needed: models on the meta device or under LazyGuard will do, and shapes in
    place of values (torch meta tensors, paddle.static.InputSpec).

    Args:
        layer, module: the two models; neither is changed.
        example_inp: (paddle_input, torch_input).
        layer_map: what the user knows about the correspondence.
    Raises:
        CaptureError: where a model cannot be captured; of one whose forward raises it says where,
            and how the part before compares, see `padiff_graph.findings.stopped_model`.
    """
    resolved = LayerMap.of(layer_map).resolve(layer, module)
    with stops_told(layer, module, example_inp, layer_map):
        alignment = align(layer, module, example_inp, resolved, certify=False)
    findings = structure_findings(alignment.matching, alignment.differences)
    kept = [finding for finding in findings if not _left_out(resolved, finding)]
    told = tuple([*kept, *contradicted_rows(alignment)])
    return StructuralDiff(
        told, alignment.differences, alignment.matching, tuple(dict.fromkeys(alignment.notes))
    )


def _left_out(resolved: ResolvedMap, finding: Finding) -> bool:
    """Whether the user's LayerMap leaves the place out, or compares it at an output only."""
    if resolved.ignored(finding.paddle_path, 0) or (
        finding.torch_path and resolved.ignored(finding.torch_path, 1)
    ):
        return True
    return resolved.pair_around(finding.paddle_path, 0) is not None
