"""Random operations given their draw: the keep mask of a dropout, the noise of a generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from padiff_graph.capture.engine import NotRunnable
from padiff_graph.capture.paddle.pir_call import Operation, is_random

__all__ = ["drawn"]


def drawn(operation: Operation, operands: Sequence[Any], draw: Any, double: bool) -> list[Any]:
    """Runs a random operation with what it shall draw.

    Args:
        draw: for a dropout ones where elements are kept and zeros where they are dropped; for
            generators the values themselves.

    Raises:
        NotRunnable: for operations that draw inside and cannot be told.
    """
    by_role = dict(zip(operation.roles, operands, strict=True))
    if operation.name == "dropout":
        x = by_role["x"]
        rate = by_role["p"].item() if by_role.get("p") is not None else float(operation.attrs["p"])
        if not is_random(operation.name, operation.attrs, {"p": rate}):
            return operation(operands, double)
        kept = x * draw.astype(x.dtype)
        out = (
            kept / (1 - rate)
            if operation.attrs["mode"] == "upscale_in_train" and rate < 1
            else kept
        )
        return [out, draw.astype("uint8")]
    if operation.name in GENERATORS:
        dtype = operation.attrs.get("dtype") or str(operands[0].dtype).rpartition(".")[2]
        value = draw.astype("float64" if double and dtype.startswith("float") else dtype)
        if operation.name.startswith("gaussian"):
            value = value * operation.attrs.get("std", 1.0) + operation.attrs.get("mean", 0.0)
        return [value]
    raise NotRunnable(f"{operation.name} draws inside and cannot be given a draw")


GENERATORS = frozenset({"gaussian", "uniform", "bernoulli", "gaussian_inplace", "uniform_inplace"})
"""Operations whose result is the draw."""
