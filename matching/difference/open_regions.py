"""Operations without a counterpart: missing, extra, or built differently."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from padiff_graph.capture.normal.form import NormalGraph, NormalNode
from padiff_graph.capture.normal.traits import STATIC_LEAVES, traits
from padiff_graph.capture.spoken_operations import spoken
from padiff_graph.matching.difference.compared import Compared, present
from padiff_graph.matching.difference.layers_left_out import layers_left_out
from padiff_graph.matching.difference.weightless_rest import BESIDE, weightless_rest
from padiff_graph.matching.difference.whereabouts import Whereabouts, common_path, place_of
from padiff_graph.matching.result import Difference

__all__ = ["open_regions"]

HOOK = "gradient_hook"
"""The mark of what hands values on and changes the gradient that comes back."""


@dataclass(frozen=True, slots=True)
class _Region:
    """Open operations of one side that hang together, and the matched nodes (in first-side ids)
    around."""

    nodes: tuple[int, ...]
    above: frozenset[int]
    below: frozenset[int]
    ports: frozenset[tuple[int, int]]
    """The matched operations that read it and as which of their operands, where the order of
    operands is not free."""


@dataclass(frozen=True)
class _Side:
    """One side of an open region: `partner` leads from its nodes to the other side's."""

    number: int
    graph: NormalGraph
    lacking: NormalGraph
    partner: Mapping[int, int]
    whereabouts: Whereabouts
    constant: list[bool]


def open_regions(compared: Compared) -> Iterator[Difference]:
    """Missing, extra and differently built regions."""
    partner, back = compared.partner, compared.back
    mine = _regions(compared.first, set(partner), lambda node: node)
    theirs = _regions(compared.second, set(back), lambda node: back[node])
    taken: set[int] = set()
    first = _side(0, compared.first, compared.second, partner)
    second = _side(1, compared.second, compared.first, back)
    for region in mine:
        meets = [
            at for at, other in enumerate(theirs) if at not in taken and _same_place(region, other)
        ]
        # a query and a key stand between the same values; who reads them as what tells them apart
        meets = [at for at in meets if region.ports & theirs[at].ports] or meets
        if meets:
            taken.update(meets)
            others = tuple(sorted(node for at in meets for node in theirs[at].nodes))
            yield _against(compared, (first, second), region.nodes, others)
        elif not _only_masks(compared.first, region, compared.second):
            yield _alone(first, region.nodes)
    for at, region in enumerate(theirs):
        if at not in taken and not _only_masks(compared.second, region, compared.first):
            yield _alone(second, region.nodes)


def _side(number: int, graph: NormalGraph, lacking: NormalGraph, partner: dict[int, int]) -> _Side:
    whereabouts = Whereabouts(graph, lacking, partner)
    return _Side(number, graph, lacking, partner, whereabouts, _constant(graph))


def _against(
    compared: Compared,
    sides: tuple[_Side, _Side],
    nodes: tuple[int, ...],
    others: tuple[int, ...],
) -> Difference:
    """Two regions between the same values; of what both have the same weights for, only the rest is
    told. Numbers decide whether that matters."""
    rest = weightless_rest(compared, nodes, others)
    if rest is not None:
        side, left = rest
        alone = _alone(sides[side], left)
        beside = _operations(sides[1 - side].graph, (nodes, others)[1 - side])
        return replace(alone, kind="differently-built", facts=(*alone.facts, (BESIDE, beside)))
    left_out = layers_left_out(compared, nodes, others)
    if left_out is not None:
        return _alone(sides[left_out[0]], left_out[1])
    operations = _operations(compared.first, nodes), _operations(compared.second, others)
    return Difference(
        "differently-built",
        nodes,
        others,
        "construction.operations",
        common_path(compared.first.nodes[node].path for node in nodes),
        common_path(compared.second.nodes[node].path for node in others),
        places=((nodes[0], others[0]),),
        facts=(("first_operations", operations[0]), ("second_operations", operations[1])),
    )


def _alone(side: _Side, nodes: tuple[int, ...]) -> Difference:
    """A region that the other side has nothing for."""
    kind, cause_id = (
        ("extra", "operation.extra") if side.number == 0 else ("missing", "operation.missing")
    )
    operations = _operations(side.graph, nodes)
    facts: list[tuple[str, object]] = [("side", side.number), ("operations", operations)]
    if set(operations) == {"Detach"}:
        cause_id = "gradient.detached"
    elif all(HOOK in side.graph.nodes[node].marks for node in nodes):
        cause_id = "gradient.hook"
        facts.append(("hooks", len(nodes)))
    if all(side.constant[node] for node in nodes):
        kind = "differently-built"
    reader = _joined(side, nodes)
    lacking = reader.path if reader else side.whereabouts.path_for(nodes)
    if reader is not None:
        facts.append(("reader", reader.op))
    own = place_of(side.graph, nodes)
    if side.number == 0:
        places = tuple((node, -1) for node in nodes)
        ends: tuple[tuple[int, ...], tuple[int, ...]] = (nodes, ())
        paths = own, lacking
    else:
        places = tuple((-1, node) for node in nodes)
        ends, paths = ((), nodes), (lacking, own)
    return Difference(kind, *ends, cause_id, *paths, places=places, facts=tuple(facts))  # type: ignore[arg-type]


