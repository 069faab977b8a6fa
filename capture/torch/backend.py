"""torch's backend: see `padiff_graph.capture.backend`."""

from padiff_graph.capture.backend import Backend
from padiff_graph.capture.torch import (
    late_weights,
    optimizer,
    script,
    stand_in,
    state,
    torch_checkpoint,
    values,
)
from padiff_graph.capture.torch.engine import TorchEngine
from padiff_graph.capture.torch.function_model import FunctionModel
from padiff_graph.capture.torch.trace import RUNGS, trace

__all__ = ["BACKEND"]

BACKEND = Backend(
    framework="torch",
    trace=trace,
    engine=TorchEngine,
    values=values,
    state=state,
    threads=state,
    optimizers=optimizer,
    scripts=script,
    stand_in=stand_in,
    function_model=FunctionModel,
    late_weights=late_weights,
    checkpoints=torch_checkpoint,
    numberless=RUNGS[0].name,
)
