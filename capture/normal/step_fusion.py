"""Two affine steps as one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from padiff_graph.capture.normal.index_step import Stage, contiguous

__all__ = ["fused"]


def fused(outer: Stage, inner: Stage) -> Stage | None:
    """One step for two, where the inner one moves whole axes of the outer one or parts of them:
    each inner axis runs along a single outer axis and never leaves it. None otherwise."""
    if outer.padded or not inner.strided or math.prod(inner.shape) == 0:
        return None
    walk = _Walk(outer, inner.offset)
    inner = _divided(inner, outer.shape, walk.strides)
    for extent, step in zip(inner.shape, inner.strides(), strict=True):
        if not walk.along(extent, step):
            return None
    if not walk.inside():
        return None
    return Stage(inner.shape, tuple(walk.steps), walk.offset)


class _Walk:
    """Where the axes of an inner step lead among the coordinates of an outer one.

    Attributes:
        strides: of the outer shape.
        steps: of the whole, so far.
        offset: of the whole.
    """

    def __init__(self, outer: Stage, start: int) -> None:
        self.outer = outer
        self.strides = contiguous(outer.shape)
        self.steps: list[int] = []
        self.offset = outer.offset
        self.low: list[int] = []
        for stride, along in zip(self.strides, outer.steps, strict=True):
            coordinate, start = divmod(start, stride)
            self.low.append(coordinate)
            self.offset += (
                coordinate * along if isinstance(along, int) else _entry(along, coordinate)
            )
        self.high = list(self.low)

    def along(self, extent: int, step: int) -> bool:
        """Takes an axis of the inner step in; whether it runs along one outer axis by strides."""
        if step == 0 or extent == 1:
            self.steps.append(0)
            return True
        for axis, stride in enumerate(self.strides):
            reach = self.outer.shape[axis]
            if reach > 1 and step % stride == 0 and abs(step) // stride < reach:
                break
        else:
            return False
        along = self.outer.steps[axis]
        if not isinstance(along, int):
            return False
        count = step // self.strides[axis]
        ends = self.high if count > 0 else self.low
        ends[axis] += count * (extent - 1)
        self.steps.append(count * along)
        return True

    def inside(self) -> bool:
        """Whether no axis is left at either end."""
        below = all(high < extent for high, extent in zip(self.high, self.outer.shape, strict=True))
        return below and min(self.low, default=0) >= 0


def _entry(table: tuple[int, ...], coordinate: int) -> int:
    """An entry of a table; zero beyond its ends, where `_Walk.inside` refuses anyway."""
    return table[coordinate] if coordinate < len(table) else 0


def _divided(inner: Stage, shape: Sequence[int], strides: Sequence[int]) -> Stage:
    """The same step with axes divided where they run over several axes of the outer shape: heads of
    a batch read as one axis of batch times heads."""
    blocks = [(stride, stride * room) for stride, room in zip(strides, shape, strict=True)]
    extents: list[int] = []
    steps: list[int] = []
    for extent, step in zip(inner.shape, inner.strides(), strict=True):
        parts = [(extent, step)]
        count = _count(extent, step, blocks)
        while count:
            parts[:1] = [(extent // count, step * count), (count, step)]
            extent, step = parts[0]
            count = _count(extent, step, blocks)
        extents.extend(part[0] for part in parts)
        steps.extend(part[1] for part in parts)
    return Stage(tuple(extents), tuple(steps), inner.offset)


def _count(extent: int, step: int, blocks: Sequence[tuple[int, int]]) -> int:
    """After how many steps an axis leaves the outer axis it begins on; 0 where it need not be
    divided."""
    for stride, block in blocks:
        if stride <= step < block:
            count = block // step
            divides = block % step == 0 and count > 1 and extent > count and extent % count == 0
            return count if divides else 0
    return 0
