"""Movement, scaling and shifting of an operand: functions from one `Edge` to the next.

An edge reads `scale * view(source) + shift`. Every function here takes the edge of a native tensor
and returns the edge of that tensor moved or scaled; `by` is the native operation that did it.
"""

from __future__ import annotations

from collections.abc import Sequence

from padiff_graph.capture.normal.form import Edge
from padiff_graph.capture.normal.index_map import View

__all__ = [
    "affine",
    "broadcast",
    "expand",
    "moved",
    "plain",
    "read_through",
    "repeat",
    "reshape",
    "select",
    "shape_of",
    "slice_axis",
    "take",
    "transpose",
    "unscaled",
    "view_of",
]


def view_of(edge: Edge) -> View:
    """The edge's view; edges under construction always have one."""
    if edge.view is None:
        raise ValueError(
            f"the edge from node {edge.source} has no view; a data-dependent movement must be a"
            " node"
        )
    return edge.view


def shape_of(edge: Edge) -> tuple[int, ...]:
    """Shape of the operand."""
    return view_of(edge).shape


def unscaled(edge: Edge) -> bool:
    """Whether nothing is multiplied or added on the edge."""
    return edge.scale == 1.0 and edge.shift == 0.0


def plain(edge: Edge) -> bool:
    """Whether the operand is its source, element for element (the shape may differ)."""
    return unscaled(edge) and view_of(edge).identity


def moved(edge: Edge, view: View, *by: int) -> Edge:
    """The same scaling over another view of the same source."""
    return Edge(edge.source, edge.output, view, edge.scale, edge.shift, edge.through + by)


def reshape(edge: Edge, shape: Sequence[int], *by: int) -> Edge:
    """The operand in another shape."""
    return moved(edge, view_of(edge).reshape(tuple(shape)), *by)


def transpose(edge: Edge, axes: Sequence[int], *by: int) -> Edge:
    """The operand with its axes in another order."""
    rank = len(shape_of(edge))
    axes = tuple(axis % rank for axis in axes)
    if axes == tuple(range(rank)):
        return moved(edge, view_of(edge), *by)
    return moved(edge, view_of(edge).transpose(axes), *by)


def take(edge: Edge, axis: int, coordinates: Sequence[int] | range, *by: int) -> Edge:
    """The given coordinates of an axis."""
    return moved(edge, view_of(edge).take(axis % len(shape_of(edge)), coordinates), *by)


def slice_axis(
    edge: Edge, axis: int, start: int | None, stop: int | None, step: int, *by: int
) -> Edge:
    """Python's slice of one axis: bounds may be negative, absent or out of range."""
    axis %= len(shape_of(edge))
    return take(edge, axis, range(shape_of(edge)[axis])[slice(start, stop, step)], *by)


def select(edge: Edge, axis: int, index: int, *by: int) -> Edge:
    """One coordinate of an axis, the axis dropped."""
    axis %= len(shape_of(edge))
    return moved(edge, view_of(edge).select(axis, index % shape_of(edge)[axis]), *by)


def expand(edge: Edge, shape: Sequence[int], *by: int) -> Edge:
    """The operand broadcast to a shape."""
    shape = tuple(shape)
    return moved(
        edge, view_of(edge) if shape_of(edge) == shape else view_of(edge).expand(shape), *by
    )


def repeat(edge: Edge, times: Sequence[int], *by: int) -> Edge:
    """numpy.tile: whole copies along each axis, leading axes added."""
    shape = (1,) * (len(times) - len(shape_of(edge))) + shape_of(edge)
    edge = reshape(edge, shape, *by)
    times = (1,) * (len(shape) - len(times)) + tuple(times)
    if all(count == 1 for count in times):
        return edge
    interleaved = [extent for axis in shape for extent in (1, axis)]
    target = [extent for count, axis in zip(times, shape, strict=True) for extent in (count, axis)]
    view = view_of(edge).reshape(interleaved).expand(target)
    return moved(
        edge, view.reshape([count * axis for count, axis in zip(times, shape, strict=True)])
    )


def broadcast(edge: Edge, shape: Sequence[int]) -> Edge:
    """An element-wise operand in its least shape: as many axes as the result, one element along
    every axis over which it does not change.

    So `x + b` reads the same whether `b` was expanded first or not, and the shape tells the axes.
    """
    own = shape_of(edge)
    if own == tuple(shape) and not any(
        step == 0 for stage in view_of(edge).stages for step in stage.steps
    ):
        return edge
    if len(own) < len(shape):
        edge = reshape(edge, (1,) * (len(shape) - len(own)) + own)
    return moved(edge, view_of(edge).unexpanded())


def affine(edge: Edge, scale: float, shift: float, *by: int) -> Edge:
    """scale * operand + shift."""
    return Edge(
        edge.source,
        edge.output,
        edge.view,
        edge.scale * scale,
        edge.shift * scale + shift,
        edge.through + by,
    )


def read_through(inner: Edge, outer: Edge) -> Edge | None:
    """`outer` with its source replaced: its source's value is what `inner` reads.

    None where one edge cannot say both, because padding of `outer` would be shifted by `inner`.
    """
    seen, reading = view_of(inner), view_of(outer)
    if inner.shift != 0.0 and reading.padded:
        return None
    view = seen.then(reading)
    return Edge(
        inner.source,
        inner.output,
        view,
        inner.scale * outer.scale,
        inner.shift * outer.scale + outer.shift,
        inner.through + outer.through,
    )
