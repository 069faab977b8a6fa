"""What is said of training steps, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping

TRAINED = "after step {step} on equal weights and gradients {first_name} differs by up to "
TRAINED += "{error:.3g} (the step itself is {update:.3g})"

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
    "loss.label_smoothing": (
        (
            "labels are smoothed by {first_setting} ({first_label}) against {second_setting} "
            "({second_label})"
        ),
    ),
    "loss.counted_rows": (
        (
            "of {total} rows {first_setting} count ({first_label}) against {second_setting} "
            "({second_label}): those of label {label} are left out on one side, as by ignore_index"
        ),
        (
            "of {total} rows {first_setting} count ({first_label}) against {second_setting} "
            "({second_label})"
        ),
    ),
    "loss.reduction": (
        (
            "the rows' reduction is {first_setting} ({first_label}) against {second_setting} "
            "({second_label})"
        ),
    ),
    "loss.positive_weight": (
        (
            "elements of answer 1 weigh {first_setting} ({first_label}) against {second_setting} "
            "({second_label}) times as much as those of answer 0"
        ),
    ),
    "loss.shifted_labels": (
        (
            "the labels are shifted: the label that a row has on the {first} side belongs to a row"
            " {places} places away on the {second} side"
        ),
    ),
    "loss.labels": (
        (
            "{count} of {total} rows have another label: row {row} has {first_setting} "
            "({first_label}) against {second_setting} ({second_label})"
        ),
    ),
    "loss.setting": (
        (
            "{setting} is {first_setting} ({first_label}) against {second_setting} "
            "({second_label}) in {first_op} and {second_op}"
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
    "optimizer.accumulation": (
        (
            "gradients accumulate to another multiple from step {step} on: differentiated is "
            "{first_setting} ({first_label}) against {second_setting} ({second_label})"
        ),
    ),
    "optimizer.loss_factor": (
        (
            "the loss is differentiated with another factor from step {step} on: "
            "{first_setting} ({first_label}) against {second_setting} ({second_label})"
        ),
    ),
    "optimizer.unscaling_of_gradients": (
        (
            "a scale is taken back from the gradients on one side from step {step} on: they are "
            "{first_setting} ({first_label}) against {second_setting} ({second_label})"
        ),
    ),
    "optimizer.average_of_weights": (
        (
            "the averages of weights differ from step {step} on: {first_setting} "
            "({first_label}) against {second_setting} ({second_label})"
        ),
    ),
    "optimizer.master_weights": (
        (
            "updates of weights add up in {first_setting} ({first_label}) against "
            "{second_setting} ({second_label}) from step {step} on: of the weights that a gradient"
            " reaches {first_share:.1%} ({first_label}) against {second_share:.1%} "
            "({second_label}) have not moved in {steps} steps, those of {some}"
        ),
        (
            "updates of weights add up in {first_setting} ({first_label}) against "
            "{second_setting} ({second_label}) from step {step} on: of the weights that a gradient"
            " reaches {first_share:.1%} ({first_label}) against {second_share:.1%} "
            "({second_label}) have not moved in {steps} steps"
        ),
        (
            "updates of weights add up in {first_setting} ({first_label}) against "
            "{second_setting} ({second_label}) from step {step} on"
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
    "optimizer.update": ("the optimizers differ though their settings agree: " + TRAINED,),
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
        (
            "training departs from step {step} on: {first_name} differs by up to {error:.3g}; "
            "rounding of the updates: both sides step on {handed}, and no update differs beyond it"
        ),
        (
            "training departs from step {step} on: {first_name} differs by up to {error:.3g}; "
            "rounding carried along by training: gradients and weights part no further than those "
            "of two right runs"
        ),
    ),
    "training.passes": (
        (
            "a step takes {first_setting} backward passes ({first_label}) against "
            "{second_setting} ({second_label})"
        ),
    ),
    "training.mode": (
        (
            "the model runs in {first_setting} mode ({first_label}) against {second_setting} "
            "({second_label})"
        ),
    ),
    "training.departs": (
        (
            "training departs at step {step}, first in the {stage}: {first_name} is "
            "{first_number:.7g} ({first_label}) against {second_number:.7g} ({second_label}), "
            "{error:.3g} apart, where rounding parts two right runs by up to {band:.3g}"
        ),
        (
            "training departs at step {step}, first in the {stage}: {first_name} differs by up to"
            " {error:.3g}, where rounding parts two right runs by up to {band:.3g}"
        ),
    ),
    "training.undecided": (
        (
            "training departs from step {step} on: {first_name} differs by up to {error:.3g}; "
            "not told from rounding, since parts of the models could not be compared, the training "
            "does not repeat itself, or the optimizers could not be tried on equal gradients"
        ),
    ),
}
"""Losses, optimizers, steps."""
