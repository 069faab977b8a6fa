"""Paddle's backend: see `padiff_graph.capture.backend`."""

from padiff_graph.capture.backend import Backend
from padiff_graph.capture.paddle import late_weights, optimizer, script, stand_in, state, values
from padiff_graph.capture.paddle.engine import PaddleEngine
from padiff_graph.capture.paddle.function_model import FunctionModel
from padiff_graph.capture.paddle.trace import RUNGS, trace

__all__ = ["BACKEND"]

BACKEND = Backend(
    framework="paddle",
    trace=trace,
    engine=PaddleEngine,
    values=values,
    state=state,
    threads=state,
    optimizers=optimizer,
    scripts=script,
    stand_in=stand_in,
    function_model=FunctionModel,
    late_weights=late_weights,
    numberless=RUNGS[0].name,
    light_traces=True,
)
