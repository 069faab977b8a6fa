"""The structural diff: what a matching leaves different, one `Difference` for one cause."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from padiff_graph.capture.normal.collection import without_collection
from padiff_graph.capture.normal.form import Edge, NormalGraph, NormalNode
from padiff_graph.capture.normal.traits import (
    LEAVES,
    STATIC_LEAVES,
    Scale,
    attributes_equal,
    differing_attributes,
    same_family,
    traits,
)
from padiff_graph.matching.difference.difference_words import (
    cut,
    joined,
    listed,
    operand,
    present,
    show,
)
from padiff_graph.matching.difference.factor_origin import at_its_origin
from padiff_graph.matching.difference.parameter_sharing import shared_parameters
from padiff_graph.matching.difference.part_order import reordered
from padiff_graph.matching.difference.whereabouts import Whereabouts, common_path
from padiff_graph.matching.result import Difference, Match, Matching

__all__ = ["differences"]

_MARKS = frozenset({"no_grad", "gradient_hook", "custom_function"})
CONVENTIONS = {
    (
        "BatchNormalization",
        "momentum",
    ): " (the share of the new batch, as torch counts it; Paddle's momentum is 1 minus it)"
}
"""What to say where the frameworks count an attribute differently: the code may show another number."""
MASKING = 1e4
"""Shifts beyond this mask elements out of a softmax; which number does it makes no difference."""


@dataclass(frozen=True, slots=True)
class _Compared:
    """A matching with both directions at hand: first-side node -> second-side node, and back."""

    first: NormalGraph
    second: NormalGraph
    matches: tuple[Match, ...]
    partner: dict[int, int]
    back: dict[int, int]


@without_collection()
def differences(matching: Matching) -> tuple[Difference, ...]:
    """All structural differences, in the second model's order, equal causes in one.

    "differently-built" is no verdict: the regions compute by other operations or views, and numbers decide.
    """
    partner = matching.partner()
    compared = _Compared(
        matching.first,
        matching.second,
        matching.matches,
        partner,
        {second: first for first, second in partner.items()},
    )
    found = [
        *_of_matches(compared),
        *_wiring(compared),
        *_outputs(compared),
        *_open_regions(compared),
        *shared_parameters(matching),
    ]
    grouped: dict[Hashable, Difference] = {}
    for difference in sorted(found, key=lambda d: (_order(compared, d), d.kind)):
        key = _cause_key(compared, difference)
        if key in grouped:
            first = grouped[key]
            grouped[key] = dataclasses.replace(first, places=first.places + difference.places)
        else:
            grouped[key] = difference
    return tuple(grouped.values())


def _order(matching: _Compared, difference: Difference) -> float:
    """The place in the second model's order, by the partner where only the first has the operations."""
    if difference.second:
        return min(difference.second)
    partner = matching.partner
    before = [
        partner[node]
        for node in range(min(difference.first), -1, -1)
        if node in partner and not matching.first.nodes[node].leaf
    ][:1]
    return (before[0] if before else -1) + 0.5


def _cause_key(matching: _Compared, difference: Difference) -> Hashable:
    ops = (
        tuple(matching.first.nodes[node].op for node in difference.first),
        tuple(matching.second.nodes[node].op for node in difference.second),
    )
    if difference.kind in ("moved", "rewired") and not difference.attribute:
        return (difference.kind, difference.first, difference.second)
    return (difference.kind, ops, difference.attribute, repr(difference.values), difference.cause)


# -- matched pairs


