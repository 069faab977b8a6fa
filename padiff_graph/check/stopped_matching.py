"""The help of a check with a model whose forward raises, for calls that only capture and match."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from padiff_graph.capture.backend import backend
from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.check.check_request import CheckRequest, read_request
from padiff_graph.check.comparison import checked_and_undone
from padiff_graph.check.stopped_check import tell_where_it_stopped
from padiff_graph.check.stopped_trace import tell_where_the_trace_stopped
from padiff_graph.check.threads import alike
from padiff_graph.errors import UsageError
from padiff_graph.layer_map.layer_map import LayerMap
from padiff_graph.sides.recorded_model import RecordedModel

__all__ = ["stops_told"]


@contextmanager
def stops_told(layer: Any, module: Any, example_inp: Any, layer_map: Any) -> Iterator[None]:
    """Inside, a capture that fails since a forward raises says where the model stopped and how the
    part before it compares, as an exception of `compare` does.

    Args:
        layer, module, example_inp, layer_map: as of `compare`; the models are as before afterwards.
    """
    try:
        yield
    except (CaptureError, SystemExit) as error:
        request = _request(layer, module, example_inp, layer_map)
        if request is None:
            if example_inp is not None and isinstance(error, CaptureError):
                resolved = LayerMap.of(layer_map).resolve(layer, module)
                tell_where_the_trace_stopped(error, (layer, module), example_inp, resolved)
        else:
            with ExitStack() as stack:
                for framework, model in zip(request.frameworks, request.models, strict=True):
                    stack.enter_context(backend(framework).state.kept(model))
                stack.enter_context(alike(request.frameworks))
                tell_where_it_stopped(request, error, checked_and_undone)
        raise


def _request(layer: Any, module: Any, example_inp: Any, layer_map: Any) -> CheckRequest | None:
    """The check of both; None where they cannot be run, as models without numbers."""
    hashed = any(isinstance(own, RecordedModel) and own.hashed.told for own in (layer, module))
    if example_inp is None:  # it was inferred, so that both run on it
        return None
    try:
        return read_request(layer, module, example_inp, not hashed, 1, None, layer_map, None, None)
    except UsageError:
        return None
