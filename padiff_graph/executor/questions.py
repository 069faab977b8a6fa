"""What is asked of one side of a region and what it answers: node ids, values and arrays, no
tensors.

One request is one call: forward, and backward where it is asked for. Nothing else passes, so that a
side may be answered from anywhere that holds its graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from padiff_graph.capture.engine import Array
from padiff_graph.capture.graph import Value
from padiff_graph.capture.remote.wire import crossing
from padiff_graph.executor.partition import Slice

__all__ = ["Answer", "Otherwise", "Request"]


@crossing
@dataclass(frozen=True, slots=True)
class Request:
    """One run of one side of a region.

    Attributes:
        part: the operations.
        feed: the values of the cuts that they read.
        wanted: the values to be handed out.
        recorded: whether gradients are recorded, as they are in a model that trains.
        cotangents: of the wanted values, to be pulled back; None where nothing is.
        seeded: values whose cotangents the side makes by itself, since their shape shows only as it
            runs.
        double: compute in float64.
        single: take the numbers of attributes as float32 holds them.
    """

    part: Slice
    feed: Mapping[Value, Array]
    wanted: tuple[Value, ...]
    recorded: bool = False
    cotangents: Mapping[Value, Array] | None = None
    seeded: tuple[Value, ...] = ()
    double: bool = False
    single: bool = False


@crossing
@dataclass(frozen=True, slots=True)
class Otherwise:
    """How an operation is called on trial, in the place of how it was captured.

    Attributes:
        attrs: attributes with other values, by name.
        inputs: its operands; None for those of the capture. They are among these, in another order,
            and None in the place of one that is left out.
    """

    attrs: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[Value | None, ...] | None = None


@crossing
@dataclass(frozen=True, slots=True)
class Answer:
    """What the run yielded.

    Attributes:
        outputs: of every wanted value.
        cotangents: those that were pulled back.
        boundary: gradients of the values fed in, None where no path leads to one.
        parameters: gradients by parameter name; a name is missing where no path leads to it.
        ungraded: why there are no gradients though they were asked for, "" elsewhere.
        forward, backward: seconds.
    """

    outputs: Mapping[Value, Array]
    cotangents: Mapping[Value, Array] = field(default_factory=dict)
    boundary: Mapping[Value, Array | None] = field(default_factory=dict)
    parameters: Mapping[str, Array] = field(default_factory=dict)
    ungraded: str = ""
    forward: float = 0.0
    backward: float = 0.0
