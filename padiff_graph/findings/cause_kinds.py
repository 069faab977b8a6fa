"""The closed list of what a cause can be: a stable id, what it means, and an example.

docs/causes.md is this table as a page. An id never changes its meaning; new ones are added.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from padiff_graph.capture.normal.operator_table import OPERATORS
from padiff_graph.findings.cause import Cause

__all__ = ["KINDS", "SETTINGS", "Kind", "cause_id", "setting_kind"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of cause.

    Attributes:
        id: stable, dotted: the family, then the kind.
        meaning: in one line, for a person.
        example: a cause of this kind, as a finding has it.
    """

    id: str
    meaning: str
    example: Cause


def _kind(id: str, meaning: str, /, **facts: object) -> Kind:
    return Kind(id, meaning, Cause.of(id, **facts))


SETTINGS = (
    "algorithm",
    "learning rate",
    "learning rate decay",
    "momentum",
    "momentum decay",
    "dampening",
    "nesterov",
    "maximize",
    "beta1",
    "beta2",
    "epsilon",
    "amsgrad",
    "rho",
    "centered",
    "weight decay",
    "kind of weight decay",
    "gradient clipping",
    "gradient scale",
)
"""Settings of optimizers, in the words that both frameworks share."""
OPEN = frozenset({"values.differ", "gradient.differs"})
"""Kinds that say only that there is a difference: what the numbers show of it names the cause."""

_BEYOND = {
    "tensor": "the output",
    "error": 3e-5,
    "mode": "mean",
    "scale": 1.2,
    "atol": 1e-6,
    "rtol": 1e-6,
}
_ENOUGH = "rtol=3.1e-05 or atol=3.6e-05 would have been enough"
_TENSORS = {"first_name": "fc.weight", "second_name": "head.weight"}


def _attribute_kinds() -> Iterable[Kind]:
    """One kind for every attribute that the normal form has, whatever the operator."""
    owners = {name: op for op, operator in OPERATORS.items() for name in operator.attributes}
    for name, op in sorted(owners.items()):
        yield _kind(
            f"attribute.{name}",
            f"the attribute `{name}` of matched operators has two values",
            op=op,
            name=name,
            first_value=1,
            second_value=2,
        )
    yield _kind(
        "attribute.native",
        "an attribute of an operator that the normal form does not know has two values",
        op="my_op",
        name="mode",
        first_value="a",
        second_value="b",
    )


def _setting_kinds() -> Iterable[Kind]:
    """One kind for every setting of an optimizer."""
    for setting in (*SETTINGS, "setting"):
        yield _kind(
            setting_kind(setting),
            "an optimizer's setting outside this list has two values"
            if setting == "setting"
            else f"the optimizers' {setting} has two values",
            step=1,
            setting=setting,
            first_setting=0.1,
            second_setting=0.01,
            first_class="AdamW",
            second_class="AdamW",
        )


def setting_kind(setting: str) -> str:
    """The kind of a difference in one setting of the optimizers."""
    known = setting if setting in SETTINGS else "setting"
    return f"optimizer.{known.replace(' ', '_')}"


