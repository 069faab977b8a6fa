"""`capture_graph`: a model of any framework and an example in, a certified computation graph out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from padiff_graph.capture.backend import backend, framework_of
from padiff_graph.capture.certificate import Certificate, certify
from padiff_graph.capture.errors import CaptureError, UnfaithfulCaptureError
from padiff_graph.capture.exclusive import one_at_a_time
from padiff_graph.capture.graph import ComputationGraph

__all__ = ["capture_graph"]


@one_at_a_time
def capture_graph(model: Any, example: Mapping[str, Any], *, certify: bool = True) -> ComputationGraph:
    """Captures a model into a networkx graph.

    Args:
        model: a torch Module, a Paddle Layer, an ONNX ModelProto or a path to one. As before afterwards.
        example: the keyword arguments of its forward; nested containers, None and plain Python
            values as the model takes them. Meta tensors (torch) and InputSpecs (Paddle) stand for shapes.
        certify: replay the capture against eager, forward and backward. Without numbers to run on
            the certificate says so.

    Returns:
        The graph; `graph.certificate` holds what the replay showed, `graph.notes` what to know of it.

    Raises:
        CaptureError: the model cannot be captured; names the line and says what can be done.
        UnfaithfulCaptureError: no capture computes what the model computes.
        TypeError: the model is of no known framework.

    Example:
        >>> import torch
        >>> graph = capture_graph(torch.nn.Linear(4, 2), {"input": torch.ones(1, 4)})
        >>> [node.op for node in graph.of_kind("operation")]
        ['aten.linear.default']
        >>> graph.certificate.valid
        True
    """
    side = backend(framework_of(model))
    graph = side.trace(model, example)
    if not certify:
        return graph
    engine = side.engine(model)
    caught: list[str] = []
    while True:
        found: Certificate = _certificate(graph, engine, example)
        if found.valid or not found.certified:
            graph.certificate = found
            graph.notes.extend(caught)
            return graph
        rung = getattr(graph.session, "rung", "")
        caught += [note for note in graph.notes if note.startswith("not captured by")]
        caught.append(f"a capture by {rung or graph.framework} was refused: {'; '.join(found.reasons)}")
        if not rung:
            raise UnfaithfulCaptureError("; ".join(caught))
        try:
            graph = side.trace(model, example, below=rung)
        except CaptureError as error:
            raise UnfaithfulCaptureError(
                f"the captured graph does not compute what the model computes, and no other way of capturing is left. {'; '.join(caught)}", error.source, error.attempts
            ) from None


_certificate = certify
