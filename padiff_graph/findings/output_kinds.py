"""Kinds of causes that stand in what the models return."""

from __future__ import annotations

from padiff_graph.findings.kind import kind_of

__all__ = ["OUTPUTS"]

OUTPUTS = (
    kind_of(
        "outputs.exchanged",
        "outputs stand in each other's place",
        first_places=("mean", "scale"),
        second_places=("scale", "mean"),
    ),
    kind_of(
        "outputs.missing",
        "only one model returns something, the other nothing or None",
        side=1,
        outputs=("hidden_states.0", "hidden_states.1"),
    ),
    kind_of(
        "outputs.value",
        "a number, flag, text or array that is returned has two values",
        tensor="the output kind",
        first_told="'regression'",
        second_told="'classification'",
    ),
    kind_of(
        "outputs.type",
        "what is returned in one place is of two types",
        tensor="the output mask",
        first_type="float32",
        second_type="bool",
    ),
    kind_of(
        "outputs.layout",
        "an output is returned with its axes in another order",
        tensor="the output",
        axes=(0, 2, 1, 3),
    ),
)
"""What is returned, place by place."""
