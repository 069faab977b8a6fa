"""Which bugs a check would miss on its input: faults planted in the captured second graph.

An operation is left out or one of its attributes is changed; then its region is run as a check runs
it, on the same values, in the models' precision and in float64, and the referee says whether it
differs from what it yields without the fault. What does not differ, no check on this input can see.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from padiff_graph.capture.engine import Array, Engine, NotRunnable
from padiff_graph.capture.graph import Node, Value
from padiff_graph.capture.remote.whole import is_away
from padiff_graph.diagnosis.ablation import stand_ins
from padiff_graph.diagnosis.plain_names import IDLE, plain_name
from padiff_graph.executor.cut_graphs import cut_graphs
from padiff_graph.executor.pair_run import Fed, Pair
from padiff_graph.executor.pair_setup import pair_of
from padiff_graph.executor.partition import Plan, Region
from padiff_graph.executor.planted_run import Plant, planted_run
from padiff_graph.executor.region_parameters import share
from padiff_graph.executor.region_run import Side
from padiff_graph.executor.schedule import Stream
from padiff_graph.matching.result import Matching
from padiff_graph.referee.referee import judge, measure
from padiff_graph.referee.region_units import RegionUnits
from padiff_graph.sides.recorded_engine import is_recorded

__all__ = ["Planted", "PlantedFault", "plant_faults"]

Outcome = Literal["shown", "missed", "stops"]

MOST = 200
"""Faults that are tried; chosen so that the share is known to 4 in 100 (0.5 / sqrt(200))."""
SECONDS = 30.0
"""Time that they may take; chosen as about that of a check of a mid-sized model on two cores."""
SEED = 0
CALLED_BY_RECORD = ("torch",)
"""Frameworks whose operations are rerun from the attributes of the captured record; elsewhere the
framework's own handle holds them, and operations are left out only."""
NO_BEHAVIOUR = frozenset(
    {
        "autocast",
        "copy",
        "cudnn_enable",
        "cudnn_enabled",
        "device",
        "dtype",
        "implicit",
        "layout",
        "memory_format",
        "non_blocking",
        "pin_memory",
        "token",
    }
)
"""Attributes that are no part of what an operation computes."""
SIZES = frozenset({"normalized_shape", "shape", "size", "sizes"})
"""Attributes that must fit the operand: any other value stops the model."""
OTHER_WORDS = {"none": "tanh", "tanh": "none", "mean": "sum", "sum": "mean"}
POSITIONS = 1.0
"""Positions that a parameter's gradient sums over, at least: the strictest rounding bound."""


@dataclass(frozen=True, slots=True)
class PlantedFault:
    """One fault and what became of it.

    Attributes:
        what: in words: "relu left out", "eps 1e-05 -> 0.0001".
        op, path, source: of the operation.
        outcome: "shown" by the numbers of its region; "missed"; "stops" where the model would not
            run with it, so that no port has it.
    """

    what: str
    op: str
    path: str
    source: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Planted:
    """Faults planted in a second graph.

    Attributes:
        faults: those that were tried.
        possible: how many there are to choose from.
        reason: why none was tried, "" elsewhere.
    """

    faults: tuple[PlantedFault, ...] = ()
    possible: int = 0
    reason: str = ""

    @property
    def missed(self) -> tuple[PlantedFault, ...]:
        """Those that no number of their region shows."""
        return tuple(fault for fault in self.faults if fault.outcome == "missed")

    @property
    def shown(self) -> int:
        """How many show."""
        return sum(fault.outcome == "shown" for fault in self.faults)

    @property
    def share(self) -> float | None:
        """The share that shows, of those that a port could have; None where none was tried."""
        running = self.shown + len(self.missed)
        return self.shown / running if running else None


@dataclass(frozen=True)
class _Candidate:
    """A fault to plant, its region by the index of its cut, and how it is told."""

    plant: Plant
    region: int
    node: Node
    what: str

    def told(self, outcome: Outcome) -> PlantedFault:
        """What is said of it."""
        return PlantedFault(self.what, self.node.op, self.node.path, self.node.source, outcome)


def plant_faults(
    matching: Matching,
    engines: tuple[Engine, Engine],
    *,
    backward: bool = True,
    most: int = MOST,
    seconds: float = SECONDS,
    seed: int = SEED,
) -> Planted:
    """Plants faults in the second graph and runs their regions.

    Args:
        matching: both graphs, with live sessions.
        engines: of both models.
        backward: whether gradients may show a fault, as they may in a check that compares them.
        most: how many faults, drawn at random where there are more.
        seconds: after which no further one is begun.
        seed: of the drawing.
    """
    if any(map(is_away, engines)):
        return Planted(reason="a model lives in another interpreter")
    if any(map(is_recorded, engines)):
        return Planted(reason="a model is a recording, of which nothing can be run otherwise")
    with engines[0].quiet(), engines[1].quiet():
        pair = pair_of(matching, engines, share(matching, *engines), backward=backward)
        plan = cut_graphs(matching)
        possible = [*_candidates(pair.second, plan)]
        chosen = random.Random(seed).sample(possible, min(most, len(possible)))
        trials = _Trials(pair, plan, chosen, time.monotonic() + seconds)
        return Planted(tuple(trials.run()), len(possible))


