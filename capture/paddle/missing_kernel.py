"""What Paddle says where its build cannot run a half precision, in one sentence that helps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from padiff_graph.capture.capture_errors import MissingKernelError

__all__ = ["kernels_said"]

MISSING = re.compile(
    r"kernel with key \((?P<place>\w+),.*?\b(?P<dtype>bfloat16|float16)\) of kernel "
    r"`(?P<kernel>\w+)` is not registered"
)


@contextmanager
def kernels_said() -> Iterator[None]:
    """Inside, an operation without a kernel for a half precision raises MissingKernelError."""
    try:
        yield
    except RuntimeError as error:
        told = MISSING.search(str(error))
        if told is None:
            raise
        place, dtype, kernel = told["place"], told["dtype"], told["kernel"]
        raise MissingKernelError(
            f"this Paddle build has no {place} kernel of {kernel} for {dtype}: give both models "
            "and their inputs in float32 (layer.to(dtype='float32'), module.float()) and look at "
            f"them in {dtype} with options={{'precision': '{dtype}'}} or --precision {dtype}"
        ) from error
