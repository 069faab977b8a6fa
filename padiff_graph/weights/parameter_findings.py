"""What the parameter map says that a user should know: parameters without counterpart, odd
orders."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from padiff_graph.capture.normal.form import NormalGraph, NormalNode
from padiff_graph.capture.normal.index_map import View
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.difference.other_sizes import OtherSizes
from padiff_graph.matching.difference.parameter_sharing import taken_over
from padiff_graph.matching.parameters.candidates import head_sizes, may_have_gates
from padiff_graph.matching.parameters.conventions import Shape, gate_orders, rotary_orders
from padiff_graph.matching.parameters.relations import axis_orders, flattened_orders
from padiff_graph.matching.result import Matching, ParameterRow, Piece
from padiff_graph.weights.crossed_names import crossed_findings, owner, turned_parts

__all__ = ["parameter_findings"]

ADVICE = "give the correspondence in a LayerMap, if there is one"
QUERY_AND_KEY = 2
"""Fewest parts whose weights stand in an order of rotary features: a rotation that is not of both
leaves no product as it is."""
IN_ORDER = (
    "keep copying weights by the map, or read what is computed here in the second model's order"
)


def parameter_findings(matching: Matching, sizes: OtherSizes) -> tuple[Finding, ...]:
    """Parameters without counterpart on either side, one finding a side, crossed names, odd orders;
    those of other `sizes` are told there."""
    return (
        *_without_counterpart(matching, sizes.parameters[0]),
        *_unused(matching, sizes.parameters[1]),
        *crossed_findings(matching),
        *turned_parts(matching),
        *_shuffled(matching),
    )


def _without_counterpart(matching: Matching, told: frozenset[str]) -> list[Finding]:
    """Parameters of the first model that nothing of the second fills."""
    rows = [row for row in matching.parameters if row.status == "open" and row.first not in told]
    if not rows:
        return []
    partner = matching.partner()
    places = dict.fromkeys(
        (owner(row.first), _counterpart(matching.first, matching.second, row.first, partner))
        for row in rows
    )
    cause = Cause.of(
        "parameter.extra",
        parameters=tuple(_with_shape(matching.first, row.first) for row in rows),
        text=rows[0].reason,
    )
    return [
        Finding(
            "weights",
            "extra",
            cause,
            *next(iter(places)),
            places=tuple(places),
            advice=ADVICE,
            order=min(_order(matching.first, row.first, partner) for row in rows),
            frameworks=matching.frameworks,
        )
    ]


def _unused(matching: Matching, told: frozenset[str]) -> list[Finding]:
    """Parameters of the second model that fill nothing of the first."""
    shared = {*taken_over(matching), *told}
    names = [name for name in matching.unused_second if name not in shared]
    if not names:
        return []
    back = {second: first for first, second in matching.partner().items()}
    places = dict.fromkeys(
        (_counterpart(matching.second, matching.first, name, back), owner(name)) for name in names
    )
    readers = [_readers(matching.second, name) for name in names]
    parameters = tuple(_with_shape(matching.second, name) for name in names)
    return [
        Finding(
            "weights",
            "missing",
            Cause.of("parameter.missing", parameters=parameters),
            *next(iter(places)),
            places=tuple(places),
            advice=ADVICE,
            order=min(nodes[0].id if nodes else 0 for nodes in readers),
            frameworks=matching.frameworks,
        )
    ]


def _with_shape(normal: NormalGraph, name: str) -> str:
    return f"{name} {list(normal.graph.parameters[name].type.shape)}"


# -- elements in another order


def _shuffled(matching: Matching) -> list[Finding]:
    """Weights whose elements stand in an order that no transpose gives: interleaved heads, parts
    in another order, or a result that is flipped. Copied by the map nothing is wrong; copied as
    they are, everything behind would be.
    """
    modules: dict[tuple[str, str], list[str]] = defaultdict(list)
    rotary: dict[tuple[str, str], list[str]] = defaultdict(list)
    together: Counter[tuple[str, str]] = Counter()
    heads, gated = head_sizes(matching), may_have_gates(matching)
    for row in matching.parameters:
        shapes = _whole_shapes(row, matching)
        if shapes is None or _ordered(row, _plain_orders(*shapes, gated)):
            continue
        turned = _turned(row, shapes, heads)
        place = owner(row.first), owner(row.pieces[0].second)
        together[place] = max(together[place], turned)
        (rotary if turned else modules)[place].append(row.first)
    if together.total() < QUERY_AND_KEY:
        modules.update(rotary)
    return [
        Finding(
            "weights",
            "suspicious",
            Cause.of("weights.shuffled", parameters=tuple(names)),
            *place,
            places=(place,),
            advice=IN_ORDER,
            frameworks=matching.frameworks,
        )
        for place, names in modules.items()
    ]


def _whole_shapes(row: ParameterRow, matching: Matching) -> tuple[Shape, Shape] | None:
    """The shapes of a parameter that is the whole of one other, and of that one; None elsewhere."""
    names = {piece.second for piece in row.pieces}
    if row.status != "mapped" or len(names) != 1:
        return None
    shape = tuple(matching.first.graph.parameters[row.first].type.shape)
    other = tuple(matching.second.graph.parameters[row.pieces[0].second].type.shape)
    read = sum(piece.second_view.size for piece in row.pieces)
    filled = sum(piece.first_view.size for piece in row.pieces)
    held = row.pieces[0].first_view.source, row.pieces[0].second_view.source
    if held != (math.prod(shape), math.prod(other)):
        return None  # parts of complex numbers
    return (shape, other) if math.prod(shape) == math.prod(other) == read == filled else None


def _ordered(row: ParameterRow, orders: Iterable[View]) -> bool:
    """Whether one of these orders of the second parameter's elements gives the first."""
    return any(all(_stands_in(piece, [order]) for piece in row.pieces) for order in orders)


