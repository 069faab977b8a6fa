"""Running every region pair, and taking away cuts that turn out wrong.

The second model's own values are the truth that both sides of every region are fed with, so an error
stays in its region. A cut that turns out wrong (two values that matching held for the same and are
not) shows as a difference on both of its sides; such cuts are taken away and the merged regions run
again: if they agree, there was no difference.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from padiff_graph.capture.engine import Engine
from padiff_graph.executor.buffer_updates import buffer_updates
from padiff_graph.executor.partition import Key, Plan, Region, Update, cut_graphs
from padiff_graph.executor.region_pair import Pair
from padiff_graph.executor.region_parameters import share
from padiff_graph.executor.region_run import Seconds, Side
from padiff_graph.executor.schedule import Stream
from padiff_graph.executor.shared_draws import Draws, random_pairs
from padiff_graph.executor.transfer import paired
from padiff_graph.matching.result import Difference, Matching
from padiff_graph.referee.region_result import AGREE, Part, RegionCheck, RegionResult
from padiff_graph.referee.structural_evidence import Structure
from padiff_graph.referee.tolerance import Tolerance

__all__ = ["Progress", "check_regions"]

Progress = Callable[[int, int, str], None]
"""Called with regions done, regions in all, and the module path at hand."""
ROUNDS = 4
"""How often doubtful cuts are taken away before what is left stands as it is."""
WIDEST = 24
"""At most this many neighbouring cuts are taken away together."""
VANISHED = 1e-3
"""A difference was none where this share of it, at most, is left behind the values that read it."""


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
        draws = Draws(matching.first.graph, matching.second.graph, random_pairs(matching))
        pair = Pair(
            Side(
                matching.first.graph,
                first_engine,
                shared.first,
                draws.of_first,
                first_engine.inputs(matching.first.graph),
            ),
            Side(
                matching.second.graph,
                second_engine,
                shared.second,
                draws.of_second,
                second_engine.inputs(matching.second.graph),
            ),
            {row.first: row for row in matching.parameters},
            forward,
            backward,
            tolerance,
        )
        return _Checker(
            matching, pair, Structure.of(matching, differences), buffer_updates(matching)
        ).check(progress)


@dataclass
class _Checker:
    matching: Matching
    pair: Pair
    structure: Structure
    updates: tuple[Update, ...]
    found: dict[tuple[object, ...], RegionResult] = field(default_factory=dict)
    seconds: Seconds = field(default_factory=lambda: defaultdict(float))

    def check(self, progress: Progress | None) -> RegionCheck:
        """All regions, then again with doubtful cuts taken away."""
        dropped: frozenset[Key] = frozenset()
        tried: set[frozenset[Key]] = set()
        plan = self._run(dropped, progress)
        notes = self._inputs(plan)
        for _ in range(ROUNDS):
            groups = [group for group in self._doubtful(plan) if group not in tried]
            if not groups:
                break
            tried.update(groups)
            trial = self._run(dropped.union(*groups), None)
            accepted = [group for group in groups if self._agree(plan, trial, group)]
            if accepted:
                dropped = dropped.union(*accepted)
                plan = trial if len(accepted) == len(groups) else self._run(dropped, None)
        for key in sorted(dropped):
            record = self.matching.second.graph.record(key[1].node)
            notes.append(
                f"what {record.op} yields in {record.path or 'the root'} has no exact counterpart on the other side; it was compared together with what reads it"
            )
        results = sorted(
            (self.found[region.identity] for region in plan.regions),
            key=lambda result: result.order,
        )
        return RegionCheck(tuple(results), tuple(notes), dict(self.seconds))

    def _run(self, dropped: frozenset[Key], progress: Progress | None) -> Plan:
        """Cuts, and checks what has no result yet."""
        plan = cut_graphs(self.matching, dropped, self.updates)
        todo = [region.cut.index for region in plan.regions if region.identity not in self.found]
        done = 0

        def finished(region: Region, result: RegionResult) -> None:
            nonlocal done
            done += 1
            self.found[region.identity] = self._placed(region, result)
            if progress is not None:
                progress(
                    done,
                    len(todo),
                    self.matching.second.graph.record(region.cut.second[-1].node).path,
                )

        if todo:
            Stream(self.pair, plan, self.structure, todo, finished, self.seconds).run()
        return plan

    def _placed(self, region: Region, result: RegionResult) -> RegionResult:
        """The result with the normal-form nodes that it is about."""
        matches = [
            self.matching.matches[point.match]
            for point in region.cut.points
            if 0 <= point.match < len(self.matching.matches)
        ]
        return replace(
            result,
            first_normal=tuple(match.first for match in matches),
            second_normal=tuple(match.second for match in matches),
        )

    def _inputs(self, plan: Plan) -> list[str]:
        notes = []
        first, second = self.pair.first, self.pair.second
        for cut in plan.sources:
            ours = {value: first.engine.array(first.inputs[value.node]) for value in cut.first}
            theirs = {value: second.engine.array(second.inputs[value.node]) for value in cut.second}
            if not cut.exact or not all(
                np.array_equal(
                    one, other, equal_nan=one.dtype.kind == "f" and other.dtype.kind == "f"
                )
                for one, other in paired(cut, ours, theirs)
            ):
                notes.append(
                    f"the two models' example values of {cut.label} differ; regions use the second's"
                )
        return notes

    # -- doubtful cuts

    def _doubtful(self, plan: Plan) -> list[frozenset[Key]]:
        """Groups of neighbouring cuts that may be wrong, to be taken away together."""
        results = {region.cut.index: self.found[region.identity] for region in plan.regions}
        bad = {
            index
            for index, result in results.items()
            if result.verdict == "different"
            or (result.verdict == "not-comparable" and not result.parts)
        }
        readers: dict[int, list[Region]] = defaultdict(list)
        for region in plan.regions:
            for read in {*region.first.reads, *region.second.reads}:
                readers[read].append(region)
        doubtful: set[int] = set()
        for region in plan.regions:
            result = results[region.cut.index]
            if region.cut.index not in bad:
                continue
            if not region.cut.sink and result.parts:
                doubtful.add(region.cut.index)
            for read in {*region.first.reads, *region.second.reads}:
                cut = plan.cuts[read]
                if cut.source:
                    continue
                lopsided = (read in region.first.reads) != (read in region.second.reads)
                agrees = not any(
                    part.kind == "output" and part.verdict == "different" for part in result.parts
                )
                if read in bad or (not result.parts and not cut.exact) or (lopsided and agrees):
                    doubtful.add(read)
        return _grouped(doubtful, plan)

    def _agree(self, old: Plan, trial: Plan, group: frozenset[Key]) -> bool:
        """Whether nothing differs any more where the group's cuts stood."""
        nodes: tuple[set[int], set[int]] = (set(), set())
        before = []
        for region in old.regions:
            reads = {old.cuts[read].key for read in (*region.first.reads, *region.second.reads)}
            if region.cut.key in group or reads & group:
                before.append(region)
                nodes[0].update(region.first.nodes)
                nodes[1].update(region.second.nodes)
        kept = {region.identity for region in old.regions}
        after = [
            region
            for region in trial.regions
            if region.identity not in kept
            and not (
                nodes[0].isdisjoint(region.first.nodes) and nodes[1].isdisjoint(region.second.nodes)
            )
        ]
        earlier = [self.found[region.identity] for region in before]
        later = [self.found[region.identity] for region in after]
        if any(result.verdict == "not-comparable" for result in earlier):
            return all(result.verdict != "not-comparable" for result in later)
        size = max(
            (
                _size(part)
                for result in earlier
                for part in result.parts
                if part.verdict == "different"
            ),
            default=0.0,
        )
        return (
            bool(later)
            and all(result.verdict in AGREE for result in later)
            and all(_size(part) <= VANISHED * size for result in later for part in result.parts)
        )


def _size(part: Part) -> float:
    """A part's relative difference, as finely as it is known."""
    if part.double is not None:
        return part.double / part.scale if part.scale else part.double
    return part.relative if part.error == 0.0 else max(part.relative, part.bound)


def _grouped(indices: Collection[int], plan: Plan) -> list[frozenset[Key]]:
    """Cuts that share a region belong together."""
    parent = {index: index for index in indices}

    def root(index: int) -> int:
        while parent[index] != index:
            index = parent[index]
        return index

    for region in plan.regions:
        near = [
            index
            for index in {*region.first.reads, *region.second.reads, region.cut.index}
            if index in parent
        ]
        for one, other in pairwise(near):
            parent[root(one)] = root(other)
    groups: dict[int, set[Key]] = defaultdict(set)
    for index in indices:
        groups[root(index)].add(plan.cuts[index].key)
    return [frozenset(group) for group in groups.values() if len(group) <= WIDEST]