def _operations(graph: NormalGraph, nodes: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(spoken(graph.nodes[node].op, graph.nodes[node].attrs) for node in nodes)


def _joined(side: _Side, nodes: tuple[int, ...]) -> NormalNode | None:
    """The sum or product of the other side that has an operand less, where a region is that
    operand."""
    inside = set(nodes)
    readers = [node for node in side.graph.nodes if node.id not in inside and _reads(node, inside)]
    if len(readers) != 1 or readers[0].id not in side.partner or not readers[0].commutative:
        return None
    reader, other = readers[0], side.lacking.nodes[side.partner[readers[0].id]]
    if reader.op == other.op and present(reader) > present(other):
        return other
    return None


def _reads(node: NormalNode, sources: set[int]) -> bool:
    return any(edge is not None and edge.source in sources for edge in node.inputs)


def _only_masks(graph: NormalGraph, region: _Region, other: NormalGraph) -> bool:
    """Whether the region makes nothing but a mask: told with its reader, where the other side has
    none.

    The mask may also be an output, where the other side returns fewer.
    """
    inside = set(region.nodes)
    reads = [
        (node, position)
        for node in graph.nodes
        for position, edge in enumerate(node.inputs)
        if edge is not None and edge.source in inside and node.id not in inside
    ]
    returned = any(edge.source in inside for edge in graph.outputs.values())
    if not reads or (returned and len(graph.outputs) <= len(other.outputs)):
        return False
    return all(_is_mask(node, position) for node, position in reads)


def _is_mask(node: NormalNode, position: int) -> bool:
    return traits(node.op).role(position) == "mask"


def _same_place(region: _Region, other: _Region) -> bool:
    """Whether two regions stand between the same matched values."""
    above = bool(region.above & other.above) or not (region.above or other.above)
    below = bool(region.below & other.below) or not (region.below or other.below)
    return above and below


def _regions(graph: NormalGraph, matched: set[int], name: Callable[[int], int]) -> list[_Region]:
    """Open operations joined along edges.

    `name` is what a matched node is called in first-side ids.
    """
    root = _roots(graph, matched)
    constant = _constant(graph)
    members: dict[int, list[int]] = defaultdict(list)
    for node, top in root.items():
        members[top].append(node)
    above: dict[int, set[int]] = defaultdict(set)
    below: dict[int, set[int]] = defaultdict(set)
    ports: dict[int, set[tuple[int, int]]] = defaultdict(set)
    for reader in graph.nodes:
        for position, edge in enumerate(reader.inputs):
            if edge is None:
                continue
            if reader.id in root and edge.source in matched and not constant[edge.source]:
                above[root[reader.id]].add(name(edge.source))
            elif edge.source in root and reader.id in matched:
                below[root[edge.source]].add(name(reader.id))
                if not reader.commutative:
                    ports[root[edge.source]].add((name(reader.id), position))
    for position, edge in enumerate(graph.outputs.values()):
        if edge.source in root:
            below[root[edge.source]].add(-1 - position)
    return [
        _Region(
            tuple(sorted(nodes)),
            frozenset(above[top]),
            frozenset(below[top]),
            frozenset(ports[top]),
        )
        for top, nodes in sorted(members.items(), key=lambda item: min(item[1]))
    ]


def _roots(graph: NormalGraph, matched: set[int]) -> dict[int, int]:
    """For every open operation the one that names its region: a union along edges."""
    root: dict[int, int] = {}

    def top(node: int) -> int:
        while root[node] != node:
            root[node] = root[root[node]]
            node = root[node]
        return node

    for node in graph.nodes:
        if node.leaf or node.id in matched:
            continue
        root[node.id] = node.id
        for edge in node.inputs:
            if edge is not None and edge.source in root:
                root[top(edge.source)] = top(node.id)
    return {node: top(node) for node in root}


def _constant(graph: NormalGraph) -> list[bool]:
    """For every node whether it depends on parameters and constants alone."""
    constant: list[bool] = []
    for node in graph.nodes:
        sources = [edge.source for edge in node.inputs if edge is not None]
        derived = bool(node.inputs) and all(constant[source] for source in sources)
        constant.append(node.op in STATIC_LEAVES or derived)
    return constant
