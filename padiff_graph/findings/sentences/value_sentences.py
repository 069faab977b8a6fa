"""What is said of values, gradients and outputs that differ."""

from __future__ import annotations

from collections.abc import Mapping

_CUT = "its gradient path is cut (detach, no_grad or stop_gradient)"

GRADIENTS: Mapping[str, tuple[str, ...]] = {
    "gradient.detached": (
        "the gradient path is cut here: {inner} (detach, no_grad or stop_gradient)",
        "gradient of {op}: {first_marks} against {second_marks}",
        (
            "{surplus} {operations} in the {first} model: the gradient path is cut here: "
            "an operand of {reader}"
        ),
        "{surplus} {operations} in the {first} model: the gradient path is cut here",
        "gradient path cut here ({op}) on the {side} side only",
        f"no gradient arrives on the {{side}} side: {_CUT}",
    ),
    "gradient.hook": (
        "a gradient hook changes the gradient here: {inner}",
        "gradient of {op}: {first_marks} against {second_marks}",
        "a hook on the parameter {parameter} changes its gradient on the {side} side only",
        "hooks change the gradient of {first_name} otherwise than that of {second_name}",
        "gradient hooks {surplus} in the {first} model: {hooks}",
        "a gradient hook changes the gradient here on the {side} side only",
    ),
    "gradient.custom_backward": (
        "a custom backward function decides the gradient here: {inner}",
        "gradient of {op}: {first_marks} against {second_marks}",
        "a custom backward function decides the gradient here on the {side} side only",
    ),
    "gradient.differs": (
        "the gradient that leaves {op} in {path} towards {towards} differs",
        "the gradient of {first_name} differs from that of {second_name}",
    ),
    "gradient.scaled": (
        "the gradient is scaled: the {first} side is {the_second}'s times {factor:.6g}",
    ),
    "gradient.reversed": ("the gradient is reversed on the {first} side",),
    "gradient.by_design": (
        (
            "the {side} side's gradient is not the derivative of its forward, as {op} may be meant"
            " to have it: {analytic:.6g} along a direction where its own forward changes by"
            " {numeric:.6g}"
        ),
    ),
    "gradient.overflows": (
        (
            "the {side} side's gradient is not finite in {count} of {size} places where the other "
            "side's is, and equal elsewhere: what it computes overflows"
        ),
    ),
    "parameter.frozen": (
        (
            "{parameter} is frozen in the {side} model ({flag}), "
            "{counterpart} is trained in the {other} model"
        ),
    ),
}
"""Differences in the backward pass."""

MOVES: Mapping[str, str] = {
    "values.flipped": "flipped along axis {axis}",
    "values.transposed": "axes permuted by {axes}",
    "values.rolled": "rolled by {shift} along axis {axis}",
    "values.parts_exchanged": "parts in another order along axis {axis}",
    "values.interleaved": "interleaved along axis {axis} on one side",
}
"""How the same values were moved; each also a sentence that says that they are the same."""

VALUES: Mapping[str, tuple[str, ...]] = {
    **{kind: (f"the same values, {move}",) for kind, move in MOVES.items()},
    "values.differ": (
        (
            "{first_op} in {first_path} yields other values than {second_op} in {second_path}; "
            "only the {side} side reads {reads}"
        ),
        (
            "{first_op} in {first_path} yields other values than {second_op} in {second_path}; "
            "what {entered} reads differs already"
        ),
        "{first_op} in {first_path} yields other values than {second_op} in {second_path}",
        "{first_name} yields other values than {second_name}",
    ),
    "values.table": (
        (
            "{op} reads a table of constants {shape} that the two models compute otherwise, in "
            "{first_path} and {second_path}, up to {apart:.3g} apart: it is computed from numbers "
            "of which {seed}"
        ),
        (
            "{op} reads a table of constants {shape} that the two models compute otherwise, in "
            "{first_path} and {second_path}, up to {apart:.3g} apart"
        ),
        (
            "the buffers {buffers} {shape} hold other numbers in the two models, up to "
            "{apart:.3g} apart"
        ),
    ),
    "values.carried": (
        "the order of the elements differs from here on, and {op} in {path} needs it",
    ),
    "statistics.differ": ("the statistics {first_name} are updated otherwise than {second_name}",),
    "values.shape": (
        "shape {shape} where the capture saw {captured}",
        "shape {first_shape} against {second_shape}",
    ),
    "values.inverted": ("every element is the logical inverse of the other side's",),
    "values.unequal": ("{count} of {size} elements differ",),
    "values.nonfinite": (
        (
            "{first_count} elements are not finite on the {first} side, "
            "{second_count} on the {second} side"
        ),
    ),
    "values.zero": ("all zero on the {side} side",),
    "values.term_missing": (
        (
            "the difference is exactly the value of {region} on the {of_side} side: "
            "it is not added on the {first} side"
        ),
    ),
    "values.term_extra": (
        (
            "the difference is exactly the value of {region} on the {of_side} side: "
            "it is added on the {first} side"
        ),
    ),
    "values.negated": ("the {first} side is {the_second}'s negated",),
    "values.scaled": ("the {first} side is {the_second}'s times {factor:.6g}",),
    "values.shifted": ("the {first} side is {the_second}'s plus {shift:.6g}",),
    "values.affine": ("the {first} side is {the_second}'s times {factor:.6g} plus {shift:.6g}",),
    "values.bias": (
        (
            "the difference is one number for each of the {extent} places of axis {axis}, "
            "as a bias would be"
        ),
    ),
    "values.layout": (
        "the same values in another layout: axes permuted by {axes} before a reshape",
    ),
    "values.slices_permuted": ("the same slices in another order along axis {axis}",),
    "values.permuted": ("the same values in another order",),
    "values.applied": ("the {side} side is {function} of {the_other}'s",),
    "values.masked": ("{count} of {size} elements are zero on the {side} side only",),
    "values.partial": (
        "only places {start} to {end} of {extent} along axis {axis} differ",
        "only places {start} of {extent} along axis {axis} differ",
    ),
    "precision.mixed": (
        "computed in {first_dtype} on the {first} side and in {second_dtype} on the {second} side",
    ),
    "precision.lost": (
        (
            "the {side} side loses precision here, as by a cast to a coarser dtype: {lost:.2g} off"
            " its own float64 result, the other side {kept:.2g}"
        ),
    ),
    "region.not_compared": ("{text}",),
    "tensor.not_comparable": ("{tensor}: {text}",),
    "nothing.compared": ("nothing was compared, and so nothing passed: {text}",),
    "obligation.unshown": ("not shown, and so not passed: {meaning} ({text})",),
    "capture.refused": ("{text}",),
}
"""What the numbers say, and where they say nothing."""

