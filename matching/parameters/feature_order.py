"""The order of output features that consumers need.

Heads interleaved on one side, in blocks on the other: no permutation of axes relates what the
consumers read, but one of features does. Each reader that the plain order does not fit says where
its features stand.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from padiff_graph.capture.normal.form import NormalNode
from padiff_graph.capture.normal.index_map import Stage, View
from padiff_graph.capture.normal.traits import attributes_equal, traits
from padiff_graph.matching.difference.part_order import exchangeable
from padiff_graph.matching.parameters.layouts import fits
from padiff_graph.matching.parameters.matched_models import MatchedModels, positions
from padiff_graph.matching.parameters.relations import operand_relation, parts, product

__all__ = ["feature_order"]

LARGEST = 1 << 22
"""Largest operand whose order of features is read off element by element: chosen so that it takes
less than a tenth of a second."""


class _Reader(NamedTuple):
    """A matched operation that reads both results, and what each side's reads of them."""

    node: NormalNode
    mine: View
    theirs: View

    def fits(self, results: View) -> bool:
        """Whether the operation can work on what it reads of results so related."""
        operands = operand_relation(self.mine, self.theirs, results)
        return fits(self.node, operands, (self.mine.shape, self.theirs.shape))


def feature_order(
    models: MatchedModels, first: NormalNode, second: NormalNode, plain: View
) -> View | None:
    """The order of output features that the consumers need, where it is not the plain one.

    Args:
        plain: the relation of the results that follows from their operands.
    """
    shape = second.outputs[0].shape
    refused = [reader for reader in _readers(models, first, second) if not reader.fits(plain)]
    if not shape or not refused:
        return None
    axis = traits(first.op).features % len(shape)
    extents = math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
    pieces = parts(plain, extents, (range(axis), (axis,), range(axis + 1, len(shape))))
    if pieces is None:
        return None
    order = _wanted_order(refused, extents[1], extents[2])
    if order is None:
        return None
    table = Stage((extents[1],), (tuple(order.tolist()),)).merged()
    features = View(extents[1], (extents[1],), (table,))
    pieces = [pieces[0], features, *(pieces[2:] if extents[2] > 1 else ())]
    trial = product(pieces)
    trial = View(trial.source, shape, trial.stages)
    return features if all(reader.fits(trial) for reader in refused) else None


def _wanted_order(readers: Sequence[_Reader], count: int, inner: int) -> np.ndarray | None:
    """For each feature of the second side the first side's that its readers read; None where they
    disagree.

    Args:
        count: of features.
        inner: elements of one feature at one position.
    """
    order = np.full(count, -1, np.int64)
    for _, mine, theirs in readers:
        if mine.size > LARGEST or mine.padded or theirs.padded:
            return None
        wanted = mine.indices() // inner % count
        places = theirs.indices() // inner % count
        order[places] = wanted
        if not np.array_equal(order[places], wanted):
            return None
    unread = np.flatnonzero(order < 0)
    if np.isin(unread, order).any():
        return None
    order[unread] = unread
    return order if len(np.unique(order)) == count else None


def _readers(models: MatchedModels, first: NormalNode, second: NormalNode) -> Iterator[_Reader]:
    """Matched operations that read both results at corresponding positions."""
    for consumer, position in models.users[first.id]:
        index = models.at.get(consumer)
        if index is None:
            continue
        match = models.matches[index]
        mine, theirs = models.first.nodes[consumer], models.second.nodes[match.second]
        for place, other in positions(match, mine, theirs):
            if place == position and other < len(theirs.inputs):
                reader = _reader(mine, theirs, (position, other), second.id)
                if reader is not None:
                    yield reader


def _reader(
    mine: NormalNode, theirs: NormalNode, places: tuple[int, int], source: int
) -> _Reader | None:
    """The reader where both operands read the results, as much of them; None where they do not."""
    own, its = mine.inputs[places[0]], theirs.inputs[places[1]]
    if own is None or its is None or its.source != source:
        return None
    if own.view is None or its.view is None or own.view.size != its.view.size:
        return None
    if exchangeable(mine) and not attributes_equal(own.scale, its.scale):
        return None  # another part, whatever it reads
    return _Reader(mine, own.view, its.view)
