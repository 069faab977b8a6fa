"""What the schemas of ATen operators do not say: what draws, writes or returns its operand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["MOVING", "PASSING", "SHAREABLE", "STATISTICS", "draws"]

PASSING = {
    "aten.dropout.default",
    "aten.feature_dropout.default",
    "aten.alpha_dropout.default",
    "aten.feature_alpha_dropout.default",
}
"""Operators that return their very operand where they have nothing to draw, without saying so in
their schema."""

STATISTICS = {
    "aten.batch_norm.default": "training",
    "aten.native_batch_norm.default": "training",
    "aten.cudnn_batch_norm.default": "training",
    "aten.miopen_batch_norm.default": "training",
    "aten.instance_norm.default": "use_input_stats",
}
"""Operators that write `MOVING` without saying so in their schema, and the argument that makes
them do so."""

MOVING = ("running_mean", "running_var")
"""Operands of normalisations that the operators of `STATISTICS` write."""


SHAREABLE = {
    "dropout",
    "scaled_dot_product_attention",
    "feature_dropout",
    "alpha_dropout",
    "bernoulli",
    "bernoulli_",
    "rand",
    "rand_like",
    "randn",
    "randn_like",
    "uniform",
    "uniform_",
    "normal",
    "normal_",
    "randint",
    "randint_like",
    "randperm",
    "native_dropout",
    "exponential",
    "exponential_",
    "normal_functional",
}
"""Random operators whose draw can be handed in, by name without namespace and overload."""


def draws(op: str, attrs: Mapping[str, Any]) -> bool:
    """Whether a call of a random operator really draws."""
    if "dropout_p" in attrs:
        return bool(attrs["dropout_p"])
    if "dropout" in attrs:  # recurrent networks drop between layers
        between = attrs.get("num_layers", 2) > 1
        return bool(attrs["dropout"] and attrs.get("train") and between)
    if "train" in attrs:
        return bool(attrs["train"] and attrs.get("p", 1.0))
    if "training" in attrs and op.split(".")[1].startswith("rrelu"):
        return bool(attrs["training"])
    return True
