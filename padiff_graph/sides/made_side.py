"""What a side's function returns, taken apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from padiff_graph.errors import UsageError
from padiff_graph.request.targets import kind_of, made_by

__all__ = ["KEYS", "made_side"]

KEYS = ("model", "inputs", "loss", "optimizer")


def made_side(target: str) -> dict[str, Any]:
    """The model of a side with what belongs to it; None for what there is none of.

    Raises:
        UsageError: the target is no function, or returns something else.
    """
    made = made_by(target)
    side: dict[str, Any] = dict.fromkeys(KEYS)
    if isinstance(made, Mapping):
        unknown = [str(key) for key in made if key not in KEYS]
        if unknown or "model" not in made:
            raise UsageError(
                f"{target} returns a dict; expected 'model' and, where there are any, 'inputs', "
                f"'loss' and 'optimizer'; found {', '.join(map(str, made)) or 'none'}"
            )
        side.update(made)
    elif isinstance(made, (tuple, list)) and len(made) == 2:
        side["model"], side["inputs"] = made
    else:
        raise UsageError(
            f"expected {target} to return (model, inputs) or a dict with 'model'; it returned "
            f"{kind_of(made)}"
        )
    inputs = side["inputs"]
    if inputs is not None and not isinstance(inputs, Mapping):
        raise UsageError(
            f"{target}: inputs are a dict from forward's argument name to value; found "
            f"{kind_of(inputs)}"
        )
    return side
