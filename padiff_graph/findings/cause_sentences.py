"""Causes in English: one table of sentences, and what fills them in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from string import Formatter

from padiff_graph.findings.cause import Cause

__all__ = ["SENTENCES", "sentence"]

TITLES = {"paddle": "Paddle", "torch": "torch", "onnx": "ONNX"}
"""What a framework is called in a sentence."""
ROOTS = {
    "path": "the root",
    "first_path": "the root",
    "second_path": "the root",
    "first_from": "root",
    "second_from": "root",
}
"""What the empty module path is called, by the fact that holds it."""
LISTS = {
    "operations": (", ", 6),
    "first_operations": (", ", 6),
    "second_operations": (", ", 6),
    "parameters": (", ", 6),
    "some": (", ", 3),
    "first_some": (", ", 3),
    "second_some": (", ", 3),
    "outputs": (", ", 6),
    "first_places": (", ", 6),
    "second_places": (", ", 6),
    "modules": (" and ", 4),
    "others": (" and ", 4),
}
"""How the members of a fact are joined, and how many are shown at most; all with commas where not
listed."""
COUNTED = frozenset({"operations", "first_operations", "second_operations"})
"""Facts in which equal members are shown once, with their number."""
QUOTED = frozenset({"first_value", "second_value"})
"""Facts that are the value of an attribute: strings stand in quotes, floats in six digits."""
PLAIN = frozenset({"first_setting", "second_setting"})
"""Facts that are the value of a setting: floats in six digits."""
CONVENTIONS = {
    (
        "BatchNormalization",
        "momentum",
    ): "the share of the new batch, as torch counts it; Paddle's momentum is 1 minus it"
}
"""What to say where the frameworks count an attribute differently: the code may show another
number."""

_BEYOND = (
    "{tensor} differs by {error:.3g} ({mode}; largest value {scale:.3g}), "
    "beyond atol={atol:g}, rtol={rtol:g}"
)
_CUT = "its gradient path is cut (detach, no_grad or stop_gradient)"
_TRAINED = "after step {step} on equal weights and gradients {first_name} differs by up to "
_TRAINED += "{error:.3g} (the step itself is {update:.3g})"

STRUCTURE: Mapping[str, tuple[str, ...]] = {
    "attribute": (
        "{op}.{name} {first_value} against {second_value} ({convention})",
        "{op}.{name} {first_value} against {second_value}",
    ),
    "size": ("{op}.{name} {first_value} against {second_value}",),
    "size.depth": ("{first_count} blocks in {path} against {second_count}",),
    "operation.missing": (
        (
            "missing {operation}: without {left_out} in {path} of the {side} side, which hands on"
            " {deed}, both sides agree"
        ),
        "missing {operation}: without {left_out} in {path} of the {side} side, both sides agree",
        (
            "missing {operation}: {turning} in {path} of the {side} side turns a value that keeps"
            " its shape"
        ),
        "missing {operation}: {alone} in {path} stands on the {side} side only",
        "missing {operation} of {value} in the {first} model",
        "missing {operations} in the {first} model: an operand of {reader}",
        "missing {operations} in the {first} model",
    ),
    "operation.extra": (
        (
            "extra {operation}: without {left_out} in {path} of the {side} side, which hands on"
            " {deed}, both sides agree"
        ),
        "extra {operation}: without {left_out} in {path} of the {side} side, both sides agree",
        (
            "extra {operation}: {turning} in {path} of the {side} side turns a value that keeps its"
            " shape"
        ),
        "extra {operation}: {alone} in {path} stands on the {side} side only",
        "extra {operation} of {value} in the {first} model",
        "extra {operations} in the {first} model: an operand of {reader}",
        "extra {operations} in the {first} model",
    ),
    "operation.replaced": ("{first_op} against {second_op}",),
    "operations.exchanged": ("{ops}: computed in another order",),
    "operand.missing": ("missing {operand} of {op} in the {first} model",),
    "operand.extra": ("extra {operand} of {op} in the {first} model",),
    "operand.count": ("{op} of {first_count} operands against {second_count}",),
    "operand.transposed": ("{op} reads its operand transposed",),
    "operand.reordered": (
        "{op} reads its operand in another order: through {first_ways} against {second_ways}",
    ),
    "operands.exchanged": (
        "{op} takes its parts in another order: {first_order} against {second_order}",
    ),
    "operands.rewired": (
        "{ops} reads {first_op} ({first_from}) against {second_op} ({second_from})",
    ),
    "axis": ("{op} goes over another axis",),
    "mask.inverted": ("mask of {op} with the other sign: it hides what the other shows",),
    "scale": (
        "{product} of operands scaled by {first_value} against {second_value}",
        "operand of {reader} scaled by {first_value} against {second_value}",
        "{value} scaled by {first_value} against {second_value}",
    ),
    "shift": (
        "operand of {reader} shifted by {first_value} against {second_value}",
        "{value} shifted by {first_value} against {second_value}",
    ),
    "construction.operator": ("{first_op} against {second_op} between the same values",),
    "construction.operations": ("{first_operations} against {second_operations}",),
    "operand.inverted": (
        ("a mask is read with the other sign: once {tensor} is inverted (Not), both sides agree"),
    ),
    "embedding.padding": (
        (
            "embedding with padding_idx={row}: the {side} side yields zeros there, and the other"
            " side what its row {row} holds, which is not zero"
        ),
    ),
    "parameter.shared": (
        (
            "{parameter} is one shared parameter of the {side} model, read in {modules}, where the"
            " {other} model has {others}"
        ),
    ),
}
"""Differences that both graphs show."""

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
        "{first_op} in {first_path} yields other values than {second_op} in {second_path}",
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

FRAMEWORKS: Mapping[str, tuple[str, ...]] = {
    "framework.biased_variance": (
        (
            "the running variance is updated with the biased batch variance by one framework and"
            " with the unbiased one by the other: a factor of {factor:.6g}"
        ),
    ),
    "framework.kink": (
        "both gradients are one-sided at a kink of the function, where none is right",
    ),
    "framework.wrong_gradient": (
        (
            "the {side} side's framework computes a wrong gradient: {analytic:.6g} along a"
            " direction where its own forward changes by {numeric:.6g}"
        ),
    ),
    "framework.same_call": (
        (
            "the frameworks compute this differently: {first_op} and {second_op} get the same"
            " operands and attributes and yield other numbers, in float64 too"
        ),
    ),
    "framework.known": ("{text}",),
    "framework.overflow": (
        (
            "the {side} side's framework computes a gradient that is not finite in {count} of"
            " {size} places where the other side's is, and equal elsewhere: its own arithmetic"
            " overflows"
        ),
    ),
    "framework.carried": (
        _BEYOND
        + " in {where}: it follows from what the frameworks do differently in {path}; {enough}",
        _BEYOND + ": it follows from what the frameworks do differently in {path}; {enough}",
    ),
    "framework.update_rule": (
        "the frameworks compute {algorithm} differently: {rule}; " + _TRAINED,
    ),
}
"""What the frameworks themselves do differently."""

TOLERANCE: Mapping[str, tuple[str, ...]] = {
    "rounding.accumulated": (
        _BEYOND + " in {where}: this is rounding, since every part of both models agrees on equal "
        "inputs; {enough}",
        _BEYOND
        + ": this is rounding, since every part of both models agrees on equal inputs; {enough}",
    ),
    "rounding.undecided": (
        _BEYOND + " in {where}; whether this is rounding is not known, since not every part of the "
        "models could be compared; {enough}",
        _BEYOND + "; whether this is rounding is not known, since not every part of the models "
        "could be compared; {enough}",
    ),
    "rounding.unproved": (
        _BEYOND + "; whether this is rounding could not be proved in float64, {text}; {enough}",
    ),
    "whole.unexplained": (
        (
            "{tensor} differs by {error:.3g} in float64, with equal weights, inputs and draws"
            " (largest value {scale:.3g}; one unit in the last place of weights and inputs moves it"
            " by {noise:.3g}), though every part of both models agrees by itself; so do"
            " {others} more values"
        ),
        (
            "{tensor} differs by {error:.3g} in float64, with equal weights, inputs and draws"
            " (largest value {scale:.3g}; one unit in the last place of weights and inputs moves it"
            " by {noise:.3g}), though every part of both models agrees by itself"
        ),
    ),
    "whole.other_weights": (
        _BEYOND + " in {where}; {loose}, so the two runs do not hold the same weights",
        _BEYOND + "; {loose}, so the two runs do not hold the same weights",
    ),
    "whole.not_located": (
        _BEYOND
        + " in {where}; no single place was found, since not every part of the models could "
        "be compared",
        _BEYOND
        + "; no single place was found, since not every part of the models could be compared",
    ),
}
"""Values beyond the tolerance where no place is known to be wrong."""

WEIGHTS: Mapping[str, tuple[str, ...]] = {
    "parameter.extra": (
        "parameters without counterpart in the {second} model: {parameters}: {text}",
    ),
    "parameter.missing": (
        (
            "parameters of the {second} model that no parameter of the {first} model holds: "
            "{parameters}"
        ),
    ),
    "parameter.unmapped": (
        "{loose}, though they hold as many numbers",
        (
            "no map was found between the weights {first_some} ({first_label}) and {second_some} "
            "({second_label})"
        ),
    ),
    "map.module_unknown": (
        "the layer map has a row of {path}, and the {side} model has no such module that computes; "
        "the row is not used",
    ),
    "map.module_contradicted": (
        "the layer map pairs {first_path} with {second_path}, and no operation of the one matches "
        "one of the other; the row is not used",
    ),
    "map.parameter_contradicted": (
        "the layer map makes {first_name} of {said}, and the computation reads {read} there; "
        "the row is not used",
    ),
    "map.parameter_unfit": (
        "the layer map has a row of {first_name} that does not fit these models: a name or a shape "
        "is another one; the row is not used",
    ),
    "parameter.crossed": (
        (
            "names are crossed: {first_owner} takes the weights of {second_owner} ({parameters}); "
            "a checkpoint loaded by name would go wrong"
        ),
    ),
    "parameter.exchanged": (
        (
            "names are crossed: {first_owner} takes the weights of {second_owner} and the other way"
            " round ({parameters}); a checkpoint loaded by name would go wrong"
        ),
    ),
    "weights.shuffled": (
        (
            "{parameters}: the elements stand in another order than in the {second} model; "
            "a checkpoint copied as it is, or only transposed, would go wrong"
        ),
    ),
    "weights.as_they_are": (
        "{first_name} holds {second_name} as it is; the map between them is: {transform}",
    ),
    "weights.transposed": (
        (
            "{first_name} holds {second_name} transposed the wrong way: its own transpose is what"
            " the map asks for ({transform})"
        ),
    ),
    "weights.swapped": (
        (
            "{first_name} holds the values that belong to {parameter}: {first_owner} is swapped"
            " with {second_owner}"
        ),
    ),
    "weights.initial": ("{first_name} still stands at {number:g}; {second_name} was never copied",),
    "weights.permuted": (
        "{first_name} holds the values of {second_name} in another order than the map asks for",
    ),
    "weights.read_in_another_order": (
        (
            "{first_name} holds the values of {second_name}, but the two models compute with their "
            "elements in another order ({transform}): {op} in {path} of the {side} side turns them"
        ),
        (
            "{first_name} holds the values of {second_name}, but the two models compute with their "
            "elements in another order ({transform})"
        ),
    ),
    "weights.differ": ("{first_name} and {second_name} hold different values",),
}
"""Weights as they stand."""

TRAINING: Mapping[str, tuple[str, ...]] = {
    "loss.differs": (
        (
            "the loss functions differ: on the same output {losses} return {first_number:.7g} and "
            "{second_number:.7g} ({share:.2%} apart)"
        ),
    ),
    "loss.gradient_differs": (
        (
            "the gradients of the loss functions differ: on the same output {losses} return the"
            " same value, but their gradients of {towards} differ by up to {error:.3g}"
        ),
    ),
    "optimizer": (
        (
            "the optimizers differ from step {step} on: {setting} is {first_setting}"
            " ({first_label}) against {second_setting} ({second_label}) for {some}, in"
            " {first_class} ({first_label}) and {second_class} ({second_label})"
        ),
        (
            "the optimizers differ from step {step} on: {setting} is {first_setting} "
            "({first_label}) against {second_setting} ({second_label}), in {first_class} "
            "({first_label}) and {second_class} ({second_label})"
        ),
    ),
    "optimizer.owner": (
        (
            "the optimizers do not train the same parameters: {some} is {first_setting} on the "
            "{first} side and {second_setting} on the {second} side"
        ),
    ),
    "optimizer.schedule": (
        (
            "the learning rate schedules differ from step {step} on: the learning rate is "
            "{first_setting} ({first_label}) against {second_setting} ({second_label}) for {some}"
        ),
        (
            "the learning rate schedules differ from step {step} on: the learning rate is "
            "{first_setting} ({first_label}) against {second_setting} ({second_label})"
        ),
    ),
    "optimizer.update": ("the optimizers differ though their settings agree: " + _TRAINED,),
    "optimizer.steps": (
        (
            "the optimizers differ from step {step} on: where the gradients agree, the steps taken"
            " on {some} differ by {share:.2%}; the callables hide how"
        ),
    ),
    "training.rounding": (
        (
            "training departs from step {step} on: {first_name} differs by up to {error:.3g}; "
            "rounding carried along by training, which parts two right runs by up to {band:.3g}"
        ),
    ),
    "training.departs": (
        (
            "training departs at step {step}, first in the {stage}: {first_name} differs by up to"
            " {error:.3g}, where rounding parts two right runs by up to {band:.3g}"
        ),
    ),
    "training.undecided": (
        (
            "training departs from step {step} on: {first_name} differs by up to {error:.3g}; "
            "not told from rounding, since parts of the models could not be compared or the "
            "training does not repeat itself"
        ),
    ),
}
"""Losses, optimizers, steps."""

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
    "state.second_call": (
        (
            "{first_name} agrees in the first call and differs in the second by {error:.3g} of its"
            " largest value: what the first call left behind, or kept of the weights, is not the"
            " same"
        ),
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

SENTENCES: Mapping[str, tuple[str, ...]] = {
    **STRUCTURE,
    **GRADIENTS,
    **VALUES,
    **OUTPUTS,
    **STATE,
    **FRAMEWORKS,
    **TOLERANCE,
    **WEIGHTS,
    **TRAINING,
}
"""A kind, or the family before its dot, and its sentences: the first one all of whose facts are
there."""

DEEDS: Mapping[str, str] = {
    "values.scaled": "its operand times {factor:.6g}",
    "values.shifted": "its operand plus {shift:.6g}",
    "values.affine": "its operand times {factor:.6g} plus {shift:.6g}",
    "values.negated": "its operand negated",
    "values.inverted": "its operand inverted",
    "values.zero": "zeros",
}
"""What an operation hands on, where the sentence of the kind speaks of two sides."""
SHORTER: Mapping[str, Mapping[str, str]] = {"deed": DEEDS, "transform": MOVES}
"""How a cause that is a fact of another one is said, by the fact's name; in full where not listed.
"""


def sentence(cause: Cause, frameworks: tuple[str, str] = ("paddle", "torch")) -> str:
    """A cause in English, the models named by their frameworks, or first and second where both are
    of one."""
    facts = _facts(cause, frameworks)
    said = _filled(SENTENCES.get(cause.kind) or SENTENCES[cause.kind.partition(".")[0]], facts)
    if "alike" in facts:
        said += f" (and {facts['alike']} more parameters alike)"
    if cause.seen is not None:
        said += f": {sentence(cause.seen, frameworks)}"
    return "; ".join((said, *(sentence(more, frameworks) for more in cause.further)))


def _filled(candidates: tuple[str, ...], facts: Mapping[str, object]) -> str:
    for candidate in candidates:
        names = {name for _, name, _, _ in Formatter().parse(candidate) if name}
        if names <= facts.keys():
            return candidate.format_map(dict(facts))
    raise KeyError(f"no sentence of {candidates} is filled by the facts {sorted(facts)}")


def _facts(cause: Cause, frameworks: tuple[str, str]) -> dict[str, object]:
    """What a sentence may speak of: the facts as they are shown, and what the models are called."""
    told = dict(cause.facts)
    shown = {name: _shown(name, value, frameworks) for name, value in told.items()}
    names, owners = _names(frameworks)
    shown |= {"first": names[0], "second": names[1]}
    shown |= {"the_first": owners[0], "the_second": owners[1]}
    labels = frameworks if frameworks[0] != frameworks[1] else names
    shown |= {"first_label": labels[0], "second_label": labels[1]}
    side = told.get("side")
    if isinstance(side, int):
        shown |= {"side": names[side], "other": names[1 - side], "the_other": owners[1 - side]}
        shown["surplus"] = ("extra", "missing")[side]
    of = told.get("of")
    if isinstance(of, int):
        shown["of_side"] = names[of]
    convention = CONVENTIONS.get((str(told.get("op")), str(told.get("name"))))
    if convention is not None:
        shown["convention"] = convention
    return shown


def _names(frameworks: tuple[str, str]) -> tuple[tuple[str, str], tuple[str, str]]:
    """What the two models are called before a noun, and as owners of something."""
    if frameworks[0] == frameworks[1]:
        return ("first", "second"), ("the first", "the second")
    first, second = (TITLES.get(framework, framework) for framework in frameworks)
    return (first, second), (first, second)


def _shown(name: str, value: object, frameworks: tuple[str, str]) -> object:
    """One fact as a sentence shows it; numbers stay numbers for the sentence to format."""
    if isinstance(value, Cause):
        shorter = SHORTER.get(name, {})
        if value.kind in shorter:
            return shorter[value.kind].format_map(_facts(value, frameworks))
        return sentence(value, frameworks)
    if name in QUOTED or name in PLAIN:
        return _value(value, quoted=name in QUOTED)
    if name in ROOTS:
        return value or ROOTS[name]
    if isinstance(value, tuple):
        return _listed(name, value)
    return value


def _value(value: object, quoted: bool) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return repr(value) if quoted and isinstance(value, str) else str(value)


def _listed(name: str, members: tuple[object, ...]) -> str:
    """Several names, or the numbers of a shape."""
    if not all(isinstance(member, str) for member in members):
        return str(list(members))
    if name in COUNTED:
        members = _counted(members)
    joint, most = LISTS.get(name, (", ", len(members)))
    rest = len(members) - most
    shown = joint.join(str(member) for member in members[:most])
    return f"{shown} and {rest} more" if rest > 0 else shown


def _counted(members: tuple[object, ...]) -> tuple[str, ...]:
    """Equal members once, with their number in front."""
    counts = Counter(str(member) for member in members)
    return tuple(word if count == 1 else f"{count} {word}" for word, count in counts.items())