def _of_matches(matching: _Compared) -> Iterable[Difference]:
    """Operators, attributes, operands and marks of matched operations."""
    first, second = matching.first, matching.second
    users = (first.users(), second.users())
    for match in matching.matches:
        a, b = first.nodes[match.first], second.nodes[match.second]
        if a.op in LEAVES or b.op in LEAVES:
            continue
        if a.op != b.op:
            if {a.op, b.op} == {"Conv", "Linear"}:
                continue
            if same_family(a.op, b.op):
                yield _attribute(a, b, "op", a.op, b.op, f"{a.op} against {b.op}")
            else:
                yield _single(
                    "differently-built", a, b, f"{a.op} against {b.op} between the same values"
                )
            continue
        for name in differing_attributes(a.op, a.attrs, b.attrs):
            if _void(first, a, b, name):
                continue
            values = (a.attrs.get(name), b.attrs.get(name))
            found = _attribute(
                a,
                b,
                name,
                *values,
                f"{a.op}.{name} {show(values[0])} against {show(values[1])}{CONVENTIONS.get((a.op, name), '')}",
            )
            decided = name == "padding_idx" or (
                name == "pads"
                and (
                    _cropped(matching.first, users[0][a.id])
                    or _cropped(matching.second, users[1][b.id])
                )
            )
            yield dataclasses.replace(found, kind="differently-built") if decided else found
        if a.marks & _MARKS != b.marks & _MARKS:
            one, other = (", ".join(sorted(node.marks & _MARKS)) or "none" for node in (a, b))
            yield _attribute(
                a, b, "marks", one, other, f"gradient of {a.op}: {one} against {other}"
            )
        yield from _operands(matching, match, a, b)


def _void(graph: NormalGraph, a: NormalNode, b: NormalNode, name: str) -> bool:
    """Whether an attribute means nothing here: a kernel of one element has no dilation."""
    if name == "dilations":
        kernel = a.attrs.get("kernel_shape")
        if (
            kernel is None
            and len(a.inputs) > 1
            and a.inputs[1] is not None
            and a.inputs[1].view is not None
        ):
            kernel = a.inputs[1].view.shape[2:]
        return kernel is not None and math.prod(kernel) == 1
    return name == "momentum" and not a.attrs.get("training") and not b.attrs.get("training")


def _cropped(graph: NormalGraph, users: Sequence[tuple[int, int]]) -> bool:
    """Whether every reader takes a part only: more padding, cut off again, is another way to pad."""
    edges = [graph.nodes[user].inputs[position] for user, position in users]
    return bool(edges) and all(
        edge is not None and edge.view is not None and edge.view.size < edge.view.source
        for edge in edges
    )


def _operands(
    matching: _Compared, match: Match, a: NormalNode, b: NormalNode
) -> Iterable[Difference]:
    """Scales, shifts and views of operands that go together; operands that one side lacks."""
    names = traits(a.op).operands
    masks = {position for position, name in enumerate(names) if name == "mask"}
    if masks and _hiding(matching, a, b, min(masks)):
        yield _single(
            "differently-built",
            a,
            b,
            f"mask of {a.op} with the other sign: it hides what the other shows",
        )
    order = reordered(a, b, matching.partner)
    if order is not None:
        places, own = (
            ", ".join(str(place + 1) for place in places) for places in (order, range(len(order)))
        )
        yield Difference(
            "rewired",
            (a.id,),
            (b.id,),
            f"{a.op} takes its parts in another order: {places} against {own}",
            a.path,
            b.path,
            "order",
            (places, own),
            ((a.id, b.id),),
        )
        return
    pairs = [(a.inputs[x], b.inputs[y]) for x, y in match.operands if x not in masks]
    both = [(x, y) for x, y in pairs if x is not None and y is not None]
    if traits(a.op).scale is Scale.EACH:
        one, other = (
            math.prod(edge.scale for edge in node.inputs if edge is not None) for node in (a, b)
        )
        if (
            len(both) == len(pairs)
            and not attributes_equal(one, other)
            and present(a) == present(b)
        ):
            yield _origin(
                matching,
                _attribute(
                    a,
                    b,
                    "scale",
                    one,
                    other,
                    f"{a.op} of operands scaled by {show(one)} against {show(other)}",
                ),
                both,
            )
    else:
        for x, y in both:
            if not attributes_equal(x.scale, y.scale):
                yield _origin(
                    matching,
                    _attribute(
                        a,
                        b,
                        "scale",
                        x.scale,
                        y.scale,
                        f"operand of {a.op} scaled by {show(x.scale)} against {show(y.scale)}",
                    ),
                    [(x, y)],
                )
    for x, y in both:
        if not _near(x.shift, y.shift) and not (
            abs(x.shift) >= MASKING and abs(y.shift) >= MASKING and x.shift * y.shift > 0
        ):
            yield _attribute(
                a,
                b,
                "shift",
                x.shift,
                y.shift,
                f"operand of {a.op} shifted by {show(x.shift)} against {show(y.shift)}",
            )
        if _reads_differently(matching, a, x, y):
            yield _moved(matching, a, b, x, y)
    if not a.commutative and "*" not in names:
        for position in range(max(len(a.inputs), len(b.inputs))):
            has = tuple(
                position < len(node.inputs) and node.inputs[position] is not None for node in (a, b)
            )
            if has[0] != has[1]:
                name = names[position] if position < len(names) else str(position)
                word = {"B": "bias", "scale": "scale", "W": "weight"}.get(name, name)
                mine, theirs = (word if there else "none" for there in has)
                found = _attribute(
                    a, b, name, mine, theirs, f"{'extra' if has[0] else 'missing'} {word} of {a.op}"
                )
                # A mask that masks nothing and a scale of ones change nothing: the values decide.
                decided = name == "mask" or a.op.endswith("Normalization")
                yield dataclasses.replace(found, kind="differently-built") if decided else found
    elif present(a) != present(b) and not _neighbour_open(matching, a, b):
        yield _attribute(
            a,
            b,
            "operands",
            present(a),
            present(b),
            f"{a.op} of {present(a)} operands against {present(b)}",
        )


