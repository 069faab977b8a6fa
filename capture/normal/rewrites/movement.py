"""Padding, concatenation: what movement the graph says as operations."""

from __future__ import annotations

import math

import numpy as np

from padiff_graph.capture.normal.builder import KNOWN, Draft
from padiff_graph.capture.normal.edges import moved, read_through, reshape, shape_of, view_of
from padiff_graph.capture.normal.form import Edge
from padiff_graph.capture.normal.index_map import Stage, View
from padiff_graph.capture.normal.rewrites.rule import Sweep, applies_to
from padiff_graph.capture.normal.traits import with_trait

__all__ = [
    "concat_of_concat",
    "concat_of_one_source",
    "part_of_concat",
    "reduction_of_one",
    "zero_padding_into_view",
    "zero_padding_into_window",
]


def _widths(pad: Draft) -> list[tuple[int, int]]:
    pads = pad.attrs["pads"]
    half = len(pads) // 2
    return list(zip(pads[:half], pads[half:], strict=True))


@applies_to("Conv", "AveragePool")
def zero_padding_into_window(sweep: Sweep, draft: Draft) -> bool:
    """A convolution, or a pooling that counts its padding, of a zero-padded image pads by itself."""
    counting = (
        draft.op == "AveragePool"
        and (draft.attrs["count_include_pad"] or not any(draft.attrs["pads"]))
        and not draft.attrs["ceil_mode"]
    )
    if draft.op != "Conv" and not counting:
        return False
    x = draft.inputs[0]
    pad = sweep.source(x)
    if (
        x is None
        or pad is None
        or pad.op != "Pad"
        or pad.attrs["mode"] != "constant"
        or (x.scale, x.shift) != (1.0, 0.0)
        or not view_of(x).identity
    ):
        return False
    below = pad.inputs[0]
    count = len(draft.attrs["strides"])
    widths = _widths_over(pad, shape_of(x))
    if (
        below is None
        or pad.attrs["value"] != 0.0
        or widths is None
        or len(widths) != count + 2
        or any(any(width) for width in widths[:2])
    ):
        return False
    image = [
        extent - before - after for extent, (before, after) in zip(shape_of(x), widths, strict=True)
    ]
    old = draft.attrs["pads"]
    attrs = dict(draft.attrs)
    attrs["pads"] = (
        *(old[at] + widths[2 + at][0] for at in range(count)),
        *(old[count + at] + widths[2 + at][1] for at in range(count)),
    )
    if draft.op == "AveragePool":
        attrs["count_include_pad"] = True
    sweep.replace(
        draft,
        sweep.made_of(
            draft,
            draft.op,
            [reshape(below, image), *draft.inputs[1:]],
            attrs,
            native=(*pad.native, *x.through),
        ),
    )
    return True


def _widths_over(pad: Draft, shape: tuple[int, ...]) -> list[tuple[int, int]] | None:
    """The padding's widths along the axes of another shape, which may have other axes of one element."""
    left = [
        (extent, width)
        for extent, width in zip(pad.shape, _widths(pad), strict=True)
        if extent != 1 or any(width)
    ]
    widths = []
    for extent in shape:
        if left and left[0][0] == extent:
            widths.append(left.pop(0)[1])
        elif extent == 1:
            widths.append((0, 0))
        else:
            return None
    return None if left else widths


@applies_to("Pad")
def zero_padding_into_view(sweep: Sweep, draft: Draft) -> bool:
    """Zero padding is movement where the padded operand is not shifted."""
    if draft.op != "Pad" or draft.attrs["mode"] != "constant" or draft.inputs[0] is None:
        return False
    edge = draft.inputs[0]
    # The padding reads scale * 0 + shift.
    if edge.shift != draft.attrs["value"] or draft.marks & {"gradient_hook", "custom_function"}:
        return False
    sweep.builder.replace(draft, moved(edge, view_of(edge).pad(_widths(draft)), *draft.native))
    return True


