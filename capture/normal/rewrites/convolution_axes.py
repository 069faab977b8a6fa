"""Convolutions over axes of one element."""

from __future__ import annotations

from collections.abc import Sequence

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal.draft import Draft
from padiff_graph.capture.normal.edges import reshape, shape_of
from padiff_graph.capture.normal.form import Edge
from padiff_graph.capture.normal.rewrites.rule import Sweep, applies_to

__all__ = ["convolution_of_fewer_axes"]


@applies_to("Conv", "ConvTranspose")
def convolution_of_fewer_axes(sweep: Sweep, draft: Draft) -> bool:
    """Conv2D([N, C, 1, L]) = Conv1D([N, C, L]): Paddle's Conv1D is a Conv2D, and so are those that
    go backward.

    An axis of one element under a kernel of one element, not padded, is no axis. Refuses where
    there is none; one axis always stays. Leaves a reshape.
    """
    x, weight, *bias = draft.inputs
    if x is None or weight is None:
        return False
    count, pads = len(draft.attrs["strides"]), draft.attrs["pads"]
    if count < 2 or len(shape_of(x)) != count + 2:
        return False
    more = draft.attrs.get("output_padding", (0,) * count)
    idle = [at for at in _idle(x, weight, pads, count) if not more[at]][: count - 1]
    if not idle:
        return False
    kept = [at for at in range(count) if at not in idle]

    def fewer(shape: Sequence[int]) -> tuple[int, ...]:
        return (*shape[:2], *(shape[2 + at] for at in kept))

    attrs = {
        **draft.attrs,
        "strides": tuple(draft.attrs["strides"][at] for at in kept),
        "pads": tuple(pads[side + at] for side in (0, count) for at in kept),
        "dilations": tuple(draft.attrs["dilations"][at] for at in kept),
    }
    if "output_padding" in attrs:
        attrs["output_padding"] = tuple(more[at] for at in kept)
    operands = [*(reshape(edge, fewer(shape_of(edge))) for edge in (x, weight)), *bias]
    kind = TensorType(fewer(draft.shape), draft.outputs[0].dtype)
    sweep.replace_reshaped(draft, sweep.made_of(draft, draft.op, operands, attrs, kind=kind))
    return True


def _idle(x: Edge, weight: Edge, pads: Sequence[int], count: int) -> list[int]:
    """Spatial axes of one element under a kernel of one element."""
    lone = [shape_of(x)[2 + at] == shape_of(weight)[2 + at] == 1 for at in range(count)]
    return [at for at in range(count) if lone[at] and pads[at] == pads[count + at] == 0]