_STRUCTURE = (
    _kind(
        "operation.missing",
        "the first model lacks an operation that the second has",
        side=1,
        operations=("Relu",),
    ),
    _kind(
        "operation.extra",
        "the first model has an operation that the second lacks",
        side=0,
        operation="Flip",
        left_out="pd_op.flip",
        path="head",
    ),
    _kind(
        "operation.replaced",
        "another operator of the same family stands in the place",
        first_op="Relu",
        second_op="Gelu",
    ),
    _kind(
        "operations.exchanged",
        "the same operations are computed in another order",
        ops="Relu, BatchNormalization",
    ),
    _kind(
        "operand.missing",
        "an operation of the first model lacks an operand: a bias, a mask",
        op="Linear",
        operand="bias",
    ),
    _kind(
        "operand.extra",
        "an operation of the first model has an operand too many",
        op="Linear",
        operand="bias",
    ),
    _kind(
        "operand.count",
        "a sum, product or list has another number of operands",
        op="Add",
        first_count=2,
        second_count=3,
    ),
    _kind("operand.transposed", "an operand is read with its axes exchanged", op="MatMul"),
    _kind(
        "operand.reordered",
        "an operand is read with its elements in another order",
        op="MatMul",
        first_ways="pd_op.reshape",
        second_ways="aten.permute.default",
    ),
    _kind(
        "operands.exchanged",
        "a concatenation takes the same parts in another order",
        op="Concat",
        first_order="2, 1",
        second_order="1, 2",
    ),
    _kind(
        "operands.rewired",
        "an operand comes from another operation",
        ops="Add",
        first_op="Relu",
        first_from="block.act",
        second_op="Conv",
        second_from="block.conv",
    ),
    _kind("axis.other", "an operation goes over another axis", op="Softmax"),
    _kind("mask.inverted", "a mask hides what the other model's shows", op="Softmax"),
    _kind(
        "scale",
        "an operand or output is multiplied by another constant",
        product="MatMul",
        first_value=0.125,
        second_value=0.25,
    ),
    _kind(
        "shift",
        "another constant is added to an operand or output",
        reader="Sigmoid",
        first_value=1.0,
        second_value=0.0,
    ),
    _kind(
        "construction.operator",
        "an operation of another kind computes from the same values; numbers decide",
        first_op="Gelu",
        second_op="Mul",
    ),
    _kind(
        "construction.operations",
        "a stretch is built from other operations; numbers decide",
        first_operations=("Pow", "Mul"),
        second_operations=("Mul",),
    ),
    _kind(
        "parameter.shared",
        "one parameter of the first model stands where the second has several",
        modules=("encoder.0", "encoder.1"),
        parameter="encoder.0.weight",
        others=("layers.0.weight", "layers.1.weight"),
    ),
)
"""What both graphs show."""

_GRADIENTS = (
    _kind(
        "gradient.detached",
        "the gradient path is cut on one side: detach, no_grad or stop_gradient",
        side=0,
        op="pd_op.share_data_",
    ),
    _kind("gradient.hook", "a hook changes the gradient on one side", side=0),
    _kind(
        "gradient.custom_backward",
        "a custom backward function decides the gradient on one side",
        side=1,
    ),
    _kind("gradient.differs", "a gradient differs, and nothing more is known of it", **_TENSORS),
    _kind("gradient.scaled", "a gradient is scaled", factor=0.5),
    _kind("gradient.reversed", "a gradient has the other sign"),
    _kind(
        "gradient.overflows",
        "what one model computes overflows in its backward",
        side=0,
        count=3,
        size=64,
    ),
    _kind(
        "parameter.frozen",
        "one model trains a parameter that the other does not",
        side=0,
        parameter="fc.weight",
        flag="stop_gradient is set",
        counterpart="head.weight",
    ),
)
"""What the backward pass shows."""