def _near(x: float, y: float) -> bool:
    return attributes_equal(x, y) or abs(x - y) <= 1e-9


def _origin(
    matching: _Compared, found: Difference, pairs: Sequence[tuple[Edge, Edge]]
) -> Difference:
    return at_its_origin(
        found, (matching.first, matching.second), (matching.partner, matching.back), pairs
    )


def _hiding(matching: _Compared, a: NormalNode, b: NormalNode, start: int) -> bool:
    """Whether the constant masks that both sides add hide just what the other shows.

    What is far below the largest number is hidden: a softmax does not feel a constant on all of it. Of a
    mask of truth values nothing tells which of the two is hidden.
    """
    hidden = []
    for graph, node in ((matching.first, a), (matching.second, b)):
        added = [
            (edge, graph.nodes[edge.source].constant)
            for edge in node.inputs[start:]
            if edge is not None
        ]
        if len(added) != 1:
            return False
        edge, constant = added[0]
        if (
            constant is None
            or constant.dtype.kind not in "fb"
            or (constant.dtype.kind == "b" and abs(edge.scale) < MASKING)
        ):
            return False
        value = np.clip(np.asarray(constant, np.float64) * edge.scale, -1e30, 1e30).reshape(-1)
        hidden.append(value <= value.max(initial=0.0) - MASKING)
    return (
        hidden[0].size == hidden[1].size
        and bool(hidden[0].any())
        and not hidden[0].all()
        and bool(np.array_equal(hidden[0], ~hidden[1]))
    )


RANK = 5
"""Most axes whose orders are tried."""


def _reads_differently(matching: _Compared, reader: NormalNode, x: Edge, y: Edge) -> bool:
    """Whether matched sources of equal shape are read through views that differ."""
    a, b = matching.first.nodes[x.source], matching.second.nodes[y.source]
    if a.op in LEAVES or b.op in LEAVES or matching.partner.get(x.source) != y.source:
        return False
    if (
        x.view is None
        or y.view is None
        or not a.outputs
        or not b.outputs
        or a.outputs[x.output].shape != b.outputs[y.output].shape
    ):
        return False
    along = x.view.shape[-1:] == y.view.shape[-1:] or (
        _over_last(reader) and sorted(x.view.shape) == sorted(y.view.shape)
    )
    return x.view.size == y.view.size and along and not x.view.reshape(y.view.shape).same(y.view)


def _over_last(node: NormalNode) -> bool:
    """Whether the operation runs along the last axis of what it reads."""
    return traits(node.op).trailing


