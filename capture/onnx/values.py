"""Values that a user hands in for an ONNX model: numpy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["array", "dtype", "is_tensor", "materialised", "tensor"]


def is_tensor(value: object) -> bool:
    """Whether a value is a tensor of this framework."""
    return isinstance(value, (np.ndarray, np.generic))


def materialised(value: Any) -> bool:
    """Whether a tensor holds numbers: always."""
    return True


def dtype(value: Any) -> str:
    """A tensor's dtype: "float32", "int64", "bool", ..."""
    return str(value.dtype)


def array(value: Any) -> np.ndarray[Any, Any]:
    """A tensor's numbers."""
    return np.asarray(value)


def tensor(value: np.ndarray[Any, Any]) -> Any:
    """A tensor of an array's numbers, dtype and shape; the array is copied."""
    return np.array(value)
