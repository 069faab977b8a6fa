"""Paddle's backend: see `padiff_graph.capture.backend.Backend`."""

from padiff_graph.capture.paddle.engine import PaddleEngine as engine
from padiff_graph.capture.paddle.trace import trace

__all__ = ["engine", "trace"]
