"""The weights of an ONNX file in a port that holds others.

An exporter folds, transposes and merges weights, and what it made of them is part of what is
checked: a model that holds the file's weights keeps its own. A port that holds others is compared
with the file's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from padiff_graph.alignment.aligned import Alignment
from padiff_graph.capture.engine import Array
from padiff_graph.capture.normal.form import NormalGraph, NormalNode
from padiff_graph.executor.transfer import mapped
from padiff_graph.matching.result import Matching
from padiff_graph.weights.assignment import new_values

__all__ = ["FOLDED", "TAKEN", "folded_into", "holds_others", "taken_weights"]

TAKEN = "the port holds other weights than the file: the file's were copied into it"
FOLDED = (
    "the file has BatchNorms folded into the layers before them: in the port, these layers got the "
    "folded weights and their BatchNorms pass values on"
)
FEWEST = 4
"""Elements from which on numbers that are alike tell something; chosen so that a scalar or a pair
does not."""
ALIKE = 0.5
"""Correlation from which on one weight was made of the other. Unrelated ones of 16 elements reach
it once in forty, damaged ones (a value, a row, noise of half their size) stay above 0.8."""
SURE = 32
"""Elements from which on unrelated weights are alike once in five hundred. Where a model has such
weights, smaller ones are not asked: a head of eight numbers is like another one once in ten."""
SAME = 1e-6
"""Relative difference of sorted elements up to which one is a permutation of the other."""


def holds_others(alignment: Alignment) -> bool:
    """Whether the first model holds other weights than the second: few of those that tell anything
    have to do with their counterpart."""
    ours, theirs = (
        {name: engine.array(tensor) for name, tensor in engine.parameters().items()}
        for engine in alignment.engines
    )
    telling = [
        row for row in alignment.matching.parameters if row.pieces and _telling(ours[row.first])
    ]
    sure = [row for row in telling if ours[row.first].size >= SURE]
    told = [
        _related(ours[row.first], mapped(row, ours[row.first], theirs)) for row in sure or telling
    ]
    return bool(told) and 2 * sum(told) < len(told)


def taken_weights(alignment: Alignment) -> tuple[dict[str, Array], bool]:
    """The first model's parameters as the file has them, and whether BatchNorms were folded.

    A BatchNorm without a counterpart was folded into the layer before it: it gets values under
    which it passes its input on, and as its shift the file's where the port's layer has none.
    """
    rows = [row for row in alignment.matching.parameters if row.pieces]
    values = new_values(rows, *alignment.engines)
    folded = dict(_passing(alignment))
    return {**values, **folded}, bool(folded)


def _telling(array: Array) -> bool:
    numbers = array.reshape(-1)
    return array.dtype.kind == "f" and array.size >= FEWEST and bool((numbers != numbers[0]).any())


def _related(own: Array, wanted: Array) -> bool:
    """Whether one was made of the other: alike element by element, or a permutation."""
    one, other = (np.asarray(array, np.float64).reshape(-1) for array in (own, wanted))
    if np.allclose(np.sort(one), np.sort(other), SAME, SAME * float(np.abs(one).max())):
        return True
    if not other.std():
        return False
    return bool(np.corrcoef(one, other)[0, 1] > ALIKE)


def _passing(alignment: Alignment) -> Iterator[tuple[str, Array]]:
    """Values of every folded BatchNorm's parameters, by name, and of the layer before it where that
    has no counterpart as it lacks the shift that was folded into it."""
    for norm, layer, folded in _folded_norms(alignment.matching):
        names = _parameters(alignment.matching.first, norm)
        yield from _passing_norm(alignment, norm, names)
        yield from _folded_values(alignment, layer, folded, names[1])


def folded_into(matching: Matching) -> frozenset[str]:
    """The first model's parameters whose counterparts hold a BatchNorm besides, and those of these
    norms: what each model holds there are no two copies of one weight."""
    normal = matching.first
    return frozenset(
        name
        for norm, layer, _ in _folded_norms(matching)
        for node in (norm, layer)
        for name in _parameters(normal, node)
    )


def _folded_norms(matching: Matching) -> Iterator[tuple[NormalNode, NormalNode, NormalNode]]:
    """Every BatchNorm of the first model without a counterpart, the layer before it, and the layer
    of the second model that holds it."""
    users = matching.first.users()
    for norm in matching.first.nodes:
        if norm.op != "BatchNormalization" or norm.id in matching.partner():
            continue
        names = _parameters(matching.first, norm)
        layer = None if norm.inputs[0] is None else matching.first.nodes[norm.inputs[0].source]
        if layer is None or len(names) != len(norm.inputs) - 1:
            continue
        folded = _folded(matching, layer, users[norm.id])
        if folded is not None:
            yield norm, layer, folded


def _folded(
    matching: Matching, layer: NormalNode, users: Sequence[tuple[int, int]]
) -> NormalNode | None:
    """The layer of the second model that holds a BatchNorm besides; `users` read that in the first.

    The partner of the layer before the BatchNorm, else what its readers' partners read.
    """
    nodes = matching.second.nodes
    partner = matching.partner()
    if layer.id in partner:
        return nodes[partner[layer.id]]
    taken = set(partner.values())
    for user, position in users:
        if user not in partner or position >= len(nodes[partner[user]].inputs):
            continue
        edge = nodes[partner[user]].inputs[position]
        if edge is None or edge.source in taken:
            continue
        if nodes[edge.source].op == layer.op and nodes[edge.source].attrs == layer.attrs:
            return nodes[edge.source]
    return None


def _parameters(normal: NormalGraph, node: NormalNode) -> list[str]:
    """Names of the parameters among an operation's operands behind the first."""
    sources = [normal.nodes[edge.source] for edge in node.inputs[1:] if edge is not None]
    return [source.name for source in sources if source.op == "Parameter"]


def _passing_norm(
    alignment: Alignment, norm: NormalNode, names: Sequence[str]
) -> Iterator[tuple[str, Array]]:
    """Scale, shift, mean and variance under which a BatchNorm passes its input on."""
    engine = alignment.first_engine
    epsilon = float(norm.attrs.get("epsilon", 0.0))
    passing = (np.sqrt(1.0 + epsilon), 0.0, 0.0, 1.0)
    for name, number in zip(names, passing, strict=True):
        yield name, np.full_like(engine.array(engine.parameters()[name]), number)


def _folded_values(
    alignment: Alignment, layer: NormalNode, folded: NormalNode, shift: str
) -> Iterator[tuple[str, Array]]:
    """The layer's weight where no row has it; as the BatchNorm's shift what the layer lacks."""
    unused = set(alignment.matching.unused_second)
    ours = _parameters(alignment.matching.first, layer)
    theirs = _parameters(alignment.matching.second, folded)
    held, given = (engine.parameters() for engine in alignment.engines)
    for name, other in zip([*ours, shift], theirs, strict=False):
        same = tuple(held[name].shape) == tuple(given[other].shape)
        if other in unused and same:
            yield name, alignment.second_engine.array(given[other])
