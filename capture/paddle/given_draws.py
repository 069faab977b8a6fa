"""Random operations given their draw: raw numbers of which they make a keep mask or their noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import paddle

from padiff_graph.capture import raw_draws
from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.paddle import internals
from padiff_graph.capture.paddle.pir_call import Operation, is_random

__all__ = ["drawn"]


def drawn(operation: Operation, operands: Sequence[Any], draw: Array, double: bool) -> list[Any]:
    """Runs a random operation with what it shall draw.

    Args:
        draw: raw numbers, uniform in [0, 1) or of the standard normal distribution.

    Raises:
        NotRunnable: for operations that draw inside and cannot be told.
    """
    if operation.name == "dropout":
        return _dropped(operation, operands, draw, double)
    if operation.name in GENERATORS:
        return [_generated(operation, operands, draw, double)]
    raise NotRunnable(f"{operation.name} draws inside and cannot be given a draw")


def _dropped(operation: Operation, operands: Sequence[Any], draw: Array, double: bool) -> list[Any]:
    """A dropout by its mask; the second result is the mask."""
    by_role = dict(zip(operation.roles, operands, strict=True))
    x, rate = by_role["x"], by_role.get("p")
    rate = float(operation.attrs["p"]) if rate is None else rate.item()
    if not is_random(operation.name, operation.attrs, {"p": rate}):
        return operation(operands, double)
    kept = paddle.to_tensor(raw_draws.thrown(draw, 1.0 - rate), place=x.place)
    out = x * kept.astype(x.dtype)
    if operation.attrs["mode"] == "upscale_in_train" and rate < 1:
        out = out / (1 - rate)
    return [out, kept.astype("uint8")]


def _generated(operation: Operation, operands: Sequence[Any], draw: Array, double: bool) -> Any:
    dtype = operation.attrs.get("dtype") or internals.spelled(operands[0].dtype)
    if double and dtype.startswith("float"):
        dtype = "float64"
    return paddle.to_tensor(_numbers(operation, operands, draw)).astype(dtype)


def _numbers(operation: Operation, operands: Sequence[Any], draw: Array) -> Array:
    """What a generator makes of raw numbers."""
    attrs, given = operation.attrs, dict(zip(operation.roles, operands, strict=True))
    name = operation.name.removesuffix("_inplace")
    if name == "gaussian":
        return raw_draws.ranged(draw, attrs.get("std", 1.0), attrs.get("mean", 0.0))
    if name == "uniform":
        low, high = (_number(given.get(role), attrs.get(role)) for role in ("min", "max"))
        return raw_draws.ranged(draw, high - low, low)
    if name == "randint":
        return raw_draws.integers(draw, int(attrs.get("low", 0)), int(attrs["high"]))
    if name == "randperm":
        return raw_draws.permutation(draw)
    return raw_draws.coin(draw, given["x"].detach().astype("float64").numpy())


def _number(tensor: Any, attribute: Any) -> float:
    """A bound that is an operand, or an attribute."""
    return float(attribute if tensor is None else np.asarray(tensor.numpy()).item())


GENERATORS = frozenset(
    {
        "gaussian",
        "uniform",
        "bernoulli",
        "gaussian_inplace",
        "uniform_inplace",
        "randint",
        "randperm",
    }
)
"""Operations whose result is made of the draw alone, or of probabilities."""
