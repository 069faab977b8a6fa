"""What tells arrays from others, where the arrays themselves are not kept."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from padiff_graph.capture.engine import Array

__all__ = ["digest"]


def digest(arrays: Mapping[str, Array] | None) -> str:
    """What tells arrays by name from others (SHA-256, in hex); "" for none."""
    if arrays is None:
        return ""
    told = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        told.update(f"{name} {array.dtype} {array.shape} ".encode())
        told.update(array.tobytes())
    return told.hexdigest()
