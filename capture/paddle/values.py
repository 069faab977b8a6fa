"""Values that a user hands in: which are tensors, of which dtype, and their numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import paddle

__all__ = ["COMPARABLE", "array", "copied", "dtype", "is_tensor", "materialised", "same", "tensor"]

LARGE = 1 << 16
"""Numbers from which numpy looks at a tensor's memory itself: fewer are copied and compared as fast
by Paddle; of ten MB its copy takes 15 times as long as numpy's, its comparison 10 times."""
VIEWED = frozenset({paddle.float32, paddle.float64, paddle.int32, paddle.int64})
"""dtypes of which numpy may look at the memory."""
COMPARABLE = frozenset({*VIEWED, paddle.bool})
"""dtypes that Paddle compares on the CPU; others are compared by numpy."""


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
    memory = _memory(host)
    found: np.ndarray[Any, Any] = np.asarray(host.numpy()) if memory is None else memory.copy()
    return found  # a copy in any case


def copied(value: Any) -> Any:
    """A detached tensor of its own with the same numbers."""
    host = value.detach()
    memory = _memory(host)
    return host.clone() if memory is None else paddle.to_tensor(memory, place=host.place)


def same(one: Any, other: Any) -> bool:
    """Whether two tensors of one shape hold the same numbers, in whatever dtypes (the gradient of a
    parameter that `Layer.to` cast stays in the one it was); a NaN is like none."""
    one, other = one.detach(), other.detach()
    first, second = _memory(one), _memory(other)
    if first is not None and second is not None:
        return bool(np.array_equal(first, second))
    if one.dtype == other.dtype and one.dtype in COMPARABLE:
        return bool(paddle.equal_all(one, other))
    return bool(np.array_equal(array(one), array(other)))


def _memory(host: Any) -> np.ndarray[Any, Any] | None:
    """The numbers of a large dense tensor where they stand, not to be written to; None of any
    other."""
    if not host._is_initialized() or math.prod(host.shape) < LARGE or host.dtype not in VIEWED:
        return None
    if not (host.is_dense() and host.place.is_cpu_place() and hasattr(host, "__dlpack__")):
        return None
    found: np.ndarray[Any, Any] = np.from_dlpack(host)
    return found


def tensor(value: np.ndarray[Any, Any]) -> Any:
    """A tensor of an array's numbers, dtype and shape; the array is copied."""
    return paddle.to_tensor(np.array(value))
