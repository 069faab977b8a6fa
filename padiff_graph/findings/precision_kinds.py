"""Kinds of causes that show in half precision only, with `precision` in the options."""

from __future__ import annotations

from padiff_graph.findings.kind import kind_of

__all__ = ["PRECISIONS"]

PRECISIONS = (
    kind_of(
        "precision.computed",
        "an operation, or what it holds on its way, is in half precision in one model and in "
        "float32 in the other",
        what="statistics",
        op="RMSNormalization",
        first_dtype="bfloat16",
        second_dtype="float32",
    ),
    kind_of(
        "precision.weight",
        "the weight of a normalization is multiplied before the cast in one model and behind it "
        "in the other",
        op="RMSNormalization",
        first_dtype="bfloat16",
        second_dtype="float32",
    ),
    kind_of(
        "precision.kernel",
        "a value that is rounded to half precision in one model stays inside a fused kernel in the "
        "other",
        op="MatMul",
        side=1,
        precision="bfloat16",
    ),
    kind_of(
        "precision.constant",
        "a number of the code is rounded to half precision in one model only",
        value=22.627417,
        rounded=22.625,
        precision="bfloat16",
        side=0,
    ),
    kind_of(
        "precision.range",
        "a number is beyond the range of the half precision in one model only",
        op="pd_op.full",
        precision="float16",
        side=0,
    ),
    kind_of(
        "precision.gradient",
        "a cast changes no value forward, and gradients add up in another precision",
        op="Mul",
        first_dtype="bfloat16",
        second_dtype="float32",
    ),
    kind_of(
        "precision.gradient_range",
        "a gradient is beyond what the half precision holds, in one model only",
        what="the gradient at pd_op.multiply",
        end="beyond the range",
        precision="float16",
        side=0,
    ),
    kind_of(
        "precision.output",
        "an output has another dtype in half precision",
        output="logits",
        first_dtype="bfloat16",
        second_dtype="float32",
    ),
    kind_of(
        "precision.not_shown",
        "the models could not be looked at in half precision",
        precision="bfloat16",
        text="the torch model could not be captured: a branch on data",
    ),
)
"""What parts two models in half precision alone."""
