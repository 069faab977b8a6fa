"""Runs of equal blocks of which one side has more: the depth of a model."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.matching.difference.compared import Compared
from padiff_graph.matching.result import Difference

__all__ = ["with_depth"]

NUMBER = re.compile(r"\d+")
"""What tells the blocks of a run apart in a segment of their module path."""
LEAST = 2
"""Operations of a block, chosen so that a layer left out (relu2, norm3) is told as an operation."""


@dataclass(frozen=True, slots=True)
class _Run:
    """Blocks of one kind on the side that has more of them.

    Attributes:
        path: of the module that holds them.
        count: how many there are.
        surplus: how many of them the other side lacks.
    """

    path: str
    count: int
    surplus: int


def with_depth(compared: Compared, regions: Iterable[Difference]) -> Iterator[Difference]:
    """Missing and extra regions; those that are whole blocks of a run say how many blocks there
    are."""
    told: dict[tuple[str, str], list[tuple[Difference, _Run]]] = defaultdict(list)
    for region in regions:
        run = _run(compared, region)
        if run is None:
            yield region
        else:
            told[region.kind, run.path].append((region, run))
    for members in told.values():
        yield _deeper(members)


def _deeper(members: list[tuple[Difference, _Run]]) -> Difference:
    """Regions of one run as one difference."""
    region, run = members[0]
    counts = [run.count - sum(run.surplus for _, run in members), run.count]
    side = 1
    if region.kind == "extra":
        counts.reverse()
        side = 0
    facts = {"side": side, "path": run.path, "first_count": counts[0], "second_count": counts[1]}
    return replace(
        region,
        cause_id="size.depth",
        places=tuple(place for region, _ in members for place in region.places),
        facts=tuple(facts.items()),
    )


def _run(compared: Compared, region: Difference) -> _Run | None:
    """The run of which a region is whole blocks; None where it is something else."""
    if region.kind not in ("missing", "extra") or (region.first and region.second):
        return None
    graph, nodes = compared.first, region.first
    if region.kind == "missing":
        graph, nodes = compared.second, region.second
    paths = [graph.nodes[node].path.split(".") for node in nodes]
    ops = Counter(graph.nodes[node].op for node in nodes)
    for depth in range(min(map(len, paths)) - 1, -1, -1):
        holder, template = paths[0][:depth], _template(paths[0][depth])
        alike = all(path[:depth] == holder and _template(path[depth]) == template for path in paths)
        if template == paths[0][depth] or not alike:
            continue
        run = _of_blocks(_blocks(graph, holder, template), ops, ".".join(holder))
        if run is not None:
            return run
    return None


def _template(segment: str) -> str:
    """A segment of a path without its numbers."""
    return NUMBER.sub("#", segment)


def _of_blocks(blocks: dict[str, Counter[str]], ops: Counter[str], path: str) -> _Run | None:
    """The run whose blocks all do the same, of which operations are several wholes; one block at
    least is left."""
    kinds = list(blocks.values())
    if any(kind != kinds[0] for kind in kinds[1:]):
        return None
    size = kinds[0].total()
    whole, part = divmod(ops.total(), size)
    if size < LEAST or part or not 0 < whole < len(blocks):
        return None
    repeated = Counter({op: count * whole for op, count in kinds[0].items()})
    return _Run(path, len(blocks), whole) if repeated == ops else None


def _blocks(graph: NormalGraph, holder: list[str], template: str) -> dict[str, Counter[str]]:
    """What each block of a run computes, by operator."""
    depth = len(holder)
    blocks: dict[str, Counter[str]] = defaultdict(Counter)
    for node in graph.nodes:
        path = node.path.split(".")
        inside = not node.leaf and len(path) > depth and path[:depth] == holder
        if inside and _template(path[depth]) == template:
            blocks[path[depth]][node.op] += 1
    return blocks