def _moved(matching: _Compared, a: NormalNode, b: NormalNode, x: Edge, y: Edge) -> Difference:
    """How the operand is read: by the order of axes where that says it, else by the operations that move it."""
    assert x.view is not None and y.view is not None
    rank = len(y.view.shape)
    for order in (
        itertools.permutations(range(rank)) if rank <= RANK and len(x.view.shape) == rank else ()
    ):
        if tuple(y.view.shape[axis] for axis in order) == x.view.shape and y.view.transpose(
            order
        ).same(x.view):
            return _single(
                "differently-built",
                a,
                b,
                f"{a.op} goes over another axis"
                if _over_last(a)
                else f"{a.op} reads its operand transposed",
                order=not _over_last(a),
            )
    natives, ways = [], []
    for graph, edge in ((matching.first.graph, x), (matching.second.graph, y)):
        moves = [
            record
            for record in map(graph.record, edge.through)
            if record.kind == "operation" and record.constant is None
        ]
        natives.append(moves[-1].id if moves else -1)
        ways.append(", ".join(dict.fromkeys(record.op for record in moves)) or "nothing")
    found = _single(
        "differently-built",
        a,
        b,
        f"{a.op} reads its operand in another order: through {ways[0]} against {ways[1]}",
        order=True,
    )
    if natives[0] < 0 or natives[1] < 0:
        return found
    paths = [
        graph.record(native).path
        for graph, native in zip(
            (matching.first.graph, matching.second.graph), natives, strict=True
        )
    ]
    return dataclasses.replace(
        found, native=(natives[0], natives[1]), first_path=paths[0], second_path=paths[1]
    )


def _neighbour_open(matching: _Compared, a: NormalNode, b: NormalNode) -> bool:
    """Whether an operand's source has no partner: the difference is there, not here."""
    partner, back = matching.partner, matching.back
    return any(_opens(matching.first, edge, partner) for edge in a.inputs) or any(
        _opens(matching.second, edge, back) for edge in b.inputs
    )


def _opens(graph: NormalGraph, edge: Edge | None, partner: dict[int, int]) -> bool:
    return (
        edge is not None
        and edge.source not in partner
        and graph.nodes[edge.source].op not in LEAVES
    )


# -- wiring


@dataclass(frozen=True, slots=True)
class _Crossing:
    """A matched pair whose operands come from matched nodes that are not each other's partners."""

    first: int
    second: int
    sources: tuple[int, int]


def _wiring(matching: _Compared) -> Iterable[Difference]:
    """Operands that come from elsewhere: "moved" where operations changed places, else "rewired"."""
    partner, back = matching.partner, matching.back
    crossings: list[_Crossing] = []
    for match in matching.matches:
        a, b = matching.first.nodes[match.first], matching.second.nodes[match.second]
        if a.op in LEAVES or reordered(a, b, partner) is not None:
            continue
        if a.commutative or b.commutative or a.op != b.op:
            mine = [edge.source for edge in a.inputs if edge is not None]
            theirs = [edge.source for edge in b.inputs if edge is not None]
            lost = [
                x
                for x in mine
                if _computed(matching.first, x) and x in partner and partner[x] not in theirs
            ]
            gained = [
                y
                for y in theirs
                if _computed(matching.second, y) and y in back and back[y] not in mine
            ]
            if len(mine) == len(theirs) or (lost and gained):
                crossings += [
                    _Crossing(a.id, b.id, pair) for pair in zip(lost, gained, strict=False)
                ]
            continue
        for x, y in match.operands:
            e, f = a.inputs[x], b.inputs[y]
            if (
                e is None
                or f is None
                or not _computed(matching.first, e.source)
                or not _computed(matching.second, f.source)
            ):
                continue
            if e.source in partner and f.source in back and partner[e.source] != f.source:
                crossings.append(_Crossing(a.id, b.id, (e.source, f.source)))
    for name, edge in matching.first.outputs.items():
        other = matching.second.outputs.get(name)
        if other is None and len(matching.first.outputs) == len(matching.second.outputs) == 1:
            other = next(iter(matching.second.outputs.values()))
        if (
            other is None
            or edge.source not in partner
            or other.source not in back
            or partner[edge.source] == other.source
        ):
            continue
        if partner[edge.source] in {e.source for e in matching.second.outputs.values()}:
            continue  # outputs in another order
        crossings.append(_Crossing(edge.source, other.source, (edge.source, other.source)))
    for group in _connected(matching, crossings):
        first = tuple(sorted({crossing.first for crossing in group}))
        second = tuple(sorted({crossing.second for crossing in group}))
        moved = len(group) > 1 and {partner.get(c.sources[0]) for c in group} & set(second)
        ops = ", ".join(dict.fromkeys(matching.second.nodes[node].op for node in second))
        if moved:
            cause = f"{ops}: computed in another order"
        else:
            a, b = (
                graph.nodes[node]
                for graph, node in zip(
                    (matching.first, matching.second), group[0].sources, strict=True
                )
            )
            cause = f"{ops} reads {a.op} ({a.path or 'root'}) against {b.op} ({b.path or 'root'})"
        yield Difference(
            "moved" if moved else "rewired",
            first,
            second,
            cause,
            matching.first.nodes[group[0].first].path,
            matching.second.nodes[group[0].second].path,
            places=tuple((crossing.first, crossing.second) for crossing in group),
        )


