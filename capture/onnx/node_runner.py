"""An ONNX model made callable: by onnxruntime where it is there and can, else by onnx itself."""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Callable
from typing import Any

import onnx
from onnx.reference import ReferenceEvaluator
from onnx.reference.ops import op_loop

from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.onnx.structure import inner_graphs

__all__ = ["Runner", "runner"]

Runner = Callable[[dict[str, Array]], list[Any]]
"""Inputs by name in, outputs in order out."""

QUIET = 4
"""onnxruntime's log severity "fatal"."""
LONGEST = 60.0
"""Seconds that a run with a loop in it may take; chosen far above what a check of a model that is
fit for tests takes, so that a loop without end is told and not waited for."""


def runner(model: onnx.ModelProto, *, reference: bool = False) -> Runner:
    """Makes a model callable; with `reference` by onnx's reference evaluator."""
    session = None
    if not reference and importlib.util.find_spec("onnxruntime") is not None:
        session = _session(model)
    if session is None:
        return _by_reference(model)
    names = {entry.name for entry in session.get_inputs()}
    loops = _loops(model.graph)

    def run(feed: dict[str, Array]) -> list[Any]:
        own = {name: value for name, value in feed.items() if name in names}
        try:
            return _bounded(session, own) if loops else list(session.run(None, own))
        except Exception as error:
            # a dtype (bfloat16, float8, int4) or a case that its kernel refuses
            if not _of_onnxruntime(error) and not isinstance(error, RuntimeError):
                raise
        return _by_reference(model)(feed)

    return run


def _loops(graph: onnx.GraphProto) -> bool:
    """Whether there is a loop, at any depth."""
    return any(
        node.op_type == "Loop" or any(_loops(inner) for inner in inner_graphs(node))
        for node in graph.node
    )


def _bounded(session: Any, feed: dict[str, Array]) -> list[Any]:
    """A run that is stopped after `LONGEST` seconds.

    Raises:
        NotRunnable: it was.
    """
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.log_severity_level = QUIET
    timer = threading.Timer(LONGEST, setattr, (options, "terminate", True))
    timer.daemon = True
    timer.start()
    try:
        outputs = list(session.run(None, feed, options))
    except Exception as error:
        if options.terminate:
            raise _endless() from error
        raise
    finally:
        timer.cancel()
    if options.terminate:  # a loop that is told to end may hand out what it has
        raise _endless()
    return outputs


def _endless() -> NotRunnable:
    return NotRunnable(f"a loop that had not ended after {LONGEST:.0f} seconds")


class Loop(op_loop.Loop):  # type: ignore[misc]
    """onnx's own evaluation of a loop, bounded in time."""

    op_domain = ""

    def __init__(self, onnx_node: Any, run_params: Any) -> None:
        super().__init__(onnx_node, run_params)
        self._deadline = 0.0
        trip: Callable[..., Any] = self._run_body  # type: ignore[has-type]

        def bounded(*arguments: Any, **settings: Any) -> Any:
            if time.monotonic() > self._deadline:
                raise _endless()
            return trip(*arguments, **settings)

        self._run_body = bounded

    def _run(self, *arguments: Any, **settings: Any) -> Any:
        self._deadline = time.monotonic() + LONGEST
        return super()._run(*arguments, **settings)


def _by_reference(model: onnx.ModelProto) -> Runner:
    """The model by onnx's reference evaluator."""
    evaluator = ReferenceEvaluator(model, new_ops=[Loop])
    return lambda feed: list(evaluator.run(None, feed))


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
