"""Operands of matched operations: their factors, shifts and views, and those that one side
lacks."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator

from padiff_graph.capture.graph import ComputationGraph, Node
from padiff_graph.capture.normal.form import Edge, NormalGraph, NormalNode
from padiff_graph.capture.normal.traits import LEAVES, Layout, Scale, attributes_equal, traits
from padiff_graph.matching.difference.compared import (
    Compared,
    attribute_difference,
    built_differently,
    near,
    present,
    scale_difference,
)
from padiff_graph.matching.difference.hidden_masks import MASKING, hides_the_opposite
from padiff_graph.matching.difference.initial_states import left_out_state, state_positions
from padiff_graph.matching.difference.part_order import reordered
from padiff_graph.matching.result import Difference, Match

__all__ = ["operand_differences"]

WORDS = {"B": "bias", "scale": "scale", "W": "weight"}
"""Operands by the words of a model's code."""
COUNTING = ("num_layers", "bidirectional")
"""Attributes that say how many operands there are."""
TIME_FIRST = ("time_major", "batch_first")
"""What the frameworks call whether a recurrent layer reads time or batch first."""
RANK = 5
"""Most axes whose orders are tried: 120 of them."""

_Edges = list[tuple[Edge, Edge]]


def operand_differences(compared: Compared, match: Match) -> Iterator[Difference]:
    """Scales, shifts and views of operands that go together; operands that one side lacks."""
    a, b = compared.pair(match)
    names = traits(a.op).operands
    masks = {position for position, name in enumerate(names) if name == "mask"}
    if masks and hides_the_opposite(compared, a, b, min(masks)):
        yield built_differently((a, b), "mask.inverted", {"op": a.op})
    order = reordered(a, b, compared.partner)
    if order is not None:
        yield _parts_exchanged(a, b, order)
        return
    state = left_out_state(compared, a, b)
    if state is not None:
        yield state
    apart = {*masks, *(state_positions(a.op) if state is not None else ())}
    pairs = [(a.inputs[x], b.inputs[y]) for x, y in match.operands if x not in apart]
    both = [(x, y) for x, y in pairs if x is not None and y is not None]
    yield from _scales(compared, a, b, both, whole=len(both) == len(pairs))
    for x, y in both:
        yield from _shifts(a, b, x, y)
        if _reads_differently(compared, a, x, y):
            yield _moved(compared, a, b, x, y)
    if not a.commutative and "*" not in names:
        yield from _lacking(a, b)
    elif present(a) != present(b) and not (
        _neighbour_open(compared, a, b) or _counted_by_attributes(a, b)
    ):
        counts = present(a), present(b)
        facts = {"op": a.op, "first_count": counts[0], "second_count": counts[1]}
        yield attribute_difference((a, b), "operand.count", "operands", counts, facts)


def _counted_by_attributes(a: NormalNode, b: NormalNode) -> bool:
    """Whether other attributes of recurrent layers, which are told, ask for other operands."""
    return any(a.attrs.get(name) != b.attrs.get(name) for name in COUNTING)


def _parts_exchanged(a: NormalNode, b: NormalNode, order: tuple[int, ...]) -> Difference:
    """A list of parts in another order; people count from one."""
    theirs = ", ".join(str(place + 1) for place in order)
    own = ", ".join(str(place + 1) for place in range(len(order)))
    facts = {"op": a.op, "first_order": theirs, "second_order": own}
    difference = attribute_difference((a, b), "operands.exchanged", "order", (theirs, own), facts)
    return dataclasses.replace(difference, kind="rewired")


# -- factors and shifts


def _scales(
    compared: Compared, a: NormalNode, b: NormalNode, both: _Edges, whole: bool
) -> Iterator[Difference]:
    """`whole`: whether every operand is there on both sides."""
    if traits(a.op).scale is not Scale.EACH:  # else the factors multiply: only their product tells
        for x, y in both:
            if not attributes_equal(x.scale, y.scale):
                scales = x.scale, y.scale
                yield scale_difference(compared, (a, b), scales, [(x, y)], {"reader": a.op})
        return
    products = _product(a), _product(b)
    if whole and not attributes_equal(*products) and present(a) == present(b):
        yield scale_difference(compared, (a, b), products, both, {"product": a.op})


def _product(node: NormalNode) -> float:
    return math.prod(edge.scale for edge in node.inputs if edge is not None)


def _shifts(a: NormalNode, b: NormalNode, x: Edge, y: Edge) -> Iterator[Difference]:
    masking = abs(x.shift) >= MASKING and abs(y.shift) >= MASKING and x.shift * y.shift > 0
    if not near(x.shift, y.shift) and not masking:
        shifts = x.shift, y.shift
        yield attribute_difference((a, b), "shift", "shift", shifts, {"reader": a.op})


