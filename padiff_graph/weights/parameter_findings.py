"""What the parameter map says that a user should know: parameters without counterpart, odd
orders."""

from __future__ import annotations

from collections import Counter, defaultdict

from padiff_graph.capture.normal.form import NormalGraph, NormalNode
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.difference.other_sizes import OtherSizes
from padiff_graph.matching.difference.parameter_sharing import taken_over
from padiff_graph.matching.result import Matching
from padiff_graph.weights.crossed_calls import crossed_calls
from padiff_graph.weights.crossed_names import crossed_findings, owner
from padiff_graph.weights.element_orders import ElementOrders
from padiff_graph.weights.left_out_branches import left_out_branches
from padiff_graph.weights.turned_parts import turned_parts

__all__ = ["order_findings", "parameter_findings"]

ADVICE = "give the correspondence in a LayerMap, if there is one"
QUERY_AND_KEY = 2
"""Fewest parts whose weights stand in an order of rotary features: a rotation that is not of both
leaves no product as it is."""
IN_ORDER = (
    "keep copying weights by the map, or read what is computed here in the second model's order"
)


def parameter_findings(matching: Matching, sizes: OtherSizes) -> tuple[Finding, ...]:
    """Parameters without counterpart on either side, one finding a side, odd orders, sums beside
    layers that nothing reads; those of other `sizes` are told there."""
    return (
        *_without_counterpart(matching, sizes.parameters[0]),
        *_unused(matching, sizes.parameters[1]),
        *order_findings(matching),
        *left_out_branches(matching),
    )


def order_findings(matching: Matching) -> tuple[Finding, ...]:
    """Crossed names, and weights whose elements or parts stand in another order."""
    return (*_crossed(matching), *_shuffled(matching))


def _crossed(matching: Matching) -> list[Finding]:
    """Like modules that take each other's weights, by their names or by the order of their
    calls."""
    named = [*crossed_findings(matching), *turned_parts(matching)]
    told = {path for found in named for path, _ in (*found.places, (found.paddle_path, ""))}
    calls = [
        found
        for found in crossed_calls(matching)
        if not any(_inside(path, module) for path, _ in found.places for module in told)
    ]
    return [*named, *calls]


def _inside(path: str, module: str) -> bool:
    return path == module or path.startswith(f"{module}.")


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
    orders = ElementOrders.of(matching)
    for row in matching.parameters:
        if not orders.odd(row):
            continue
        turned = orders.rotary(row)
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
