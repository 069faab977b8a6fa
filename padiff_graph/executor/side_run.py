"""One side of a region run where its model lives, as one question with one answer: here, in another
process, or from a recording."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, TypeVar, cast

import numpy as np

from padiff_graph.capture.engine import Array, Engine, NotRunnable
from padiff_graph.capture.graph import ComputationGraph, Node, Value
from padiff_graph.capture.late_array import LateArray
from padiff_graph.capture.remote.engine import RemoteEngine
from padiff_graph.capture.remote.errors import SideEndedError
from padiff_graph.capture.remote.handles import RemoteLate
from padiff_graph.capture.remote.service import Stays
from padiff_graph.capture.remote.whole import asked_whole, is_away
from padiff_graph.capture.remote.wire import crossing
from padiff_graph.executor.lanes import Lane, Lanes
from padiff_graph.executor.partition import Slice
from padiff_graph.executor.questions import Answer, Otherwise, Request
from padiff_graph.executor.recorded_side import OTHERWISE, recalled, recalled_values
from padiff_graph.executor.region_run import (
    AS_CAPTURED,
    NONE,
    Execution,
    Side,
    execute,
    gradients,
)
from padiff_graph.executor.seeded_cotangents import seeded_cotangent
from padiff_graph.executor.single_attributes import in_single
from padiff_graph.sides.recorded_engine import is_recorded

__all__ = ["boundary_values", "input_values", "run_side", "side_values"]


NOTHING = Slice((), (), (), ())
"""No operation at all."""
AS_IT_IS: Mapping[int, Otherwise] = {}
"""No operation called otherwise."""


def run_side(side: Side, request: Request) -> Answer:
    """Answers one request.

    Raises:
        NotRunnable: where an operation cannot be rerun; the message names it.
    """
    if is_away(side.engine):
        return _asked(side, request.part, lambda kept, sent: _ran(kept, sent, request))
    if is_recorded(side.engine):
        return recalled(side, request)
    started = perf_counter()
    execution = execute(
        side,
        request.part,
        request.feed,
        request.wanted,
        grad=request.recorded,
        double=request.double,
        altered=in_single(side.graph, request.part.nodes) if request.single else AS_CAPTURED,
    )
    outputs = {value: side.engine.array(execution.outputs[value]) for value in request.wanted}
    ran = perf_counter()
    weights = _weights(request, outputs)
    if not weights:
        return Answer(outputs, forward=ran - started)
    boundary, parameters, ungraded = _pulled(side, execution, weights, outputs, request.double)
    return Answer(
        outputs,
        weights,
        boundary,
        _by_name(side, parameters),
        ungraded,
        ran - started,
        perf_counter() - ran,
    )


def side_values(
    side: Side,
    part: Slice,
    feed: Mapping[Value, Array],
    wanted: Iterable[Value],
    *,
    double: bool = False,
    instead: Mapping[int, Value] = NONE,
    turned: Collection[int] = (),
    otherwise: Mapping[int, Otherwise] = AS_IT_IS,
) -> dict[Value, Array]:
    """Values of one forward. An operation in `instead` is not run: it hands on that operand; one in
    `turned` reads its list of tensors in reverse order; one in `otherwise` is called so, as long as
    that changes no shape.

    Raises:
        NotRunnable: where an operation cannot be rerun; the message names it.
    """
    asked = tuple(wanted)
    if is_away(side.engine):
        how = {
            "double": double,
            "instead": dict(instead),
            "turned": frozenset(turned),
            "otherwise": dict(otherwise),
        }
        return _asked(side, part, lambda kept, sent: _values(kept, sent, part, feed, asked, how))
    if is_recorded(side.engine):
        if instead or turned or otherwise:
            raise NotRunnable(OTHERWISE)
        return recalled_values(side, part, feed, asked, double=double)
    ran = execute(
        side,
        part,
        feed,
        asked,
        grad=False,
        double=double,
        instead=instead,
        turned=turned,
        altered={number: _altered(side.graph, number, otherwise[number]) for number in otherwise},
        shaped=bool(otherwise),
    )
    return {value: side.engine.array(ran.outputs[value]) for value in asked}


def boundary_values(
    side: Side, part: Slice, feed: Mapping[Value, Array], wanted: Iterable[Value]
) -> dict[Value, Array]:
    """What a part yields, for those behind it to read: of a recorded side also where the numbers of
    its weights are not known.

    Raises:
        NotRunnable: as of `side_values`.
    """
    if is_recorded(side.engine):
        return recalled_values(side, part, feed, tuple(wanted), double=False, unknown=True)
    return side_values(side, part, feed, wanted)


def _altered(graph: ComputationGraph, number: int, otherwise: Otherwise) -> Node:
    """An operation as it is called on trial."""
    record = graph.record(number)
    inputs = record.inputs if otherwise.inputs is None else otherwise.inputs
    return replace(record, attrs={**record.attrs, **otherwise.attrs}, inputs=inputs)


def input_values(side: Side, values: Iterable[Value]) -> dict[Value, Array]:
    """The example's values of inputs."""
    if is_away(side.engine):
        wanted = tuple(values)
        return _asked(side, NOTHING, lambda kept, sent: _inputs(kept, wanted))
    return {value: side.engine.array(side.inputs[value.node]) for value in values}


# -- a side of another process: made there once, then asked region by region

