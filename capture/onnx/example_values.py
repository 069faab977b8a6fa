"""Example inputs for an ONNX model that comes without any."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from padiff_graph.capture.onnx.load import load

__all__ = ["example_inputs"]


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
            kind = entry.type.tensor_type
            shape = [extent.dim_value or 1 for extent in kind.shape.dim]
            dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
            made[entry.name] = np.zeros(shape, dtype)
            if dtype.kind == "f":
                made[entry.name] = random.standard_normal(shape).astype(dtype)
    return made
