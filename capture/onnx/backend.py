"""ONNX's backend: see `padiff_graph.capture.backend`. Forward only, and evaluated on the host."""

from padiff_graph.capture.backend import Backend
from padiff_graph.capture.onnx import state, values
from padiff_graph.capture.onnx.engine import OnnxEngine
from padiff_graph.capture.onnx.example_values import example_inputs
from padiff_graph.capture.onnx.onnx_export import write
from padiff_graph.capture.onnx.trace import trace

__all__ = ["BACKEND"]

BACKEND = Backend(
    framework="onnx",
    trace=trace,
    engine=OnnxEngine,
    values=values,
    state=state,
    declared_example=example_inputs,
    export=write,
)