T = TypeVar("T")
STARTING = threading.Lock()
"""Taken while the processes of a side are looked up for the first time."""
MOST = 1 << 30
"""Bytes of weights that may cross with one question; a region takes far less."""


@crossing
@dataclass(frozen=True)
class Sent:
    """What crosses with one question.

    Attributes:
        drawn: what random nodes draw, by node.
        kept: weights that are sent for the first time, and are kept there.
        weights: those that are read anew for each question.
    """

    drawn: dict[int, Array | None]
    kept: dict[str, Array]
    weights: dict[str, Array]


@dataclass
class _KeptSide(Stays):
    """A side in the process of its model."""

    side: Side


@asked_whole
def _kept(graph: ComputationGraph, engine: Engine) -> _KeptSide:
    """The side with no weights and no draws yet."""
    return _KeptSide(Side(graph, engine, {}, lambda node: None, engine.inputs(graph)))


@asked_whole
def _ran(kept: _KeptSide, sent: Sent, request: Request) -> Answer:
    return run_side(_with(kept, sent), request)


@asked_whole
def _values(
    kept: _KeptSide,
    sent: Sent,
    part: Slice,
    feed: Mapping[Value, Array],
    wanted: tuple[Value, ...],
    how: Mapping[str, Any],
) -> dict[Value, Array]:
    return side_values(_with(kept, sent), part, feed, wanted, **how)


@asked_whole
def _inputs(kept: _KeptSide, values: tuple[Value, ...]) -> dict[Value, Array]:
    return input_values(kept.side, values)


def _with(kept: _KeptSide, sent: Sent) -> Side:
    """A side that draws and holds what was sent."""
    kept.side.parameters = {**kept.side.parameters, **sent.kept}
    parameters = {**kept.side.parameters, **sent.weights}
    return replace(kept.side, draw=lambda node: sent.drawn.get(node.id), parameters=parameters)


def _asked(side: Side, part: Slice, ask: Callable[[Any, Sent], T]) -> T:
    """What the process that runs a part answers; where a helper is lost, another one's answer.

    Raises:
        NotRunnable: where the weights of the part are too many to cross at once.
        SideEndedError: the process of the side itself is gone.
    """
    with STARTING:
        if side.kept is None:
            side.kept = Lanes.of(side.graph, cast(RemoteEngine, side.engine))
    lanes: Lanes = side.kept
    while True:
        lane = lanes.chosen(part)
        try:
            with lanes.turn:
                if lane.kept is None:
                    lane.kept = _kept(lane.graph, lane.engine)
                sent = _sent(side, lane, part)
            answer = ask(lane.kept, sent)
            lane.sent.update(sent.kept)
            return answer
        except SideEndedError as error:
            if not lanes.lose(lane, str(error)):
                raise


def _sent(side: Side, lane: Lane, part: Slice) -> Sent:
    """What a process needs for a part, but for what it was sent before.

    Raises:
        NotRunnable: where the weights of the part are too many to cross at once.
    """
    records = map(side.graph.record, part.nodes)
    drawn = {node.id: side.draw(node) for node in records if "random" in node.marks}
    leaves = map(side.graph.record, part.leaves)
    names = {leaf.name for leaf in leaves if leaf.kind in ("parameter", "buffer")}
    weights = {n: side.parameters[n] for n in names if _foreign(side.parameters[n])}
    if sum(array.nbytes for array in weights.values()) > MOST:
        raise NotRunnable("the weights of this part are too many to cross to their process at once")
    first = sorted(names - weights.keys() - lane.sent)
    return Sent(drawn, {n: lane.own(n, side.parameters[n]) for n in first}, weights)


def _foreign(array: Array) -> bool:
    """Whether an array is late and no file of the side itself holds it."""
    return isinstance(array, LateArray) and not isinstance(array, RemoteLate)


def _weights(request: Request, outputs: Mapping[Value, Array]) -> dict[Value, Array]:
    """The cotangents to pull back; {} for none."""
    weights = dict(request.cotangents or {})
    for value in request.seeded:
        seeds = seeded_cotangent(value, outputs[value].shape)
        weights[value] = seeds.astype(np.float64) if request.double else seeds
    return weights


def _pulled(
    side: Side,
    execution: Execution,
    weights: Mapping[Value, Array],
    outputs: Mapping[Value, Array],
    double: bool,
) -> tuple[dict[Value, Array | None], dict[int, Array | None], str]:
    """Gradients of boundary values and parameters, and why there are none."""
    for value, weight in weights.items():
        if weight.size != outputs[value].size:
            shapes = f"{list(outputs[value].shape)} where {list(weight.shape)} was expected"
            return {}, {}, f"the backward pass of this region cannot run: it yields {shapes}"
    try:
        return (*gradients(side, execution, weights, double=double), "")
    except NotRunnable as error:
        return {}, {}, f"the backward pass of this region cannot run: {_first_line(error)}"
    except Exception as error:  # whatever a user's own backward raises
        reason = f"{type(error).__name__}: {_first_line(error)}"
        return {}, {}, f"the backward pass of this region cannot run: {reason}"


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else ""


def _by_name(side: Side, by_node: Mapping[int, Array | None]) -> dict[str, Array]:
    """Gradients by parameter name; several nodes of one parameter add up."""
    total: dict[str, Array] = {}
    for number, array in by_node.items():
        name = side.graph.record(number).name
        if array is not None:
            total[name] = total[name] + array if name in total else array
    return total
