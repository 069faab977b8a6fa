"""PaDiff-Graph: checks a model ported between PyTorch and PaddlePaddle, and says where it is wrong."""

from importlib import import_module
from pkgutil import extend_path
from typing import Any

__path__ = extend_path(__path__, __name__)
__version__ = "0.1.0"

EXPORTS = {
    "CaptureError": "padiff_graph.capture.errors",
    "LayerMap": "padiff_graph.layer_map",
    "LayerMapCandidate": "padiff_graph.suggest",
    "Report": "padiff_graph.report.model",
    "StructuralDiff": "padiff_graph.structure",
    "UsageError": "padiff_graph.errors",
    "WeightAlignmentError": "padiff_graph.weights",
    "add_special_init": "padiff_graph.special",
    "assert_ported": "padiff_graph.testing",
    "assign_weight": "padiff_graph.weights",
    "auto_diff": "padiff_graph.comparison",
    "capture_graph": "padiff_graph.capture.api",
    "compare": "padiff_graph.comparison",
    "convert_state_dict": "padiff_graph.convert",
    "structural_diff": "padiff_graph.structure",
    "suggest_layer_map": "padiff_graph.suggest",
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
