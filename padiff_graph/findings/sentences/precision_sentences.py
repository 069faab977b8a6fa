"""What is said of models in half precision."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["PRECISIONS"]

PRECISIONS: Mapping[str, tuple[str, ...]] = {
    "precision.computed": (
        (
            "{what} of {op}: {first_dtype} in the {first} model against {second_dtype} in the "
            "{second} model"
        ),
    ),
    "precision.weight": (
        (
            "the weight of {op} is multiplied in {first_dtype} in the {first} model and in "
            "{second_dtype} in the {second} model: before the cast or behind it"
        ),
    ),
    "precision.kernel": (
        (
            "the result of {op} stays inside a fused kernel on the {side} side, and is rounded to "
            "{precision} on the other"
        ),
    ),
    "precision.constant": (
        (
            "the number {value:.9g} is rounded to {precision}, {rounded:.9g}, in the {side} model "
            "only"
        ),
    ),
    "precision.range": (
        "{op} yields numbers beyond the range of {precision} in the {side} model only",
    ),
    "precision.gradient": (
        (
            "gradients at {op} are held in {first_dtype} in the {first} model and in "
            "{second_dtype} in the {second} model: its values are the same, its gradients are not"
        ),
    ),
    "precision.gradient_range": ("{what} is {end} of {precision} in the {side} model only",),
    "precision.output": (
        (
            "the output {output} is {first_dtype} in the {first} model and {second_dtype} in the "
            "{second} model"
        ),
    ),
    "precision.not_shown": ("not looked at in {precision}: {text}",),
}
"""Differences of precision."""
