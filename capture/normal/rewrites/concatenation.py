"""Concatenations of concatenations, of parts of one value, and readers of a single part."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from padiff_graph.capture.normal.builder import KNOWN
from padiff_graph.capture.normal.draft import Draft
from padiff_graph.capture.normal.edges import read_through, shape_of, view_of
from padiff_graph.capture.normal.form import Edge
from padiff_graph.capture.normal.index_map import Stage, View
from padiff_graph.capture.normal.rewrites.operands import present, whole
from padiff_graph.capture.normal.rewrites.rule import Sweep, applies_to

__all__ = ["concat_of_concat", "concat_of_one_source", "part_of_concat"]


@applies_to("Concat")
def concat_of_concat(sweep: Sweep, draft: Draft) -> bool:
    """Concat(Concat(x, y), z) = Concat(x, y, z) along the same axis.

    Refuses parts that are moved or scaled. The inner one may have other readers, which keep it.
    """
    parts: list[Edge | None] = []
    taken: list[Draft] = []
    for edge in draft.inputs:
        inner = sweep.behind(edge, "Concat")
        same_axis = inner is not None and inner.attrs["axis"] == draft.attrs["axis"]
        if edge is not None and inner is not None and same_axis and whole(edge, inner):
            parts.extend(inner.inputs)
            taken.append(inner)
        else:
            parts.append(edge)
    if not taken:
        return False
    sweep.replace(draft, sweep.made_of(draft, "Concat", parts, draft.attrs, *taken))
    return True


@applies_to("Concat")
def concat_of_one_source(sweep: Sweep, draft: Draft) -> bool:
    """Concat(x[rows], x[more rows]) = x[rows and more]: rows gathered one by one, a rolled axis.

    Refuses parts of several sources or scaled differently, shifted padding, and results of more
    than `KNOWN` elements, whose map would be made in full. Leaves movement.
    """
    edges = present(draft)
    first = edges[0]
    if len({(edge.source, edge.output, edge.scale, edge.shift) for edge in edges}) > 1:
        return False
    if len(edges) < 2 or math.prod(draft.shape) > KNOWN:
        return False
    if first.shift != 0.0 and any(view_of(edge).padded for edge in edges):
        return False
    maps = [view_of(edge).indices().reshape(shape_of(edge)) for edge in edges]
    view = View.gathered(view_of(first).source, np.concatenate(maps, draft.attrs["axis"]))
    through = dict.fromkeys(by for edge in edges for by in edge.through)
    whole_edge = first._replace(view=view, through=(*through, *draft.native))
    sweep.builder.replace(draft, whole_edge)
    return True


def part_of_concat(sweep: Sweep, draft: Draft) -> bool:
    """Concat(x, y)[inside x] = x[...]: an operand that reads inside one part only reads that part.

    Refuses maps of several steps or with tables, and readings across parts. Changes the draft in
    place.
    """
    changed = False
    for position, edge in enumerate(draft.inputs):
        inner = sweep.behind(edge, "Concat")
        if edge is None or inner is None or view_of(edge).identity:
            continue
        reading = _Reading.of(edge, inner)
        through = None if reading is None else reading.of_part()
        if through is not None:
            draft.inputs[position] = through
            changed = True
    return changed


class _Reading:
    """An operand that reads a concatenation by strides.

    The concatenation is seen as rows: `room` elements, one for each place along the axis and below
    it, of which every part has `width` behind one another.
    """

    def __init__(self, edge: Edge, concat: Draft, stage: Stage) -> None:
        self.edge = edge
        self.concat = concat
        self.axis: int = concat.attrs["axis"]
        self.below = math.prod(concat.shape[self.axis + 1 :])
        self.room = concat.shape[self.axis] * self.below
        self.stage = stage
        self.axes = list(zip(stage.shape, stage.strides(), strict=True))

    @classmethod
    def of(cls, edge: Edge, concat: Draft) -> _Reading | None:
        """None where the operand is read by more than strides."""
        view = view_of(edge)
        if len(view.stages) != 1 or not view.stages[0].strided or view.size == 0:
            return None
        return cls(edge, concat, view.stages[0])

    def of_part(self) -> Edge | None:
        """The same elements read from the part that has them all; None where none has."""
        reach = self._reach()
        if reach is None:
            return None
        for part, start, width in self._parts():
            if start <= reach[0] and reach[1] < start + width:
                return self._from(part, start, width)
        return None

    def _reach(self) -> tuple[int, int] | None:
        """The least and largest place in a row; None where a step leads from one row into the
        next."""
        low = high = self.stage.offset % self.room
        for extent, step in self.axes:
            if step % self.room:
                span = step * (extent - 1)
                if abs(span) >= self.room:
                    return None
                low, high = low + min(span, 0), high + max(span, 0)
        return (low, high) if low >= 0 and high < self.room else None

    def _parts(self) -> Iterator[tuple[Edge, int, int]]:
        """Each part with its start and width in a row."""
        start = 0
        for part in present(self.concat):
            width = shape_of(part)[self.axis] * self.below
            yield part, start, width
            start += width

    def _from(self, part: Edge, start: int, width: int) -> Edge | None:
        """The operand read from a part."""
        rows, place = divmod(self.stage.offset, self.room)
        steps = tuple(
            step if step % self.room else step // self.room * width for _, step in self.axes
        )
        stage = Stage(self.stage.shape, steps, rows * width + place - start).merged()
        view = View(math.prod(shape_of(part)), view_of(self.edge).shape, (stage,))
        through = (*self.concat.native, *self.edge.through)
        return read_through(part, self.edge._replace(output=0, view=view, through=through))
