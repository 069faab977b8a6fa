"""What the numbers alone show of a difference: a factor, a shift, a missing term, another order of
the values.

Of two arrays every simple relation is tried in turn, the simplest first; the first that holds to
`CLOSE` is the cause. Nothing is said where none holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.capture.normal.numpy_functions import clip, relu, sigmoid, swish
from padiff_graph.diagnosis.moved_values import moved_values
from padiff_graph.diagnosis.near import CLOSE, close
from padiff_graph.findings.cause import Cause

__all__ = ["other_shape", "probe", "probe_gradient"]

LARGEST = 1 << 22
"""Arrays beyond this many elements are probed by factor and shift only; chosen so that a probe
takes well under a second."""
NEGATED = 1e-4
"""How near to -1 a factor is a change of sign; chosen well above what `CLOSE` leaves open."""
EXPLAINED = 0.1
"""Share of the largest difference that a factor or a shift may leave: else two arrays that are
nearly the same are each other times one."""
NEAR = 1e-3
"""Relative difference below which two arrays are too near for the same values in another order:
chosen a hundred times what counts as the same there."""
FLAT = 1e-12
"""Below this share of its power an array is a constant, which a factor and a shift explain alike.
"""
BIAS = 1e-4
"""Relative difference below which a gap is one number along an axis; sums round more than `CLOSE`
allows."""

WHOLE = 2.0**53
"""From here on float64 does not hold every whole number."""

UNARY: Mapping[str, Callable[[Array], Array]] = {
    "Relu": relu,
    "Clip(0, 6)": partial(clip, min=0, max=6),
    "Sigmoid": sigmoid,
    "Tanh": np.tanh,
    "Swish": partial(swish, alpha=1.0),
    "Exp": np.exp,
    "Sqrt": lambda x: np.sqrt(np.abs(x)),
    "Abs": np.abs,
}
"""Functions that one side may have applied and the other not."""


def probe(
    first: Array, second: Array, extra: Mapping[tuple[str, int], Array] | None = None
) -> Cause | None:
    """What relates the first side's array to the second's; None where nothing simple does.

    Args:
        first, second: numbers or truth values of any shape.
        extra: boundary values that only one side reads, by label and side: the difference may be
            one.
    """
    if first.shape != second.shape:
        return other_shape(first, second)
    if first.dtype.kind not in "fiub" or second.dtype.kind not in "fiub" or not second.size:
        return None
    if "b" in (first.dtype.kind, second.dtype.kind):
        return _truth(first, second)
    if _beyond_floats(first) or _beyond_floats(second):
        return _whole(first.astype(object), second.astype(object))
    return _numbers(first.astype(np.float64), second.astype(np.float64), extra or {})


def probe_gradient(first: Array | None, second: Array | None) -> Cause | None:
    """What relates the gradients of one boundary value or parameter, None where none arrived."""
    if first is None or (second is not None and not first.any() and second.any()):
        return Cause.of("gradient.detached", side=0)
    if second is None or (not second.any() and first.any()):
        return Cause.of("gradient.detached", side=1)
    seen = probe(first, second)
    if seen is not None and seen.kind == "values.scaled":
        return Cause("gradient.scaled", seen.facts)
    if seen is not None and seen.kind == "values.negated":
        return Cause.of("gradient.reversed")
    return seen


def other_shape(first: Array, second: Array) -> Cause:
    """That two arrays differ in shape."""
    return Cause.of("values.shape", first_shape=first.shape, second_shape=second.shape)


def _truth(first: Array, second: Array) -> Cause:
    if (first.astype(bool) ^ second.astype(bool)).all():
        return Cause.of("values.inverted")
    return Cause.of("values.unequal", count=int((first != second).sum()), size=first.size)


def _beyond_floats(numbers: Array) -> bool:
    """Whether float64 rounds some of these whole numbers."""
    return numbers.dtype.kind in "iu" and bool((np.abs(numbers.astype(np.float64)) >= WHOLE).any())


def _whole(first: Array, second: Array) -> Cause | None:
    """Two arrays of one shape of Python's numbers, which are exact."""
    gap = (first - second).reshape(-1)
    count = int((gap != 0).sum())
    if not count:
        return None
    if (gap == gap[0]).all():
        return Cause.of("values.shifted", shift=float(gap[0]))
    return Cause.of("values.unequal", count=count, size=first.size)


