"""`capture_graph`: a model of any framework and an example in, a certified computation graph out.

`Capture` is the same in two steps, for who runs the model eagerly anyway: the certificate can be
held against that run.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from padiff_graph.capture.backend import backend, framework_of
from padiff_graph.capture.capture_errors import CaptureError, UnfaithfulCaptureError
from padiff_graph.capture.certificate import Certificate
from padiff_graph.capture.certificate import certify as certify_graph
from padiff_graph.capture.certified_replay import Further
from padiff_graph.capture.eager_run import Eager
from padiff_graph.capture.engine import Engine
from padiff_graph.capture.example_tensors import with_tensors
from padiff_graph.capture.exclusive import one_at_a_time
from padiff_graph.capture.graph import ComputationGraph

__all__ = ["Capture", "capture_graph"]

LOG = logging.getLogger(__name__)


@one_at_a_time
def capture_graph(
    model: Any, example: Mapping[str, Any], *, certify: bool = True
) -> ComputationGraph:
    """Captures a model into a networkx graph.

    Args:
        model: a torch Module, a Paddle Layer, an ONNX ModelProto or a path to one. As before
            afterwards.
        example: the keyword arguments of its forward; nested containers, None and plain Python
            values as the model takes them. Meta tensors (torch) and InputSpecs (Paddle) stand for
            shapes.
        certify: replay the capture against eager, forward and backward. Without numbers to run on
            the certificate says so.

    Returns:
        The graph; `graph.certificate` holds what the replay showed, `graph.notes` what to know.

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
    framework = framework_of(model)
    if not isinstance(example, Mapping):
        raise CaptureError(
            "expected the example as a dict from argument name to input; found "
            f"{type(example).__name__}"
        )
    capture = Capture.of(model, with_tensors(framework, example))
    while certify and not capture.certify():
        pass
    return capture.graph


def _told(graph: ComputationGraph) -> str:
    """How much was captured, and by which way."""
    operations = len(graph.of_kind("operation"))
    way = getattr(graph.session, "rung", "") or graph.framework
    return f"{operations} operations captured by {way}"


@contextmanager
def _naming(model: Any) -> Iterator[None]:
    """A failed capture says of which model it was."""
    try:
        yield
    except CaptureError as error:
        error.model = model
        raise


@dataclass
class Capture:
    """A capture that may turn out unfaithful, and the ways that are left then.

    Attributes:
        graph: by the way of capturing that is tried at present.
        refused: what was tried before, in sentences.
    """

    model: Any
    example: Mapping[str, Any]
    graph: ComputationGraph
    engine: Engine
    refused: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, model: Any, example: Mapping[str, Any], engine: Engine | None = None) -> Capture:
        """By the best way that succeeds, uncertified; errors as of `capture_graph`."""
        side = backend(framework_of(model))
        with _naming(model):
            graph = side.trace(model, example)
        LOG.info("%s: %s", type(model).__name__, _told(graph))
        return cls(model, example, graph, engine or side.engine(model))

    def certify(self, eager: Eager | None = None, further: Further | None = None) -> bool:
        """Holds the graph against eager.

        Where it differs, `graph` is made anew by the next way, to be certified in turn.

        Args:
            eager, further: see `padiff_graph.capture.certificate.certify`.

        Raises:
            UnfaithfulCaptureError: where no way is left.
        """
        certificate = certify_graph(
            self.graph, self.engine, self.example, eager=eager, further=further
        )
        if certificate.valid or not certificate.certified:
            self.graph.certificate = certificate
            self.graph.notes.extend(self.refused)
            return True
        with _naming(self.model):
            self._next_way(certificate)
        return False

    def _next_way(self, certificate: Certificate) -> None:
        """Captures by what comes after the way that was refused."""
        LOG.info("the capture is refused: %s", certificate)
        rung = self.graph.session.rung if self.graph.session is not None else ""
        way = rung or self.graph.framework
        self.refused += [note for note in self.graph.notes if note.startswith("not captured by")]
        self.refused.append(f"a capture by {way} was refused: {'; '.join(certificate.reasons)}")
        if not rung:
            raise UnfaithfulCaptureError("; ".join(self.refused))
        trace = backend(self.graph.framework).trace
        try:
            self.graph = trace(self.model, self.example, below=rung)
        except CaptureError as error:
            raise UnfaithfulCaptureError(
                "the captured graph does not compute what the model computes, and no other way of "
                f"capturing is left. {'; '.join(self.refused)}",
                error.source,
                error.attempts,
            ) from None
