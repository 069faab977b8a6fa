"""Random operations given their draw: the keep mask of a dropout, the noise of a generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from padiff_graph.capture.engine import NotRunnable
from padiff_graph.capture.paddle import internals
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
    if operation.name == "dropout":
        return _dropped(operation, operands, draw, double)
    if operation.name in GENERATORS:
        return [_generated(operation, operands, draw, double)]
    raise NotRunnable(f"{operation.name} draws inside and cannot be given a draw")


def _dropped(operation: Operation, operands: Sequence[Any], kept: Any, double: bool) -> list[Any]:
    """A dropout by its mask; the second result is the mask."""
    by_role = dict(zip(operation.roles, operands, strict=True))
    x, rate = by_role["x"], by_role.get("p")
    rate = float(operation.attrs["p"]) if rate is None else rate.item()
    if not is_random(operation.name, operation.attrs, {"p": rate}):
        return operation(operands, double)
    out = x * kept.astype(x.dtype)
    if operation.attrs["mode"] == "upscale_in_train" and rate < 1:
        out = out / (1 - rate)
    return [out, kept.astype("uint8")]


def _generated(operation: Operation, operands: Sequence[Any], draw: Any, double: bool) -> Any:
    dtype = operation.attrs.get("dtype") or internals.spelled(operands[0].dtype)
    if double and dtype.startswith("float"):
        dtype = "float64"
    value = draw.astype(dtype)
    if operation.name.startswith("gaussian"):
        deviation, mean = operation.attrs.get("std", 1.0), operation.attrs.get("mean", 0.0)
        value = value * deviation + mean
    return value


GENERATORS = frozenset({"gaussian", "uniform", "bernoulli", "gaussian_inplace", "uniform_inplace"})
"""Operations whose result is the draw."""
