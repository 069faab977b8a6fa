"""Values that a user hands in: which are tensors, of which dtype, and their numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

__all__ = ["array", "dtype", "is_tensor", "materialised", "tensor"]


def is_tensor(value: object) -> bool:
    """Whether a value is a tensor of this framework."""
    return isinstance(value, torch.Tensor)


def materialised(value: Any) -> bool:
    """Whether a tensor holds numbers (not on the meta device, not fake)."""
    return not value.is_meta and not isinstance(value, torch._subclasses.FakeTensor)


def dtype(value: Any) -> str:
    """A tensor's dtype: "float32", "int64", "bool", ..."""
    return str(value.dtype).removeprefix("torch.")


def array(value: Any) -> np.ndarray[Any, Any]:
    """A tensor's numbers on the host; what numpy lacks (bfloat16) as float32."""
    host = value.detach().cpu()
    if host.is_sparse or host.layout != torch.strided:
        host = host.to_dense()
    if host.dtype not in NUMPY:
        host = host.to(torch.float32)
    numbers: np.ndarray[Any, Any] = host.resolve_conj().resolve_neg().numpy()
    return numbers


def tensor(value: np.ndarray[Any, Any]) -> Any:
    """A tensor of an array's numbers, dtype and shape; the array is copied."""
    return torch.from_numpy(np.array(value))


NUMPY = frozenset(
    {
        torch.float16,
        torch.float32,
        torch.float64,
        torch.uint8,
        torch.int8,
        torch.int16,
        torch.int32,
        torch.int64,
        torch.bool,
        torch.complex64,
        torch.complex128,
    }
)
"""dtypes that numpy has too."""
