"""Which elements of a tensor views read: whether several together read each once, without counting
them.

The set that a view reads is nearly always a box: one set of coordinates for each axis of the
tensor. Boxes are compared axis by axis, so a weight with a billion elements costs no more than its
extents.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

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
    base = stage.offset
    found: list[np.ndarray] = []
    for stride in strides:
        start, base = divmod(base, stride)
        found.append(np.array([start]))
    for extent, step in zip(stage.shape, stage.steps, strict=True):
        contributions = np.arange(extent) * step if isinstance(step, int) else np.asarray(step)
        # one axis of the view may run over several axes of the tensor
        rest = contributions
        for axis, stride in enumerate(strides):
            along, rest = (rest // stride, rest % stride) if stride else (rest, rest)
            spread = np.unique(along)
            if len(spread) > 1 or spread[0] != 0:
                found[axis] = np.unique((found[axis][:, None] + spread[None, :]).reshape(-1))
    if any(axis[0] < 0 or axis[-1] >= extent for axis, extent in zip(found, shape, strict=True)):
        return None
    if math.prod(len(axis) for axis in found) != view.size:
        return None
    return tuple(found)


def disjoint(one: Box, other: Box) -> bool:
    """Whether two boxes have no element in common."""
    return any(
        len(np.intersect1d(a, b, assume_unique=True)) == 0 for a, b in zip(one, other, strict=True)
    )


def overlapping(one: View, other: View, shape: Sequence[int]) -> bool:
    """Whether two views read an element in common; what cannot be told counts as not."""
    boxes = box(one, shape), box(other, shape)
    if boxes[0] is not None and boxes[1] is not None:
        return not disjoint(boxes[0], boxes[1])
    if max(one.size, other.size) > COUNTED:
        return False
    common = np.intersect1d(one.indices(), other.indices())
    return bool((common >= 0).any())


def uncovered(views: Sequence[View], shape: Sequence[int]) -> int | None:
    """How many elements none of the views reads; None where it cannot be told or some are read
    twice."""
    size = math.prod(shape)
    boxes = [box(view, shape) for view in views]
    if all(found is not None for found in boxes):
        known = [found for found in boxes if found is not None]
        for index, one in enumerate(known):
            if any(not disjoint(one, other) for other in known[:index]):
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