OUTPUTS: Mapping[str, tuple[str, ...]] = {
    "outputs.exchanged": (
        (
            "outputs exchanged: what the {first} model returns at {first_places} the {second} model"
            " returns at {second_places}"
        ),
    ),
    "outputs.missing": ("only the {side} model returns {outputs}",),
    "outputs.value": ("{tensor} has two values: {first_told} against {second_told}",),
    "outputs.type": ("{tensor} has two types: {first_type} against {second_type}",),
    "outputs.layout": ("{tensor} has its axes permuted by {axes}",),
}
"""What is returned, place by place."""

STATE: Mapping[str, tuple[str, ...]] = {
    "state.attribute": (
        (
            "after one forward {first_name} is {first_value} on the {first} side and"
            " {second_name} is {second_value} on the {second} side"
        ),
        (
            "after one forward {first_name} holds other values on the {first} side than"
            " {second_name} on the {second} side"
        ),
        "a forward changes {parameter} on the {side} side, which the {other} model does not have",
    ),
    "state.mode": (
        (
            "a forward changes the mode: after it {first_name} is in {first_setting} mode on the"
            " {first} side and {second_name} in {second_setting} mode on the {second} side"
        ),
        (
            "a forward leaves {name} in {setting} mode on the {side} side; the {other} model's"
            " forward changes no mode to that"
        ),
    ),
    "state.second_call": (
        (
            "{first_name} differs in call {only_in} by {error:.3g} of its largest value and agrees"
            " in a later one: what is kept outside of a model (a global, an attribute of a class)"
            " tells one call from the next"
        ),
        (
            "{first_name} agrees in the first call and differs in call {call} by {error:.3g} of its"
            " largest value: what earlier calls left behind, or kept of the weights, is not the"
            " same"
        ),
        (
            "{first_name} agrees in the first call and differs in the second by {error:.3g} of its"
            " largest value: what the first call left behind, or kept of the weights, is not the"
            " same"
        ),
    ),
    "state.call_raises": (
        ("call {call} of the {side} model raises, and the {other} model answers it: {raised}"),
    ),
    "state.parameter_written": (
        "a forward writes the parameter {parameter} on the {side} side only",
        "a forward writes other values into the parameter {first_name} than into {second_name}",
    ),
    "state.input_written": (
        (
            "a forward writes into its input {name} in place on the {side} side only: the caller's"
            " tensor is another one afterwards"
        ),
        "a forward writes other values into its input {first_name} than into {second_name}",
    ),
    "state.container": (
        "a forward changes what {name} holds on the {side} side only: its caller finds it changed",
        "a forward leaves other values in {first_name} than in {second_name}",
    ),
    "buffer.written": (
        (
            "a forward writes other values into the buffer {first_name} on the {first} side than"
            " into {second_name} on the {second} side"
        ),
    ),
    "buffer.written_again": (
        (
            "the backward writes the buffer {parameter} once more on the {side} side only, as"
            " recomputation does: a step counts its batch twice"
        ),
    ),
}
"""What a run leaves behind."""

DEEDS: Mapping[str, str] = {
    "values.scaled": "its operand times {factor:.6g}",
    "values.shifted": "its operand plus {shift:.6g}",
    "values.affine": "its operand times {factor:.6g} plus {shift:.6g}",
    "values.negated": "its operand negated",
    "values.inverted": "its operand inverted",
    "values.zero": "zeros",
}
"""What an operation hands on, where the sentence of the kind speaks of two sides."""
