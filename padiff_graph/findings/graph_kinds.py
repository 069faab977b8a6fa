"""Kinds of causes that the graphs show: structure and gradients."""

from __future__ import annotations

from padiff_graph.findings.kind import kind_of

__all__ = ["GRADIENTS", "STRUCTURE"]

_TENSORS = {"first_name": "fc.weight", "second_name": "head.weight"}
"""Facts of an example."""

STRUCTURE = (
    kind_of(
        "operation.missing",
        "the first model lacks an operation that the second has",
        side=1,
        operations=("Relu",),
    ),
    kind_of(
        "operation.extra",
        "the first model has an operation that the second lacks",
        side=0,
        operation="Flip",
        left_out="pd_op.flip",
        path="head",
    ),
    kind_of(
        "operation.replaced",
        "another operator of the same family stands in the place",
        first_op="Relu",
        second_op="Gelu",
    ),
    kind_of(
        "operations.exchanged",
        "the same operations are computed in another order",
        ops="Relu, BatchNormalization",
    ),
    kind_of(
        "operand.missing",
        "an operation of the first model lacks an operand: a bias, a mask",
        op="Linear",
        operand="bias",
    ),
    kind_of(
        "operand.extra",
        "an operation of the first model has an operand too many",
        op="Linear",
        operand="bias",
    ),
    kind_of(
        "operand.count",
        "a sum, product or list has another number of operands",
        op="Add",
        first_count=2,
        second_count=3,
    ),
    kind_of("operand.transposed", "an operand is read with its axes exchanged", op="MatMul"),
    kind_of(
        "operand.reordered",
        "an operand is read with its elements in another order",
        op="MatMul",
        first_ways="pd_op.reshape",
        second_ways="aten.permute.default",
    ),
    kind_of(
        "operands.exchanged",
        "a concatenation takes the same parts in another order",
        op="Concat",
        first_order="2, 1",
        second_order="1, 2",
    ),
    kind_of(
        "operands.rewired",
        "an operand comes from another operation",
        ops="Add",
        first_op="Relu",
        first_from="block.act",
        second_op="Conv",
        second_from="block.conv",
    ),
    kind_of(
        "operands.shifted",
        "a loop collects the state of another step",
        op="Concat",
        late_place=2,
        second_place=1,
    ),
    kind_of("axis.other", "an operation goes over another axis", op="Softmax"),
    kind_of("mask.inverted", "a mask hides what the other model's shows", op="Softmax"),
    kind_of(
        "mask.other",
        "a constant mask is set in other places: a triangle with another diagonal",
        op="Softmax",
        shape=(6, 6),
        first_mask="triu(2) (10 of 36 places)",
        second_mask="triu(1) (15 of 36 places)",
    ),
    kind_of(
        "scale",
        "an operand or output is multiplied by another constant",
        product="MatMul",
        first_value=0.125,
        second_value=0.25,
    ),
    kind_of(
        "shift",
        "another constant is added to an operand or output",
        reader="Sigmoid",
        first_value=1.0,
        second_value=0.0,
    ),
    kind_of(
        "construction.operator",
        "an operation of another kind computes from the same values; numbers decide",
        first_op="Gelu",
        second_op="Mul",
    ),
    kind_of(
        "construction.operations",
        "a stretch is built from other operations; numbers decide",
        first_operations=("Pow", "Mul"),
        second_operations=("Mul",),
    ),
    kind_of(
        "operand.inverted",
        "truth values, a mask, are read inverted: with one more Not both sides agree",
        tensor="the input mask",
    ),
    kind_of(
        "operand.broadcast",
        "an operand runs along another axis, since its reduced axis was not kept",
        side=0,
        tensor="pd_op.mean in norm",
        shape=(8,),
        tried=(8, 1),
    ),
    kind_of(
        "draws.shape",
        "both models draw random numbers of other shapes: of whole channels or of single elements",
        first_op="pd_op.uniform",
        second_op="aten.dropout.default",
        first_shape=(2, 4, 1, 1),
        second_shape=(2, 4, 8, 8),
    ),
    kind_of(
        "operand.parts",
        "parts are put together in another order: in reverse order both sides agree",
        op="Concat",
        source="model.py:12",
    ),
    kind_of(
        "setting.differs",
        "a setting of a framework's operation: with its other value both sides agree",
        op="aten.std.dim",
        name="unbiased",
        side=1,
        first_value=False,
        second_value=True,
        tried=False,
    ),
    kind_of(
        "embedding.padding",
        "one framework's embedding yields zeros for padding_idx, the other's the row",
        side=0,
        row=1,
    ),
    kind_of(
        "parameter.shared",
        "one parameter of one model stands where the other has several",
        side=0,
        modules=("encoder.0", "encoder.1"),
        parameter="encoder.0.weight",
        others=("layers.0.weight", "layers.1.weight"),
    ),
)
"""What both graphs show."""

GRADIENTS = (
    kind_of(
        "gradient.detached",
        "the gradient path is cut on one side: detach, no_grad or stop_gradient",
        side=0,
        op="pd_op.share_data_",
    ),
    kind_of("gradient.hook", "a hook changes the gradient on one side", side=0),
    kind_of(
        "gradient.custom_backward",
        "a custom backward function decides the gradient on one side",
        side=1,
    ),
    kind_of("gradient.differs", "a gradient differs, and nothing more is known of it", **_TENSORS),
    kind_of("gradient.scaled", "a gradient is scaled", factor=0.5),
    kind_of("gradient.reversed", "a gradient has the other sign"),
    kind_of(
        "gradient.by_design",
        "an operation of one side has a gradient that is not its derivative by design",
        side=1,
        op="aten.fake_quantize_per_tensor_affine.default",
        analytic=0.5,
        numeric=0.0,
    ),
    kind_of(
        "gradient.overflows",
        "what one model computes overflows in its backward",
        side=0,
        count=3,
        size=64,
    ),
    kind_of(
        "parameter.frozen",
        "one model trains a parameter that the other does not",
        side=0,
        parameter="fc.weight",
        flag="stop_gradient is set",
        counterpart="head.weight",
    ),
)
"""What the backward pass shows."""
