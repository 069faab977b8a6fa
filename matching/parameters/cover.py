"""Which elements of a tensor views read: whether several together read each once, without counting
them.

The set that a view reads is nearly always a box: one set of coordinates for each axis of the
tensor. Boxes are compared axis by axis, so a weight with a billion elements costs no more than its
extents.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from padiff_graph.capture.normal.index_map import View, contiguous
from padiff_graph.matching.parameters.relations import separable

__all__ = ["Box", "box", "disjoint", "overlapping", "uncovered"]

COUNTED = 1 << 26
"""Tensors up to this size are counted element by element where no box describes what is read."""

Box = tuple[np.ndarray, ...]
"""Sorted coordinates along each axis."""


def box(view: View, shape: Sequence[int]) -> Box | None:
    """The coordinates that a view reads along each axis of its source; None where it is no box."""
    if math.prod(shape) != view.source or view.padded or view.size == 0:
        return None
    if not view.stages:
        return tuple(np.arange(extent) for extent in shape)
    stage = separable(view) if view.injective else None
    if stage is None:
        return None
    strides = contiguous(shape)
    axes = [np.array([start]) for start in _coordinates(stage.offset, strides)]
    for extent, step in zip(stage.shape, stage.steps, strict=True):
        moves = np.arange(extent) * step if isinstance(step, int) else np.asarray(step)
        # one axis of the view may run over several axes of the tensor
        for axis, along in enumerate(_coordinates(moves, strides)):
            axes[axis] = np.unique(np.add.outer(axes[axis], np.unique(along)))
    inside = all(
        axis[0] >= 0 and axis[-1] < extent for axis, extent in zip(axes, shape, strict=True)
    )
    if not inside or math.prod(len(axis) for axis in axes) != view.size:
        return None
    return tuple(axes)


def _coordinates(place: Any, strides: Sequence[int]) -> list[Any]:
    """Flat places, a number or an array of them, as coordinates along each axis."""
    coordinates = []
    for stride in strides:
        along, place = (place // stride, place % stride) if stride else (place, place)
        coordinates.append(along)
    return coordinates


def disjoint(first: Box, second: Box) -> bool:
    """Whether two boxes have no element in common."""
    return any(
        len(np.intersect1d(a, b, assume_unique=True)) == 0
        for a, b in zip(first, second, strict=True)
    )


def overlapping(first: View, second: View, shape: Sequence[int]) -> bool:
    """Whether two views read an element in common; what cannot be told counts as not."""
    boxes = box(first, shape), box(second, shape)
    if boxes[0] is not None and boxes[1] is not None:
        return not disjoint(boxes[0], boxes[1])
    if max(first.size, second.size) > COUNTED:
        return False
    common = np.intersect1d(first.indices(), second.indices())
    return bool((common >= 0).any())


def uncovered(views: Sequence[View], shape: Sequence[int]) -> int | None:
    """How many elements none of the views reads; None where it cannot be told or some are read
    twice."""
    size = math.prod(shape)
    if len(views) == 1 and not views[0].stages and views[0].source == size:
        return 0  # as of nearly every parameter
    boxes = [known for view in views if (known := box(view, shape)) is not None]
    if len(boxes) == len(views):
        pairs = itertools.combinations(boxes, 2)
        if any(not disjoint(first, second) for first, second in pairs):
            return None
        return size - sum(view.size for view in views)
    if size > COUNTED:
        return None
    count = np.zeros(size, np.int8)
    for view in views:
        read = view.indices()
        np.add.at(count, read[read >= 0], 1)
        if count.max() > 1:
            return None
    return int((count == 0).sum())