def _outputs(matching: _Compared) -> Iterable[Difference]:
    """Outputs that are the same value, flipped or scaled on one side."""
    firsts, seconds = matching.first.outputs, matching.second.outputs
    for position, (name, edge) in enumerate(firsts.items()):
        other = seconds.get(name)
        if other is None and len(firsts) == len(seconds):
            other = list(seconds.values())[position]
        if other is None or matching.partner.get(edge.source) != other.source:
            continue
        a, b = matching.first.nodes[edge.source], matching.second.nodes[other.source]
        shown = (
            name if name == "output" else f"output {name}"
        )  # the only output goes by that very name
        if not attributes_equal(edge.scale, other.scale):
            yield _origin(
                matching,
                _attribute(
                    a,
                    b,
                    "scale",
                    edge.scale,
                    other.scale,
                    f"{shown} scaled by {show(edge.scale)} against {show(other.scale)}",
                ),
                [(edge, other)],
            )
        if not _near(edge.shift, other.shift):
            yield _attribute(
                a,
                b,
                "shift",
                edge.shift,
                other.shift,
                f"{shown} shifted by {show(edge.shift)} against {show(other.shift)}",
            )
        flips = _flips(edge), _flips(other)
        if flips[0] != flips[1]:
            kind: Literal["extra", "missing"] = "extra" if flips[0] else "missing"
            yield Difference(
                kind,
                (a.id,),
                (b.id,),
                f"{kind} Flip of {shown}",
                a.path,
                b.path,
                places=((a.id, b.id),),
            )


def _flips(edge: Edge) -> bool:
    """Whether the view runs backwards along some axis; no layout does."""
    return edge.view is not None and any(
        isinstance(step, int) and step < 0 for stage in edge.view.stages for step in stage.steps
    )


def _computed(graph: NormalGraph, node: int) -> bool:
    return graph.nodes[node].op not in STATIC_LEAVES


def _connected(matching: _Compared, crossings: Sequence[_Crossing]) -> list[list[_Crossing]]:
    """Crossings that share a node are one cause."""
    groups: list[tuple[set[int], list[_Crossing]]] = []
    for crossing in crossings:
        nodes = {crossing.first, crossing.sources[0]}
        joined = [group for group in groups if group[0] & nodes]
        members = [crossing]
        for group in joined:
            nodes |= group[0]
            members = group[1] + members
            groups.remove(group)
        groups.append((nodes, members))
    return [members for _, members in groups]


# -- what has no partner


@dataclass(frozen=True, slots=True)
class _Region:
    """Open operations of one side that hang together, and the matched nodes (in first-side ids) around."""

    nodes: tuple[int, ...]
    above: frozenset[int]
    below: frozenset[int]