_VALUES = (
    _kind(
        "values.differ",
        "an operation yields other values, and nothing more is known of it",
        first_op="pd_op.add",
        first_path="block",
        second_op="aten.add.Tensor",
        second_path="block",
    ),
    _kind(
        "values.carried",
        "the elements lie in another order, and an operation further down needs the order",
        op="pd_op.matmul",
        path="head",
    ),
    _kind(
        "statistics.differ",
        "running statistics are updated otherwise",
        first_name="bn._mean",
        second_name="bn.running_mean",
    ),
    _kind(
        "values.shape",
        "results have another shape",
        first_shape=(1, 3, 7, 7),
        second_shape=(1, 3, 9, 9),
    ),
    _kind("values.inverted", "truth values are inverted"),
    _kind("values.unequal", "some truth values differ", count=3, size=64),
    _kind(
        "values.nonfinite",
        "values are infinite or not a number on one side",
        first_count=3,
        second_count=0,
    ),
    _kind("values.zero", "one side is all zero", side=0),
    _kind(
        "values.term_missing",
        "the first model lacks a term of a sum: a residual",
        region="aten.relu.default in act",
        of=1,
    ),
    _kind(
        "values.term_extra",
        "the first model has a term of a sum too many",
        region="pd_op.relu in act",
        of=0,
    ),
    _kind("values.negated", "the first model's values have the other sign"),
    _kind("values.scaled", "the first model's values are the second's times a number", factor=0.5),
    _kind("values.shifted", "the first model's values are the second's plus a number", shift=1.0),
    _kind(
        "values.affine", "the first model's values are scaled and shifted", factor=2.0, shift=1.0
    ),
    _kind("values.bias", "one number is missing for each place of an axis", extent=64, axis=1),
    _kind("values.flipped", "the same values, flipped", axis=1),
    _kind("values.transposed", "the same values, axes exchanged", axes=(0, 2, 1)),
    _kind("values.layout", "the same values, axes exchanged before a reshape", axes=(0, 2, 1)),
    _kind("values.rolled", "the same values, rolled", shift=1, axis=2),
    _kind("values.parts_exchanged", "the same values, halves of an axis exchanged", axis=1),
    _kind("values.interleaved", "the same values, interleaved along an axis", axis=1),
    _kind("values.slices_permuted", "the same slices of an axis in another order", axis=1),
    _kind("values.permuted", "the same values in another order"),
    _kind("values.applied", "one side is a known function of the other", side=0, function="Relu"),
    _kind("values.masked", "some elements are zero on one side only", count=3, size=64, side=0),
    _kind(
        "values.partial", "only some places of an axis differ", start=0, end=3, extent=64, axis=1
    ),
    _kind(
        "precision.mixed",
        "one model computes in a coarser dtype",
        first_dtype="float16",
        second_dtype="float32",
    ),
    _kind(
        "precision.lost",
        "one model loses precision, as by a cast to a coarser dtype",
        side=0,
        lost=4e-3,
        kept=1e-7,
    ),
    _kind(
        "region.not_compared",
        "an operation could not be run by itself",
        text="what it reads could not be computed by itself",
    ),
    _kind(
        "tensor.not_comparable",
        "two tensors cannot be laid beside each other",
        tensor="the output",
        text="shape [1, 10] against [1, 12]",
    ),
    _kind(
        "nothing.compared",
        "nothing was compared, and so nothing passed",
        text="no value of one model could be laid beside one of the other",
    ),
    _kind(
        "capture.refused",
        "a model could not be captured",
        text="the torch model could not be captured: a branch on data",
    ),
)
"""What the numbers say, and where they say nothing."""

_FRAMEWORKS = (
    _kind(
        "framework.biased_variance",
        "the frameworks update a running variance with another batch variance",
        factor=1.06667,
    ),
    _kind("framework.kink", "the frameworks choose other gradients at a kink"),
    _kind(
        "framework.wrong_gradient",
        "a framework's gradient is not that of its own forward",
        side=0,
        analytic=0.5,
        numeric=0.25,
    ),
    _kind(
        "framework.overflow",
        "a framework's own arithmetic overflows in the backward",
        side=0,
        count=3,
        size=64,
    ),
    _kind(
        "framework.carried",
        "it follows from what the frameworks do differently further up",
        path="act",
        enough=_ENOUGH,
        **_BEYOND,
    ),
    _kind(
        "framework.update_rule",
        "the frameworks compute an optimizer's update differently",
        algorithm="RMSProp",
        rule="Paddle adds epsilon under the square root, torch behind it",
        step=1,
        first_name="fc.weight",
        error=1e-3,
        update=0.1,
    ),
)
"""What the frameworks themselves do differently."""

_TOLERANCE = (
    _kind(
        "rounding.accumulated",
        "rounding, carried along to the end of the run",
        enough=_ENOUGH,
        **_BEYOND,
    ),
    _kind(
        "rounding.undecided",
        "beyond the tolerance; whether it is rounding is not known",
        enough=_ENOUGH,
        **_BEYOND,
    ),
    _kind(
        "whole.other_weights",
        "the whole runs do not hold the same weights",
        loose=Cause.of("parameter.unmapped", first_some=("w",), second_some=("v",)),
        **_BEYOND,
    ),
    _kind("whole.not_located", "the whole runs differ, and no single place was found", **_BEYOND),
)
"""Values beyond the tolerance."""

