"""Examples as users hold them: arrays of numpy stand for tensors of the model's framework."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from padiff_graph.capture.backend import backend
from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.capture.engine import Array
from padiff_graph.capture.leaf_names import leaves, replace

__all__ = ["with_tensors"]

NUMBERS = "biufc"
"""Kinds of dtypes that tensors have."""


def with_tensors(framework: str, example: Mapping[str, Any]) -> Mapping[str, Any]:
    """An example with a tensor in the place of each array; the same object where there is none.

    Args:
        framework: of the model that is called with it.
        example: keyword arguments, nested as the model takes them. Nothing in it is changed.

    Raises:
        CaptureError: an array holds no numbers.
    """
    tools = backend(framework).values

    def holds_numbers(value: object) -> bool:
        return isinstance(value, np.ndarray) or tools.is_tensor(value)

    arrays = {
        name: tools.tensor(_native(name, value))
        for name, value in leaves(example, holds_numbers).items()
        if not tools.is_tensor(value)
    }
    if not arrays:
        return example
    filled: Mapping[str, Any] = replace(example, holds_numbers, arrays)
    return filled


def _native(name: str, array: Array) -> Array:
    """An array of numbers in this machine's order of bytes, which frameworks take alone."""
    if array.dtype.kind not in NUMBERS:
        raise CaptureError(
            f"the input {name} is an array of {array.dtype}; expected numbers: convert it, "
            "for example with .astype('float32')"
        )
    return array.astype(array.dtype.newbyteorder("="), copy=False)
