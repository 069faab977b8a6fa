"""One affine step of an index map: coordinates along axes, each with its contribution to a
position."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["OUTSIDE", "Indices", "Stage", "Step", "canonical", "contiguous"]

Indices = np.ndarray[Any, np.dtype[np.int64]]
Step = int | tuple[int, ...]
"""A stride, or a table with the contribution of every coordinate."""
OUTSIDE = -(1 << 60)
"""Contribution of a padded coordinate: dominates every sum, so that the sum is negative."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One affine step: position -> coordinates by `shape` -> offset + sum of contributions.

    `steps[axis]` is a stride, or a table with the contribution of every coordinate.
    """

    shape: tuple[int, ...]
    steps: tuple[Step, ...]
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
            if isinstance(step, int):
                total += coordinate * step
            else:
                total += np.asarray(step, np.int64)[coordinate]
        return np.where((total < 0) | (positions < 0), -1, total)

    def over(self, flat: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """A strided step laid over an array of one axis: its elements in place, none copied."""
        strides = [step * flat.itemsize for step in self.strides()]
        return np.lib.stride_tricks.as_strided(flat[self.offset :], self.shape, strides)

    def strides(self) -> list[int]:
        """The strides of a strided step."""
        return [step for step in self.steps if isinstance(step, int)]

    def merged(self) -> Stage:
        """The same step with axes of one element dropped and adjacent strides merged: canonical."""
        shape: list[int] = []
        steps: list[Step] = []
        offset = self.offset
        for extent, step in zip(self.shape, self.steps, strict=True):
            start, even = _even(step)
            offset += start
            if extent == 1:
                offset += 0 if isinstance(even, int) else even[0]
            elif steps and isinstance(even, int) and steps[-1] == even * extent:
                shape[-1], steps[-1] = shape[-1] * extent, even
            else:
                shape.append(extent)
                steps.append(even)
        return Stage(tuple(shape), tuple(steps), offset)

    def whole(self, size: int) -> bool:
        """Whether a merged step reads all elements of a source of this size in order."""
        return self.offset == 0 and self.steps in ((), (1,)) and math.prod(self.shape) == size

    @property
    def padded(self) -> bool:
        """Whether some positions are padding."""
        return self.offset < 0 or any(
            not isinstance(step, int) and min(step, default=0) < OUTSIDE // 2 for step in self.steps
        )

    def inverse(self) -> Stage | None:
        """The step back, for a step that reads everything exactly once; None where it does not."""
        axes: list[_Axis] = []
        offset = self.offset
        for extent, step, back in zip(self.shape, self.steps, contiguous(self.shape), strict=True):
            if extent == 1:
                offset += 0 if isinstance(step, int) else step[0]
                continue
            axis = _Axis.of(extent, step, back)
            if axis is None:
                return None
            axes.append(axis)
            offset += axis.low
        axes.sort(key=lambda axis: axis.width, reverse=True)
        shape = tuple(axis.extent for axis in axes)
        if offset != 0 or tuple(axis.width for axis in axes) != contiguous(shape):
            return None
        start = sum(axis.start for axis in axes)
        return Stage(shape, tuple(axis.back for axis in axes), start).merged()

    def split(self, shape: tuple[int, ...]) -> Stage | None:
        """The same step over coordinates of another shape, None where strides cannot say it."""
        merged = self.merged()
        steps: list[Step] = []
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


def _even(step: Step) -> tuple[int, Step]:
    """A table of even gaps as its first entry and a stride; anything else as it is."""
    if isinstance(step, int):
        return 0, step
    if len(step) == 1:
        return step[0], 0
    gaps = set(np.diff(step).tolist())
    if len(gaps) == 1 and min(step) > OUTSIDE // 2:
        return step[0], gaps.pop()
    return 0, step


@dataclass(frozen=True, slots=True)
class _Axis:
    """One axis of a step that is to be turned round.

    Attributes:
        width: distance between neighbours in the source.
        extent: how many there are.
        back: the way back along this axis; start: where it begins.
        low: least contribution of the axis.
    """

    width: int
    extent: int
    back: Step
    low: int
    start: int = 0

    @classmethod
    def of(cls, extent: int, step: Step, back: int) -> _Axis | None:
        """None where the coordinates do not lie evenly, in whatever order.

        `back`: stride of the axis.
        """
        if isinstance(step, int) and step > 0:
            return cls(step, extent, back, 0)
        if isinstance(step, int):
            return cls(-step, extent, -back, step * (extent - 1), back * (extent - 1))
        low = min(step)
        width = min((value - low for value in step if value != low), default=0)
        order = sorted(range(extent), key=step.__getitem__)
        if width <= 0 or [step[at] - low for at in order] != [width * at for at in range(extent)]:
            return None
        return cls(width, extent, tuple(at * back for at in order), low)


def contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    """Row-major strides, in elements."""
    steps = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        steps[axis] = steps[axis + 1] * shape[axis + 1]
    return tuple(steps)


def canonical(source: int, stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """Merges every step and drops those that read everything in order."""
    kept = []
    size = source
    for stage in stages:
        merged = stage.merged()
        if not merged.whole(size):
            kept.append(merged)
            size = math.prod(merged.shape)
    return tuple(kept)