def _turned(row: ParameterRow, shapes: tuple[Shape, Shape], heads: Sequence[int]) -> int:
    """How many pieces of a parameter stand in an order of rotary features; 0 where another piece
    stands in none that needs no word."""
    plain, rotary = list(_axis_orders(*shapes)), list(_rotary_orders(*shapes, heads))
    turned = [piece for piece in row.pieces if not _stands_in(piece, plain)]
    return len(turned) if all(_stands_in(piece, rotary) for piece in turned) else 0


def _stands_in(piece: Piece, orders: Iterable[View]) -> bool:
    return any(order.then(piece.first_view).same(piece.second_view) for order in orders)


def _plain_orders(shape: Shape, other: Shape, gated: bool) -> Iterator[View]:
    """The orders that need no word: as it is, other axes, gates of a recurrent cell."""
    yield View.of(other).reshape(shape)
    yield from _axis_orders(shape, other)
    for _, turned in gate_orders(other) if gated else ():
        yield from (turned.then(order) for order in _axis_orders(shape, other))


def _axis_orders(shape: Shape, other: Shape) -> Iterator[View]:
    rows = other[0] if other else 1
    yield from axis_orders(other, shape)
    yield from flattened_orders(other, shape)
    yield View.of((rows, math.prod(other[1:]))).transpose((1, 0))


def _rotary_orders(shape: Shape, other: Shape, heads: Sequence[int]) -> Iterator[View]:
    """The orders of rotary features."""
    for _, turned in rotary_orders(other, heads):
        yield from (turned.then(order) for order in _axis_orders(shape, other))


# -- where a parameter belongs


def _readers(normal: NormalGraph, name: str) -> list[NormalNode]:
    owners = {node.id for node in normal.nodes if node.op == "Parameter" and node.name == name}
    return [
        node
        for node in normal.nodes
        if any(edge is not None and edge.source in owners for edge in node.inputs)
    ]


def _counterpart(
    normal: NormalGraph, other: NormalGraph, name: str, partner: dict[int, int]
) -> str:
    """The module of the other side where the parameter would belong: of the same path, else where
    the operation that reads it, or the nearest one before it, has its counterpart."""
    if owner(name) in other.graph.modules:
        return owner(name)
    for reader in _readers(normal, name):
        for at in range(reader.id, -1, -1):
            if at in partner and not normal.nodes[at].leaf:
                path = other.nodes[partner[at]].path
                return path if at == reader.id else owner(path)
    return ""


def _order(normal: NormalGraph, name: str, partner: dict[int, int]) -> int:
    readers = _readers(normal, name)
    if not readers:
        return 0
    return max((partner[at] for at in range(readers[0].id + 1) if at in partner), default=0)