def _candidates(side: Side, plan: Plan) -> Iterator[_Candidate]:
    """Every fault that could be planted, in the order of the graph."""
    altering = side.graph.framework in CALLED_BY_RECORD
    for region in plan.regions:
        for number in region.second.nodes:
            node = side.graph.record(number)
            for plant, what in _faults(side, node, altering):
                yield _Candidate(plant, region.cut.index, node, what)


def _faults(side: Side, node: Node, altering: bool) -> Iterator[tuple[Plant, str]]:
    name = plain_name(node.op)
    if name not in IDLE:
        operand = next(stand_ins(side, node), None)
        if operand is not None:
            yield Plant(node.id, instead=operand), f"{name} left out"
    if not altering:
        return
    for attribute, value in node.attrs.items():
        changed = None
        if attribute not in NO_BEHAVIOUR | SIZES:
            changed = _changed(attribute, value)
        if changed is not None:
            altered = replace(node, attrs={**node.attrs, attribute: changed})
            yield Plant(node.id, altered), f"{name}: {attribute} {value} -> {changed}"


def _changed(attribute: str, value: Any) -> Any:
    """Another value of an attribute; None where none comes to mind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        if "eps" in attribute:
            return value * 10
        return value * 2 if value else 0.1
    if isinstance(value, str):
        return OTHER_WORDS.get(value)
    if isinstance(value, tuple) and value and all(type(entry) is int for entry in value):
        return (value[0] + 1, *value[1:])
    return None


@dataclass
class _Trials:
    """Faults tried region by region, on the values that each region reads.

    Attributes:
        until: the time after which none is begun.
    """

    pair: Pair
    plan: Plan
    chosen: Sequence[_Candidate]
    until: float

    def run(self) -> list[PlantedFault]:
        """What became of those that were tried."""
        by_region: dict[int, list[_Candidate]] = defaultdict(list)
        for candidate in self.chosen:
            by_region[candidate.region].append(candidate)
        tried: list[PlantedFault] = []

        def examine(region: Region, feed: Fed) -> Mapping[Value, Array]:
            outcomes, values = self._tried(region, feed, by_region[region.cut.index])
            tried.extend(outcomes)
            return values

        def passed_over(_region: Region, _reason: str) -> None:
            """What cannot be run by itself shows nothing, and hides nothing."""

        Stream(self.pair.sides, self.plan, [*by_region], examine, passed_over).run()
        return tried

    def _tried(
        self, region: Region, feed: Fed, candidates: Sequence[_Candidate]
    ) -> tuple[list[PlantedFault], Mapping[Value, Array]]:
        side = self.pair.second
        backward = self.pair.backward and not self.pair.unreached(region.cut)
        if time.monotonic() > self.until:
            return [], {}

        def ran(plant: Plant | None) -> tuple[Any, Any]:
            single, double = (
                planted_run(side, region, feed.second, plant, backward=backward, double=double)
                for double in (False, True)
            )
            return single, double

        try:
            right = ran(None)
        except NotRunnable:
            return [], {}
        nodes = region.second.nodes
        units = RegionUnits.of((side.graph, side.graph), (nodes, nodes))
        outcomes: list[PlantedFault] = []
        for candidate in candidates:
            if time.monotonic() > self.until:
                break
            try:
                wrong = ran(candidate.plant)
            except NotRunnable:
                outcomes.append(candidate.told("stops"))
            else:
                shown = _differs(right, wrong, units, "eps" in candidate.what)
                outcomes.append(candidate.told("shown" if shown else "missed"))
        return outcomes, {value: right[0]["output", value] for value in region.cut.second}


def _differs(
    right: tuple[Any, Any], wrong: tuple[Any, Any], units: RegionUnits, attribute: bool
) -> bool:
    """Whether the referee calls any tensor different; one that is there on one side alone is."""
    if right[0].keys() != wrong[0].keys():
        return True
    for kind, value in right[0]:
        arrays = [run[kind, value] for run in (*wrong, *right)]
        if len({array.shape for array in arrays}) > 1:
            return True
        single = measure(arrays[0], arrays[2])
        double = measure(arrays[1], arrays[3])
        whole = arrays[2].dtype.kind in "iub"
        bound = 0.0 if whole else units.bound(kind, POSITIONS)
        noise = measure(arrays[2].astype(np.float64), arrays[3]).error
        if judge(single, bound, double, noise, attribute=attribute) == "different":
            return True
    return False
