"""Relations: which element of one model's tensor corresponds to which element of the other's.

A relation is a view `r` with `first.flat[r.at(q)] == second.flat[q]` for every position `q` of the
second tensor. Nearly always it is the identity; a length-first model against a batch-first one, or
channels last against channels first, makes it a permutation of axes, and heads that are laid out
differently a permutation along the feature axis. So a relation is taken apart along groups of axes
(rows and features, batch and channels and space), moved through the operator, and put together
again.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np

from padiff_graph.capture.normal.index_map import Stage, View, contiguous

__all__ = [
    "axis_orders",
    "flattened_orders",
    "identity",
    "operand_relation",
    "parts",
    "product",
    "same_relation",
    "separable",
    "squeezed",
]

Step = int | tuple[int, ...]
"""What an axis adds to a place: equal steps, or a table by coordinate."""

RANK = 6
"""Axis orders are tried up to this rank."""
TABLE = 1 << 16
"""Largest operand whose map is inverted by a table."""


def squeezed(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape without its axes of one element."""
    return tuple(extent for extent in shape if extent != 1)


def identity(first: Sequence[int], second: Sequence[int]) -> View | None:
    """The same elements in the same order; None where the counts differ."""
    if math.prod(first) != math.prod(second):
        return None
    return View.of(first).reshape(second)


def axis_orders(first: Sequence[int], second: Sequence[int]) -> Iterable[View]:
    """The relations that only permute axes, the identity first; axes of one element are set
    aside."""
    source, target = squeezed(first), squeezed(second)
    if sorted(source) != sorted(target) or len(source) > RANK:
        return
    for axes in itertools.permutations(range(len(source))):
        if tuple(source[axis] for axis in axes) == target:
            yield View.of(source).transpose(axes).reshape(second)


def flattened_orders(
    first: Sequence[int], second: Sequence[int], *, whole: bool = False
) -> Iterable[View]:
    """The relations of a tensor and of one that holds its axes flattened, in any order: a
    convolution over patches, and a matrix over patches with their channels last.

    Args:
        first, second: the shapes of both.
        whole: only where each axis of the flattened one holds whole axes of the other.
    """
    one, other = squeezed(first), squeezed(second)
    rank = max(len(one), len(other))
    if len(one) == len(other) or math.prod(one) != math.prod(other) or rank > RANK:
        return
    longer, shorter = (one, other) if len(one) > len(other) else (other, one)
    ends = set(itertools.accumulate(shorter, operator.mul))
    for axes in itertools.permutations(range(rank)):
        turned = itertools.accumulate((longer[axis] for axis in axes), operator.mul)
        if whole and not ends <= set(turned):
            continue
        if len(one) > len(other):
            yield View.of(one).transpose(axes).reshape(second)
        else:
            back = tuple(axes.index(axis) for axis in range(rank))
            yield View.of([other[axis] for axis in axes]).transpose(back).reshape(second)


def operand_relation(first: View, second: View, source: View) -> View | None:
    """The relation of two operands whose sources are related.

    Args:
        first, second: what each operand reads of its source.
        source: the relation of the sources.
    """
    wanted = source.then(second)
    if first.size == wanted.size:
        if first.same(wanted):
            return View.of(second.shape)
        back = first.inverse((first.source,))
        if back is not None:
            return back.then(wanted).reshape(second.shape)
        if not first.padded and not second.padded:
            for order in axis_orders(first.shape, second.shape):
                if first.then(order).same(wanted):
                    return order
    if (
        max(first.size, wanted.size) <= TABLE
        and not first.padded
        and not second.padded
        and first.injective
    ):
        place = np.full(first.source, -1, np.int64)
        place[first.indices()] = np.arange(first.size)
        found_at = place[wanted.indices()]
        if (found_at >= 0).all():
            table = Stage((second.size,), (tuple(found_at.tolist()),)).merged()
            return View(first.size, second.shape, (table,))
    return None


def same_relation(one: View, other: View) -> bool:
    """Whether two relations say the same."""
    return (
        one.source == other.source and one.size == other.size and one.same(other.reshape(one.shape))
    )


