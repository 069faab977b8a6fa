"""Checks of a pair again and again: a model that is as it was is not captured again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from padiff_graph.capture.api import Capture
from padiff_graph.capture.backend import backend
from padiff_graph.capture.certificate import certify
from padiff_graph.capture.certified_replay import Further
from padiff_graph.capture.eager_run import Eager
from padiff_graph.capture.engine import Engine
from padiff_graph.capture.exclusive import one_at_a_time
from padiff_graph.check.check_request import CheckRequest, read_request
from padiff_graph.check.check_steps import Attempt
from padiff_graph.check.comparison import compare, run_check
from padiff_graph.check.same_model import same_model
from padiff_graph.report.report import Report

__all__ = ["Kept", "KeptCapture", "compare_keeping"]


@dataclass(frozen=True)
class Kept:
    """What a check leaves for the next one of the same pair.

    Attributes:
        captures: of both models; None for one that cannot be kept.
        used: whether this check took each from the one before.
    """

    captures: tuple[Capture | None, Capture | None] = (None, None)
    used: tuple[bool, bool] = (False, False)


@dataclass
class KeptCapture(Capture):
    """A capture of an earlier check: held against this check's eager run as any other, and made
    anew from the first way on where it does not stand.

    Attributes:
        fresh: whether it was made anew.
    """

    fresh: bool = field(default=False)

    def certify(self, eager: Eager | None = None, further: Further | None = None) -> bool:
        """As of `Capture`."""
        if self.fresh:
            return super().certify(eager, further)
        certificate = certify(self.graph, self.engine, self.example, eager=eager, further=further)
        if certificate.valid:
            self.graph.certificate = certificate
            return True
        self.graph = Capture.of(self.model, self.example, self.engine).graph
        self.fresh = True
        return False


@one_at_a_time
def compare_keeping(arguments: Mapping[str, Any], kept: Kept) -> tuple[Report, Kept]:
    """`compare`, with a model's capture from the check before where the model is the same but for
    its weights, which then are written into the model of that check. In training, where an
    optimizer holds on to its own model, it must be that very model, in the same mode and with the
    same parameters frozen.

    Args:
        arguments: of `compare`; what is no model of this process is never kept.
        kept: what the check before left; `Kept()` for none.

    Raises:
        as `compare`.
    """
    if not all(hasattr(arguments[side], "named_parameters") for side in ("layer", "module")):
        return compare(**arguments), Kept()  # a side, a file, a recording
    request = read_request(**{**DEFAULTS, **arguments})
    trained = request.steppers is not None or request.loops is not None
    captures = [
        None if trained and not _is_of(capture, model) else _usable(capture, model, example)
        for capture, model, example in zip(
            kept.captures, request.models, request.examples, strict=True
        )
    ]
    first, second = captures
    request = _with(request, first, second)
    report = run_check(request, Attempt(captures=(first, second)))
    used = tuple(capture is not None and not capture.fresh for capture in captures)
    return report, Kept(_captures(request, report), (used[0], used[1]))


DEFAULTS: Mapping[str, Any] = {
    "example_inp": None,
    "auto_weights": True,
    "steps": 1,
    "options": None,
    "layer_map": None,
    "loss_fn": None,
    "optimizer": None,
    "train_step": None,
}
"""`compare`'s own."""


def _is_of(capture: Capture | None, model: Any) -> bool:
    """Whether a capture was made of this very model."""
    return capture is not None and capture.model is model


def _usable(capture: Capture | None, model: Any, example: Mapping[str, Any]) -> KeptCapture | None:
    """An earlier capture as one of this model, its own weights in it; None where it is none."""
    if capture is None or type(capture.model) is not type(model):
        return None
    side = backend(capture.graph.framework)
    engine = side.engine(model)
    if _hooked(engine) or _hooked(capture.engine):
        return None
    weights = _weights(capture.model) | _weights(model)
    if not same_model(capture.model, model, side.values, weights):
        return None
    if not same_model(capture.example, example, side.values, frozenset()):
        return None
    own, old = engine.parameters(), capture.engine.parameters()
    if list(own) != list(old):
        return None
    if capture.model is not model:
        capture.engine.assign({name: engine.array(tensor) for name, tensor in own.items()})
    capture.graph.certificate = None
    return KeptCapture(capture.model, capture.example, capture.graph, capture.engine)


def _hooked(engine: Engine) -> bool:
    return bool(engine.hooked_parameters())


def _weights(model: Any) -> frozenset[int]:
    """Which tensors are the model's own."""
    named = (*model.named_parameters(), *model.named_buffers())
    return frozenset(id(tensor) for _, tensor in named)


def _with(request: CheckRequest, first: Capture | None, second: Capture | None) -> CheckRequest:
    """The request with the models and examples of kept captures."""
    if first is not None:
        inputs = replace(request.inputs, first=first.example)
        request = replace(request, layer=first.model, inputs=inputs)
    if second is not None:
        inputs = replace(request.inputs, second=second.example)
        request = replace(request, module=second.model, inputs=inputs)
    return request


def _captures(request: CheckRequest, report: Report) -> tuple[Capture | None, Capture | None]:
    """What the report's check captured."""
    if report.matching is None or report.engines is None or "onnx" in request.frameworks:
        return None, None
    graphs = report.matching.first.graph, report.matching.second.graph
    first, second = (
        Capture(*side)
        for side in zip(request.models, request.examples, graphs, report.engines, strict=True)
    )
    return first, second