def _numbers(first: Array, second: Array, extra: Mapping[tuple[str, int], Array]) -> Cause | None:
    """Two float64 arrays of one shape."""
    bad = int((~np.isfinite(first)).sum()), int((~np.isfinite(second)).sum())
    if any(bad):
        if bad[0] == bad[1]:
            return None
        return Cause.of("values.nonfinite", first_count=bad[0], second_count=bad[1])
    for side, array in enumerate((first, second)):
        if not array.any():
            return Cause.of("values.zero", side=side)
    return next(_relations(first, second, extra), None)


def _relations(
    first: Array, second: Array, extra: Mapping[tuple[str, int], Array]
) -> Iterator[Cause]:
    """Relations that hold, the simplest first."""
    gap = float(np.abs(first - second).max()) / float(np.abs(second).max())
    tried: list[Callable[[], Cause | None]] = [
        lambda: _term(first, second, extra),
        lambda: _linear(first, second, min(CLOSE, EXPLAINED * gap)),
        lambda: _bias(first, second),
    ]
    if first.size <= LARGEST and gap > NEAR:
        tried += [lambda: moved_values(first, second), lambda: _applied(first, second)]
    if first.size <= LARGEST:
        tried += [
            lambda: _masked(first, second),
            lambda: _partial(first, second),
        ]
    for relation in tried:
        seen = relation()
        if seen is not None:
            yield seen


def _term(first: Array, second: Array, extra: Mapping[tuple[str, int], Array]) -> Cause | None:
    """The difference is a value that only one side reads."""
    for (label, side), value in extra.items():
        if value.size != first.size:
            continue
        term = value.reshape(first.shape).astype(np.float64)
        for kind, sign in (("values.term_missing", 1), ("values.term_extra", -1)):
            if close(first + sign * term, second):
                return Cause.of(kind, region=label, of=side)
    return None


def _linear(first: Array, second: Array, tolerance: float) -> Cause | None:
    """first = factor * second + shift."""
    x, y = second.reshape(-1), first.reshape(-1)
    power = float(x @ x)
    factor = float(x @ y) / power
    if factor and close(factor * x, y, tolerance):
        if abs(factor + 1) < NEGATED:
            return Cause.of("values.negated")
        return Cause.of("values.scaled", factor=factor)
    shift = float(np.mean(y - x))
    if shift and close(x + shift, y, tolerance):
        return Cause.of("values.shifted", shift=shift)
    spread = x - x.mean()
    spread_power = float(spread @ spread)
    if spread_power > FLAT * power:
        factor = float(spread @ (y - y.mean())) / spread_power
        shift = float(y.mean() - factor * x.mean())
        if factor and close(factor * x + shift, y, tolerance):
            return Cause.of("values.affine", factor=factor, shift=shift)
    return None


def _bias(first: Array, second: Array) -> Cause | None:
    """The difference is one number for each place of one axis."""
    gap = first - second
    if first.ndim < 2 or not gap.any():
        return None
    for axis, extent in enumerate(first.shape):
        if extent == 1 or extent == first.size:
            continue
        rest = tuple(at for at in range(first.ndim) if at != axis)
        mean = np.mean(gap, axis=rest, keepdims=True)
        if close(np.broadcast_to(mean, first.shape), gap, BIAS):
            return Cause.of("values.bias", extent=extent, axis=axis)
    return None


def _applied(first: Array, second: Array) -> Cause | None:
    """One side is a well-known function of the other."""
    with np.errstate(all="ignore"):
        for name, function in UNARY.items():
            if close(function(second), first):
                return Cause.of("values.applied", side=0, function=name)
            if close(function(first), second):
                return Cause.of("values.applied", side=1, function=name)
    return None


def _unequal(first: Array, second: Array) -> Array:
    """Which elements differ."""
    unequal: Array = np.abs(first - second) > CLOSE * float(np.abs(second).max())
    return unequal


def _masked(first: Array, second: Array) -> Cause | None:
    """Some elements are zero on one side only, and the others agree."""
    unequal = _unequal(first, second)
    count = int(unequal.sum())
    if count in (0, unequal.size):
        return None
    for side, array in enumerate((first, second)):
        if not array[unequal].any():
            return Cause.of("values.masked", count=count, size=unequal.size, side=side)
    return None


def _partial(first: Array, second: Array) -> Cause | None:
    """Only some places of one axis differ, half of them at most."""
    unequal = _unequal(first, second)
    if unequal.all():
        return None
    for axis, extent in enumerate(first.shape):
        rest = tuple(at for at in range(first.ndim) if at != axis)
        places = np.flatnonzero(unequal.any(axis=rest))
        if extent == 1 or not 0 < len(places) <= extent // 2:
            continue
        facts = {"start": int(places[0]), "extent": extent, "axis": axis}
        if len(places) > 1:
            facts["end"] = int(places[-1])
        return Cause.of("values.partial", **facts)
    return None
