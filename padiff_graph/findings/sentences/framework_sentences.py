"""What is said of frameworks that part by themselves, and of the tolerance."""

from __future__ import annotations

from collections.abc import Mapping

from padiff_graph.findings.sentences.training_sentences import TRAINED

_BEYOND = (
    "{tensor} differs by {error:.3g} ({mode}; largest value {scale:.3g}), "
    "beyond atol={atol:g}, rtol={rtol:g}"
)

_LOST = (
    "the gradient of {name} is not finite in {count} places on one side alone, equal elsewhere: "
    "an infinite gradient meets a slope of zero there, and one framework multiplies the two where "
    "the other leaves it out; every part of both models agrees by itself"
)

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
    "framework.lost_gradient": (
        _LOST + "; so it is with {others} more gradients",
        _LOST,
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
            " {size} places where the other side's is, and equal elsewhere: of one operation, on"
            " the same values"
        ),
    ),
    "framework.carried": (
        _BEYOND
        + " in {where}: it follows from what the frameworks do differently in {path}; {enough}",
        _BEYOND + ": it follows from what the frameworks do differently in {path}; {enough}",
    ),
    "framework.update_rule": (
        "the frameworks compute {algorithm} differently: {rule}; " + TRAINED,
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
