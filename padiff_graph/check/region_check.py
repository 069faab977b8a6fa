"""Running every region pair, and taking away cuts that turn out wrong.

The second model's own values are the truth that both sides of every region are fed with, so an
error stays in its region. Cuts that turn out wrong are taken away and the merged regions run again
(`doubtful_cuts`): if they agree, there was no difference.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from padiff_graph.capture.engine import Array, Engine
from padiff_graph.capture.graph import Value
from padiff_graph.check.doubtful_cuts import doubtful_groups, vanished
from padiff_graph.check.region_examination import Examination, examine
from padiff_graph.executor.buffer_updates import buffer_updates
from padiff_graph.executor.cut_graphs import cut_graphs
from padiff_graph.executor.pair_run import Fed, Pair
from padiff_graph.executor.pair_setup import pair_of
from padiff_graph.executor.partition import Key, Plan, Region, Update
from padiff_graph.executor.region_parameters import share
from padiff_graph.executor.schedule import Stream
from padiff_graph.executor.side_run import input_values
from padiff_graph.executor.transfer import paired
from padiff_graph.matching.result import Difference, Matching
from padiff_graph.referee.referee import COARSE
from padiff_graph.referee.region_result import AGREE, Part, RegionCheck, RegionResult
from padiff_graph.referee.structural_evidence import Structure
from padiff_graph.referee.tolerance import Tolerance

__all__ = ["Progress", "check_regions"]

LOG = logging.getLogger(__name__)

Progress = Callable[[int, int, str], None]
"""Called with regions done, regions in all, and the module path at hand."""
ROUNDS = 4
"""How often doubtful cuts are taken away before what is left stands as it is; chosen so that a
chain of wrong cuts is followed and a bug does not make a check many times longer."""


def check_regions(
    matching: Matching,
    first_engine: Engine,
    second_engine: Engine,
    *,
    differences: Sequence[Difference] = (),
    forward: bool = True,
    backward: bool = True,
    tolerance: Tolerance | None = None,
    own_weights: bool = False,
    randomise: bool = True,
    progress: Progress | None = None,
) -> RegionCheck:
    """Runs all region pairs of two matched models.

    Args:
        matching: graphs with live sessions, points and parameter rows.
        first_engine, second_engine: the models' engines.
        differences: what structure says; a region with one is always sent to the float64 referee.
        forward: whether outputs and buffer updates are compared.
        backward: whether gradients are computed and compared.
        tolerance: what every tensor of every region is held against besides (`Part.held`).
        own_weights: whether each side keeps its own weights instead of sharing the second's through
            the parameter map: for models whose weights an exporter has folded.
        randomise: whether weights that stand at a constant are replaced (in the tool's own copies).
        progress: told after each region.

    The models, their buffers, gradients, random state and modes are as before afterwards.
    """
    with (
        first_engine.quiet(values=matching.first.graph.calls_back),
        second_engine.quiet(values=matching.second.graph.calls_back),
    ):
        shared = share(
            matching, first_engine, second_engine, as_they_are=own_weights, randomise=randomise
        )
        pair = pair_of(
            matching, (first_engine, second_engine), shared, forward=forward, backward=backward
        )
        examination = Examination(
            pair, Structure.of(matching, differences), tolerance, defaultdict(float)
        )
        return _Rounds(matching, examination, buffer_updates(matching)).check(progress)


@dataclass
class _Rounds:
    """All regions, then again with doubtful cuts taken away.

    Attributes:
        results: what was found so far, by `Region.identity`: a region that two plans share is run
            once.
    """

    matching: Matching
    examination: Examination
    updates: tuple[Update, ...]
    results: dict[tuple[object, ...], RegionResult] = field(default_factory=dict)

    def check(self, progress: Progress | None) -> RegionCheck:
        """The results of the last plan."""
        dropped: frozenset[Key] = frozenset()
        tried: set[frozenset[Key]] = set()
        plan = self._run(dropped, progress)
        notes = _unlike_inputs(plan, self.examination.pair)
        for _ in range(ROUNDS):
            groups = [group for group in doubtful_groups(plan, self.results) if group not in tried]
            if not groups:
                break
            tried.update(groups)
            trial = self._run(dropped.union(*groups), None)
            accepted = [group for group in groups if vanished(plan, trial, group, self.results)]
            if accepted:
                dropped = dropped.union(*accepted)
                plan = trial if len(accepted) == len(groups) else self._run(dropped, None)
        notes += _merged(self.matching, dropped)
        results = [_decided(self.results[region.identity]) for region in plan.regions]
        results.sort(key=lambda result: result.order)
        return RegionCheck(tuple(results), tuple(notes), dict(self.examination.seconds))

    def _run(self, dropped: frozenset[Key], progress: Progress | None) -> Plan:
        """Cuts, and checks what has no result yet."""
        plan = cut_graphs(self.matching, dropped, self.updates)
        todo = [region for region in plan.regions if region.identity not in self.results]
        done = 0

        def finished(region: Region, result: RegionResult) -> None:
            nonlocal done
            done += 1
            LOG.debug("region %s: %s %s", region.cut.label, result.verdict, result.reason)
            self.results[region.identity] = _placed(self.matching, region, result)
            if progress is not None:
                last = self.matching.second.graph.record(region.cut.second[-1].node)
                progress(done, len(todo), last.path)

        def check(region: Region, feed: Fed) -> Mapping[Value, Array]:
            result, values = examine(self.examination, region, plan, feed)
            finished(region, result)
            return values

        def uncompared(region: Region, reason: str) -> None:
            finished(region, _uncompared(region, reason))

        if todo:
            indices = frozenset(region.cut.index for region in todo)
            Stream(self.examination.pair.sides, plan, indices, check, uncompared).run()
        return plan


def _decided(result: RegionResult) -> RegionResult:
    """The result, not comparable where float64 was to decide and could not be asked: what agrees in
    float32 may differ by less than it rounds, and what differs by little may be its rounding."""
    if not (result.referee and result.reason):
        return result
    differing = [part for part in result.parts if part.verdict == "different"]
    if result.verdict not in AGREE and not all(map(_perhaps_rounding, differing)):
        return result
    return replace(result, verdict="not-comparable", astray=False, surplus=None, tried=None)


def _perhaps_rounding(part: Part) -> bool:
    """Whether a part that differs in float32 alone may be what that loses in an unlucky place."""
    return part.double is None and part.error <= COARSE * part.bound * part.scale


def _uncompared(region: Region, reason: str) -> RegionResult:
    return RegionResult(
        region.order,
        "not-comparable",
        (),
        region.first.nodes,
        region.second.nodes,
        reason=reason,
        label=region.cut.label,
    )


def _placed(matching: Matching, region: Region, result: RegionResult) -> RegionResult:
    """The result with the normal-form nodes that it is about."""
    matches = [
        matching.matches[point.match]
        for point in region.cut.points
        if 0 <= point.match < len(matching.matches)
    ]
    return replace(
        result,
        first_normal=tuple(match.first for match in matches),
        second_normal=tuple(match.second for match in matches),
    )


def _unlike_inputs(plan: Plan, pair: Pair) -> list[str]:
    """Notes about example values that the two models were not given alike."""
    notes: list[str] = []
    for cut in plan.sources:
        ours, theirs = input_values(pair.first, cut.first), input_values(pair.second, cut.second)
        if not cut.exact or not all(_equal(*arrays) for arrays in paired(cut, ours, theirs)):
            notes.append(
                f"the two models' example values of {cut.label} differ; regions use the second's"
            )
    return notes


def _equal(first: Array, second: Array) -> bool:
    floating = first.dtype.kind == "f" and second.dtype.kind == "f"
    return bool(np.array_equal(first, second, equal_nan=floating))


def _merged(matching: Matching, dropped: Iterable[Key]) -> list[str]:
    """Notes about cuts that were taken away."""
    notes: list[str] = []
    for _, second in sorted(dropped):
        record = matching.second.graph.record(second.node)
        notes.append(
            f"what {record.op} yields in {record.path or 'the root'} has no exact counterpart on "
            "the other side; it was compared together with what reads it"
        )
    return notes
