"""Pure data movement as an index map: which element of a source stands at each place of an operand.

A view answers reshape, transpose, slice, select, expand, flip, gather, roll and zero padding in one
form. It is held by shape and strides, never by one number an element, so that the view of a weight
with a billion elements costs nothing; tables appear only along an axis that is really gathered.
Positions are flat (row-major); -1 stands for padding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from padiff_graph.capture.normal.index_step import (
    OUTSIDE,
    Indices,
    Stage,
    Step,
    canonical,
    contiguous,
)
from padiff_graph.capture.normal.step_fusion import fused

__all__ = ["Indices", "Stage", "View", "contiguous"]

PROBES = 61
"""How many positions decide whether two large maps are equal."""
FULL = 4096
"""Maps of at most this many elements are compared in full."""


@dataclass(frozen=True)
class View:
    """An operand as an index map into its source; see the module.

    Attributes:
        source: number of elements of the source.
        shape: shape of the operand.
        stages: steps from the operand back to the source; none is the identity.
    """

    source: int
    shape: tuple[int, ...]
    stages: tuple[Stage, ...] = ()

    @classmethod
    def of(cls, shape: Sequence[int]) -> View:
        """The identity on a tensor of this shape."""
        return _identity(tuple(shape))

    @classmethod
    def gathered(cls, source: int, indices: Indices) -> View:
        """The view that reads the source positions `indices`, in their shape; -1 for padding.

        Axes along which positions only shift by a fixed amount keep it as their stride or table;
        the others, where they stand together, become one table.
        """
        stage = _gathered(indices)
        return cls(source, indices.shape, canonical(source, (stage,)))

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.source, self.shape, self.stages))

    # -- movements: each returns the view of the moved tensor

    def reshape(self, shape: Sequence[int]) -> View:
        """Another shape over the same row-major order."""
        shape = tuple(shape)
        return self if shape == self.shape else _reshaped(self, shape)

    def transpose(self, axes: Sequence[int]) -> View:
        """Axes in another order, as numpy.transpose."""
        return _transposed(self, tuple(axes))

    def slice(self, axis: int, start: int, stop: int, step: int = 1) -> View:
        """Coordinates range(start, stop, step) of an axis; bounds already made concrete."""
        return self.take(axis, range(start, stop, step))

    def select(self, axis: int, index: int) -> View:
        """One coordinate of an axis, the axis dropped."""
        taken = self.take(axis, (index,))
        return taken.reshape(taken.shape[:axis] + taken.shape[axis + 1 :])

    def take(self, axis: int, coordinates: Sequence[int] | range) -> View:
        """The given coordinates of an axis, in that order; -1 stands for padding (not "the
        last")."""
        stage, below = self._top()
        step, offset = stage.steps[axis], stage.offset
        even = isinstance(coordinates, range) and len(coordinates) > 0 and min(coordinates) >= 0
        taken: Step
        if isinstance(step, int) and isinstance(coordinates, range) and even:
            offset += coordinates[0] * step
            taken = step * coordinates.step
        else:
            taken = tuple([_contribution(step, coordinate) for coordinate in coordinates])
        shape = (*stage.shape[:axis], len(coordinates), *stage.shape[axis + 1 :])
        steps = (*stage.steps[:axis], taken, *stage.steps[axis + 1 :])
        return self._with(below, Stage(shape, steps, offset))

    def expand(self, shape: Sequence[int]) -> View:
        """Broadcast to a shape, as numpy.broadcast_to."""
        stage, below = self._top()
        lead = len(shape) - len(stage.shape)
        steps: list[Step] = [0] * lead
        offset = stage.offset
        for axis, extent in enumerate(stage.shape):
            step = stage.steps[axis]
            if extent == 1 and shape[lead + axis] != 1:
                if not isinstance(step, int):
                    offset += step[0]
                step = 0
            steps.append(step)
        return self._with(below, Stage(tuple(shape), tuple(steps), offset))

    def pad(self, widths: Sequence[tuple[int, int]]) -> View:
        """Zero padding before and after each axis."""
        view = self
        for axis, (before, after) in enumerate(widths):
            if before or after:
                view = view.take(axis, [-1] * before + list(range(view.shape[axis])) + [-1] * after)
        return view

    def then(self, inner: View) -> View:
        """This view read through another: `inner` is a view whose source is this view's operand."""
        if inner.source != self.size:
            raise ValueError(
                f"a view of {inner.source} elements cannot read an operand of {self.size}"
            )
        if not self.stages:
            return inner
        return self.reshape(inner.shape) if not inner.stages else _composed(self, inner)

    def unexpanded(self) -> View:
        """The view with one element along every axis over which it does not change."""
        stage = self.stages[-1].split(self.shape) if self.stages else None
        if stage is None or 0 not in stage.steps:
            return self
        shape = tuple([1 if step == 0 else stage.shape[at] for at, step in enumerate(stage.steps)])
        if shape == self.shape:
            return self
        return self._with(self.stages[:-1], Stage(shape, stage.steps, stage.offset))

    def top(self) -> Stage | None:
        """The whole view as one step over the operand's own axes; None where it takes several."""
        if not self.stages:
            return Stage(self.shape, contiguous(self.shape))
        return self.stages[0].split(self.shape) if len(self.stages) == 1 else None

    def inverse(self, shape: Sequence[int]) -> View | None:
        """The view back: reads this view's operand and yields its source in `shape`.

        None where this is no permutation, or where strides and tables along axes cannot say it.
        """
        if self.size != self.source:
            return None
        return _inverted(self, tuple(shape)) if self.stages else View.of(shape)

    # -- questions

    @cached_property
    def padded(self) -> bool:
        """Whether some elements of the operand are padding."""
        return any(stage.padded for stage in self.stages)

    @cached_property
    def size(self) -> int:
        """Number of elements of the operand."""
        return math.prod(self.shape)

    @cached_property
    def identity(self) -> bool:
        """Whether the operand holds the source's elements in the source's order (shape aside)."""
        if self.size != self.source:
            return False
        if len(self.stages) == 1 and self.stages[0].strided:
            return self.stages[0].merged().whole(self.source)  # canonical, so strides say it
        return not self.stages or self.same(View(self.source, self.shape))

    @cached_property
    def probe(self) -> tuple[int, ...]:
        """The map at fixed positions: equal maps have equal probes; use it as a label."""
        size = self.size
        if size <= FULL:
            positions = np.arange(size, dtype=np.int64)
        else:
            spread = np.random.default_rng(size).integers(0, size, PROBES)
            positions = np.concatenate([spread, np.arange(4), size - 1 - np.arange(4)]).astype(
                np.int64
            )
        found = self.at(positions)
        return (size, *found[:16].tolist(), hash(found.tobytes()))

    def same(self, other: View) -> bool:
        """Whether two views of sources of equal size read the same elements in the same order."""
        if self.size != other.size or self.source != other.source:
            return False
        return self.stages == other.stages or self.probe == other.probe

    @property
    def start(self) -> int:
        """The source position of the first element; 0 where there is none."""
        return int(self.at(np.zeros(1, np.int64))[0]) if self.size else 0

    def at(self, positions: Indices) -> Indices:
        """The source position of each operand position."""
        for stage in reversed(self.stages):
            positions = stage.at(positions)
        return positions

    def indices(self) -> Indices:
        """The whole map, flat: one number an element."""
        return self.at(np.arange(self.size, dtype=np.int64))

    @cached_property
    def injective(self) -> bool:
        """Whether no source element is read twice (padding aside)."""
        if all(stage.strided and _distinct(stage) for stage in self.stages):
            return True
        return _injective(self)

    @property
    def permutation(self) -> bool:
        """Whether every source element is read exactly once."""
        return self.size == self.source and self.injective

    # -- work

    def apply(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The operand for a source array; padding reads zero. A view of twice as many elements as
        there are complex numbers reads their parts."""
        flat = self._numbers(np.ascontiguousarray(array))
        if flat.size != self.source:
            raise ValueError(f"expected {self.source} elements, found {flat.size}")
        for stage in self.stages:
            if stage.strided:
                flat = _copied(stage.over(flat)).reshape(-1)
            else:
                found = stage.at(np.arange(math.prod(stage.shape), dtype=np.int64))
                flat = np.where(found < 0, np.zeros((), flat.dtype), flat[np.maximum(found, 0)])
        return flat.reshape(self.shape)

    def scatter(self, target: np.ndarray[Any, Any], values: np.ndarray[Any, Any]) -> None:
        """Writes operand values to the places of a source-sized, contiguous array they come
        from; to the parts of complex numbers as `apply` reads them."""
        flat = self._numbers(target)
        if not self.stages:
            flat[...] = np.asarray(values).reshape(-1)
            return
        if len(self.stages) == 1 and self.stages[0].strided and _distinct(self.stages[0]):
            self.stages[0].over(flat)[...] = np.asarray(values).reshape(self.stages[0].shape)
            return
        found = self.indices()
        keep = found >= 0
        flat[found[keep]] = np.asarray(values).reshape(-1)[keep]

    # -- internals

    def _numbers(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """A contiguous array flat, of complex numbers their parts where the view is of those."""
        flat = array.reshape(-1)
        parts = flat.dtype.kind == "c" and self.source == 2 * flat.size
        return flat.view(flat.real.dtype) if parts else flat

    def _top(self) -> tuple[Stage, tuple[Stage, ...]]:
        if self.stages:
            stage = self.stages[-1].split(self.shape)
            if stage is not None:
                return stage, self.stages[:-1]
        return Stage(self.shape, contiguous(self.shape)), self.stages

    def _with(self, below: tuple[Stage, ...], stage: Stage) -> View:
        merged = stage.merged()
        size = math.prod(below[-1].shape) if below else self.source
        if merged.whole(size):
            return View(self.source, stage.shape, below)
        joined = fused(below[-1], merged) if below else None
        if joined is not None:
            return View(self.source, stage.shape, canonical(self.source, (*below[:-1], joined)))
        return View(self.source, stage.shape, (*below, merged))


@lru_cache(maxsize=1 << 12)
def _identity(shape: tuple[int, ...]) -> View:
    return View(math.prod(shape), shape)


# Models repeat their blocks, so the same few movements come again and again, and what a view
# answers once it
# answers for all of them.
@lru_cache(maxsize=1 << 12)
def _reshaped(view: View, shape: tuple[int, ...]) -> View:
    if math.prod(shape) != view.size:
        raise ValueError(f"cannot reshape {view.shape} to {shape}")
    return View(view.source, shape, view.stages) if view.stages else _identity(shape)


@lru_cache(maxsize=1 << 12)
def _transposed(view: View, axes: tuple[int, ...]) -> View:
    stage, below = view._top()
    return view._with(
        below,
        Stage(
            tuple(stage.shape[a] for a in axes), tuple(stage.steps[a] for a in axes), stage.offset
        ),
    )


@lru_cache(maxsize=1 << 12)
def _composed(outer: View, inner: View) -> View:
    joined = fused(outer.stages[-1], inner.stages[0])
    middle = outer.stages[-1:] + inner.stages[:1] if joined is None else (joined,)
    stages = outer.stages[:-1] + middle + inner.stages[1:]
    return View(outer.source, inner.shape, canonical(outer.source, stages))


@lru_cache(maxsize=1 << 12)
def _injective(view: View) -> bool:
    found = view.indices()
    found = found[found >= 0]
    seen = np.zeros(view.source, bool)
    seen[found] = True
    return int(np.count_nonzero(seen)) == len(found)


@lru_cache(maxsize=1 << 12)
def _inverted(view: View, shape: tuple[int, ...]) -> View | None:
    stages = [stage.inverse() for stage in reversed(view.stages)]
    if any(stage is None for stage in stages):
        return None
    return View(
        view.size,
        shape,
        canonical(view.size, tuple(stage for stage in stages if stage is not None)),
    )


def _distinct(stage: Stage) -> bool:
    """Whether strides alone show that all positions differ: each exceeds the reach of the
    smaller."""
    reach = 0
    for step, extent in sorted(zip(map(abs, stage.strides()), stage.shape, strict=True)):
        if extent > 1 and step <= reach:
            return False
        reach += step * (extent - 1)
    return True


def _contribution(step: Step, coordinate: int) -> int:
    """What a coordinate adds to a position."""
    if coordinate < 0:
        return OUTSIDE
    return coordinate * step if isinstance(step, int) else step[coordinate]


def _gathered(indices: Indices) -> Stage:
    """A map in full as one step.

    Axes along which positions only shift by a fixed amount keep it as their table; the others,
    where they stand together, become one table, and what stands between them with them. With
    padding all are one.
    """
    shape, rank = indices.shape, indices.ndim
    if bool((indices < 0).any()):
        table = tuple([OUTSIDE if at < 0 else int(at) for at in indices.reshape(-1)])
        return Stage((len(table),), (table,))
    steps = [_shifts(indices, axis) for axis in range(rank)]
    tied = [axis for axis, step in enumerate(steps) if step is None]
    start = int(indices.reshape(-1)[0]) if indices.size else 0
    if tied:
        first, behind = tied[0], tied[-1] + 1
        own = indices[tuple(slice(None) if first <= at < behind else 0 for at in range(rank))]
        steps[first:behind] = [tuple((own.reshape(-1) - start).tolist())]
        shape = (*shape[:first], own.size, *shape[behind:])
    return Stage(shape, tuple([step for step in steps if step is not None]), start)


def _shifts(indices: Indices, axis: int) -> tuple[int, ...] | None:
    """By how much positions shift along an axis; None where that is not the same everywhere."""
    along = indices - indices.take([0], axis)
    first = np.moveaxis(along, axis, 0).reshape(along.shape[axis], -1)[:, :1]
    if not bool(np.all(np.moveaxis(along, axis, -1) == first[:, 0])):
        return None
    return tuple(first[:, 0].tolist())


LARGE = 1 << 16
"""Elements from which a transposed copy is made in strips: fewer stay in a processor's cache."""
STRIP = 16
"""Elements of a strip: a cache line of float32, measured 3 times as fast as numpy's own order on a
matrix of 32000 by 1024, and no slower than wider ones."""


def _copied(view: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A contiguous copy; of a large transposed one in strips, which keep to the cache."""
    last = view.strides[-1] if view.ndim else 0
    if view.size < LARGE or last <= view.itemsize:
        return np.array(view, order="C")
    made = np.empty(view.shape, view.dtype)
    for begin in range(0, view.shape[-1], STRIP):
        strip = slice(begin, begin + STRIP)
        made[..., strip] = view[..., strip]
    return made
