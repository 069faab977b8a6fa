"""Products with parameters as Linear."""

from __future__ import annotations

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal.draft import Draft
from padiff_graph.capture.normal.edges import reshape, shape_of, transpose
from padiff_graph.capture.normal.rewrites.rule import Sweep, applies_to

__all__ = ["convolution_of_one_element", "matmul_with_parameter"]


@applies_to("MatMul")
def matmul_with_parameter(sweep: Sweep, draft: Draft) -> bool:
    """x @ W = Linear(x, W) where W depends on parameters only.

    Refuses stacks of matrices, and an x that no input decides. Leaves the bias to
    `bias_into_product`.
    """
    x, weight = draft.inputs
    if x is None or weight is None or len(shape_of(weight)) != 2:
        return False
    if not sweep.learned(weight) or not sweep.varies(x):
        return False
    sweep.replace(draft, sweep.made_of(draft, "Linear", [x, weight, None], {}))
    return True


@applies_to("Conv")
def convolution_of_one_element(sweep: Sweep, draft: Draft) -> bool:
    """Conv(x, W, b) = Linear(x, W^T, b) on an image of one element, as squeeze-and-excitation has
    it.

    Refuses groups, padding and larger kernels. Leaves [batch, features] and a reshape.
    """
    x, weight, *bias = draft.inputs
    if x is None or weight is None or draft.attrs["group"] != 1 or any(draft.attrs["pads"]):
        return False
    if any(extent != 1 for edge in (x, weight) for extent in shape_of(edge)[2:]):
        return False
    if not sweep.learned(weight) or not sweep.varies(x):
        return False
    (batch, features), outputs = shape_of(x)[:2], draft.shape[1]
    matrix = transpose(reshape(weight, (outputs, features)), (1, 0))
    operands = [reshape(x, (batch, features)), matrix, bias[0] if bias else None]
    kind = TensorType((batch, outputs), draft.outputs[0].dtype)
    sweep.replace_reshaped(draft, sweep.made_of(draft, "Linear", operands, {}, kind=kind))
    return True
