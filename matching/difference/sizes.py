"""Sizes as structure: widths, channels, kernels, heads, rows of a table.

A size is told at the layer that decides it. What it changes further down (every following layer's
input width, a bias, the groups of a depthwise convolution, the scale of an attention) are places of
the same cause: followed along the data, with the numbers in the same ratio, or taken over by a
layer that reads a value of another size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from padiff_graph.capture.normal.form import NormalGraph, NormalNode
from padiff_graph.capture.normal.traits import LEAVES, STATIC_LEAVES, attributes_equal
from padiff_graph.matching.difference.compared import Compared
from padiff_graph.matching.difference.size_facts import INHERITED, NAMED, Read, same_size, sizes_of
from padiff_graph.matching.difference.spread_weights import Spread
from padiff_graph.matching.result import Difference, Matching

__all__ = ["with_sizes"]

FOLLOWING = frozenset({"group", "num_groups", "hidden_size", "scale", "pads", "strides"})
"""Attributes that a size decides as a rule: they follow from one where their numbers do."""
FITTED = INHERITED | {"shape", "out_features", "out_channels"}
"""Sizes that have to fit those of the values around: a table with a row for each patch, a layer
that mixes patches and is added to them."""

_Pair = tuple[int, int]
_Origins = frozenset[int]
NONE: _Origins = frozenset()


@dataclass(frozen=True, slots=True)
class _Size:
    """One size of a matched pair of operations that differs.

    Attributes:
        name, values: of the size.
        parameters: what each operation reads as it is and has no counterpart for each element.
    """

    name: str
    values: tuple[object, object]
    parameters: tuple[list[str], list[str]]


@dataclass
class _Told:
    """Causes, and what each of them reaches.

    Attributes:
        causes: differences in sizes, and others that change the sizes of values.
        places: of each cause, the pairs of nodes that it stands at.
        at: cause by the nodes of either side that it stands at.
        reached: first-side node -> causes that its result's sizes may follow from.
        read: the pairs of extents in which values behind each cause differ where they are read.
    """

    causes: list[Difference] = field(default_factory=list)
    places: list[list[_Pair]] = field(default_factory=list)
    at: tuple[dict[int, set[int]], dict[int, set[int]]] = field(default_factory=lambda: ({}, {}))
    reached: dict[int, _Origins] = field(default_factory=dict)
    read: list[set[_Pair]] = field(default_factory=list)

    def add(self, cause: Difference) -> int:
        """A new cause; its number."""
        self.causes.append(cause)
        self.places.append([])
        self.read.append(set())
        return len(self.causes) - 1

    def forget(self, other: Difference) -> None:
        """Lets nothing follow from a difference that follows itself."""
        for cause, known in enumerate(self.causes):
            if known is other:
                for nodes in (*self.at[0].values(), *self.at[1].values()):
                    nodes.discard(cause)


def with_sizes(
    matching: Matching, compared: Compared, others: Sequence[Difference]
) -> list[Difference]:
    """All differences with those in sizes; what follows from a size stands at that cause.

    `others` are the differences that are known already.
    """
    differing = _differing(matching, compared)
    if not differing:
        return list(others)
    told = _seeded(compared, others)
    seeds = len(told.causes)
    following = [other for other in others if other.attribute in FOLLOWING]
    absorbed: set[int] = set()
    for match in sorted(compared.matches, key=lambda match: match.second):
        pair = compared.pair(match)
        if pair[0].op in LEAVES:
            continue
        origins = _above(compared, told, pair)
        for extents in _read(compared, pair) if origins else ():
            for origin in origins:
                told.read[origin].add(extents)
        for size in differing.get(match.first, ()):
            origins |= _settle(compared, told, pair, size, origins)
        for other in following:
            if (match.first, match.second) in other.places and id(other) not in absorbed:
                cause = _followed(told, other, origins, pair)
                if cause is not None:
                    absorbed.add(id(other))
                    told.places[cause] += other.places
                    told.forget(other)
        told.reached[match.first] = origins | _at(told, 0, match.first) | _at(told, 1, match.second)
    extended = {id(cause): at for at, cause in enumerate(told.causes[:seeds])}
    kept = [other for other in others if id(other) not in absorbed]
    return [
        *(_placed(told, extended[id(one)]) if id(one) in extended else one for one in kept),
        *(_placed(told, at) for at in range(seeds, len(told.causes))),
    ]


def _placed(told: _Told, at: int) -> Difference:
    """A cause with all places."""
    places = dict.fromkeys((*told.causes[at].places, *told.places[at]))
    return replace(told.causes[at], places=tuple(places))


# -- what differs


def _differing(matching: Matching, compared: Compared) -> dict[int, list[_Size]]:
    """First-side node -> its sizes that are others than its partner's."""
    whole = _wholly_mapped(matching)
    reads = (
        Read.of(compared.first, (first for first, _ in whole)),
        Read.of(compared.second, (second for _, second in whole)),
    )
    spread = Spread.of(matching)
    differing: dict[int, list[_Size]] = {}
    for match in compared.matches:
        a, b = compared.pair(match)
        if a.op != b.op or a.op in LEAVES:
            continue
        mine, theirs = sizes_of(reads[0], a), sizes_of(reads[1], b)
        lost = _lost(reads[0], a), _lost(reads[1], b)
        sizes = [
            _Size(name, (mine[name], theirs[name]), lost)
            for name in mine
            if name in theirs
            and not same_size(mine[name], theirs[name])
            and _told(name, mine, theirs)
        ]
        if spread.between(_parameters(compared.first, a), _parameters(compared.second, b)):
            continue
        if sizes and not _holds_the_same(compared, a, b, whole):
            differing[match.first] = sizes
    return differing