_WEIGHTS = (
    _kind(
        "parameter.extra",
        "a parameter of the first model has no counterpart",
        parameters=("fc.bias [10]",),
        text="nothing of its shape is left",
    ),
    _kind(
        "parameter.missing",
        "a parameter of the second model has no counterpart",
        parameters=("head.bias [10]",),
    ),
    _kind(
        "parameter.unmapped",
        "both models have weights that no map was found between",
        first_some=("fc.weight",),
        second_some=("head.weight",),
    ),
    _kind(
        "parameter.crossed",
        "a parameter's counterpart goes by the name of another one",
        first_owner="fc1",
        second_owner="fc2",
        parameters=("fc1.weight",),
    ),
    _kind(
        "parameter.exchanged",
        "two modules go by each other's names",
        first_owner="fc1",
        second_owner="fc2",
        parameters=("fc1.weight",),
    ),
    _kind(
        "weights.shuffled",
        "a weight's elements stand in an order that no transpose gives",
        parameters=("qkv.weight",),
    ),
    _kind(
        "weights.as_they_are",
        "a weight was copied as it is, and the map asks for something else",
        transform="transpose",
        **_TENSORS,
    ),
    _kind(
        "weights.transposed",
        "a weight was transposed the wrong way",
        transform="identity",
        **_TENSORS,
    ),
    _kind(
        "weights.swapped",
        "two modules hold each other's weights",
        parameter="fc2.weight",
        first_name="fc1.weight",
        first_owner="fc1",
        second_owner="fc2",
    ),
    _kind("weights.initial", "a weight was never copied", number=1.0, **_TENSORS),
    _kind("weights.permuted", "a weight's elements stand in another order", **_TENSORS),
    _kind(
        "weights.read_in_another_order",
        "the weights agree, and the models compute with their elements in another order",
        transform="flipped along axis 0",
        **_TENSORS,
    ),
    _kind("weights.differ", "the models hold other weights", **_TENSORS),
)
"""Weights as they stand."""

_TRAINING = (
    _kind(
        "loss.differs",
        "the loss functions return other values for the same output",
        losses="loss and criterion",
        first_number=0.25,
        second_number=0.5,
        share=0.5,
    ),
    _kind(
        "loss.gradient_differs",
        "the loss functions have other gradients for the same output",
        losses="loss and criterion",
        towards="output",
        error=1e-3,
    ),
    _kind(
        "optimizer.owner",
        "the optimizers do not train the same parameters",
        some=("fc.bias",),
        first_setting="trained",
        second_setting="left alone",
    ),
    _kind(
        "optimizer.schedule",
        "the learning rate schedules differ from a later step on",
        step=3,
        first_setting=0.05,
        second_setting=0.1,
    ),
    _kind(
        "optimizer.update",
        "the update rules differ though all settings agree",
        step=1,
        first_name="fc.weight",
        error=1e-3,
        update=0.1,
    ),
    _kind(
        "optimizer.steps",
        "the steps differ where gradients agree, and callables hide how",
        step=1,
        some=("fc.weight",),
        share=0.1,
    ),
    _kind(
        "training.rounding",
        "rounding, carried along by training",
        step=2,
        first_name="fc.weight",
        error=1e-5,
    ),
    _kind(
        "training.undecided",
        "weights depart in training; whether it is rounding is not known",
        step=2,
        first_name="fc.weight",
        error=1e-5,
    ),
)
"""Losses, optimizers, steps."""

KINDS: Mapping[str, Kind] = {
    kind.id: kind
    for kind in (
        *_STRUCTURE,
        *_attribute_kinds(),
        *_GRADIENTS,
        *_VALUES,
        *_FRAMEWORKS,
        *_TOLERANCE,
        *_WEIGHTS,
        *_TRAINING,
        *_setting_kinds(),
    )
}
"""Every kind by its id."""


def cause_id(cause: Cause) -> str:
    """The stable id of a cause: of what the numbers show where nothing else is known of a difference."""
    if cause.kind in OPEN and cause.seen is not None:
        return cause.seen.kind
    return cause.kind
