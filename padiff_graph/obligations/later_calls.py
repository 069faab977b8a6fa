"""Further calls of both models: what the first one left behind, anywhere, a later one may read.

After the first of several calls every weight grows by one eighth, as training moves them: a cache
of the weights that nothing refreshes shows only then. Where a run leaves nothing in the model, what
it counts outside (a global, an attribute of a class) can still tell one call from the next.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from padiff_graph.capture.engine import Array, Engine, NotRunnable
from padiff_graph.capture.late_array import late_of
from padiff_graph.capture.remote.at_once import at_once
from padiff_graph.capture.remote.errors import SideEndedError
from padiff_graph.errors import short_message, wants_memory
from padiff_graph.executor.output_pairs import output_pairs
from padiff_graph.executor.transfer import mapped
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.result import Matching, ParameterRow
from padiff_graph.obligations.left_behind import LeftBehind, Place, left_behind
from padiff_graph.obligations.state_values import apart, rounding_of, same_values
from padiff_graph.referee.known_divergence import variance_counts

__all__ = [
    "AGAIN",
    "CALLS",
    "GROWTH",
    "Call",
    "Called",
    "Calls",
    "called",
    "drawn_places",
    "grown_calls",
    "plain_calls",
]

CALLS = 4
"""How often each model is called in a row: chosen so that a count that changes what the third call
yields shows, and a check of a large model does not become many."""
AGAIN = 2
"""How often a model in which a run leaves nothing is called again: with capture and whole run that
makes four."""
GROWTH = 1.125
"""What weights are multiplied by after the first call: exact in binary, so that it adds no
rounding, and small enough for both models to stay in their range."""
TIMES = 8.0
"""So many times as far apart as in the first call may values be in a later one: chosen so that
rounding that grows with the weights is no difference."""


@dataclass(frozen=True)
class Call:
    """What one of several calls in a row yields.

    Attributes:
        outputs: by leaf name.
        buffers: as the call left them, by dotted name.
        drew: whether it drew random numbers.
    """

    outputs: Mapping[str, Array]
    buffers: Mapping[str, Array]
    drew: bool = False


@dataclass(frozen=True)
class Calls:
    """Several calls of one model in a row.

    Attributes:
        made: those that it answered.
        raised: what the next one raised, "" where all were answered: a cache of a fixed size is
            full some day.
    """

    made: tuple[Call, ...]
    raised: str = ""

    def __len__(self) -> int:
        return len(self.made)


class Laid(NamedTuple):
    """One value of both models: its names, the modules that own it, and what it is in each call."""

    first: str
    second: str
    owners: tuple[str, str]
    values: list[tuple[Array, Array]]


@dataclass(frozen=True)
class Called:
    """Both models called several times.

    Attributes:
        matching: of the two models.
        calls: of each, in a row.
        before: how far outputs were apart in an earlier run of both, by both names, which then
            counts as the first call.
        grown: whether weights grew after the first call.
        ungrown: how far outputs were apart in an earlier run on the weights that the first call had
            too, by both names.
    """

    matching: Matching
    calls: tuple[Calls, Calls]
    before: Mapping[tuple[str, str], float] | None = None
    grown: bool = False
    ungrown: Mapping[tuple[str, str], float] = field(default_factory=dict)

    @property
    def answered(self) -> int:
        """How many calls both models answered."""
        return min(map(len, self.calls))

    def departing(self) -> Finding | None:
        """The first value that agrees in one call and differs in another, or the call that only
        one model answers; None where there is none."""
        for laid in _laid(self.matching, *self.calls):
            call, distance = self._departs(laid)
            if call:
                facts: dict[str, object] = {"first_name": laid.first, "second_name": laid.second}
                facts["error"] = distance
                if call != 2:
                    facts["call" if call > 2 else "only_in"] = call
                cause = Cause.of("state.second_call", **facts)
                return _finding(self.matching, cause, laid.owners, distance)
        return self._unanswered()

    def _unanswered(self) -> Finding | None:
        """The call that only one model answers."""
        first, second = map(len, self.calls)
        if first == second:
            return None
        side = 0 if first < second else 1
        call = self.answered + (1 if self.before is None else 2)
        facts: dict[str, object] = {"side": side, "call": call, "raised": self.calls[side].raised}
        return _finding(self.matching, Cause.of("state.call_raises", **facts))

    @property
    def repeated(self) -> bool:
        """Whether each model draws nothing and yields the same in every call: rare draws may fall
        alike."""
        if any(calls.raised or any(call.drew for call in calls.made) for calls in self.calls):
            return False
        laid = list(_laid(self.matching, *self.calls))
        return all(_repeats(own.values, side) for own in laid for side in (0, 1))

    @property
    def steady(self) -> bool:
        """Whether of two models that depart one at least yields the same every time: else what
        they count outside may be counted by calls that only one of them had."""
        return self.grown or all(
            any(_repeats(laid.values, side) for side in (0, 1))
            for laid in _laid(self.matching, *self.calls)
            if self._departs(laid)[0]
        )

    def _departs(self, laid: Laid) -> tuple[int, float]:
        """The call in which a value departs from what another shows, from 1 on, and how far; 0
        where none does."""
        distances = [apart(*pair) for pair in laid.values]
        if self.before is not None:
            if (laid.first, laid.second) not in self.before:
                return 0, 0.0
            distances.insert(0, self.before[laid.first, laid.second])
        least = max(rounding_of(array) for array in laid.values[-1])
        earlier = self.ungrown.get((laid.first, laid.second), math.inf)
        if distances[0] > max(least, TIMES * earlier):
            return 2, distances[0]  # only an earlier run agreed
        if distances[0] > least:
            return self._departs_first(distances, least)
        allowed = max(least, TIMES * distances[0], self._divergence(laid))
        late = ((call, far) for call, far in enumerate(distances, 1) if far > allowed)
        return next(late, (0, 0.0))

    def _departs_first(self, distances: Sequence[float], least: float) -> tuple[int, float]:
        """The first call where it alone departs: rounding would do the same in each. With weights
        that grow in between the calls are not alike, and nothing is concluded."""
        alike = self.before is not None and min(distances) <= least
        return (1, distances[0]) if alike and distances[0] > TIMES * least else (0, 0.0)

    def _divergence(self, laid: Laid) -> float:
        """By how much a running variance differs where one framework takes the biased batch
        variance and the other the unbiased one, however often it was updated."""
        if len(set(self.matching.frameworks)) < 2:
            return 0.0
        count = variance_counts(self.matching).get(laid.second, 0.0)
        return 1 / (count - 1) if count > 1 else 0.0


def _repeats(values: Sequence[tuple[Array, Array]], side: int) -> bool:
    """Whether one side yields the same in every call."""
    own = [pair[side] for pair in values]
    return all(apart(array, own[0]) <= rounding_of(array) for array in own)


def grown_calls(
    matching: Matching,
    engines: tuple[Engine, Engine],
    examples: tuple[Mapping[str, Any], Mapping[str, Any]],
    *,
    times: int = CALLS,
    evaluated: bool = False,
    grad: bool = True,
    earlier: Mapping[tuple[str, str], float] | None = None,
    growing: bool = True,
) -> Called:
    """Both models called, the weights grown after the first call.

    Args:
        matching, engines, examples: of the two models.
        times: how often each is called.
        evaluated: whether both are called in evaluation mode, since draws part them in training.
        grad: whether gradients are recorded.
        earlier: how far outputs were apart in an earlier run in the same mode, by both names.
        growing: whether weights do grow: those that are folded into others do not grow alike.
    """
    nothing: set[str] = set()
    learned = _learned(matching) if growing else (nothing, nothing)

    def calls(side: int) -> Calls:
        return called(engines[side], examples[side], learned[side], evaluated, times, grad=grad)

    both = at_once(lambda: calls(0), lambda: calls(1), engines)
    return Called(matching, both, grown=True, ungrown=earlier or {})


def plain_calls(
    matching: Matching,
    engines: tuple[Engine, Engine],
    examples: tuple[Mapping[str, Any], Mapping[str, Any]],
    before: Mapping[tuple[str, str], float] | None,
    *,
    grad: bool = True,
) -> Called:
    """Both models called as they are, after an earlier run of both; in evaluation mode where there
    is none that they can be held against."""

    def calls(side: int) -> Calls:
        return called(engines[side], examples[side], (), before is None, AGAIN, grad=grad)

    both = at_once(lambda: calls(0), lambda: calls(1), engines)
    return Called(matching, both, before)


def _finding(
    matching: Matching, cause: Cause, owners: tuple[str, str] = ("", ""), relative: float = 0.0
) -> Finding:
    return Finding(
        "forward",
        "different",
        cause,
        *owners,
        relative=relative,
        places=(owners,),
        frameworks=matching.frameworks,
    )


def _laid(matching: Matching, first: Calls, second: Calls) -> Iterator[Laid]:
    """Outputs and buffers that both sides yield in every call that both answer."""
    both = list(zip(first.made, second.made, strict=False))
    for pair in output_pairs(matching):
        if all(pair.first in a.outputs and pair.second in b.outputs for a, b in both):
            values = [(a.outputs[pair.first], b.outputs[pair.second]) for a, b in both]
            yield Laid(pair.first, pair.second, ("", ""), values)
    for row in matching.parameters:
        if all(_written(row, a, b) for a, b in both):
            values = [(a.buffers[row.first], _given(row, a, b)) for a, b in both]
            other = row.pieces[0].second
            yield Laid(row.first, other, (_owner(row.first), _owner(other)), values)


def _written(row: ParameterRow, first: Call, second: Call) -> bool:
    pieces = [piece.second in second.buffers for piece in row.pieces]
    return row.first in first.buffers and bool(pieces) and all(pieces)


def _given(row: ParameterRow, first: Call, second: Call) -> Array:
    return mapped(row, first.buffers[row.first], second.buffers)


def _owner(name: str) -> str:
    return name.rpartition(".")[0]


def drawn_places(
    engine: Engine, example: Mapping[str, Any], buffers: Sequence[str], *, grad: bool = True
) -> set[Place]:
    """Places where a run leaves other values when it draws other random numbers."""
    with engine.quiet() as watch:
        if watch.python is None:
            return set()
        own = engine.parameters()
        before = {name: engine.array(own[name]) for name in buffers if name in own}
        runs: list[LeftBehind] = []
        for _ in range(2):
            run = engine.forward(example, grad=grad)
            runs.append(left_behind(watch, engine, run, buffers))
            watch.python.restore()
            engine.assign(before)
    first, second = (left.attributes for left in runs)
    return {
        place
        for place in first.keys() | second.keys()
        if not same_values(first.get(place, {}), second.get(place, {}))
    }


def _learned(matching: Matching) -> tuple[set[str], set[str]]:
    """Names of the parameters that correspond, buffers left out, on each side."""
    firsts, seconds = matching.first.graph.parameters, matching.second.graph.parameters
    ours: set[str] = set()
    theirs: set[str] = set()
    for row in matching.parameters:
        names = [piece.second for piece in row.pieces]
        buffers = [firsts[row.first].buffer, *(seconds[name].buffer for name in names)]
        if names and not any(buffers):
            ours.add(row.first)
            theirs.update(names)
    return ours, theirs


def called(
    engine: Engine,
    example: Mapping[str, Any],
    learned: Collection[str],
    evaluated: bool,
    times: int = CALLS,
    *,
    grad: bool = True,
) -> Calls:
    """Several calls in a row, up to one that raises, the weights grown after the first; with `grad`
    as a training step calls it, so that a forward which registers hooks can."""
    with engine.quiet():
        if evaluated:
            engine.evaluate()
        calls = [_called(engine, example, grad)]
        own = engine.parameters()
        weights = {name: engine.array(own[name]) for name in learned if name in own}
        engine.assign({name: late_of(array, _grown) for name, array in weights.items()})
        try:
            for _ in range(times - 1):
                calls.append(_called(engine, example, grad))
        except (NotRunnable, SideEndedError):
            raise
        except Exception as error:  # whatever the user's forward raises when it is called again
            if wants_memory(error):
                raise
            return Calls(tuple(calls), f"{type(error).__name__}: {short_message(str(error))}")
        return Calls(tuple(calls))


def _grown(array: Array) -> Array:
    grown: Array = array * array.dtype.type(GROWTH if array.dtype.kind in "fc" else 1)
    return grown


def _called(engine: Engine, example: Mapping[str, Any], grad: bool) -> Call:
    run = engine.forward(example, grad=grad)
    outputs = {name: engine.array(tensor) for name, tensor in run.outputs.items()}
    return Call(outputs, run.buffers, run.drew)
