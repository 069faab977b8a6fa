"""Both models run with the weights that no map was found between all set to one number.

Whatever the right map is, as long as each number of the one model is one number of the other (in
any order, cut or joined in any way), it leads equal numbers to equal numbers. So both models have
to compute the same then. Where they do not, no map makes them agree; where they do, nothing is
known of it. Both certified graphs are run as a whole in float64, and what moves as far when each
side's weights and inputs move by one unit in the last place of float32 says nothing: values that
are equal by this choice tie, and who wins is chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.capture.normal.form import NormalGraph, NormalNode
from padiff_graph.capture.normal.operator_traits import Layout
from padiff_graph.capture.normal.traits import traits
from padiff_graph.check.check_request import CheckRequest
from padiff_graph.check.weight_step import Weighted
from padiff_graph.executor.output_pairs import OutputPair, named_pairs, output_pairs
from padiff_graph.executor.pair_run import Pair
from padiff_graph.executor.pair_setup import pair_of
from padiff_graph.executor.region_parameters import Shared, share
from padiff_graph.executor.whole_graph import run_graph
from padiff_graph.matching.parameters.names import numbers, template
from padiff_graph.matching.result import Matching
from padiff_graph.obligations.remainders import Remainder
from padiff_graph.obligations.whole_proof import moved, moved_inputs
from padiff_graph.referee.referee import measure
from padiff_graph.weights.fillable import Fillable

__all__ = ["Departure", "OneNumber", "all_read_as_they_are"]

SIGNS = (1.0, -1.0)
"""The number, and its negative: what one of them leaves behind a ReLU the other lets through."""
STEP = 0.25
"""By how much of the number that of one expert is more than that of the one before; chosen so that
dozens of them stay within one size."""
PRODUCTS = (Layout.LINEAR, Layout.MATMUL, Layout.CONVOLUTION)
"""Layouts of operations that multiply a weight with something."""
USUAL = 0.25
"""The number where all those weights are zero; chosen as what stands for a zero elsewhere
(`region_parameters.NOTHING`)."""


@dataclass(frozen=True)
class Departure:
    """An output that differs though all weights without a map hold one number.

    Attributes:
        number: that number.
        left: what float64 leaves of the output.
        filled: the weights of both sides.
    """

    number: float
    left: Remainder
    filled: Shared


@dataclass(frozen=True)
class OneNumber:
    """Both models, to be run so.

    Attributes:
        request: what is asked for.
        weighted: the models with their map.
        asked: the weights that are set.
        pairs: names of outputs that were held against each other in the whole runs.
    """

    request: CheckRequest
    weighted: Weighted
    asked: Fillable
    pairs: Sequence[tuple[str, str]]

    def departure(self, *, listed: bool = False) -> Departure | None:
        """An output that differs; None where none does.

        `listed`: where one model keeps a list of weights (experts) and the other one tensor of as
        many, each has a number of its own: the order of a list is that of the tensor.

        Raises:
            NotRunnable: where a graph cannot be rerun.
        """
        matching, engines = self.weighted.matching, self.weighted.alignment.engines
        shared = share(matching, *engines)
        outputs = output_pairs(matching), named_pairs(matching, self.pairs)
        size = _size(shared, self.asked)
        for number in (sign * size for sign in SIGNS):
            filled = self._filled(shared, number, listed)
            with ExitStack() as stack:
                for engine, side in zip(engines, (matching.first, matching.second), strict=True):
                    stack.enter_context(engine.quiet(values=side.graph.calls_back))
                pair = pair_of(matching, engines, filled, backward=False)
                left = _departing(pair, outputs)
            if left is not None:
                return Departure(number, left, filled)
        return None

    def _filled(self, shared: Shared, number: float, listed: bool) -> Shared:
        """The weights with one number in the place of those without a map."""
        values = shared.first, shared.second
        length = _length(list(zip(values, self.asked.weights, strict=True))) if listed else 0
        made = [dict(own) for own in values]
        for side, own in enumerate(values):
            for name in self.asked.weights[side]:
                made[side][name] = _of_one(name, own[name], number, length)
            for name in self.asked.buffers[side]:
                made[side][name] = _of_one(name, own[name], abs(number), 0)
            for name in self.asked.added[side]:
                made[side][name] = np.zeros_like(np.asarray(own[name]))
        return replace(shared, first=made[0], second=made[1])


def _of_one(name: str, array: Array, number: float, length: int) -> Array:
    """An array of one number, which both parts of complex ones are; of one for each member of a
    list of this length."""
    filled = np.full_like(np.asarray(array), number)
    if filled.dtype.kind == "c":
        filled.imag = number
    if not length:
        return filled
    by_place = 1 + STEP * np.arange(length)
    place = _place(name)
    filled *= by_place.reshape(-1, *(1,) * (filled.ndim - 1)) if place is None else by_place[place]
    return filled


def _place(name: str) -> int | None:
    """Where a weight stands in the one list that its name tells of."""
    found = numbers(name)
    return found[-1] if found else None


def _length(sides: Sequence[tuple[Mapping[str, Array], Iterable[str]]]) -> int:
    """How long the lists are that all these weights are members of, or tensors of as many; 0 where
    they are not of one length."""
    members: dict[tuple[int, str], set[int]] = {}
    whole: set[int] = set()
    for side, (values, names) in enumerate(sides):
        for name in names:
            place = _place(name)
            if place is None:
                whole.add(values[name].shape[0] if values[name].ndim else 0)
            else:
                members.setdefault((side, template(name)), set()).add(place)
    lengths = whole | {len(places) for places in members.values()}
    counted = all(places == set(range(len(places))) for places in members.values())
    return lengths.pop() if members and whole and counted and len(lengths) == 1 else 0


def _size(shared: Shared, asked: Fillable) -> float:
    """A number as large as those weights are."""
    arrays = [np.asarray(shared.second[name], np.float64) for name in asked.weights[1]]
    squares = [np.square(array) for array in arrays]
    count = sum(array.size for array in squares)
    return float(np.sqrt(sum(float(array.sum()) for array in squares) / max(count, 1))) or USUAL


def _departing(pair: Pair, pairings: Sequence[Sequence[OutputPair]]) -> Remainder | None:
    """The output that is furthest apart in float64, by more than chance moves it on either side;
    None where none is, or where in one of the pairings none is: without a map of the weights it is
    not sure either which output corresponds to which."""
    runs = [run_graph(side, None, double=True).outputs for side in pair.sides]
    # chance only ever excuses: where nothing is left without it, nothing has to be moved
    if None in [_furthest(outputs, runs, runs) for outputs in pairings]:
        return None
    away = [
        run_graph(moved(side), None, double=True, fed=moved_inputs(side), single=True).outputs
        for side in pair.sides
    ]
    furthest = [_furthest(outputs, runs, away) for outputs in pairings]
    return None if None in furthest else furthest[0]


def _furthest(
    outputs: Sequence[OutputPair],
    runs: Sequence[Mapping[str, Array]],
    away: Sequence[Mapping[str, Array]],
) -> Remainder | None:
    """The output that is furthest apart by more than rounding; None where none is."""
    return max(
        (left for left in _lefts(outputs, runs, away) if not left.vanishes),
        key=lambda left: left.relative,
        default=None,
    )


def _lefts(
    outputs: Sequence[OutputPair],
    runs: Sequence[Mapping[str, Array]],
    away: Sequence[Mapping[str, Array]],
) -> Iterator[Remainder]:
    """What is left of each output of one shape that holds numbers; `away`: the runs moved by
    rounding."""
    for entry in outputs:
        names = entry.first, entry.second
        ours, theirs = (run[name] for run, name in zip(runs, names, strict=True))
        nearby = [run[name] for run, name in zip(away, names, strict=True)]
        arrays = ours, theirs, *nearby
        if any(array.shape != theirs.shape for array in arrays) or theirs.dtype.kind not in "fc":
            continue
        if not all(np.isfinite(array).all() for array in arrays):
            continue
        measured = measure(ours, theirs)
        noise = max(measure(nearby[0], ours).error, measure(nearby[1], theirs).error)
        yield Remainder("output", *names, measured.error, measured.scale, noise)


def all_read_as_they_are(matching: Matching, asked: Fillable) -> bool:
    """Whether `_read_as_they_are` holds of all these weights on both sides."""
    sides = matching.first, matching.second
    return all(_read_as_they_are(side, asked.of(number)) for number, side in enumerate(sides))


def _read_as_they_are(normal: NormalGraph, names: Iterable[str]) -> bool:
    """Whether all that reads some parameters has something to compute with that is not made of
    parameters: a weight that is made of others first, as their product or by an exponential, need
    not hold one number where they do."""
    wanted = set(names)
    given: set[int] = set()  # depends on an input, or is a product with constants
    made: set[int] = set()  # of parameters alone
    for node in normal.nodes:
        sources = {edge.source for edge in node.inputs if edge is not None}
        apart = sources - made
        if node.op == "Input" or not sources.isdisjoint(given) or (_product(node) and apart):
            given.add(node.id)
        elif node.op == "Parameter" or not sources.isdisjoint(made):
            made.add(node.id)
            if any(_is_parameter(normal, source, wanted) for source in sources):
                return False
    return True


def _product(node: NormalNode) -> bool:
    return traits(node.op).layout in PRODUCTS


def _is_parameter(normal: NormalGraph, source: int, names: set[str]) -> bool:
    node = normal.nodes[source]
    return node.op == "Parameter" and node.name in names
