"""What a check must leave as it was: of an ONNX model, which nobody writes, its bytes."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

__all__ = ["kept", "snapshot"]


def snapshot(model: Any, example: Any) -> dict[str, object]:
    """Checksums of the model and of the inputs, by a label that says what it is."""
    sums: dict[str, object] = {}
    if not isinstance(model, (str, os.PathLike)):
        sums["model"] = zlib.crc32(model.SerializeToString())
    for name, value in dict(example).items():
        sums[f"input {name}"] = zlib.crc32(np.asarray(value).tobytes())
    return sums


@contextmanager
def kept(model: Any) -> Iterator[None]:
    """Nothing needs putting back."""
    yield