# -- views


def _reads_differently(compared: Compared, reader: NormalNode, x: Edge, y: Edge) -> bool:
    """Whether matched sources of equal shape are read through views that differ."""
    a, b = compared.first.nodes[x.source], compared.second.nodes[y.source]
    if a.op in LEAVES or b.op in LEAVES or compared.partner.get(x.source) != y.source:
        return False
    if x.view is None or y.view is None or not a.outputs or not b.outputs:
        return False
    if a.outputs[x.output].shape != b.outputs[y.output].shape:
        return False
    alike = x.view.shape[-1:] == y.view.shape[-1:]
    over_last = _over_last(reader) and sorted(x.view.shape) == sorted(y.view.shape)
    if x.view.size != y.view.size or not (alike or over_last):
        return False
    # an axis of size one moves without moving an element: what runs along the last one differs
    return not alike or not x.view.reshape(y.view.shape).same(y.view)


def _over_last(node: NormalNode) -> bool:
    """Whether the operation runs along the last axis of what it reads."""
    return traits(node.op).trailing


def _moved(compared: Compared, a: NormalNode, b: NormalNode, x: Edge, y: Edge) -> Difference:
    """How the operand is read: by the order of axes where that says it, else by what moves it."""
    if _transposed(x, y):
        if _over_last(a):
            return built_differently((a, b), "axis.other", {"op": a.op})
        timed = traits(a.op).layout is Layout.RECURRENT
        facts = {"op": a.op} | ({"settings": TIME_FIRST} if timed else {})
        return built_differently((a, b), "operand.transposed", facts, order=True)
    graphs = compared.first.graph, compared.second.graph
    moves = _moves(graphs[0], x), _moves(graphs[1], y)
    facts = {"op": a.op, "first_ways": _ways(moves[0]), "second_ways": _ways(moves[1])}
    difference = built_differently((a, b), "operand.reordered", facts, order=True)
    if not moves[0] or not moves[1]:
        return difference
    first, second = moves[0][-1], moves[1][-1]
    return dataclasses.replace(
        difference,
        native=(first.id, second.id),
        first_path=first.path,
        second_path=second.path,
    )


def _transposed(x: Edge, y: Edge) -> bool:
    """Whether one view is the other with its axes in another order."""
    if x.view is None or y.view is None:
        return False
    rank = len(y.view.shape)
    if rank > RANK or len(x.view.shape) != rank:
        return False
    for order in itertools.permutations(range(rank)):
        shape = tuple(y.view.shape[axis] for axis in order)
        if shape == x.view.shape and y.view.transpose(order).same(x.view):
            return True
    return False


def _moves(graph: ComputationGraph, edge: Edge) -> list[Node]:
    """The native operations that move an operand."""
    records = [graph.record(native) for native in edge.through]
    return [record for record in records if record.kind == "operation" and record.constant is None]


def _ways(moves: list[Node]) -> str:
    return ", ".join(dict.fromkeys(record.op for record in moves)) or "nothing"


# -- operands that one side lacks


def _lacking(a: NormalNode, b: NormalNode) -> Iterator[Difference]:
    names = traits(a.op).operands
    for position in range(max(len(a.inputs), len(b.inputs))):
        has = _has(a, position), _has(b, position)
        if has[0] == has[1]:
            continue
        name = names[position] if position < len(names) else str(position)
        word = WORDS.get(name, name)
        cause_id, values = "operand.missing", ("none", word)
        if has[0]:
            cause_id, values = "operand.extra", (word, "none")
        # A mask that masks nothing and a scale of ones change nothing: the values decide.
        decided = name == "mask" or a.op.endswith("Normalization")
        facts = {"op": a.op, "operand": word}
        yield attribute_difference((a, b), cause_id, name, values, facts, decided=decided)


def _has(node: NormalNode, position: int) -> bool:
    return position < len(node.inputs) and node.inputs[position] is not None


def _neighbour_open(compared: Compared, a: NormalNode, b: NormalNode) -> bool:
    """Whether an operand's source has no partner: the difference is there, not here."""
    return any(_opens(compared.first, edge, compared.partner) for edge in a.inputs) or any(
        _opens(compared.second, edge, compared.back) for edge in b.inputs
    )


def _opens(graph: NormalGraph, edge: Edge | None, partner: dict[int, int]) -> bool:
    if edge is None or edge.source in partner:
        return False
    return graph.nodes[edge.source].op not in LEAVES
