"""PaDiff-Graph: checks a model ported between PyTorch and PaddlePaddle, and says where it is wrong.

Public names are imported when first asked for, so that importing the package loads nothing heavy.
"""

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from padiff_graph.version import __version__

if TYPE_CHECKING:
    from padiff_graph.capture.api import capture_graph
    from padiff_graph.capture.capture_errors import CaptureError
    from padiff_graph.check.comparison import auto_diff, compare
    from padiff_graph.check.structural_diff import structural_diff
    from padiff_graph.check.suggestion import suggest_layer_map
    from padiff_graph.checkpoint.conversion import convert_state_dict
    from padiff_graph.errors import UsageError
    from padiff_graph.export.recording import record
    from padiff_graph.layer_map.layer_map import LayerMap
    from padiff_graph.report.layer_map_candidate import LayerMapCandidate
    from padiff_graph.report.report import Report
    from padiff_graph.report.structural_diff_result import StructuralDiff
    from padiff_graph.request.special_init import add_special_init
    from padiff_graph.sides.side import Side
    from padiff_graph.testing import assert_ported
    from padiff_graph.weights.assignment import WeightAlignmentError, assign_weight


__all__ = [
    "CaptureError",
    "LayerMap",
    "LayerMapCandidate",
    "Report",
    "Side",
    "StructuralDiff",
    "UsageError",
    "WeightAlignmentError",
    "__version__",
    "add_special_init",
    "assert_ported",
    "assign_weight",
    "auto_diff",
    "capture_graph",
    "compare",
    "convert_state_dict",
    "record",
    "structural_diff",
    "suggest_layer_map",
]

_HOMES = {
    "CaptureError": "padiff_graph.capture.capture_errors",
    "LayerMap": "padiff_graph.layer_map.layer_map",
    "LayerMapCandidate": "padiff_graph.report.layer_map_candidate",
    "Report": "padiff_graph.report.report",
    "Side": "padiff_graph.sides.side",
    "StructuralDiff": "padiff_graph.report.structural_diff_result",
    "UsageError": "padiff_graph.errors",
    "WeightAlignmentError": "padiff_graph.weights.assignment",
    "add_special_init": "padiff_graph.request.special_init",
    "assert_ported": "padiff_graph.testing",
    "assign_weight": "padiff_graph.weights.assignment",
    "auto_diff": "padiff_graph.check.comparison",
    "capture_graph": "padiff_graph.capture.api",
    "compare": "padiff_graph.check.comparison",
    "convert_state_dict": "padiff_graph.checkpoint.conversion",
    "record": "padiff_graph.export.recording",
    "structural_diff": "padiff_graph.check.structural_diff",
    "suggest_layer_map": "padiff_graph.check.suggestion",
}
"""The module of each public name; tests hold it against the imports above."""


_LOG = logging.getLogger(__name__)
if _LOG.level == logging.NOTSET:  # a framework may have put a talkative handler on the root logger
    _LOG.setLevel(logging.WARNING)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
