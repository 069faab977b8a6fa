"""Cuts that may be wrong: two values that matching held for the same and that are not.

Such a cut shows as a difference on both of its sides. Where it is taken away and the regions that
it parted agree as one, there was no difference.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from itertools import pairwise

from padiff_graph.executor.partition import Key, Plan, Region
from padiff_graph.referee.region_result import AGREE, Part, RegionResult

__all__ = ["Results", "awaited", "doubtful_groups", "told_apart", "vanished", "widened"]

Results = Mapping[tuple[object, ...], RegionResult]
"""What was found so far, by `Region.identity`."""

WIDEST = 24
"""At most this many neighbouring cuts are taken away together; chosen so that a region stays small
enough to say something."""
VANISHED = 1e-3
"""A difference was none where this share of it, at most, is left behind the values that read it;
chosen far above what rounding leaves of one, far below what a bug does."""


def doubtful_groups(plan: Plan, results: Results) -> list[frozenset[Key]]:
    """Groups of neighbouring cuts that may be wrong, to be taken away together: of too many that
    hang together, those that both sides of a region read."""
    doubtful = _doubtful(plan, results)
    groups = _grouped(doubtful, plan)
    wide = [group for group in groups if len(group) > WIDEST]
    if wide:
        narrow = _grouped(doubtful & _read_by_both(plan, results), plan)
        groups += [group for group in narrow if any(group < whole for whole in wide)]
    return [group for group in groups if len(group) <= WIDEST]


def _read_by_both(plan: Plan, results: Results) -> set[int]:
    """Cuts in front of bad regions that both sides read: in a loop whose steps all hang together
    one side goes around them, to what stands in front of its step."""
    read: set[int] = set()
    for region in plan.regions:
        if region.identity in results and _bad(results[region.identity]):
            read.update(set(region.first.reads) & set(region.second.reads))
    return read


def told_apart(plan: Plan, results: Results, apart: Collection[Key]) -> list[frozenset[Key]]:
    """Groups of those alone whose values differ where both models run as a whole.

    The others beside them are right, and part what is wrong: in a loop that is written another way
    every step has a wrong cut, and all steps hang together.
    """
    doubtful = _doubtful(plan, results)
    wrong = {index for index in doubtful if not _values(plan, index).isdisjoint(apart)}
    if wrong == doubtful:
        return []
    return [group for group in _grouped(wrong, plan) if len(group) <= WIDEST]


def _values(plan: Plan, index: int) -> set[Key]:
    """The native values that a cut takes for the same."""
    return {(point.first, point.second) for point in plan.cuts[index].points}


def widened(
    refused: Iterable[frozenset[Key]], old: Plan, trial: Plan, results: Results
) -> list[frozenset[Key]]:
    """Groups without which something still differs, each with those that are doubtful then where it
    stood: what is doubtful elsewhere leaves the regions there as they are."""
    behind = doubtful_groups(trial, results)
    wider: list[frozenset[Key]] = []
    for group in refused:
        around = _around(group, old, trial)
        near = [group | more for more in behind if not more.isdisjoint(around)]
        wider += [union for union in near if len(union) <= WIDEST]
    return wider


def _around(group: frozenset[Key], old: Plan, trial: Plan) -> set[Key]:
    """The cuts that bound the regions of a trial which took the place of a group's."""
    return {
        key
        for region in _instead(group, old, trial)
        for key in (region.cut.key, *(trial.cuts[read].key for read in _reads(region)))
    }


def awaited(plan: Plan, results: Results) -> list[Region]:
    """Regions without a result that may show a difference to be one of cuts alone."""
    doubtful = _doubtful(plan, results)
    return [
        region
        for region in plan.regions
        if region.identity not in results
        and not doubtful.isdisjoint({region.cut.index, *_reads(region)})
    ]


def _doubtful(plan: Plan, results: Results) -> set[int]:
    """Cuts that may be wrong, by the results that there are."""
    by_cut = {
        region.cut.index: results[region.identity]
        for region in plan.regions
        if region.identity in results
    }
    bad = {index for index, result in by_cut.items() if _bad(result)}
    doubtful: set[int] = set()
    for region in plan.regions:
        index = region.cut.index
        if index not in bad:
            continue
        if not region.cut.sink and by_cut[index].parts:
            doubtful.add(index)
        doubtful.update(_doubtful_reads(plan, region, by_cut[index], bad))
    return doubtful


