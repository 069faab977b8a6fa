"""Zero padding, as movement or as part of the window that reads it."""

from __future__ import annotations

from padiff_graph.capture.normal.draft import Draft
from padiff_graph.capture.normal.edges import moved, reshape, shape_of, unscaled, view_of
from padiff_graph.capture.normal.form import HELD
from padiff_graph.capture.normal.rewrites.rule import Sweep, applies_to

__all__ = ["zero_padding_into_view", "zero_padding_into_window"]


@applies_to("Conv", "AveragePool")
def zero_padding_into_window(sweep: Sweep, draft: Draft) -> bool:
    """Conv(Pad(x), W; pads) = Conv(x, W; pads + more), AveragePool alike where it counts its
    padding.

    Refuses padding of batch or channels, other numbers than zero, poolings that do not count what
    they pad, and ceil_mode, whose last window may start in the padding.
    """
    x = draft.inputs[0]
    pad = sweep.behind(x, "Pad")
    if x is None or pad is None or not unscaled(x) or not view_of(x).identity:
        return False
    below = pad.inputs[0]
    if below is None or pad.attrs["mode"] != "constant" or pad.attrs["value"] != 0.0:
        return False
    count = len(draft.attrs["strides"])
    widths = _widths_over(pad, shape_of(x))
    if widths is None or len(widths) != count + 2 or any(map(any, widths[:2])):
        return False
    if draft.op == "AveragePool" and not _counts_padding(draft):
        return False
    image = [extent - sum(width) for extent, width in zip(shape_of(x), widths, strict=True)]
    added = [width[side] for side in (0, 1) for width in widths[2:]]
    attrs = dict(draft.attrs)
    attrs["pads"] = tuple(old + more for old, more in zip(attrs["pads"], added, strict=True))
    if draft.op == "AveragePool":
        attrs["count_include_pad"] = True
    operands = [reshape(below, image), *draft.inputs[1:]]
    native = (*pad.native, *x.through)
    sweep.replace(draft, sweep.made_of(draft, draft.op, operands, attrs, native=native))
    return True


def _counts_padding(pool: Draft) -> bool:
    """Whether a pooling divides by whole windows, and no window starts where nothing is."""
    counts = pool.attrs["count_include_pad"] or not any(pool.attrs["pads"])
    return counts and not pool.attrs["ceil_mode"]


@applies_to("Pad")
def zero_padding_into_view(sweep: Sweep, draft: Draft) -> bool:
    """Pad(x) is movement, which reads zero outside x.

    On an edge padding reads shift: refuses other numbers than that, and marked operations.
    """
    edge = draft.inputs[0]
    if edge is None or draft.attrs["mode"] != "constant" or draft.marks & HELD:
        return False
    if edge.shift != draft.attrs["value"]:
        return False
    sweep.builder.replace(draft, moved(edge, view_of(edge).pad(_widths(draft)), *draft.native))
    return True


def _widths(pad: Draft) -> list[tuple[int, int]]:
    """Elements added before and after each axis."""
    pads = pad.attrs["pads"]
    half = len(pads) // 2
    return list(zip(pads[:half], pads[half:], strict=True))


def _widths_over(pad: Draft, shape: tuple[int, ...]) -> list[tuple[int, int]] | None:
    """The padding's widths along the axes of another shape, which may have other axes of one
    element."""
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
