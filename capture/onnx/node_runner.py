"""An ONNX model made callable: by onnxruntime where it is there and can, else by onnx itself."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import onnx
from onnx.reference import ReferenceEvaluator

from padiff_graph.capture.engine import Array

__all__ = ["Runner", "runner"]

Runner = Callable[[dict[str, Array]], list[Any]]
"""Inputs by name in, outputs in order out."""

QUIET = 4
"""onnxruntime's log severity "fatal"."""


def runner(model: onnx.ModelProto, *, reference: bool = False) -> Runner:
    """Makes a model callable; with `reference` by onnx's reference evaluator."""
    session = None
    if not reference and importlib.util.find_spec("onnxruntime") is not None:
        session = _session(model)
    if session is None:
        evaluator = ReferenceEvaluator(model)
        return lambda feed: list(evaluator.run(None, feed))
    names = {entry.name for entry in session.get_inputs()}

    def run(feed: dict[str, Array]) -> list[Any]:
        own = {name: value for name, value in feed.items() if name in names}
        try:
            return list(session.run(None, own))
        except Exception as error:
            # a dtype (bfloat16, float8, int4) or a case that its kernel refuses
            if not _of_onnxruntime(error) and not isinstance(error, RuntimeError):
                raise
        return list(ReferenceEvaluator(model).run(None, feed))

    return run


def _session(model: onnx.ModelProto) -> Any:
    """An onnxruntime session that changes nothing of the model; None where a kernel is lacking."""
    import onnxruntime  # heavy, and optional

    options = onnxruntime.SessionOptions()
    options.log_severity_level = QUIET
    # idle threads sleep: many sessions live side by side
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if len(model.graph.node) == 1:
        options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        # classes of its own for a kernel or opset that it lacks
        if not _of_onnxruntime(error):
            raise
    return None


def _of_onnxruntime(error: Exception) -> bool:
    return type(error).__module__.startswith("onnxruntime")
