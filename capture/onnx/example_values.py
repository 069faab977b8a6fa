"""Example inputs for an ONNX model that comes without any."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx

from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.capture.onnx.load import load

__all__ = ["example_inputs"]

MOST = 1 << 28
"""Elements of an input at most: a gigabyte of floats, chosen far above any one example."""


def example_inputs(model: Any, seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    """Seeded random arrays of the declared shapes, open extents as 1; other than floats as zeros.

    Raises:
        CaptureError: a bad file.
    """
    proto = load(model)
    held = {tensor.name for tensor in proto.graph.initializer}
    random = np.random.default_rng(seed)
    made = {}
    for entry in proto.graph.input:
        if entry.name not in held:
            shape, dtype = _declared(entry)
            made[entry.name] = np.zeros(shape, dtype)
            if dtype.kind == "f":
                made[entry.name] = random.standard_normal(shape).astype(dtype)
    return made


def _declared(entry: onnx.ValueInfoProto) -> tuple[list[int], np.dtype[Any]]:
    """The shape and dtype of a graph input of which an example can be made."""
    kind = entry.type.tensor_type
    shape = [extent.dim_value or 1 for extent in kind.shape.dim]
    if not kind.elem_type or kind.elem_type not in onnx.TensorProto.DataType.values():
        raise CaptureError(f"the input {entry.name} declares no tensor; give an example for it")
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
    if min(shape, default=1) < 0 or math.prod(shape) > MOST:
        raise CaptureError(
            f"the input {entry.name} declares the shape {shape}; expected one of at most {MOST} "
            "elements; give an example for it"
        )
    return shape, dtype
