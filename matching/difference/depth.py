"""Runs of equal blocks of which one side has more: the depth of a model."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, replace

from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.matching.difference.compared import Compared
from padiff_graph.matching.difference.whereabouts import common_path
from padiff_graph.matching.result import Difference

__all__ = ["with_depth"]

NUMBER = re.compile(r"\d+")
"""What tells the blocks of a run apart in a segment of their module path."""
SURPLUS = {"missing": "operation.missing", "extra": "operation.extra"}
"""Regions that one side has nothing for. Where the end of a run could not be matched, it stands
against the blocks that one side lacks and that end: then both sides have something."""
LEAST = 2
"""Operations of a block, chosen so that a layer left out (relu2, norm3) is told as an operation."""


@dataclass(frozen=True, slots=True)
class _Run:
    """Blocks of one kind on the side that has more of them.

    Attributes:
        side: which side that is.
        path: of the module that holds them.
        count: how many there are.
        surplus: how many of them the other side lacks.
    """

    side: int
    path: str
    count: int
    surplus: int


def with_depth(compared: Compared, regions: Iterable[Difference]) -> Iterator[Difference]:
    """Missing and extra regions; those that are whole blocks of a run say how many blocks there
    are."""
    told: dict[tuple[int, str], list[tuple[Difference, _Run]]] = defaultdict(list)
    for region in regions:
        run = _run(compared, region)
        if run is None:
            yield region
        else:
            told[run.side, run.path].append((region, run))
    for members in told.values():
        yield _deeper(members)


def _deeper(members: list[tuple[Difference, _Run]]) -> Difference:
    """Regions of one run as one difference."""
    region, run = members[0]
    counts = [run.count - sum(run.surplus for _, run in members), run.count]
    if run.side == 0:
        counts.reverse()
    facts = {
        "side": run.side,
        "path": run.path,
        "first_count": counts[0],
        "second_count": counts[1],
    }
    return replace(
        region,
        kind="missing" if run.side else "extra",
        cause_id="size.depth",
        places=tuple(place for region, _ in members for place in region.places),
        facts=tuple(facts.items()),
    )


def _run(compared: Compared, region: Difference) -> _Run | None:
    """The run of which one side of a region has whole blocks more; None where it is something
    else."""
    counts = [
        Counter(graph.nodes[node].op for node in nodes)
        for graph, nodes in zip(compared.graphs, (region.first, region.second), strict=True)
    ]
    more = 0 if counts[0].total() > counts[1].total() else 1
    against = bool(region.first and region.second)
    known = "construction.operations" if against else SURPLUS.get(region.kind)
    if region.cause_id != known or not counts[1 - more] <= counts[more]:
        return None
    graph, nodes = compared.graphs[more], (region.first, region.second)[more]
    surplus = counts[more] - counts[1 - more]
    common = common_path(graph.nodes[node].path for node in nodes)
    holder = common.split(".") if common else []
    for depth in range(len(holder), -1, -1):
        for blocks, count in _runs(graph, holder[:depth]):
            whole = _wholes(surplus, blocks[0], len(blocks))
            if whole:
                return _Run(more, ".".join(holder[:depth]), count, whole)
    return None


def _wholes(ops: Counter[str], block: Counter[str], most: int) -> int:
    """How many whole blocks operations are, 0 where they are none; fewer than `most`, of which one
    at least is on both sides."""
    if block.total() < LEAST:
        return 0
    whole = ops.total() // block.total()
    repeated = Counter({op: count * whole for op, count in block.items()})
    return whole if whole < most and repeated == ops else 0


def _runs(graph: NormalGraph, holder: list[str]) -> Iterator[tuple[list[Counter[str]], int]]:
    """The modules in one that differ in their numbers and compute the same: what each computes, by
    operator, and how many blocks there are with those of the same names that compute otherwise,
    such as the first of a stage, which makes it narrower."""
    depth = len(holder)
    members: dict[str, Counter[str]] = defaultdict(Counter)
    for node in graph.nodes:
        path = node.path.split(".")
        if not node.leaf and len(path) > depth and path[:depth] == holder:
            members[path[depth]][node.op] += 1
    runs: dict[tuple[str, Hashable], list[Counter[str]]] = defaultdict(list)
    counts: Counter[str] = Counter()
    for name, ops in members.items():
        if NUMBER.search(name):
            template = NUMBER.sub("#", name)
            counts[template] += ops.total() >= LEAST
            runs[template, frozenset(ops.items())].append(ops)
    for (template, _), blocks in runs.items():
        yield blocks, counts[template]
