"""Running every region pair, and taking away cuts that turn out wrong.

The second model's own values are the truth that both sides of every region are fed with, so an
error stays in its region. Cuts that turn out wrong are taken away and the merged regions run again
(`doubtful_cuts`): if they agree, there was no difference.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from padiff_graph.capture.engine import Array, Engine
from padiff_graph.capture.graph import Value
from padiff_graph.check.abreast import abreast
from padiff_graph.check.doubtful_cuts import awaited, doubtful_groups, told_apart, vanished, widened
from padiff_graph.check.region_examination import Examination, examine
from padiff_graph.executor.buffer_updates import buffer_updates
from padiff_graph.executor.cut_graphs import cut_graphs
from padiff_graph.executor.lanes import Lanes
from padiff_graph.executor.pair_run import Fed, Pair
from padiff_graph.executor.pair_setup import pair_of
from padiff_graph.executor.partition import Key, Plan, Region, Update
from padiff_graph.executor.region_parameters import Shared, share
from padiff_graph.executor.schedule import Stream, never
from padiff_graph.executor.side_run import input_values
from padiff_graph.executor.transfer import paired
from padiff_graph.matching.result import Difference, Matching
from padiff_graph.referee.referee import COARSE
from padiff_graph.referee.region_result import AGREE, Part, RegionCheck, RegionResult
from padiff_graph.referee.structural_evidence import Structure
from padiff_graph.referee.tolerance import Tolerance
from padiff_graph.report.wording import noun

__all__ = ["Progress", "Spared", "check_regions", "stands_firm"]

LOG = logging.getLogger(__name__)

Progress = Callable[[int, int, str], None]
"""Called with regions done, regions in all, and the module path at hand."""
Spared = tuple[frozenset[int], frozenset[int]]
"""Native operations of each side; a region that holds no others is not compared."""
ROUNDS = 4
"""How often doubtful cuts are taken away before what is left stands as it is; chosen so that a
chain of wrong cuts is followed and a bug does not make a check many times longer."""


def stands_firm(_: RegionCheck) -> bool:
    """Yes: whatever the verdicts are, the matching behind them stays."""
    return True


def check_regions(
    matching: Matching,
    first_engine: Engine,
    second_engine: Engine,
    *,
    differences: Sequence[Difference] = (),
    apart: Collection[Key] = (),
    forward: bool = True,
    backward: bool = True,
    tolerance: Tolerance | None = None,
    own_weights: bool = False,
    randomise: bool = True,
    weights: Shared | None = None,
    fail_fast: bool = False,
    spared: Spared | None = None,
    progress: Progress | None = None,
    stands: Callable[[RegionCheck], bool] = stands_firm,
) -> RegionCheck:
    """Runs all region pairs of two matched models.

    Args:
        matching: graphs with live sessions, points and parameter rows.
        first_engine, second_engine: the models' engines.
        differences: what structure says; a region with one is always sent to the float64 referee.
        apart: native values that were matched, and that differ where both models run as a whole.
        forward: whether outputs and buffer updates are compared.
        backward: whether gradients are computed and compared.
        tolerance: what every tensor of every region is held against besides (`Part.held`).
        own_weights: whether each side keeps its own weights instead of sharing the second's through
            the parameter map: for models whose weights an exporter has folded.
        randomise: whether weights that stand at a constant are replaced (in the tool's own copies).
        weights: those that both sides have; None to make them as the two arguments above say.
        fail_fast: whether the regions behind the first one that differs are left out.
        spared: see `Spared`; None to compare all.
        progress: told after each region.
        stands: asked once all verdicts are known; where it says no, nothing is tried to explain
            what differs.

    The models, their buffers, gradients, random state and modes are as before afterwards.
    """
    with (
        first_engine.quiet(values=matching.first.graph.calls_back),
        second_engine.quiet(values=matching.second.graph.calls_back),
    ):
        shared = weights or share(
            matching, first_engine, second_engine, as_they_are=own_weights, randomise=randomise
        )
        pair = pair_of(
            matching, (first_engine, second_engine), shared, forward=forward, backward=backward
        )
        examination = Examination(
            pair,
            Structure.of(matching, differences),
            tolerance,
            defaultdict(float),
            matching,
            explains=False,
        )
        updates = buffer_updates(matching)
        rounds = _Rounds(matching, examination, updates, frozenset(apart), fail_fast, spared)
        return rounds.check(progress, stands)


@dataclass
class _Rounds:
    """All regions, then again with doubtful cuts taken away; what still differs then is explained.

    Attributes:
        apart: see `check_regions`.
        fail_fast: whether regions are left once a difference stands.
        spared: see `check_regions`.
        results: what was found so far, by `Region.identity`: a region that two plans share is run
            once.
        left: the regions that were not run, by `Region.identity`.
    """

    matching: Matching
    examination: Examination
    updates: tuple[Update, ...]
    apart: frozenset[Key] = frozenset()
    fail_fast: bool = False
    spared: Spared | None = None
    results: dict[tuple[object, ...], RegionResult] = field(default_factory=dict)
    left: frozenset[tuple[object, ...]] = frozenset()

    def check(
        self, progress: Progress | None, stands: Callable[[RegionCheck], bool]
    ) -> RegionCheck:
        """The results of the last plan."""
        dropped: frozenset[Key] = frozenset()
        while True:
            plan = self._run_until_enough(dropped, progress)
            plan, dropped = self._without_wrong_cuts(plan, dropped)
            if not self.left or self._differs(plan):
                break
        outcome = self._outcome(plan, dropped)
        if not self._differing(plan) or not stands(outcome):
            return outcome
        self._explain(plan)
        return self._outcome(plan, dropped)

    def _outcome(self, plan: Plan, dropped: frozenset[Key]) -> RegionCheck:
        """What is known of a plan's regions."""
        notes = _unlike_inputs(plan, self.examination.pair)
        notes += _merged(self.matching, dropped)
        for side in self.examination.pair.sides:
            notes += side.kept.notes if isinstance(side.kept, Lanes) else []
        if self.left:
            left = f"{len(self.left)} {noun('regions', len(self.left))}"
            notes.append(f"fail_fast: stopped at a difference, {left} not run")
        results = [_decided(self.results[region.identity]) for region in plan.regions]
        results.sort(key=lambda result: result.order)
        seconds = dict(self.examination.seconds)
        return RegionCheck(tuple(results), tuple(notes), seconds, len(self.left))

    def _without_wrong_cuts(
        self, plan: Plan, dropped: frozenset[Key]
    ) -> tuple[Plan, frozenset[Key]]:
        """The plan, and what is taken away of it, once no doubtful cut turns out wrong."""
        tried: set[frozenset[Key]] = set()
        wider: list[frozenset[Key]] = []
        for _ in range(ROUNDS):
            told = told_apart(plan, self.results, self.apart)
            found = (*doubtful_groups(plan, self.results), *wider)
            groups = _untried(told, tried) or _untried(found, tried)
            if not groups:
                break
            tried.update(groups)
            trial = self._run(dropped.union(*groups), None)
            accepted = [group for group in groups if vanished(plan, trial, group, self.results)]
            refused = [group for group in groups if group not in accepted]
            wider = widened(refused, plan, trial, self.results)
            if accepted:
                dropped = dropped.union(*accepted)
                plan = trial if len(accepted) == len(groups) else self._run(dropped, None)
        return plan, dropped

    def _differs(self, plan: Plan) -> bool:
        results = (_decided(self.results[region.identity]) for region in plan.regions)
        return any(result.verdict == "different" for result in results)

    def _run_until_enough(self, dropped: frozenset[Key], progress: Progress | None) -> Plan:
        """The regions, or the first ones up to a difference that the next ones cannot undo."""
        plan = cut_graphs(self.matching, dropped, self.updates)

        def enough() -> bool:
            ran = self._ran(plan)
            return self._differs(ran) and not awaited(plan, self.results)

        self.left = frozenset()
        self._check(plan, progress, enough if self.fail_fast else never)
        wanted = {region.identity for region in plan.regions if not self._spares(region)}
        self.left = frozenset(wanted - self.results.keys())
        return self._ran(plan)

    def _differing(self, plan: Plan) -> tuple[Region, ...]:
        """The regions in which anything differs."""
        return tuple(
            region
            for region in plan.regions
            if any(part.verdict == "different" for part in self.results[region.identity].parts)
        )

    def _explain(self, plan: Plan) -> None:
        """Has what differs examined once more, with trials of what may be the cause."""
        for region in self._differing(plan):
            del self.results[region.identity]
        self.examination = replace(self.examination, explains=True)
        self._check(plan, None)

    def _spares(self, region: Region) -> bool:
        """Whether nothing of a region is to be compared."""
        if self.spared is None:
            return False
        slices = zip((region.first, region.second), self.spared, strict=True)
        return all(spared.issuperset(part.nodes) for part, spared in slices)

    def _ran(self, plan: Plan) -> Plan:
        """The part of a plan that has results."""
        done = (region for region in plan.regions if region.identity in self.results)
        return replace(plan, regions=tuple(done))

    def _run(self, dropped: frozenset[Key], progress: Progress | None) -> Plan:
        """Cuts, and checks what has no result yet, but for what was left."""
        plan = cut_graphs(self.matching, dropped, self.updates)
        self._check(plan, progress)
        return self._ran(plan)

    def _check(
        self, plan: Plan, progress: Progress | None, enough: Callable[[], bool] = never
    ) -> None:
        """Checks what has no result yet and was not left."""
        known = self.results.keys() | self.left
        new = [region for region in plan.regions if region.identity not in known]
        todo = [region for region in new if not self._spares(region)]
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

        if not todo:
            return
        indices = frozenset(region.cut.index for region in todo)
        sides = self.examination.pair.sides
        in_order = enough is not never
        with abreast(self.examination, plan, finished, _uncompared, in_order=in_order) as beside:
            stream = Stream(sides, plan, indices, check, uncompared, enough=enough)
            if beside is not None:
                stream.hand_in, stream.ahead = beside.hand_in, beside.ahead
            stream.run()


def _untried(
    groups: Iterable[frozenset[Key]], tried: Collection[frozenset[Key]]
) -> list[frozenset[Key]]:
    return [group for group in dict.fromkeys(groups) if group not in tried]


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
