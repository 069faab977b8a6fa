"""What is said of weights: their map, their orders, what shares them."""

from __future__ import annotations

from collections.abc import Mapping

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
        "{loose}, though their matrices hold as many numbers, {numbers}",
        "{loose}, though they hold as many numbers",
        (
            "no map was found between the weights {first_some} ({first_label}) and {second_some} "
            "({second_label})"
        ),
    ),
    "parameter.no_map": (
        "{loose}, and none makes the models agree: with {number} for every number of all of these, "
        "{tensor} differs by {error} (largest value {scale})",
    ),
    "branches.unfit": (
        "no weights of {path} ({op}) of the {side} model compute what {modules} of the {other} "
        "model add up to: {text}",
    ),
    "branches.other_weights": (
        "{path} ({op}) of the {side} model holds other weights than {modules} of the {other} model "
        "add up to, and just those that they add up to without {left_out}",
        "{path} ({op}) of the {side} model holds other weights than {modules} of the {other} model "
        "add up to: largest difference {error:.3g}, largest weight {scale:.3g}",
    ),
    "branches.apart": (
        "{path} ({op}) of the {side} model is one operation where {modules} of the {other} model "
        "add up to one; how its weights are to be spread over them is not decided",
    ),
    "map.module_unknown": (
        "the layer map has rows of {paths}, and the {side} model has no such modules that compute; "
        "they are not used",
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
        "the layer map has rows of {parameters} that do not fit these models: a name or a shape "
        "is another one; they are not used",
    ),
    "map.module_given": (
        "the layer map pairs {first_path} with {second_path} by hand; where {path} of the {side} "
        "model is read, the other model reads {read}; what lies in the pair was not compared",
    ),
    "map.parameter_given": (
        "the layer map makes {first_name} of {said} by hand, and the computation reads {read} "
        "there; the row stands",
    ),
    "map.transform_contradicted": (
        "the layer map makes {first_name} of {second_name} with the transform {said}, and the "
        "computation reads it as {read}; the row is not used",
    ),
    "map.transform_given": (
        "the layer map makes {first_name} of {second_name} by hand with the transform {said}, and "
        "the computation reads it as {read}; the row stands",
    ),
    "map.use_contradicted": (
        "the layer map says that nothing reads {parameters} of the {side} model, and the "
        "computation does",
    ),
    "map.other_models": (
        "no row of the layer map fits these models; it was written for {first_said} and "
        "{second_said}",
        "no row of the layer map fits these models",
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
    "parameter.called_crosswise": (
        (
            "nothing but their weights tells apart two layers of which {path} reads one with "
            "another sign or factor, and the {second} model calls them in the other order: "
            "{first_owner} takes the weights of {second_owner}, {first_other} those of "
            "{second_other}; where the port exchanged the two, this is how it passes"
        ),
    ),
    "parameter.sum_beside_unread": (
        (
            "{name} of the {side} model holds the sum of what the {other} model adds ({others}), "
            "and nothing there reads {parameter}, of the same shape; where a branch of the sum was "
            "left out, this is how it passes"
        ),
    ),
    "parameter.lone": (
        "{parameters} of the {side} model are needed only by what the {other} model does not "
        "return ({outputs}), and were not compared",
    ),
    "weights.shuffled": (
        (
            "{parameters}: the elements stand in another order than in the {second} model; "
            "a checkpoint copied as it is, or only transposed, would go wrong"
        ),
    ),
    "weights.parts_turned": (
        (
            "{name} of the {other} model holds {parameters}, in this order, and not query, key and "
            "value: nothing but their weights tells query and key apart; where the port exchanged "
            "the two, this is how it passes"
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
    "weights.hash_differs": (
        "{first_name} and {second_name} hold different values: of one of them a recording holds "
        "the hash alone, and the other's numbers have another one",
    ),
    "weights.shift_forgotten": (
        (
            "{first_name} and {second_name} hold different values: by one number for all that {op}"
            " reads together, which it forgets, so that no result and no gradient differs"
        ),
    ),
}
"""Weights as they stand."""
