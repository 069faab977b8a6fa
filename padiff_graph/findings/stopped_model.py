"""A model that raised: where it stopped, and what the other model has there, as plain
data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from padiff_graph.findings.finding import Finding

__all__ = ["Beside", "HeldTensor", "StoppedModel", "stopped_model"]

ATTRIBUTE = "stopped_model"


@dataclass(frozen=True)
class HeldTensor:
    """A tensor that stood at a place: its name there, its dtype and shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Beside:
    """The first operation of the other model that has no counterpart, all of whose operands were
    computed.

    Attributes:
        path: dotted module path, "" for the root.
        op: native operator.
        source: "file:line", "" where it is not known.
        given, weights, yielded: what it reads and yields.
    """

    path: str
    op: str
    source: str
    given: tuple[HeldTensor, ...] = ()
    weights: tuple[HeldTensor, ...] = ()
    yielded: tuple[HeldTensor, ...] = ()


@dataclass(frozen=True)
class StoppedModel:
    """Where a model stopped.

    Attributes:
        number: 0 for the first model, 1 for the second; None where both forwards run, and a loss,
            an optimizer, a training step or a backward raised.
        models, frameworks: names of both.
        error: type and message of what it raised.
        path, kind: of the innermost module that was running; "" and the model's class for the
            model itself.
        source, code: the innermost line of the user's own.
        given: what that module was given.
        weights: its own parameters.
        variables: tensors in the variables of the user's function that stands at that line.
        beside: what the other model has at that place; None where that cannot be told.
        regions: parts of what ran before that were compared, counted by verdict.
        traced: whether there are no numbers to run it on, so that it was traced by shapes: it may
            have asked for numbers there.
        matched: operations of what was traced before that have a counterpart.
        findings: what differs in them.
        unasked: why what ran before was not compared; "" where it was.
    """

    number: int | None
    models: tuple[str, str]
    frameworks: tuple[str, str]
    error: str
    path: str
    kind: str
    source: str
    code: str
    given: tuple[HeldTensor, ...] = ()
    weights: tuple[HeldTensor, ...] = ()
    variables: tuple[HeldTensor, ...] = ()
    beside: Beside | None = None
    regions: Mapping[str, int] = field(default_factory=dict)
    traced: bool = False
    matched: int = 0
    findings: tuple[Finding, ...] = ()
    unasked: str = ""


def stopped_model(error: BaseException) -> StoppedModel | None:
    """What a check told of an exception of a model's forward; None where it told nothing."""
    told = getattr(error, ATTRIBUTE, None)
    return told if isinstance(told, StoppedModel) else None
