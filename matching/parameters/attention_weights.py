"""Which weights make query, key and value of each attention, feature by feature: told from the
scores backwards, so that one fused weight, three of their own and parts of both are alike.

A rotary embedding stands between them in spellings too unlike to match, and either order of the
features it turns in goes with one of them; whoever runs the models tries both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from padiff_graph.capture.normal.form import Edge, NormalGraph, NormalNode
from padiff_graph.capture.normal.index_map import View
from padiff_graph.matching.result import Matching, Piece

__all__ = ["attention_pieces"]

LARGEST = 1 << 22
"""Elements of a value up to which it is looked at which features an operation reads of it: 4 MiB of
indices for each thousandth of a second."""
BETWEEN = 8
"""Most operations between scores and softmax, and between softmax and its product with the values:
scale, mask, bias, dropout, and room for as many again."""
TURNED = ("query", "key")
NORMS = frozenset({"LayerNormalization", "RMSNormalization"})
"""Norms over the features of a head, or of all heads, that may stand between."""

Pieces = dict[str, list[Piece]]


@dataclass(frozen=True)
class _Column:
    """One feature: where its weights stand, and its bias.

    Attributes:
        name, axis, place: of the weight; the axis along which features lie, the place on it.
        wide: how many weights make it.
        bias: name and place of its bias; None where it has none.
    """

    name: str
    axis: int
    place: int
    wide: int
    bias: tuple[str, int] | None


@dataclass(frozen=True)
class _Attention:
    """The scores of an attention and the features of query, key and value.

    Attributes:
        scores: the product of query and key.
        roles: the features, by "query", "key" and "value".
        norms: vectors of norms between query or key and their weights, one number a feature of a
            head or of all heads.
    """

    scores: int
    roles: Mapping[str, tuple[_Column, ...]]
    norms: tuple[str, ...] = ()


def attention_pieces(matching: Matching, turns: Mapping[str, int]) -> Iterator[tuple[str, Pieces]]:
    """The pieces of the first model's weights that make query, key and value, by name: as they are,
    then in each other order of features of query and key.

    Args:
        matching: of the two models.
        turns: for each order in words the features of a head; a negative number puts halves
            together to pairs, a positive one takes pairs apart.
    """
    sides = [_attentions(side) for side in (matching.first, matching.second)]
    pairs = list(_paired(matching, *sides))
    if not pairs:
        return
    for words, size in (("", 0), *turns.items()):
        pieces: Pieces = defaultdict(list)
        fitting = True
        for one, other in pairs:
            for role, columns in one.roles.items():
                order = _order(len(columns), size if role in TURNED else 0)
                theirs = other.roles[role]
                fitting = fitting and order is not None and len(theirs) == len(columns)
                if fitting and order is not None:
                    _add(pieces, matching, columns, [theirs[place] for place in order])
            fitting = fitting and _add_norms(pieces, matching, (one.norms, other.norms), size)
        if fitting:
            yield words, dict(pieces)


def _order(count: int, size: int) -> Sequence[int] | None:
    """Features with those of each head in another order; None where no heads fit."""
    if not size:
        return range(count)
    half = abs(size) // 2
    if half < 1 or count % (2 * half):
        return None
    parts = (half, 2) if size > 0 else (2, half)
    turned = np.arange(count).reshape(-1, *parts).transpose(0, 2, 1).reshape(-1)
    return [int(place) for place in turned]


# -- pieces


def _add(
    pieces: Pieces, matching: Matching, ours: Sequence[_Column], theirs: Sequence[_Column]
) -> None:
    """The pieces of these features, one for each pair of weights and each pair of biases."""
    shapes = [
        {name: info.type.shape for name, info in side.graph.parameters.items()}
        for side in (matching.first, matching.second)
    ]
    weights: dict[tuple[str, int, str, int], list[tuple[int, int]]] = defaultdict(list)
    biases: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for one, other in zip(ours, theirs, strict=True):
        key = one.name, one.axis, other.name, other.axis
        weights[key].append((one.place, other.place))
        if one.bias is not None and other.bias is not None:
            biases[one.bias[0], other.bias[0]].append((one.bias[1], other.bias[1]))
    for (name, axis, second, along), places in weights.items():
        mine = _taken(shapes[0][name], axis, [place for place, _ in places])
        other_view = _taken(shapes[1][second], along, [place for _, place in places])
        if axis != along:
            other_view = other_view.transpose((1, 0))
        pieces[name].append(Piece(second, mine, other_view))
    for (name, second), places in biases.items():
        mine = _taken(shapes[0][name], 0, [place for place, _ in places])
        other_view = _taken(shapes[1][second], 0, [place for _, place in places])
        pieces[name].append(Piece(second, mine, other_view))


def _add_norms(
    pieces: Pieces, matching: Matching, names: tuple[Sequence[str], Sequence[str]], size: int
) -> bool:
    """The pieces of the norms' vectors, in the order that their features take; whether they fit.
    Where features stay as they are, nothing is asked about them."""
    if not size:
        return True
    if len(names[0]) != len(names[1]):
        return False
    sides = matching.first.graph.parameters, matching.second.graph.parameters
    for own, other in zip(*names, strict=True):
        shape = sides[0][own].type.shape
        order = _order(shape[0], size)
        if order is None or shape != sides[1][other].type.shape:
            return False
        pieces[own] = [Piece(other, View.of(shape), View.of(shape).take(0, tuple(order)))]
    return True


def _taken(shape: tuple[int, ...], axis: int, places: Sequence[int]) -> View:
    consecutive = range(places[0], places[0] + len(places))
    if list(consecutive) == list(places):
        whole = len(places) == shape[axis]
        return View.of(shape) if whole else View.of(shape).take(axis, consecutive)
    return View.of(shape).take(axis, tuple(places))


# -- attentions of one side


def _paired(
    matching: Matching, ours: Sequence[_Attention], theirs: Sequence[_Attention]
) -> Iterator[tuple[_Attention, _Attention]]:
    """Attentions that correspond: by their scores, in their order where no scores are matched."""
    partner, by_scores = matching.partner(), {each.scores: each for each in theirs}
    matched = [(one, by_scores.get(partner.get(one.scores, -1))) for one in ours]
    known = [(one, other) for one, other in matched if other is not None]
    if len(known) == len(ours):
        yield from known
    elif len(ours) == len(theirs):
        yield from zip(ours, theirs, strict=True)


def _attentions(graph: NormalGraph) -> list[_Attention]:
    """The attentions of which every feature is known, in order."""
    softmaxes = [node for node in graph.nodes if node.op == "Softmax"]
    products = _products_of(graph, {node.id for node in softmaxes})
    found = []
    for node in softmaxes:
        scores = _nearest(graph, node.inputs[0], "MatMul")
        mixed = products.get(node.id)
        if scores is None or mixed is None:
            continue
        columns = [_columns(graph, edge) for edge in (scores.inputs[0], scores.inputs[1], mixed)]
        if all(columns):
            roles = dict(zip((*TURNED, "value"), map(tuple, columns), strict=True))
            norms = [name for edge in scores.inputs for name in _norms(graph, edge)]
            found.append(_Attention(scores.id, roles, tuple(dict.fromkeys(norms))))
    return found


def _nearest(graph: NormalGraph, edge: Edge | None, op: str) -> NormalNode | None:
    """The nearest operation of a kind behind an edge, few operations away."""
    waiting = [edge]
    for _ in range(BETWEEN):
        nodes = [graph.nodes[each.source] for each in waiting if each is not None]
        for node in nodes:
            if node.op == op:
                return node
        waiting = [each for node in nodes for each in node.inputs]
    return None


def _products_of(graph: NormalGraph, softmaxes: set[int]) -> dict[int, Edge]:
    """By softmax the other operand of the product that its result goes into."""
    found: dict[int, Edge] = {}
    for node in graph.nodes:
        if node.op != "MatMul" or len(node.inputs) != 2:
            continue
        for own, other in ((0, 1), (1, 0)):
            weights, values = node.inputs[own], node.inputs[other]
            softmax = _nearest(graph, weights, "Softmax")
            if softmax is not None and softmax.id in softmaxes and values is not None:
                found.setdefault(softmax.id, values)
    return found


def _columns(graph: NormalGraph, edge: Edge | None) -> list[_Column]:
    """The features that a value is made of, in the order of the weights; none where they cannot be
    told."""
    columns: dict[tuple[str, int], _Column] = {}
    waiting, seen = [edge], set()
    while waiting:
        each = waiting.pop()
        if each is None or each in seen:
            continue
        seen.add(each)
        node = graph.nodes[each.source]
        if node.op == "Linear":
            made = _of_linear(graph, node, each)
            if made is None:
                return []
            columns |= {(column.name, column.place): column for column in made}
        elif node.op in ("MatMul", "Softmax", "Conv", "Input"):
            return []
        else:
            waiting += node.inputs
    order = {name: at for at, name in enumerate(graph.graph.parameters)}
    return sorted(columns.values(), key=lambda column: (order[column.name], column.place))


def _norms(graph: NormalGraph, edge: Edge | None) -> list[str]:
    """The vectors of norms between a value and the linear layers that it is made by."""
    names: list[str] = []
    waiting, seen = [edge], set()
    while waiting:
        each = waiting.pop()
        if each is None or each.source in seen:
            continue
        seen.add(each.source)
        node = graph.nodes[each.source]
        if node.op in NORMS:
            vectors = [graph.nodes[one.source] for one in node.inputs[1:] if one is not None]
            named = [one.name for one in vectors if one.op == "Parameter"]
            names += [name for name in named if len(graph.graph.parameters[name].type.shape) == 1]
        if node.op != "Linear":
            waiting += node.inputs
    return names


def _of_linear(graph: NormalGraph, node: NormalNode, edge: Edge) -> list[_Column] | None:
    """The features of a linear layer that are read through an edge."""
    wide, out = node.inputs[1], node.outputs[0].shape[-1]
    if wide is None or wide.view is None or edge.view is None or edge.view.size > LARGEST:
        return None
    owner = graph.nodes[wide.source]
    shape = owner.outputs[0].shape if owner.outputs else ()
    if owner.op != "Parameter" or len(shape) != 2 or wide.view.size != wide.view.shape[0] * out:
        return None
    read = edge.view.indices()
    features = np.unique(read[read >= 0] % out)
    elements = wide.view.indices().reshape(-1, out)[:, features]
    inner = elements.shape[0]
    axis = 0 if inner == shape[1] and (elements[0] % shape[1] == 0).all() else 1
    places = elements[0] // shape[1] if axis == 0 else elements[0]
    steps = np.arange(inner) * (1 if axis == 0 else shape[1])
    if inner != shape[1 - axis] or (elements - elements[0] != steps[:, None]).any():
        return None
    biases = _biases(graph, node, features)
    return [
        _Column(owner.name, axis, int(place), inner, bias)
        for place, bias in zip(places, biases, strict=True)
    ]


def _biases(
    graph: NormalGraph, node: NormalNode, features: np.ndarray
) -> list[tuple[str, int] | None]:
    edge = node.inputs[2] if len(node.inputs) > 2 else None
    if edge is None or edge.view is None or graph.nodes[edge.source].op != "Parameter":
        return [None] * len(features)
    name = graph.nodes[edge.source].name
    return [(name, int(place)) for place in edge.view.indices()[features]]
