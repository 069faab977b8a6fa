"""Weights of which a recording holds the hashes: where the other model holds the same numbers, the
map says in which layout, and the hash shows that they are the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import cast

import numpy as np

from padiff_graph.capture.engine import Array, Engine
from padiff_graph.capture.held_weights import held_weights
from padiff_graph.executor.transfer import mapped, read
from padiff_graph.matching.result import ParameterRow, Piece
from padiff_graph.sides.recorded_engine import RecordedEngine, is_recorded

__all__ = ["learn_weights", "unshown"]

Rows = Collection[ParameterRow]


def unshown(engine: Engine) -> frozenset[str]:
    """Weights of a model whose numbers are not known."""
    return cast(RecordedEngine, engine).model.hashed.unknown if is_recorded(engine) else frozenset()


def learn_weights(rows: Rows, engines: tuple[Engine, Engine]) -> bool:
    """Has the recorded side of a pair know its hashed weights where the other side, laid out by the
    rows of a map, has their hashes; says whether it learned any."""
    learned = False
    for number, laid_out in ((0, _of_first), (1, _of_second)):
        unknown = unshown(engines[number])
        if not unknown or unshown(engines[1 - number]):
            continue
        hashed = cast(RecordedEngine, engines[number]).model.hashed
        for name, array in laid_out(rows, unknown, held_weights(engines[1 - number])).items():
            learned |= hashed.shows(name, array)
    return learned


def _of_first(rows: Rows, names: frozenset[str], second: Mapping[str, Array]) -> dict[str, Array]:
    """Weights of the first model, as the second's numbers make them."""
    made: dict[str, Array] = {}
    for row in rows:
        if row.first in names and row.pieces and _plain(row.pieces):
            covered = np.zeros(row.pieces[0].first_view.source, bool)
            for piece in row.pieces:
                piece.first_view.scatter(covered, np.ones(piece.first_view.shape, bool))
            if covered.all():
                own = np.zeros(covered.size, second[row.pieces[0].second].dtype)
                made[row.first] = mapped(row, own, second)
    return made


def _of_second(rows: Rows, names: frozenset[str], first: Mapping[str, Array]) -> dict[str, Array]:
    """Weights of the second model, put together of the first's numbers."""
    held: dict[str, list[tuple[str, Piece]]] = defaultdict(list)
    for row in rows:
        for piece in row.pieces:
            if piece.second in names and row.first in first:
                held[piece.second].append((row.first, piece))
    made: dict[str, Array] = {}
    for name, parts in held.items():
        source = parts[0][1].second_view.source
        target, covered = np.zeros(source, first[parts[0][0]].dtype), np.zeros(source, bool)
        for own, piece in parts:
            values = read(piece.first_view, first[own])
            piece.second_view.scatter(target, values)
            piece.second_view.scatter(covered, np.ones(values.shape, bool))
        if covered.all() and _plain([piece for _, piece in parts]):
            made[name] = target
    return made


def _plain(pieces: Collection[Piece]) -> bool:
    """Whether a weight holds numbers of the other model, and no sum of them."""
    return not any(piece.summed for piece in pieces)