def _lost(read: Read, node: NormalNode) -> list[str]:
    return [name for name in _parameters(read.graph, node) if name not in read.mapped]


def _told(name: str, mine: Mapping[str, object], theirs: Mapping[str, object]) -> bool:
    """Whether two values are of one kind: parameters of as many axes, kernels too."""
    values = mine[name], theirs[name]
    if name == "shape":
        return [len(shape) for shape in _members(values[0])] == [
            len(shape) for shape in _members(values[1])
        ]
    return not isinstance(values[0], tuple) or len(_members(values[0])) == len(_members(values[1]))


def _members(value: object) -> tuple[tuple[int, ...], ...]:
    return value if isinstance(value, tuple) else ()


def _wholly_mapped(matching: Matching) -> set[tuple[str, str]]:
    """Pairs of parameters mapped to each other of which every element has its counterpart."""
    used: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    pairs = set()
    for row in matching.parameters:
        for piece in row.pieces:
            used[0][row.first] += piece.first_view.size
            used[1][piece.second] += piece.second_view.size
            pairs.add((row.first, piece.second))
    owned = matching.first.graph.parameters, matching.second.graph.parameters
    return {
        pair
        for pair in pairs
        if all(used[side][name] >= owned[side][name].type.size for side, name in enumerate(pair))
    }


def _holds_the_same(
    compared: Compared, a: NormalNode, b: NormalNode, whole: set[tuple[str, str]]
) -> bool:
    """Whether the weight of one is mapped to a weight of the other, or all parameters are where
    none is the weight: then parts of another layout are compared, not other sizes."""
    ours, theirs = _parameters(compared.first, a), _parameters(compared.second, b)
    held = [any((x, y) in whole for y in theirs) for x in ours]
    return bool(held) and (held[0] if a.op in NAMED else all(held))


def _parameters(graph: NormalGraph, node: NormalNode) -> list[str]:
    """The parameters that an operation reads as they are, in order."""
    sources = [graph.nodes[edge.source] for edge in node.inputs if edge is not None]
    return [source.name for source in sources if source.op == "Parameter"]


# -- what it follows from


def _seeded(compared: Compared, others: Iterable[Difference]) -> _Told:
    """Other differences that change the sizes of what is computed behind them."""
    told = _Told()
    for other in others:
        if other.kind not in ("missing", "extra") and not _resizes(compared, other):
            continue
        cause = told.add(other)
        for side, nodes in enumerate((other.first, other.second)):
            for node in nodes:
                told.at[side].setdefault(node, set()).add(cause)
    return told


