"""A second call of both models, where the first one left something behind that it may read.

Between the two calls every weight grows by one eighth, as training moves them: a cache of the
weights that nothing refreshes shows only then.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from padiff_graph.capture.engine import Array, Engine
from padiff_graph.capture.late_array import late_of
from padiff_graph.executor.output_pairs import output_pairs
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.result import Matching
from padiff_graph.obligations.left_behind import LeftBehind, Place, left_behind
from padiff_graph.obligations.state_values import apart, rounding_of, same_values

__all__ = ["GROWTH", "called_twice", "drawn_places", "second_call"]

GROWTH = 1.125
"""What weights are multiplied by between the calls: exact in binary, so that it adds no rounding,
and small enough for both models to stay in their range."""
TIMES = 8.0
"""So many times as far apart as in the first call may outputs be in the second: chosen so that
rounding that grows with the weights is no difference."""


def second_call(
    matching: Matching,
    engines: tuple[Engine, Engine],
    examples: tuple[Mapping[str, Any], Mapping[str, Any]],
    *,
    evaluated: bool = False,
) -> Finding | None:
    """The first output that agrees in the first call and differs in the second; None where there
    is none.

    Args:
        matching, engines, examples: of the two models.
        evaluated: whether both are called in evaluation mode, since draws part them in training.
    """
    learned = _learned(matching)
    calls = [
        called_twice(engines[side], examples[side], learned[side], evaluated) for side in (0, 1)
    ]
    for pair in output_pairs(matching):
        distances = []
        least = 0.0
        for first, second in zip(*calls, strict=True):
            if pair.first not in first or pair.second not in second:
                return None
            distances.append(apart(first[pair.first], second[pair.second]))
            least = max(rounding_of(first[pair.first]), rounding_of(second[pair.second]))
        if distances[0] <= least and distances[1] > max(least, TIMES * distances[0]):
            facts = {"first_name": pair.first, "second_name": pair.second, "error": distances[1]}
            cause = Cause.of("state.second_call", **facts)
            return Finding(
                "forward",
                "different",
                cause,
                relative=distances[1],
                places=(("", ""),),
                frameworks=matching.frameworks,
            )
    return None


def drawn_places(engine: Engine, example: Mapping[str, Any], buffers: Sequence[str]) -> set[Place]:
    """Places where a run leaves other values when it draws other random numbers."""
    with engine.quiet() as watch:
        if watch.python is None:
            return set()
        own = engine.parameters()
        before = {name: engine.array(own[name]) for name in buffers if name in own}
        runs: list[LeftBehind] = []
        for _ in range(2):
            run = engine.forward(example, grad=False)
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


def called_twice(
    engine: Engine, example: Mapping[str, Any], learned: Collection[str], evaluated: bool
) -> tuple[dict[str, Array], dict[str, Array]]:
    """The outputs of two calls in a row, the weights grown in between."""
    with engine.quiet():
        if evaluated:
            engine.evaluate()
        first = _outputs(engine, example)
        own = engine.parameters()
        weights = {name: engine.array(own[name]) for name in learned if name in own}
        engine.assign({name: late_of(array, _grown) for name, array in weights.items()})
        return first, _outputs(engine, example)


def _grown(array: Array) -> Array:
    grown: Array = array * array.dtype.type(GROWTH if array.dtype.kind in "fc" else 1)
    return grown


def _outputs(engine: Engine, example: Mapping[str, Any]) -> dict[str, Array]:
    run = engine.forward(example, grad=False)
    return {name: engine.array(tensor) for name, tensor in run.outputs.items()}