@applies_to("Concat")
def concat_of_concat(sweep: Sweep, draft: Draft) -> bool:
    """Concat of Concat along the same axis is one Concat."""
    if draft.op != "Concat":
        return False
    axis = draft.attrs["axis"]
    parts: list[Edge | None] = []
    inner_drafts = []
    for edge in draft.inputs:
        inner = sweep.source(edge)
        flat = (
            edge is not None
            and inner is not None
            and inner.op == "Concat"
            and inner.attrs["axis"] == axis
            and view_of(edge).identity
            and shape_of(edge) == inner.shape
        )
        if (
            flat
            and edge is not None
            and inner is not None
            and (edge.scale, edge.shift) == (1.0, 0.0)
        ):
            parts.extend(inner.inputs)
            inner_drafts.append(inner)
        else:
            parts.append(edge)
    if not inner_drafts:
        return False
    sweep.replace(draft, sweep.made_of(draft, "Concat", parts, {"axis": axis}, *inner_drafts))
    return True


def part_of_concat(sweep: Sweep, draft: Draft) -> bool:
    """An operand that reads inside one part of a Concat only reads that part."""
    changed = False
    drafts = sweep.builder.drafts
    for position, edge in enumerate(draft.inputs):
        if edge is None or drafts[edge.source].op != "Concat" or view_of(edge).identity:
            continue
        inner = drafts[edge.source]
        view = view_of(edge)
        if len(view.stages) != 1 or not view.stages[0].strided or view.size == 0:
            continue
        axis = inner.attrs["axis"]
        below = math.prod(inner.shape[axis + 1 :])
        room = inner.shape[axis] * below
        stage = view.stages[0]
        # Where along the axis the operand reads: the contributions of steps inside one row.
        low = high = stage.offset % room
        straight = True
        for extent, step in zip(stage.shape, stage.steps, strict=True):
            assert isinstance(step, int)
            if step % room:
                if abs(step) * (extent - 1) >= room:
                    straight = False
                low, high = low + min(step * (extent - 1), 0), high + max(step * (extent - 1), 0)
        if not straight or low < 0 or high >= room:
            continue
        start = 0
        for part in inner.inputs:
            assert part is not None
            extent = shape_of(part)[axis]
            if start * below <= low and high < (start + extent) * below:
                width = extent * below
                steps = tuple(
                    step if step % room else step // room * width
                    for step in stage.steps
                    if isinstance(step, int)
                )
                offset = stage.offset // room * width + stage.offset % room - start * below
                reading = View(
                    math.prod(shape_of(part)),
                    view.shape,
                    (Stage(stage.shape, steps, offset).merged(),),
                )
                through = read_through(
                    part,
                    Edge(
                        edge.source,
                        0,
                        reading,
                        edge.scale,
                        edge.shift,
                        (*inner.native, *edge.through),
                    ),
                )
                if through is not None:
                    draft.inputs[position] = through
                    changed = True
                break
            start += extent
    return changed


@applies_to("Concat")
def concat_of_one_source(sweep: Sweep, draft: Draft) -> bool:
    """Parts that all read one source are one movement of it: rows gathered one by one, a rolled axis."""
    edges = [edge for edge in draft.inputs if edge is not None]
    first = edges[0]
    if len(edges) < 2 or any(
        (edge.source, edge.output, edge.scale, edge.shift)
        != (first.source, first.output, first.scale, first.shift)
        for edge in edges
    ):
        return False
    if math.prod(draft.shape) > KNOWN or (
        first.shift != 0.0 and any(view_of(edge).padded for edge in edges)
    ):
        return False
    joined = np.concatenate(
        [view_of(edge).indices().reshape(shape_of(edge)) for edge in edges], draft.attrs["axis"]
    )
    view = View.gathered(view_of(first).source, joined)
    through = tuple(dict.fromkeys(by for edge in edges for by in edge.through)) + draft.native
    sweep.builder.replace(
        draft, Edge(first.source, first.output, view, first.scale, first.shift, through)
    )
    return True


@applies_to(*with_trait(lambda row: row.keeps_one))
def reduction_of_one(sweep: Sweep, draft: Draft) -> bool:
    """The mean, sum or extremum of one element is that element: pooling an image of one pixel."""
    edge, source = draft.inputs[0], sweep.source(draft.inputs[0])
    if (
        edge is None
        or source is None
        or len(draft.outputs) != 1
        or shape_of(edge)[-1:] != (1,)
        or not source.outputs
    ):
        return False
    kinds = {
        output.dtype
        for output in (draft.outputs[0], source.outputs[edge.output])
        if output is not None
    }
    if (
        len(kinds) != 1
        or not kinds.pop().startswith(("float", "bfloat"))
        or draft.marks & {"gradient_hook", "custom_function"}
    ):
        return False
    sweep.builder.replace(draft, reshape(edge, draft.shape, *draft.native))
    return True