def _resizes(compared: Compared, other: Difference) -> bool:
    """Whether an attribute's two values make results of two shapes."""
    if other.kind != "attribute" or not (other.first and other.second):
        return False
    a, b = compared.first.nodes[other.first[0]], compared.second.nodes[other.second[0]]
    return [kind.shape for kind in a.outputs] != [kind.shape for kind in b.outputs]


def _at(told: _Told, side: int, node: int) -> _Origins:
    return frozenset(told.at[side].get(node, ()))


def _above(compared: Compared, told: _Told, pair: tuple[NormalNode, NormalNode]) -> _Origins:
    """Causes that what a pair reads may follow from: of the nearest matched operations above, and
    of what stands open in between."""
    origins: set[int] = set()
    for side, node in enumerate(pair):
        graph = compared.graphs[side]
        waiting, seen = [node.id], {node.id}
        while waiting:
            for source in _sources(graph, waiting.pop()):
                first = source if side == 0 else compared.back.get(source, -1)
                if first in told.reached:
                    origins |= told.reached[first]
                elif source not in seen:
                    seen.add(source)
                    origins |= _at(told, side, source)
                    waiting.append(source)
    return frozenset(origins)


def _sources(graph: NormalGraph, node: int) -> Iterator[int]:
    for edge in graph.nodes[node].inputs:
        if edge is not None:
            yield edge.source


def _settle(
    compared: Compared,
    told: _Told,
    pair: tuple[NormalNode, NormalNode],
    size: _Size,
    origins: _Origins,
) -> _Origins:
    """Puts a size to the cause that it follows from, else makes it one; the causes behind it."""
    a, b = pair
    cause = _in_ratio(told, size.values, origins)
    if cause is None and size.name in INHERITED and origins and _reads_another_size(compared, pair):
        cause = max(origins)
    if cause is None and size.name in FITTED:
        cause = _fitting(told, size.values, origins)
    if cause is None:
        facts, paths = _named(pair, size)
        cause = told.add(
            Difference(
                "size",
                (a.id,),
                (b.id,),
                f"size.{size.name}",
                *paths,
                size.name,
                _shown(size.values),
                facts=facts,
            )
        )
    told.places[cause].append((a.id, b.id))
    return frozenset({cause})


def _named(
    pair: tuple[NormalNode, NormalNode], size: _Size
) -> tuple[tuple[tuple[str, object], ...], tuple[str, str]]:
    """Whose size it is, and the modules that it stands in: the parameters themselves and what owns
    them, where an operation reads one on each side as it is."""
    a, b = pair
    facts: tuple[tuple[str, object], ...] = (("op", a.op),)
    if size.name != "shape" or [len(names) for names in size.parameters] != [1, 1]:
        return facts, (a.path, b.path)
    (mine,), (theirs,) = size.parameters
    facts += (("first_parameter", mine), ("second_parameter", theirs))
    return facts, (mine.rpartition(".")[0], theirs.rpartition(".")[0])


def _shown(values: tuple[object, object]) -> tuple[object, object]:
    """The shape itself where there is one only."""
    first, second = values
    if isinstance(first, tuple) and isinstance(second, tuple) and len(first) == len(second) == 1:
        nested = isinstance(first[0], tuple)
        return (first[0], second[0]) if nested else values
    return values


def _reads_another_size(compared: Compared, pair: tuple[NormalNode, NormalNode]) -> bool:
    """Whether the first operands of a pair have two sizes."""
    sizes = []
    for graph, node in zip(compared.graphs, pair, strict=True):
        edge = node.inputs[0]
        if edge is None:
            return False
        source = graph.nodes[edge.source].outputs[edge.output]
        sizes.append(source.size)
    return sizes[0] != sizes[1]


def _in_ratio(told: _Told, values: tuple[object, object], origins: _Origins) -> int | None:
    """The nearest cause whose two numbers, times one whole number, are these; of shapes, whose
    numbers are those of every axis that differs."""
    wanted = _extents(values)
    causes = []
    for number in wanted:
        fitting = [
            at
            for at in sorted(origins, reverse=True)
            if any(_multiple(number, known) for known in _extents(told.causes[at].values))
        ]
        if not fitting:
            return None
        causes.append(fitting[0])
    return causes[0] if causes else None