@lru_cache(maxsize=1 << 12)
def separable(relation: View) -> Stage | None:
    """The relation as one step with a contribution of each axis of its own shape; None where it is
    none."""
    shape = relation.shape
    if 0 in shape:
        return None
    if not relation.stages:
        return Stage(shape, contiguous(shape))
    if len(relation.stages) == 1:
        split = relation.stages[0].split(shape)
        if split is not None:
            return split
    strides = contiguous(shape)
    start = int(relation.at(np.zeros(1, np.int64))[0])
    steps: list[Step] = []
    for extent, stride in zip(shape, strides, strict=True):
        along = relation.at(np.arange(extent, dtype=np.int64) * stride) - start
        gaps = np.diff(along)
        if extent == 1:
            steps.append(0)
        elif (gaps == gaps[0]).all():
            steps.append(int(gaps[0]))
        else:
            steps.append(tuple(along.tolist()))
    stage = Stage(shape, tuple(steps), start)
    return stage if View(relation.source, shape, (stage,)).same(relation) else None


def parts(
    relation: View, extents: Sequence[int], groups: Sequence[Sequence[int]]
) -> list[View] | None:
    """Takes a relation apart into independent ones along groups of axes.

    Args:
        relation: between two operands.
        extents: number of elements of each group of axes of the first operand, outermost first.
        groups: the axes of the second operand that belong to each group.
    Returns:
        One relation for each group, None where the relation mixes groups.
    """
    if relation.size != math.prod(extents):
        return None
    if not relation.stages and [
        math.prod(relation.shape[axis] for axis in group) for group in groups
    ] == list(extents):
        return [View.of([relation.shape[axis] for axis in group]) for group in groups]
    stage = separable(relation)
    if stage is None or stage.offset < 0:
        return None
    separate: list[View] = []
    rest = stage.offset
    for extent, stride, group in zip(extents, contiguous(extents), groups, strict=True):
        start, rest = divmod(rest, stride)
        view = _along(stage, group, extent, stride, start)
        if view is None:
            return None
        separate.append(view)
    return separate


def _along(stage: Stage, group: Sequence[int], extent: int, stride: int, start: int) -> View | None:
    """The relation along one group of axes, of `extent` elements that are `stride` apart; None
    where it leaves them or is no permutation."""
    shape = tuple(stage.shape[axis] for axis in group)
    if math.prod(shape) != extent:
        return None
    steps = [_in_strides(stage.steps[axis], stage.shape[axis], stride) for axis in group]
    whole = tuple(step for step in steps if step is not None)
    if len(whole) < len(steps):
        return None
    reaches = [_reach(step, width) for step, width in zip(whole, shape, strict=True)]
    low = start + sum(least for least, _ in reaches)
    high = start + sum(most for _, most in reaches)
    if low < 0 or high >= extent:
        return None
    view = View(extent, shape, _stages(extent, Stage(shape, whole, start)))
    return view if view.permutation else None


def _in_strides(step: Step, width: int, stride: int) -> Step | None:
    """An axis's step, or its table of places, in units of a stride; None where it is no multiple
    of it."""
    if not isinstance(step, int):
        if any(entry % stride for entry in step):
            return None
        return tuple(entry // stride for entry in step)
    if width == 1:
        return 0
    return None if step % stride else step // stride


def _reach(step: Step, width: int) -> tuple[int, int]:
    """The lowest and the highest place that an axis leads to."""
    if not isinstance(step, int):
        return min(step), max(step)
    last = step * (width - 1)
    return min(0, last), max(0, last)


def product(relations: Sequence[View]) -> View:
    """The relation of tensors whose leading axes are related by the first, the next by the second,
    ..."""
    return _product(tuple(relations))


@lru_cache(maxsize=1 << 12)
def _product(relations: tuple[View, ...]) -> View:
    extents = [relation.source for relation in relations]
    if not math.prod(extents):  # of no elements, as with an empty batch: nothing can be mixed
        return View.of(tuple(extent for relation in relations for extent in relation.shape))
    shape: list[int] = []
    steps: list[Step] = []
    offset = 0
    for relation, stride in zip(relations, contiguous(extents), strict=True):
        stage = separable(relation)
        if stage is None:
            raise ValueError("the relation of one group of axes mixes its axes")
        shape.extend(stage.shape)
        steps.extend(_times(step, stride) for step in stage.steps)
        offset += stage.offset * stride
    size = math.prod(extents)
    return View(size, tuple(shape), _stages(size, Stage(tuple(shape), tuple(steps), offset)))


def _times(step: Step, stride: int) -> Step:
    if isinstance(step, int):
        return step * stride
    return tuple(entry * stride for entry in step)


def _stages(size: int, stage: Stage) -> tuple[Stage, ...]:
    """A step in canonical form, none for the identity."""
    merged = stage.merged()
    if merged.offset == 0 and merged.steps in ((), (1,)) and math.prod(merged.shape) == size:
        return ()
    return (merged,)
