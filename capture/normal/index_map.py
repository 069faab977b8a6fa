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

__all__ = ["Stage", "View"]

Indices = np.ndarray[Any, np.dtype[np.int64]]
OUTSIDE = -(1 << 60)
"""Contribution of a padded coordinate: dominates every sum, so that the sum is negative."""
PROBES = 61
"""How many positions decide whether two large maps are equal."""
FULL = 4096
"""Maps of at most this many elements are compared in full."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One affine step: position -> coordinates by `shape` -> offset + sum of contributions.

    `steps[axis]` is a stride, or a table with the contribution of every coordinate.
    """

    shape: tuple[int, ...]
    steps: tuple[int | tuple[int, ...], ...]
    offset: int = 0

    @property
    def strided(self) -> bool:
        """Whether no axis needs a table and nothing is padding."""
        return self.offset >= 0 and all(isinstance(step, int) for step in self.steps)

    def at(self, positions: Indices) -> Indices:
        """Where the elements at these positions come from."""
        total = np.full(positions.shape, self.offset, np.int64)
        rest = positions
        for extent, step in zip(reversed(self.shape), reversed(self.steps), strict=True):
            rest, coordinate = np.divmod(rest, extent)
            total += (
                coordinate * step
                if isinstance(step, int)
                else np.asarray(step, np.int64)[coordinate]
            )
        return np.where((total < 0) | (positions < 0), -1, total)

    def over(self, flat: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """A strided stage laid over an array of one axis: its elements in place, none copied."""
        return np.lib.stride_tricks.as_strided(
            flat[self.offset :], self.shape, [int(step) * flat.itemsize for step in self.steps]
        )  # type: ignore[arg-type]

    def merged(self) -> Stage:
        """The same step with axes of one element dropped and adjacent strides merged: canonical."""
        shape: list[int] = []
        steps: list[int | tuple[int, ...]] = []
        offset = self.offset
        for extent, step in zip(self.shape, self.steps, strict=True):
            if not isinstance(step, int):
                gaps = set(np.diff(step).tolist())
                if len(step) == 1 or (len(gaps) == 1 and min(step) > OUTSIDE // 2):
                    offset, step = offset + step[0], (gaps.pop() if gaps else 0)
            if extent == 1:
                offset += 0 if isinstance(step, int) else step[0]
                continue
            last = steps[-1] if steps else None
            if isinstance(last, int) and isinstance(step, int) and last == step * extent:
                shape[-1], steps[-1] = shape[-1] * extent, step
            else:
                shape.append(extent)
                steps.append(step)
        return Stage(tuple(shape), tuple(steps), offset)

    @property
    def padded(self) -> bool:
        """Whether some positions are padding."""
        return self.offset < 0 or any(
            not isinstance(step, int) and min(step, default=0) < OUTSIDE // 2 for step in self.steps
        )

    def inverse(self) -> Stage | None:
        """The step back, for a step that reads everything exactly once; None where it does not."""
        axes: list[tuple[int, int, int | tuple[int, ...]]] = []
        offset = 0
        for extent, step, back in zip(self.shape, self.steps, contiguous(self.shape), strict=True):
            if extent == 1:
                if step != 0 and not isinstance(step, int):
                    offset += step[0]
                continue
            if isinstance(step, int):
                axes.append((abs(step), extent, back if step > 0 else -back))
                offset += min(step * (extent - 1), 0)
            else:
                low = min(step)
                width = min((value - low for value in step if value != low), default=0)
                order = sorted(range(extent), key=step.__getitem__)
                if width <= 0 or [step[at] - low for at in order] != [
                    width * at for at in range(extent)
                ]:
                    return None
                axes.append((width, extent, tuple(at * back for at in order)))
                offset += low
        if self.offset + offset != 0:
            return None
        axes.sort(key=lambda axis: axis[0], reverse=True)
        shape = tuple(extent for _, extent, _ in axes)
        if tuple(width for width, _, _ in axes) != contiguous(shape):
            return None
        start = sum(
            -back * (extent - 1) for _, extent, back in axes if isinstance(back, int) and back < 0
        )
        return Stage(shape, tuple(back for _, _, back in axes), start).merged()

    def split(self, shape: tuple[int, ...]) -> Stage | None:
        """The same step over coordinates of another shape, None where strides cannot say it."""
        merged = self.merged()
        steps: list[int | tuple[int, ...]] = []
        axes = list(zip(merged.shape, merged.steps, strict=True))
        wanted = list(shape)
        while wanted:
            extent = wanted.pop()
            if extent == 1:
                steps.append(0)
                continue
            if not axes:
                return None
            room, step = axes.pop()
            if room == extent:
                steps.append(step)
            elif isinstance(step, int) and room % extent == 0:
                steps.append(step)
                axes.append((room // extent, step * extent))
            else:
                return None
        return None if axes else Stage(shape, tuple(reversed(steps)), merged.offset)


def contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    """Row-major strides, in elements."""
    steps = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        steps[axis] = steps[axis + 1] * shape[axis + 1]
    return tuple(steps)


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

        Axes along which positions only shift by a fixed amount keep it as their stride or table; the
        others, where they stand together, become one table.
        """
        shape = indices.shape
        padded = bool((indices < 0).any())
        steps: list[int | tuple[int, ...] | None] = []
        for axis in range(indices.ndim):
            along = indices - indices.take([0], axis)
            first = along.reshape(*shape[: axis + 1], -1)[(0,) * axis][:, 0] if not padded else None
            free = first is not None and bool(
                np.all(
                    along == first.reshape((1,) * axis + (-1,) + (1,) * (indices.ndim - axis - 1))
                )
            )
            steps.append(
                tuple(int(value) for value in first) if free and first is not None else None
            )
        tied = [axis for axis, step in enumerate(steps) if step is None]
        if tied and tied != list(range(tied[0], tied[-1] + 1)):
            tied = list(range(tied[0], tied[-1] + 1))
        start = int(indices.reshape(-1)[0]) if indices.size and not padded else 0
        if tied:
            at = tuple(slice(None) if axis in tied else 0 for axis in range(indices.ndim))
            table = tuple(
                OUTSIDE if value < 0 else int(value) - start for value in indices[at].reshape(-1)
            )
            if padded and len(tied) < indices.ndim:
                tied, table = (
                    list(range(indices.ndim)),
                    tuple(OUTSIDE if value < 0 else int(value) for value in indices.reshape(-1)),
                )
            merged = (*shape[: tied[0]], len(table), *shape[tied[-1] + 1 :])
            kept = (*steps[: tied[0]], table, *steps[tied[-1] + 1 :])
        else:
            merged, kept = shape, tuple(steps)
        stage = Stage(merged, tuple(step for step in kept if step is not None), start)
        return cls(source, shape, _canonical(source, (stage,)))

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
        """The given coordinates of an axis, in that order; -1 stands for padding (not "the last")."""
        stage, below = self._top()
        step = stage.steps[axis]
        shape = (*stage.shape[:axis], len(coordinates), *stage.shape[axis + 1 :])
        offset = stage.offset
        new: int | tuple[int, ...]
        if (
            isinstance(coordinates, range)
            and isinstance(step, int)
            and len(coordinates)
            and min(coordinates) >= 0
        ):
            offset += coordinates[0] * step
            new = step * coordinates.step
        else:
            new = tuple(
                OUTSIDE if c < 0 else (c * step if isinstance(step, int) else step[c])
                for c in coordinates
            )
        return self._with(
            below, Stage(shape, (*stage.steps[:axis], new, *stage.steps[axis + 1 :]), offset)
        )

    def expand(self, shape: Sequence[int]) -> View:
        """Broadcast to a shape, as numpy.broadcast_to."""
        stage, below = self._top()
        lead = len(shape) - len(stage.shape)
        steps: list[int | tuple[int, ...]] = [0] * lead
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
        if not self.stages:
            return self
        stage = self.stages[-1].split(self.shape)
        if stage is None or 0 not in stage.steps:
            return self
        shape = tuple(
            1 if step == 0 else extent
            for extent, step in zip(stage.shape, stage.steps, strict=True)
        )
        return (
            self
            if shape == self.shape
            else self._with(self.stages[:-1], Stage(shape, stage.steps, stage.offset))
        )

    def top(self) -> Stage | None:
        """The whole view as one step over the operand's own axes; None where it takes several."""
        if len(self.stages) > 1:
            return None
        return (
            self.stages[0].split(self.shape)
            if self.stages
            else Stage(self.shape, contiguous(self.shape))
        )

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
            merged = self.stages[0].merged()  # canonical, so strides say it
            return merged.offset == 0 and merged.steps in ((), (1,))
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
        """The operand for a source array; padding reads zero."""
        flat = np.ascontiguousarray(array).reshape(-1)
        if flat.size != self.source:
            raise ValueError(f"expected {self.source} elements, found {flat.size}")
        for stage in self.stages:
            if stage.strided:
                flat = np.array(stage.over(flat), order="C").reshape(-1)
            else:
                found = stage.at(np.arange(math.prod(stage.shape), dtype=np.int64))
                flat = np.where(found < 0, np.zeros((), flat.dtype), flat[np.maximum(found, 0)])
        return flat.reshape(self.shape)

    def scatter(self, target: np.ndarray[Any, Any], values: np.ndarray[Any, Any]) -> None:
        """Writes operand values to the places of a source-sized, contiguous array they come from."""
        flat = target.reshape(-1)
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

    def _top(self) -> tuple[Stage, tuple[Stage, ...]]:
        if self.stages:
            stage = self.stages[-1].split(self.shape)
            if stage is not None:
                return stage, self.stages[:-1]
        return Stage(self.shape, contiguous(self.shape)), self.stages

    def _with(self, below: tuple[Stage, ...], stage: Stage) -> View:
        merged = stage.merged()
        size = math.prod(below[-1].shape) if below else self.source
        if merged.offset == 0 and merged.steps in ((), (1,)) and math.prod(merged.shape) == size:
            return View(self.source, stage.shape, below)
        fused = _fused(below[-1], merged) if below else None
        if fused is not None:
            return View(self.source, stage.shape, _canonical(self.source, (*below[:-1], fused)))
        return View(self.source, stage.shape, (*below, merged))


@lru_cache(maxsize=1 << 12)
def _identity(shape: tuple[int, ...]) -> View:
    return View(math.prod(shape), shape)


# Models repeat their blocks, so the same few movements come again and again, and what a view answers once it
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
    fused = _fused(outer.stages[-1], inner.stages[0])
    middle = outer.stages[-1:] + inner.stages[:1] if fused is None else (fused,)
    return View(
        outer.source,
        inner.shape,
        _canonical(outer.source, outer.stages[:-1] + middle + inner.stages[1:]),
    )


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
        _canonical(view.size, tuple(stage for stage in stages if stage is not None)),
    )


def _fused(outer: Stage, inner: Stage) -> Stage | None:
    """One step for two, where the inner one moves whole axes of the outer one or parts of them:
    each inner axis runs along a single outer axis and never leaves it. None otherwise."""
    if outer.padded or not inner.strided or math.prod(inner.shape) == 0:
        return None
    strides = contiguous(outer.shape)
    starts = []
    rest = inner.offset
    for stride in strides:
        starts.append(rest // stride)
        rest %= stride
    reach = list(starts)
    low = list(starts)
    steps: list[int] = []
    inner = _divided(inner, outer.shape, strides)
    for extent, step in zip(inner.shape, inner.steps, strict=True):
        assert isinstance(step, int)
        if step == 0 or extent == 1:
            steps.append(0)
            continue
        axis = next(
            (
                at
                for at, stride in enumerate(strides)
                if outer.shape[at] > 1
                and step % stride == 0
                and abs(step) // stride < outer.shape[at]
            ),
            None,
        )
        if axis is None:
            return None
        along = outer.steps[axis]
        if not isinstance(along, int):
            return None
        count = step // strides[axis]
        if count > 0:
            reach[axis] += count * (extent - 1)
        else:
            low[axis] += count * (extent - 1)
        steps.append(count * along)
    if any(top >= extent for top, extent in zip(reach, outer.shape, strict=True)) or any(
        bottom < 0 for bottom in low
    ):
        return None
    offset = outer.offset
    for start, along in zip(starts, outer.steps, strict=True):
        offset += start * along if isinstance(along, int) else along[start]
    return Stage(inner.shape, tuple(steps), offset)


def _divided(inner: Stage, shape: Sequence[int], strides: Sequence[int]) -> Stage:
    """The same step with axes divided where they run over several axes of the outer shape: heads of a
    batch read as one axis of batch times heads."""
    extents: list[int] = []
    steps: list[int | tuple[int, ...]] = []
    for extent, step in zip(inner.shape, inner.steps, strict=True):
        parts = [(extent, step)]
        while isinstance(parts[0][1], int) and parts[0][1] > 0:
            extent, step = parts[0][0], int(parts[0][1])
            block = next(
                (
                    stride * room
                    for stride, room in zip(strides, shape, strict=True)
                    if stride <= step < stride * room
                ),
                0,
            )
            count = block // step if block and block % step == 0 else 0
            if count < 2 or extent <= count or extent % count:
                break
            parts[:1] = [(extent // count, block), (count, step)]
        extents.extend(part[0] for part in parts)
        steps.extend(part[1] for part in parts)
    return Stage(tuple(extents), tuple(steps), inner.offset)


def _canonical(source: int, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """Merges every stage and drops those that read everything in order."""
    kept = []
    size = source
    for stage in stages:
        merged = stage.merged()
        if merged.offset == 0 and merged.steps in ((), (1,)) and math.prod(merged.shape) == size:
            continue
        kept.append(merged)
        size = math.prod(merged.shape)
    return tuple(kept)


def _distinct(stage: Stage) -> bool:
    """Whether strides alone show that all positions differ: each exceeds the reach of the smaller."""
    reach = 0
    for step, extent in sorted(
        (abs(int(s)), e) for s, e in zip(stage.steps, stage.shape, strict=True)
    ):  # type: ignore[arg-type]
        if extent > 1 and step <= reach:
            return False
        reach += step * (extent - 1)
    return True
