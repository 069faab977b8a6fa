"""What the numbers alone say of a difference: a factor, a shift, another order of the same values."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.referee.region_result import Probe

__all__ = ["probe", "probe_gradient"]

CLOSE = 1e-5
LARGEST = 1 << 22
"""Arrays beyond this many elements are probed by factor and shift only."""


def _close(one: Array, other: Array, tolerance: float = CLOSE) -> bool:
    if one.shape != other.shape:
        return False
    scale = float(np.abs(other).max()) if other.size else 0.0
    return bool(np.abs(one - other).max() <= tolerance * max(scale, 1e-30)) if other.size else True


UNARY: Mapping[str, Callable[[Array], Array]] = {
    "Relu": lambda x: np.maximum(x, 0),
    "Clip(0, 6)": lambda x: np.clip(x, 0, 6),
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "Tanh": np.tanh,
    "Swish": lambda x: x / (1 + np.exp(-x)),
    "Exp": np.exp,
    "Sqrt": lambda x: np.sqrt(np.abs(x)),
    "Abs": np.abs,
}
"""Functions that one side may have applied and the other not."""


def probe(one: Array, other: Array, extra: Mapping[str, Array] | None = None) -> Probe:
    """Explains the first side's `one` against the second's `other`.

    `extra` are boundary values that only one side reads, by label: the difference may be one of them.
    """
    if one.shape != other.shape:
        return Probe("shape", f"shape {list(one.shape)} against {list(other.shape)}")
    if one.dtype.kind not in "fiub" or other.dtype.kind not in "fiub" or not other.size:
        return Probe()
    if one.dtype.kind in "b" or other.dtype.kind in "b":
        if bool((one.astype(bool) ^ other.astype(bool)).all()):
            return Probe("negated", "every element is the logical inverse of the other side's")
        return Probe("", f"{int((one != other).sum())} of {one.size} elements differ")
    a, b = one.astype(np.float64), other.astype(np.float64)
    bad = (~np.isfinite(a)).sum(), (~np.isfinite(b)).sum()
    if bad[0] or bad[1]:
        if bad[0] != bad[1]:
            return Probe(
                "nonfinite",
                f"{bad[0]} elements are not finite on the first side, {bad[1]} on the second",
            )
        return Probe()
    if not a.any():
        return Probe("zero", "all zero on the first side")
    if not b.any():
        return Probe("zero", "all zero on the second side")
    for label, value in (extra or {}).items():
        for sign, words in ((1, "is not added"), (-1, "is added")):
            if value.size == a.size and _close(
                a + sign * value.reshape(a.shape).astype(np.float64), b
            ):
                return Probe(
                    "residual", f"the difference is exactly {label}: it {words} on the first side"
                )
    found = _linear(a, b)
    if found.kind:
        return found
    if a.size > LARGEST:
        return Probe()
    return _moved(a, b) or _applied(a, b) or _partial(a, b) or Probe()


def _linear(a: Array, b: Array) -> Probe:
    """first = factor * second + shift."""
    x, y = b.reshape(-1), a.reshape(-1)
    power = float(x @ x)
    factor = float(x @ y) / power
    if factor and _close(factor * x, y):
        if abs(factor + 1) < 1e-4:
            return Probe("negated", "the first side is the second's negated")
        return Probe("scaled", f"the first side is the second's times {factor:.6g}")
    shift = float(np.mean(y - x))
    if abs(shift) > 0 and _close(x + shift, y):
        return Probe("shifted", f"the first side is the second's plus {shift:.6g}")
    spread = x - x.mean()
    if float(spread @ spread) > 1e-12 * power:
        factor = float(spread @ (y - y.mean())) / float(spread @ spread)
        shift = float(y.mean() - factor * x.mean())
        if factor and _close(factor * x + shift, y):
            return Probe(
                "affine", f"the first side is the second's times {factor:.6g} plus {shift:.6g}"
            )
    if a.ndim > 1:
        for axis in range(a.ndim):
            rest = tuple(other for other in range(a.ndim) if other != axis)
            gap = np.mean(a - b, axis=rest, keepdims=True)
            if (
                float(np.abs(a - b).max()) > 0
                and _close(np.broadcast_to(gap, a.shape), a - b, 1e-4)
                and a.shape[axis] > 1
                and a.size > a.shape[axis]
            ):
                return Probe(
                    "bias",
                    f"the difference is one number for each of the {a.shape[axis]} places of axis {axis}, as a bias would be",
                )
    return Probe()


def _moved(a: Array, b: Array) -> Probe | None:
    """The same values at other places."""
    if not np.allclose(
        np.sort(a, axis=None),
        np.sort(b, axis=None),
        rtol=CLOSE,
        atol=CLOSE * float(np.abs(b).max()),
    ):
        return None
    for axis in range(a.ndim):
        if _close(np.flip(a, axis), b):
            return Probe("flipped", f"the same values, flipped along axis {axis}")
    if a.ndim <= 4:
        for axes in itertools.permutations(range(a.ndim)):
            if axes != tuple(range(a.ndim)):
                moved = np.transpose(a, axes)
                if moved.shape == b.shape and _close(moved, b):
                    return Probe("transposed", f"the same values, axes permuted by {list(axes)}")
                if moved.size == b.size and _close(moved.reshape(b.shape), b):
                    return Probe(
                        "layout",
                        f"the same values in another layout: axes permuted by {list(axes)} before a reshape",
                    )
    for axis in range(a.ndim):
        extent = a.shape[axis]
        for shift in {1, -1, extent // 2}:
            if extent > 2 and _close(np.roll(a, shift, axis), b):
                return Probe("rolled", f"the same values, rolled by {shift} along axis {axis}")
        if extent > 1:
            half = extent // 2
            if extent % 2 == 0 and _close(
                np.concatenate(
                    [np.take(a, range(half, extent), axis), np.take(a, range(half), axis)], axis
                ),
                b,
            ):
                return Probe("order", f"the same values, parts in another order along axis {axis}")
            split = (
                a.reshape(*a.shape[:axis], 2, half, *a.shape[axis + 1 :])
                if extent % 2 == 0
                else None
            )
            if split is not None and _close(np.swapaxes(split, axis, axis + 1).reshape(a.shape), b):
                return Probe(
                    "interleaved", f"the same values, interleaved along axis {axis} on one side"
                )
            slices = (np.sort(np.moveaxis(x, axis, 0).reshape(extent, -1), axis=1) for x in (a, b))
            one, other = slices
            if _close(one[np.lexsort(one.T[:4])], other[np.lexsort(other.T[:4])]):
                return Probe("order", f"the same slices in another order along axis {axis}")
    return Probe("permuted", "the same values in another order")


def _applied(a: Array, b: Array) -> Probe | None:
    """One side is a well-known function of the other."""
    with np.errstate(all="ignore"):
        for name, function in UNARY.items():
            if _close(function(b), a):
                return Probe("applied", f"the first side is {name} of the second's")
            if _close(function(a), b):
                return Probe("applied", f"the second side is {name} of the first's")
    return None


def _partial(a: Array, b: Array) -> Probe | None:
    """Only a part differs: zeroed elements, or coordinates of one axis."""
    scale = float(np.abs(b).max())
    off = np.abs(a - b) > CLOSE * scale
    count = int(off.sum())
    if count < off.size:
        if not a[off].any():
            return Probe("masked", f"{count} of {a.size} elements are zero on the first side only")
        if not b[off].any():
            return Probe("masked", f"{count} of {a.size} elements are zero on the second side only")
        for axis in range(a.ndim):
            hit = off.any(axis=tuple(other for other in range(a.ndim) if other != axis))
            if a.shape[axis] > 1 and 0 < hit.sum() <= a.shape[axis] // 2:
                places = np.flatnonzero(hit)
                shown = f"{places[0]}" if len(places) == 1 else f"{places[0]} to {places[-1]}"
                return Probe(
                    "partial", f"only places {shown} of {a.shape[axis]} along axis {axis} differ"
                )
    return None


def probe_gradient(one: Array | None, other: Array | None) -> Probe:
    """Explains the gradients of one boundary value or parameter, None where none arrived."""
    if one is None or (other is not None and not one.any() and other.any()):
        return Probe(
            "detached",
            "no gradient arrives on the first side: its gradient path is cut (detach, no_grad or stop_gradient)",
        )
    if other is None or (not other.any() and one.any()):
        return Probe(
            "detached",
            "no gradient arrives on the second side: its gradient path is cut (detach, no_grad or stop_gradient)",
        )
    found = probe(one, other)
    if found.kind == "scaled":
        return Probe("hook", f"the gradient is scaled: {found.words}")
    if found.kind == "negated":
        return Probe("hook", "the gradient is reversed on the first side")
    return found
