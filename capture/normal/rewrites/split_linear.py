"""A fused Linear taken apart: one for each set of features that its readers read together."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Container, Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from networkx.utils import UnionFind

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal.builder import Builder
from padiff_graph.capture.normal.draft import Draft
from padiff_graph.capture.normal.edges import shape_of, take, view_of
from padiff_graph.capture.normal.form import HELD, Edge, Location
from padiff_graph.capture.normal.index_map import Indices, Stage, View

__all__ = ["split_linear"]


class _Reading:
    """What one reader reads of the features, as a step over [row, feature]."""

    def __init__(self, view: View, features: int) -> None:
        self.view = view
        self.width = features
        self.stage = _by_row(view.stages[0].merged(), features)
        self.inner: list[tuple[int, Indices]] = []
        """Axes that move among the features, with the feature contribution of each coordinate."""
        self.known = not self.stage.padded and self._axes(self.stage)

    def _axes(self, stage: Stage) -> bool:
        low = high = stage.offset % self.width
        for axis, (extent, step) in enumerate(zip(stage.shape, stage.steps, strict=True)):
            along = (
                np.arange(extent, dtype=np.int64) * step
                if isinstance(step, int)
                else np.asarray(step, np.int64)
            )
            if not np.any(along % self.width):
                continue
            if (
                np.abs(along).max() < self.width
                if not isinstance(step, int)
                else abs(step) < self.width
            ):
                self.inner.append((axis, along))
                low, high = low + int(along.min()), high + int(along.max())
            else:
                return False
        return low >= 0 and high < self.width

    @cached_property
    def features_read(self) -> Indices:
        """The features, in the order of the inner axes."""
        total = np.asarray(self.stage.offset % self.width, np.int64)
        for _, along in self.inner:
            total = np.add.outer(total, along)
        return total

    @cached_property
    def features(self) -> Indices:
        """The features, each once, in ascending order."""
        return np.unique(self.features_read)

    def among(self, chosen: Indices) -> View | None:
        """The same operand read from the chosen features only, which come in ascending order."""
        count = len(chosen)
        new = np.searchsorted(chosen, self.features_read)
        start = new.reshape(-1)[0]
        steps: list[int | tuple[int, ...]] = []
        whole = np.asarray(start, np.int64)
        place = 0
        for axis, step in enumerate(self.stage.steps):
            if place < len(self.inner) and self.inner[place][0] == axis:
                along = np.moveaxis(new, place, 0).reshape(new.shape[place], -1)[:, 0] - start
                steps.append(tuple(int(value) for value in along))
                whole = np.add.outer(whole, along)
                place += 1
            elif isinstance(step, int):
                steps.append(step // self.width * count)
            else:
                steps.append(tuple(value // self.width * count for value in step))
        if not np.array_equal(whole, new):
            return None
        offset = self.stage.offset // self.width * count + int(start)
        source = self.view.source // self.width * count
        stage = Stage(self.stage.shape, tuple(steps), offset).merged()
        if stage.offset == 0 and stage.steps in ((), (1,)) and math.prod(stage.shape) == source:
            return View(source, self.view.shape)
        return View(source, self.view.shape, (stage,))


def _by_row(stage: Stage, features: int) -> Stage:
    """The same step with axes that run over features and on over rows taken apart."""
    shape: list[int] = []
    steps: list[int | tuple[int, ...]] = []
    for extent, step in zip(stage.shape, stage.steps, strict=True):
        inside = (
            features // step
            if isinstance(step, int) and 0 < step < features and features % step == 0
            else 0
        )
        if inside and extent > inside and extent % inside == 0:
            shape += [extent // inside, inside]
            steps += [features, step]
        else:
            shape.append(extent)
            steps.append(step)
    return Stage(tuple(shape), tuple(steps), stage.offset)


def split_linear(builder: Builder) -> None:
    """Takes every fused Linear apart whose readers fall into groups that share no feature.

    The groups are connected components: the halves that rotary embeddings read overlap with the
    whole head. Query, key and value in one product, gate and up projections, become Linears of
    their own; features that nothing reads go.
    """
    order = builder.order()
    linears = {
        draft.id: draft for draft in order if draft.op == "Linear" and not draft.marks & HELD
    }
    readers = _readers(builder, order, linears)
    for draft in linears.values():
        places = readers[draft.id]
        pieces = _pieces([view_of(edge) for _, _, edge in places], draft.shape[-1])
        for chosen, views in pieces:
            piece = _piece(builder, draft, chosen)
            for at, view in views.items():
                holder, key, edge = places[at]
                holder[key] = edge._replace(source=piece.id, output=0, view=view)
        if pieces:
            builder.note("split_linear", draft)


def _pieces(views: Sequence[View], features: int) -> list[tuple[Indices, dict[int, View]]]:
    """Sets of features that readers read together, with the readers' views of them by position.

    None of them where there is nothing to take apart: a reader of everything, one set of all
    features, views that do not tell.
    """
    if not views or any(len(view.stages) != 1 for view in views):
        return []
    readings = [_reading(view, features) for view in views]
    if not all(reading.known for reading in readings):
        return []
    components = _components([reading.features for reading in readings], features)
    if len(components) < 2 and len(components[0][0]) == features:
        return []
    pieces = []
    for chosen, members in components:
        among = {at: readings[at].among(chosen) for at in members}
        told = {at: view for at, view in among.items() if view is not None}
        if len(told) < len(among):
            return []
        pieces.append((chosen, told))
    return pieces


@lru_cache(maxsize=1 << 10)
def _reading(view: View, features: int) -> _Reading:
    return _Reading(view, features)


def _readers(
    builder: Builder, order: Sequence[Draft], among: Container[int]
) -> dict[int, list[tuple[Any, Any, Edge]]]:
    """By draft among these, every edge that reads it and where that stands: (holder, key, edge)
    with holder[key] the edge."""
    readers: dict[int, list[tuple[Any, Any, Edge]]] = defaultdict(list)
    for draft in order:
        for position, edge in enumerate(draft.inputs):
            if edge is not None and edge.source in among:
                readers[edge.source].append((draft.inputs, position, edge))
    for holder in (builder.outputs, builder.updates):
        for name, edge in holder.items():
            readers[edge.source].append((holder, name, edge))
    return readers


def _components(sets: Sequence[Indices], features: int) -> list[tuple[Indices, list[int]]]:
    """Groups of readings that share features: (features in order, readings)."""
    owner = np.full(features, -1, np.int64)
    together: UnionFind[int] = UnionFind(range(len(sets)))
    for at, read in enumerate(sets):
        for earlier in np.unique(owner[read]):
            if earlier >= 0:
                together.union(int(earlier), at)
        owner[read] = at
    groups: dict[int, list[int]] = {}
    for at in range(len(sets)):
        groups.setdefault(together[at], []).append(at)
    return [
        (np.unique(np.concatenate([sets[at] for at in members])), members)
        for members in groups.values()
    ]


def _piece(builder: Builder, draft: Draft, chosen: Indices) -> Draft:
    """The Linear of some features only."""
    listed = [int(feature) for feature in chosen]
    columns: Sequence[int] | range = (
        range(listed[0], listed[-1] + 1) if listed[-1] - listed[0] + 1 == len(listed) else listed
    )
    x, weight, bias = draft.inputs
    assert x is not None and weight is not None
    shape = (*draft.shape[:-1], len(listed))
    inputs = [
        x,
        take(weight, 1, columns),
        None if bias is None else take(bias, len(shape_of(bias)) - 1, columns),
    ]
    piece = builder.add(
        "Linear",
        inputs,
        {},
        (TensorType(shape, draft.outputs[0].dtype),),
        native=draft.native,
        like=draft,
    )
    place = draft.locations[0]
    if place is not None:
        piece.locations[0] = Location(place.value, place.view.take(len(shape) - 1, columns))
    return piece
