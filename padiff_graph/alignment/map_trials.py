"""Both graphs run as a whole in float64 under one map after another: which values agree under each.

The second side runs once; only the first one's weights change from trial to trial.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field

import numpy as np

from padiff_graph.capture.engine import Array, Engine, NotRunnable
from padiff_graph.capture.graph import ComputationGraph, Node, Value
from padiff_graph.capture.normal.index_map import View
from padiff_graph.executor.output_pairs import output_pairs
from padiff_graph.executor.pair_setup import pair_of
from padiff_graph.executor.region_parameters import Shared, share
from padiff_graph.executor.transfer import read
from padiff_graph.executor.whole_graph import graph_values
from padiff_graph.matching.result import Matching

__all__ = ["Target", "Trials", "output_targets", "readers_of", "targets", "within_reach"]

AGREE = 1e-5
"""Relative difference up to which two values of float64 runs agree: ten times what one region may
leave (`referee.LEFTOVER`), since attributes held as float32 add up along a whole model."""
SINGLE = 1e-4
"""The same in float32, where a graph has no float64: rounding of a deep network (1e-5, measured on
the public pairs of benchmarks/) and room for as much again."""
TELLING = ("float", "bfloat", "complex")
"""Dtypes of outputs that decide."""
TARGETS = 256
"""Most values held side by side; chosen so that a model of a few hundred layers has one of each."""


@dataclass(frozen=True)
class Target:
    """A value that both models compute, where a map shows whether it is right."""

    first: Value
    first_view: View
    second: Value
    second_view: View
    output: bool = False
    """Whether both models hand it out."""


def targets(matching: Matching, behind: Set[int]) -> tuple[Target, ...]:
    """What lies among some nodes of the first graph: the outputs, then matched values in program
    order.

    What no input moves is left out: its layout is that of weights, which is the question.
    """
    chosen = dict.fromkeys((*_outputs(matching), *_points(matching)))
    moved = behind & _behind(matching.first.graph, lambda record: record.kind == "input")
    return tuple(target for target in chosen if target.first.node in moved)[:TARGETS]


def within_reach(
    matching: Matching, engines: tuple[Engine, Engine], aims: Sequence[Target], behind: Set[int]
) -> tuple[Target, ...]:
    """The targets that some map may make agree. Those are not, behind some nodes, that are made of
    values in front of them of which none agrees, nor is an input: whatever the map, what goes in
    differs.

    Raises:
        NotRunnable: where a graph cannot be rerun.
    """
    fronts = _Fronts.of(matching, behind)
    entries = {aim: fronts.of_node(aim.first.node) for aim in aims}
    known = tuple({entry: None for found in entries.values() for entry in found if entry})
    if not known:
        return tuple(aims)
    agreeing = {known[at] for at in Trials(engines, known).agreeing(matching)} | {None}
    return tuple(aim for aim in aims if not entries[aim] or not agreeing.isdisjoint(entries[aim]))


@dataclass
class _Fronts:
    """The values from which others are made, in front of some nodes of the first graph.

    Attributes:
        graph: the first graph.
        behind: these nodes, and all that depend on them.
        moved: the nodes that an input moves.
        held: matched values in front, by node.
    """

    graph: ComputationGraph
    behind: Set[int]
    moved: Set[int]
    held: Mapping[int, Target]

    @classmethod
    def of(cls, matching: Matching, behind: Set[int]) -> _Fronts:
        """Those in front of these nodes."""
        graph = matching.first.graph
        held = {each.first.node: each for each in _points(matching)}
        return cls(graph, behind, _behind(graph, lambda record: record.kind == "input"), held)

    def of_node(self, node: int) -> frozenset[Target | None]:
        """The nearest ones that a node is made of, None for an input."""
        found: set[Target | None] = set()
        waiting, seen = [node], {node}
        while waiting:
            record = self.graph.record(waiting.pop())
            for value in record.inputs:
                if value is None or value.node in seen or value.node not in self.moved:
                    continue
                seen.add(value.node)
                outside = value.node not in self.behind
                if self.graph.record(value.node).kind == "input":
                    found.add(None)
                elif outside and value.node in self.held:
                    found.add(self.held[value.node])
                else:
                    waiting.append(value.node)
        return frozenset(found)


def output_targets(matching: Matching) -> tuple[Target, ...]:
    """The outputs of one shape that correspond."""
    return tuple(_outputs(matching))


def _outputs(matching: Matching) -> Iterator[Target]:
    graphs = matching.first.graph, matching.second.graph
    for pair in output_pairs(matching):
        kinds = graphs[0].type_of(pair.first_value), graphs[1].type_of(pair.second_value)
        if kinds[0] is None or kinds[1] is None or kinds[0].shape != kinds[1].shape:
            continue
        if kinds[0].dtype.startswith(TELLING):  # whole numbers may agree by chance
            whole = View.of(kinds[0].shape)
            yield Target(pair.first_value, whole, pair.second_value, whole, True)


def _points(matching: Matching) -> Iterator[Target]:
    for point in sorted(matching.points, key=lambda point: point.first.node):
        if point.match >= 0 and point.first_view.size == point.second_view.size:
            yield Target(point.first, point.first_view, point.second, point.second_view)


def readers_of(graph: ComputationGraph, names: Set[str]) -> set[int]:
    """Every node that depends on some parameters, by their names."""
    owners = ("parameter", "buffer")
    return _behind(graph, lambda record: record.kind in owners and record.name in names)


def _behind(graph: ComputationGraph, starts: Callable[[Node], bool]) -> set[int]:
    """Some nodes and every one that depends on them."""
    behind: set[int] = set()
    for record in graph.records():
        read_here = any(value is not None and value.node in behind for value in record.inputs)
        if read_here or starts(record):
            behind.add(record.id)
    return behind


@dataclass
class Trials:
    """Runs of both sides under maps.

    Attributes:
        engines: of both models.
        targets: the values that are held side by side.
        runs: how often the first side has run.
        as_they_are: every side keeps its own weights.
        allowed: relative difference up to which two values of float64 runs agree.
        double: whether both run in float64; not where an operation has no float64.
    """

    engines: tuple[Engine, Engine]
    targets: tuple[Target, ...]
    runs: int = 0
    as_they_are: bool = False
    allowed: float = AGREE
    double: bool = True
    _theirs: dict[tuple[str, ...], dict[Value, Array]] = field(default_factory=dict)

    def agreeing(self, matching: Matching) -> frozenset[int]:
        """Which targets agree under a map, by position.

        Raises:
            NotRunnable: where a graph cannot be rerun.
        """
        self.runs += 1
        try:
            return self._agreeing(matching)
        except NotRunnable:
            if not self.double:
                raise
        self.double = False
        self._theirs.clear()
        return self._agreeing(matching)

    def _agreeing(self, matching: Matching) -> frozenset[int]:
        shared = share(matching, *self.engines, as_they_are=self.as_they_are)
        theirs = self._second(matching, shared)
        side = pair_of(matching, self.engines, shared, backward=False).first
        ours = graph_values(side, [target.first for target in self.targets], double=self.double)
        return frozenset(
            number
            for number, target in enumerate(self.targets)
            if _agree(
                read(target.first_view, ours[target.first]),
                read(target.second_view, theirs[target.second]),
                self.allowed if self.double else SINGLE,
            )
        )

    def _second(self, matching: Matching, shared: Shared) -> dict[Value, Array]:
        """The second side's values: a run for each set of weights that it needs."""
        if shared.randomised not in self._theirs:
            side = pair_of(matching, self.engines, shared, backward=False).second
            wanted = [target.second for target in self.targets]
            self._theirs[shared.randomised] = graph_values(side, wanted, double=self.double)
        return self._theirs[shared.randomised]


def _agree(ours: Array, theirs: Array, allowed: float) -> bool:
    """Whether two values are one; NaNs and infinities where the other has them."""
    finite = np.isfinite(theirs)
    if ours.shape != theirs.shape or not np.array_equal(finite, np.isfinite(ours)):
        return False
    if theirs.dtype == bool or ours.dtype == bool:
        return np.array_equal(ours, theirs)
    scale = float(np.abs(theirs[finite]).max(initial=0.0))
    gap = float(np.abs(ours[finite] - theirs[finite]).max(initial=0.0))
    return math.isfinite(gap) and gap <= allowed * scale
