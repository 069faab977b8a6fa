"""ONNX's backend: see `padiff_graph.capture.backend.Backend`."""

from padiff_graph.capture.onnx.engine import OnnxEngine as engine
from padiff_graph.capture.onnx.trace import trace

__all__ = ["engine", "trace"]