def _open_regions(matching: _Compared) -> Iterable[Difference]:
    """Missing, extra and differently built regions."""
    partner, back = matching.partner, matching.back
    mine = _regions(matching.first, set(partner), lambda node: node)
    theirs = _regions(matching.second, set(back), lambda node: back[node])
    there = Whereabouts(matching.first, matching.second, partner)
    here = Whereabouts(matching.second, matching.first, back)
    weights = (_weights(matching.first), _weights(matching.second))
    taken: set[int] = set()
    kind: Literal["missing", "extra", "differently-built"]
    for region in mine:
        meets = [
            at for at, other in enumerate(theirs) if at not in taken and _same_place(region, other)
        ]
        if not meets and _only_masks(matching.first, region, matching.second):
            continue
        if not meets:
            path = common_path(matching.first.nodes[node].path for node in region.nodes)
            cause = f"extra {listed(matching.first, region.nodes)}" + cut(
                matching.first, region.nodes
            )
            places = tuple((node, -1) for node in region.nodes)
            kind = (
                "differently-built" if all(weights[0][node] for node in region.nodes) else "extra"
            )
            reader = joined(matching.first, matching.second, partner, region.nodes)
            yield Difference(
                kind,
                region.nodes,
                (),
                cause + operand(reader),
                path,
                reader.path if reader else there.path_for(region.nodes),
                places=places,
            )
            continue
        taken.update(meets)
        others = tuple(sorted(node for at in meets for node in theirs[at].nodes))
        cause = f"{listed(matching.first, region.nodes)} against {listed(matching.second, others)}"
        yield Difference(
            "differently-built",
            region.nodes,
            others,
            cause,
            common_path(matching.first.nodes[node].path for node in region.nodes),
            common_path(matching.second.nodes[node].path for node in others),
            places=((region.nodes[0], others[0]),),
        )
    for at, region in enumerate(theirs):
        if at not in taken and not _only_masks(matching.second, region, matching.first):
            path = common_path(matching.second.nodes[node].path for node in region.nodes)
            cause = f"missing {listed(matching.second, region.nodes)}" + cut(
                matching.second, region.nodes
            )
            places = tuple((-1, node) for node in region.nodes)
            kind = (
                "differently-built" if all(weights[1][node] for node in region.nodes) else "missing"
            )
            reader = joined(matching.second, matching.first, back, region.nodes)
            yield Difference(
                kind,
                (),
                region.nodes,
                cause + operand(reader),
                reader.path if reader else here.path_for(region.nodes),
                path,
                places=places,
            )


def _only_masks(graph: NormalGraph, region: _Region, other: NormalGraph) -> bool:
    """Whether the region makes nothing but a mask: told with its reader, where the other side has none.

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
    return all(traits(node.op).role(position) == "mask" for node, position in reads)


def _same_place(region: _Region, other: _Region) -> bool:
    """Whether two regions stand between the same matched values."""
    above = bool(region.above & other.above) or not (region.above or other.above)
    below = bool(region.below & other.below) or not (region.below or other.below)
    return above and below


def _regions(graph: NormalGraph, matched: set[int], name: Callable[[int], int]) -> list[_Region]:
    """Open operations joined along edges."""
    root: dict[int, int] = {}
    weights = _weights(graph)

    def find(node: int) -> int:
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
                root[find(edge.source)] = find(node.id)
    members: dict[int, list[int]] = defaultdict(list)
    for at in root:
        members[find(at)].append(at)
    above: dict[int, set[int]] = defaultdict(set)
    below: dict[int, set[int]] = defaultdict(set)
    for node in graph.nodes:
        for edge in node.inputs:
            if edge is None:
                continue
            if node.id in root and edge.source in matched and not weights[edge.source]:
                above[find(node.id)].add(name(edge.source))
            elif edge.source in root and node.id in matched:
                below[find(edge.source)].add(name(node.id))
    for position, edge in enumerate(graph.outputs.values()):
        if edge.source in root:
            below[find(edge.source)].add(-1 - position)
    return [
        _Region(tuple(sorted(nodes)), frozenset(above[at]), frozenset(below[at]))
        for at, nodes in sorted(members.items(), key=lambda item: min(item[1]))
    ]


def _weights(graph: NormalGraph) -> list[bool]:
    """For every node whether it depends on parameters and constants alone."""
    found: list[bool] = []
    for node in graph.nodes:
        found.append(
            node.op in STATIC_LEAVES
            or (
                bool(node.inputs)
                and all(edge is None or found[edge.source] for edge in node.inputs)
            )
        )
    return found


# -- words


def _attribute(
    a: NormalNode, b: NormalNode, name: str, x: object, y: object, cause: str
) -> Difference:
    return Difference(
        "attribute", (a.id,), (b.id,), cause, a.path, b.path, name, (x, y), ((a.id, b.id),)
    )


def _single(kind: str, a: NormalNode, b: NormalNode, cause: str, order: bool = False) -> Difference:
    assert kind == "differently-built"
    return Difference(
        "differently-built",
        (a.id,),
        (b.id,),
        cause,
        a.path,
        b.path,
        places=((a.id, b.id),),
        order=order,
    )
