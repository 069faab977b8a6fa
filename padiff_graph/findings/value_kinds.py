"""Kinds of causes that the numbers show, and where they say nothing."""

from __future__ import annotations

from padiff_graph.findings.kind import kind_of

__all__ = ["VALUES"]

VALUES = (
    kind_of(
        "values.differ",
        "an operation yields other values, and nothing more is known of it",
        first_op="pd_op.add",
        first_path="block",
        second_op="aten.add.Tensor",
        second_path="block",
    ),
    kind_of(
        "values.table",
        "an operation reads a table of constants that holds other numbers in the other model",
        shape=(6, 4),
        op="Mul",
        first_path="attention.rotary",
        second_path="attention.rotary",
        apart=0.99,
    ),
    kind_of(
        "values.carried",
        "the elements lie in another order, and an operation further down needs the order",
        op="pd_op.matmul",
        path="head",
    ),
    kind_of(
        "statistics.differ",
        "running statistics are updated otherwise",
        first_name="bn._mean",
        second_name="bn.running_mean",
    ),
    kind_of(
        "values.shape",
        "results have another shape",
        first_shape=(1, 3, 7, 7),
        second_shape=(1, 3, 9, 9),
    ),
    kind_of("values.inverted", "truth values are inverted"),
    kind_of("values.unequal", "some truth values differ", count=3, size=64),
    kind_of(
        "values.nonfinite",
        "values are infinite or not a number on one side",
        first_count=3,
        second_count=0,
    ),
    kind_of("values.zero", "one side is all zero", side=0),
    kind_of(
        "values.term_missing",
        "the first model lacks a term of a sum: a residual",
        region="aten.relu.default in act",
        of=1,
    ),
    kind_of(
        "values.term_extra",
        "the first model has a term of a sum too many",
        region="pd_op.relu in act",
        of=0,
    ),
    kind_of("values.negated", "the first model's values have the other sign"),
    kind_of(
        "values.scaled", "the first model's values are the second's times a number", factor=0.5
    ),
    kind_of("values.shifted", "the first model's values are the second's plus a number", shift=1.0),
    kind_of(
        "values.affine", "the first model's values are scaled and shifted", factor=2.0, shift=1.0
    ),
    kind_of("values.bias", "one number is missing for each place of an axis", extent=64, axis=1),
    kind_of("values.flipped", "the same values, flipped", axis=1),
    kind_of("values.transposed", "the same values, axes exchanged", axes=(0, 2, 1)),
    kind_of("values.layout", "the same values, axes exchanged before a reshape", axes=(0, 2, 1)),
    kind_of("values.rolled", "the same values, rolled", shift=1, axis=2),
    kind_of("values.parts_exchanged", "the same values, halves of an axis exchanged", axis=1),
    kind_of("values.interleaved", "the same values, interleaved along an axis", axis=1),
    kind_of("values.slices_permuted", "the same slices of an axis in another order", axis=1),
    kind_of("values.permuted", "the same values in another order"),
    kind_of("values.applied", "one side is a known function of the other", side=0, function="Relu"),
    kind_of("values.masked", "some elements are zero on one side only", count=3, size=64, side=0),
    kind_of(
        "values.partial", "only some places of an axis differ", start=0, end=3, extent=64, axis=1
    ),
    kind_of(
        "precision.mixed",
        "one model computes in a coarser dtype",
        first_dtype="float16",
        second_dtype="float32",
    ),
    kind_of(
        "precision.lost",
        "one model loses precision, as by a cast to a coarser dtype",
        side=0,
        lost=4e-3,
        kept=1e-7,
    ),
    kind_of(
        "region.not_compared",
        "an operation could not be run by itself",
        text="what it reads could not be computed by itself",
    ),
    kind_of(
        "tensor.not_comparable",
        "two tensors cannot be laid beside each other",
        tensor="the output",
        text="shape [1, 10] against [1, 12]",
    ),
    kind_of(
        "nothing.compared",
        "nothing was compared, and so nothing passed",
        text="no value of one model could be laid beside one of the other",
    ),
    kind_of(
        "obligation.unshown",
        "something that a pass asks for was not shown, though nothing differs",
        name="gradients",
        meaning="gradients of inputs and parameters agree as totals, hooks included",
        text="the framework has no backward for an operation",
    ),
    kind_of(
        "capture.refused",
        "a model could not be captured",
        text="the torch model could not be captured: a branch on data",
    ),
)
"""What the numbers say, and where they say nothing."""
