"""Values that a user hands in: which are tensors, of which dtype, and their numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle

__all__ = ["array", "dtype", "is_tensor", "materialised", "tensor"]


def is_tensor(value: object) -> bool:
    """Whether a value is a tensor of this framework."""
    return isinstance(value, paddle.Tensor)


def materialised(value: Any) -> bool:
    """Whether a tensor holds numbers."""
    return bool(value._is_initialized()) or value.size == 0


def dtype(value: Any) -> str:
    """A tensor's dtype: "float32", "int64", "bool", ..."""
    return str(value.dtype).removeprefix("paddle.")


def array(value: Any) -> np.ndarray[Any, Any]:
    """A tensor's numbers on the host; what numpy lacks (bfloat16) as float32."""
    host = value.detach()
    if host.is_sparse():
        host = host.to_dense()
    if dtype(host) in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):
        host = host.astype("float32")
    found: np.ndarray[Any, Any] = np.asarray(host.numpy())  # a copy already
    return found


def tensor(value: np.ndarray[Any, Any]) -> Any:
    """A tensor of an array's numbers, dtype and shape; the array is copied."""
    return paddle.to_tensor(np.array(value))