def _fitting(told: _Told, values: tuple[object, object], origins: _Origins) -> int | None:
    """The nearest cause behind which values are read that differ in just these numbers."""
    wanted = set(_extents(values))
    fitting = (at for at in sorted(origins, reverse=True) if wanted <= told.read[at])
    return next(fitting, None) if wanted else None


def _read(compared: Compared, pair: tuple[NormalNode, NormalNode]) -> Iterator[_Pair]:
    """The pairs of extents in which the values differ that a pair of operations reads, parameters
    and constants left out."""
    for one, other in zip(*(node.inputs for node in pair), strict=False):
        if one is None or other is None or one.view is None or other.view is None:
            continue
        read = compared.first.nodes[one.source], compared.second.nodes[other.source]
        shapes = one.view.shape, other.view.shape
        if len(shapes[0]) == len(shapes[1]) and not any(node.op in STATIC_LEAVES for node in read):
            yield from (each for each in zip(*shapes, strict=True) if each[0] != each[1])


def _multiple(number: _Pair, known: _Pair) -> bool:
    """Whether both numbers are one multiple of what is known."""
    if not all(known) or known[0] == known[1]:
        return False
    times = number[0] // known[0]
    return times > 0 and (known[0] * times, known[1] * times) == number


def _extents(values: tuple[object, object]) -> list[_Pair]:
    """The pairs of numbers in which two sizes differ; none for what is no size."""
    first, second = values
    if isinstance(first, int) and isinstance(second, int):
        return [(first, second)]
    if not (isinstance(first, tuple) and isinstance(second, tuple)) or len(first) != len(second):
        return []
    pairs: list[_Pair] = []
    for member in zip(first, second, strict=True):
        if member[0] != member[1]:
            pairs += _extents(member)
    return pairs


# -- attributes that sizes decide


def _followed(
    told: _Told, other: Difference, origins: _Origins, pair: tuple[NormalNode, NormalNode]
) -> int | None:
    """The cause that an attribute follows from; None where it is one of its own."""
    sized = frozenset(at for at in origins if told.causes[at] is not other)
    if other.attribute == "scale":
        return _of_scale(told, other, sized)
    if other.attribute == "pads":
        return _of_padding(told, sized, pair)
    if other.attribute == "strides":
        return _of_patches(told, other, sized, pair)
    return _in_ratio(told, other.values, sized)


def _of_scale(told: _Told, other: Difference, origins: _Origins) -> int | None:
    """A factor that is a size, its root, or one of the two inverted."""
    first, second = other.values
    if not (isinstance(first, float) and isinstance(second, float) and second):
        return None
    ratio = abs(first / second)
    for at in sorted(origins, reverse=True):
        for size in _extents(told.causes[at].values):
            known = size[0] / size[1] if all(size) else 0.0
            powers = (known, known**0.5, known**-1, known**-0.5) if known else ()
            if any(attributes_equal(ratio, power) for power in powers):
                return at
    return None


def _of_padding(told: _Told, origins: _Origins, pair: tuple[NormalNode, NormalNode]) -> int | None:
    """Padding that makes up for another kernel at the same place: the results are of one size."""
    a, b = pair
    if a.outputs[0].shape[2:] != b.outputs[0].shape[2:]:
        return None
    for at in sorted(origins, reverse=True):
        if told.causes[at].attribute == "kernel_size" and (a.id, b.id) in told.places[at]:
            return at
    return None


def _of_patches(
    told: _Told, other: Difference, origins: _Origins, pair: tuple[NormalNode, NormalNode]
) -> int | None:
    """The kernel at the same place where both sides step by it: patches of another size."""
    place = pair[0].id, pair[1].id
    for at in sorted(origins, reverse=True):
        cause = told.causes[at]
        if cause.attribute == "kernel_size" and place in told.places[at]:
            return at if cause.values == other.values else None
    return None
