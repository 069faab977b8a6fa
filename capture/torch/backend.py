"""torch's backend: see `padiff_graph.capture.backend.Backend`."""

from padiff_graph.capture.torch.engine import TorchEngine as engine
from padiff_graph.capture.torch.trace import trace

__all__ = ["engine", "trace"]
