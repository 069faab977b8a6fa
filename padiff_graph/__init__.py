"""PaDiff-Graph: checks a model ported between PyTorch and PaddlePaddle, and says where it is wrong."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

EXPORTS = {
    "CaptureError": "padiff_graph.capture.capture_errors",
    "LayerMap": "padiff_graph.layer_map.layer_map",
    "LayerMapCandidate": "padiff_graph.report.layer_map_candidate",
    "Report": "padiff_graph.report.report",
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
    "structural_diff": "padiff_graph.check.structural_diff",
    "suggest_layer_map": "padiff_graph.check.suggestion",
}
"""Public names and the module of each; imported when first asked for, so that the package itself is light."""

__all__ = ["EXPORTS", "__version__", *EXPORTS]


def __getattr__(name: str) -> Any:
    if name not in EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(EXPORTS[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *EXPORTS})
