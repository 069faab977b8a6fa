"""One side of a region answered from a recording: where it was recorded, on these very values and
weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import cast

import numpy as np

from padiff_graph.capture.engine import Array, NotRunnable, same_numbers
from padiff_graph.capture.graph import Value
from padiff_graph.executor.partition import Cut, Slice
from padiff_graph.executor.questions import Answer, Request
from padiff_graph.executor.recorded_sweep import swept
from padiff_graph.executor.region_run import Side
from padiff_graph.executor.seeded_cotangents import seeded_cotangent
from padiff_graph.sides.recorded_engine import RecordedEngine, value_name

__all__ = [
    "NO_DOUBLE",
    "OTHERWISE",
    "check_weights",
    "fed_in_double",
    "recalled",
    "recalled_values",
]

OTHERWISE = "the recording holds this part of the model on other values than it is asked for here"
"""Why a part with an operation left out, or fed otherwise, is not answered."""
WITHOUT = "the recording was made without the values on the way"
NO_DOUBLE = "the recording holds no float64 of this part"


def recalled(side: Side, request: Request) -> Answer:
    """What a recording answers to one request.

    Raises:
        NotRunnable: where it holds no answer; the message says why.
    """
    part = request.part
    outputs = recalled_values(side, part, request.feed, request.wanted, double=request.double)
    request = _with_seeds(request, outputs)
    if not request.seeded:
        return Answer(outputs)
    cotangents = _cotangents(request, outputs)
    if not part.nodes:
        return Answer(outputs, cotangents, {value: cotangents.get(value) for value in part.values})
    if _recorded_alone(side, request):
        return Answer(outputs, cotangents, *_gradients(side, request))
    engine = cast(RecordedEngine, side.engine)
    if request.double and engine.stretch(part.nodes, part.values) is not None:
        return Answer(outputs, cotangents, ungraded=NO_DOUBLE)  # the sweep was fed otherwise
    try:
        precision = "float64" if request.double else "float32"
        return Answer(outputs, *swept(side, engine, part, request.seeded, precision))
    except NotRunnable as error:
        return Answer(outputs, cotangents, ungraded=str(error))


def _with_seeds(request: Request, outputs: Mapping[Value, Array]) -> Request:
    """A request under cotangents of the other side, where they are those of the recording.

    Raises:
        NotRunnable: they are others.
    """
    if not request.cotangents:
        return request
    seeded = replace(request, seeded=tuple(request.cotangents), cotangents=None)
    own = _cotangents(seeded, outputs)
    if not all(same_numbers(own[value], array) for value, array in request.cotangents.items()):
        raise NotRunnable("the recording holds this part under other cotangents")
    return seeded


def _recorded_alone(side: Side, request: Request) -> bool:
    """Whether the part is one recorded region, under the same cotangents."""
    engine = cast(RecordedEngine, side.engine)
    stretch = engine.stretch(request.part.nodes, request.part.values)
    if stretch is None:
        return False
    seeded: tuple[Value, ...] = engine.model.facts["regions"][stretch]["seeded"]
    return seeded == request.seeded


def _cotangents(request: Request, outputs: Mapping[Value, Array]) -> dict[Value, Array]:
    """Those under which the recording was made, too."""
    kind = np.float64 if request.double else np.float32
    return {
        value: seeded_cotangent(value, outputs[value].shape).astype(kind)
        for value in request.seeded
    }


def recalled_values(
    side: Side,
    part: Slice,
    feed: Mapping[Value, Array],
    wanted: Iterable[Value],
    *,
    double: bool,
    unknown: bool = False,
) -> dict[Value, Array]:
    """Recorded values of a part of a model; `unknown`: also where they were computed with weights
    of which the hash alone is known, so that nothing else can be run with them.

    Raises:
        NotRunnable: as of `recalled`.
    """
    engine = cast(RecordedEngine, side.engine)
    stretch = engine.stretch(part.nodes, part.values)
    through = double and stretch is None  # what was float64 from the inputs on
    _check_feed(engine, part, feed, through)
    check_weights(engine, side, part, unknown=unknown)
    return {
        value: feed[value] if value in feed else _value(engine, stretch, value, double)
        for value in wanted
    }


def fed_in_double(
    side: Side, cuts: Sequence[Cut], part: Slice, feed: Mapping[Value, Array]
) -> Mapping[Value, Array]:
    """What a recorded side reads in float64, with all of the values of some cuts; `feed` as it is
    where the part was recorded as one region, or is of a live model."""
    if not isinstance(side.engine, RecordedEngine):
        return feed
    if side.engine.stretch(part.nodes, part.values) is not None:
        return feed
    wide = {value: side.engine.value(value, double=True) for cut in cuts for value in cut.second}
    return {value: array for value, array in wide.items() if array is not None}


def _value(engine: RecordedEngine, stretch: int | None, value: Value, double: bool) -> Array:
    if not double or stretch is None:
        found = engine.value(value, double=double)
        if found is None:
            raise NotRunnable(NO_DOUBLE if double else WITHOUT)
        return found
    name = f"{stretch}.output.{value_name(value)}"
    if not engine.model.recording.holds("regions.float64", name):
        raise NotRunnable(NO_DOUBLE)
    return engine.model.array("regions.float64", name)


def _check_feed(
    engine: RecordedEngine, part: Slice, feed: Mapping[Value, Array], double: bool
) -> None:
    for value in part.values:
        own = engine.value(value, double=double)
        if own is None:
            raise NotRunnable(NO_DOUBLE if double else WITHOUT)
        if own.shape != feed[value].shape or not same_numbers(own, feed[value]):
            raise NotRunnable(OTHERWISE)


def check_weights(
    engine: RecordedEngine, side: Side, part: Slice, *, unknown: bool = False
) -> None:
    """Holds the weights of a part against those of the recording; `unknown`: but for those of which
    the hash alone is known.

    Raises:
        NotRunnable: they are others.
    """
    for number in part.leaves:
        record = side.graph.record(number)
        if record.kind not in ("parameter", "buffer"):
            continue
        if unknown and record.name in engine.model.hashed.unknown:
            continue
        other = engine.other_weight(record.name, side.parameters[record.name])
        if other:
            raise NotRunnable(other)


def _gradients(
    side: Side, request: Request
) -> tuple[dict[Value, Array | None], dict[str, Array], str]:
    """Gradients of what a part reads, and why there are none."""
    engine = cast(RecordedEngine, side.engine)
    stretch = engine.stretch(request.part.nodes, request.part.values)
    assert stretch is not None
    facts = engine.model.facts["regions"][stretch]
    precision = "float64" if request.double else "float32"
    if precision not in facts["ungraded"]:
        return {}, {}, NO_DOUBLE
    if facts["ungraded"][precision]:
        return {}, {}, facts["ungraded"][precision]
    kind, recording = f"regions.{precision}", engine.model.recording
    boundary: dict[Value, Array | None] = {}
    for value in request.part.values:
        name = f"{stretch}.boundary.{value_name(value)}"
        boundary[value] = recording.array(kind, name) if recording.holds(kind, name) else None
    parameters = {
        name: recording.array(kind, f"{stretch}.parameter.{name}")
        for name in facts["parameters"][precision]
    }
    return boundary, parameters, ""