def _bad(result: RegionResult) -> bool:
    unrun = result.verdict == "not-comparable" and not result.parts
    return result.verdict == "different" or unrun


def _reads(region: Region) -> set[int]:
    return {*region.first.reads, *region.second.reads}


def _doubtful_reads(
    plan: Plan, region: Region, result: RegionResult, bad: Collection[int]
) -> Iterable[int]:
    """Cuts in front of a bad region that may be what is wrong with it: where one side goes around
    one of them, to what stands further up or to its weights (it computes a value once more),
    gradients part otherwise and come to the same. So they may where nothing but gradients towards
    such cuts differs: a mask is applied in front of one of them on both sides, and once more
    behind it on one. What two cuts in front hand on is rounded on its own, and where the one is
    made of the other outputs differ by a little, too."""
    differing = {part.kind for part in result.parts if part.verdict == "different"}
    outputs_agree = not any(
        part.kind == "output" and part.verdict == "different" and _size(part) > VANISHED
        for part in result.parts
    )
    lopsided = (
        "parameter" in differing
        or differing - {"output"} == {"input"}
        or set(region.first.reads) != set(region.second.reads)
    )
    for read in _reads(region):
        cut = plan.cuts[read]
        if cut.source:
            continue
        unrun = not result.parts and not cut.exact
        if read in bad or unrun or (lopsided and outputs_agree):
            yield read


def _grouped(indices: Collection[int], plan: Plan) -> list[frozenset[Key]]:
    """Cuts that share a region belong together."""
    parent = {index: index for index in indices}

    def root(index: int) -> int:
        while parent[index] != index:
            index = parent[index]
        return index

    for region in plan.regions:
        near = [index for index in {*_reads(region), region.cut.index} if index in parent]
        for before, behind in pairwise(near):
            parent[root(before)] = root(behind)
    groups: dict[int, set[Key]] = defaultdict(set)
    for index in indices:
        groups[root(index)].add(plan.cuts[index].key)
    return [frozenset(group) for group in groups.values()]


def vanished(old: Plan, trial: Plan, group: frozenset[Key], results: Results) -> bool:
    """Whether nothing differs any more where a group's cuts stood."""
    before = [region for region in old.regions if _touches(region, old, group)]
    earlier = [results[region.identity] for region in before]
    later = [results[region.identity] for region in _instead(group, old, trial)]
    if any(result.verdict == "not-comparable" for result in earlier):
        return all(result.verdict != "not-comparable" for result in later)
    sizes = [_size(part) for part in _parts(earlier) if part.verdict == "different"]
    allowed = VANISHED * max(sizes, default=0.0)
    agree = bool(later) and all(result.verdict in AGREE for result in later)
    return agree and all(_size(part) <= allowed for part in _parts(later))


def _instead(group: frozenset[Key], old: Plan, trial: Plan) -> list[Region]:
    """The regions of a trial that took the place of those around a group's cuts."""
    before = [region for region in old.regions if _touches(region, old, group)]
    kept = {region.identity for region in old.regions}
    return [
        region
        for region in trial.regions
        if region.identity not in kept and _overlaps(region, before)
    ]


def _touches(region: Region, plan: Plan, group: Collection[Key]) -> bool:
    """Whether a region yields or reads one of some cuts."""
    return region.cut.key in group or any(plan.cuts[read].key in group for read in _reads(region))


def _overlaps(region: Region, others: Iterable[Region]) -> bool:
    """Whether a region shares an operation with one of the others."""
    first, second = set(region.first.nodes), set(region.second.nodes)
    return any(
        not (first.isdisjoint(near.first.nodes) and second.isdisjoint(near.second.nodes))
        for near in others
    )


def _parts(results: Iterable[RegionResult]) -> list[Part]:
    parts: list[Part] = []
    for result in results:
        parts += result.parts
    return parts


def _size(part: Part) -> float:
    """A part's relative difference, as finely as it is known."""
    if part.double is not None:
        return part.double / part.scale if part.scale else part.double
    return part.relative if part.error == 0.0 else max(part.relative, part.bound)
