"""What was done to gradients between the backward and the update, told from the numbers alone.

Clipping may be done by an optimizer, by a callable or by a hook: what counts is what it does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.training.grain import SINGLE, eps

__all__ = ["Treatment", "compatible", "treatments"]

SAME_FACTOR = 1e-5
"""Relative difference of factors that float32 leaves between elements of one scaled gradient."""
NEAR = 1e-4
"""Relative difference of limits and of treated gradients that is no other limit; chosen so that it
lies above what the frameworks' norms differ by and below what a person would set apart."""
COARSE_NEAR = 2
"""The same in units of half precision: the norm and the factor are rounded to it, each by half of
one, on both sides."""
DAMPING = 2e-6
"""torch's clip_grad_norm_ divides by the norm + 1e-6 (torch/nn/utils/clip_grad.py), Paddle's
ClipGradByGlobalNorm by the norm: for a norm n limits are apart by 1e-6 / n. Twice that is allowed.
"""
Kind = Literal["none", "norm", "value", "other"]
Values = Mapping[str, Array]


@dataclass(frozen=True)
class Treatment:
    """What one parameter's gradient went through.

    Attributes:
        kind: left as it is, scaled (so that gradients together have a norm), limited in each
            element, or something else.
        limit: the norm or largest magnitude that it has afterwards.
        factor: what it was multiplied by.
        size: the norm, or largest magnitude, beforehand, of all gradients that it was scaled with;
            of all gradients where nothing was done.
        unit: relative distance of two numbers that a gradient can hold.
    """

    kind: Kind
    limit: float = math.inf
    factor: float = 1.0
    size: float = 0.0
    unit: float = eps(SINGLE)

    @property
    def near(self) -> float:
        """Relative difference of limits and of treated gradients that is no other limit."""
        return max(NEAR, COARSE_NEAR * self.unit)

    def __str__(self) -> str:
        if self.kind == "norm" and not self.factor:
            return "set to zero"
        words = {
            "none": "none",
            "norm": f"by a factor of {self.factor:.4g} to a norm of {self.limit:.4g}",
            "value": f"to values of at most {self.limit:.4g}",
            "other": "neither by a factor nor to a largest value",
        }
        return words[self.kind]


def treatments(before: Values, after: Values, unit: float = eps(SINGLE)) -> dict[str, Treatment]:
    """What happened to each gradient.

    Args:
        before: gradients as the backward left them.
        after: as the update got them.
        unit: relative distance of two numbers that they can hold.
    """
    names = [name for name in after if name in before]
    factors = _factors(before, after, names, unit)
    scaled = {name: factor for name, factor in factors.items() if factor is not None}
    told: dict[str, Treatment] = {}
    changed = {name: factor for name, factor in scaled.items() if factor != 1.0}
    for cluster in _clusters(changed, max(NEAR, COARSE_NEAR * unit)):
        size, limit = (_norm([side[name] for name in cluster]) for side in (before, after))
        told |= dict.fromkeys(cluster, Treatment("norm", limit, scaled[cluster[0]], size, unit))
    untouched = Treatment("none", size=_norm([before[name] for name in before]), unit=unit)
    for name in names:
        if name not in told:
            alone = factors[name] is None
            told[name] = _limited(before[name], after[name], unit) if alone else untouched
    return told


def compatible(first: Treatment, second: Treatment) -> bool:
    """Whether one rule can have done both, to gradients that differ."""
    near = max(first.near, second.near)
    if first.kind == second.kind:
        if first.kind in ("none", "other"):
            return True
        same_factor = first.kind == "norm" and _near(first.factor, second.factor, 0.0, near)
        return same_factor or _near(first.limit, second.limit, min(first.size, second.size), near)
    if second.kind == "none":
        first, second = second, first
    # a rule that has nothing to do below its limit
    return first.kind == "none" and second.factor < 1.0 and first.size <= second.limit * (1 + near)


def allowance(treatment: Treatment) -> float:
    """Relative difference of gradients that one rule in two frameworks may leave."""
    damped = treatment.kind == "norm" and treatment.size > 0
    return treatment.near + DAMPING / treatment.size if damped else treatment.near


def _near(first: float, second: float, size: float, near: float) -> bool:
    bound = near + (DAMPING / size if size else 0.0)
    return abs(first - second) <= bound * max(abs(first), abs(second))


def _factors(
    before: Values, after: Values, names: Sequence[str], unit: float
) -> dict[str, float | None]:
    """What each gradient was multiplied by. The largest come first: what is next to nothing is
    rounded away to whole units, follows many a factor, and is taken to follow theirs."""
    found: dict[str, float | None] = {}
    known: list[float] = []
    for name in sorted(names, key=lambda name: -float(np.abs(after[name]).max(initial=0.0))):
        pair = before[name], after[name]
        factor = 1.0 if np.array_equal(*pair, equal_nan=True) else None
        if factor is None:
            factor = next((each for each in known if _follows(*pair, each, unit)), None)
        if factor is None:
            factor = _factor(*pair, unit)
            known += [] if factor is None else [factor]
        found[name] = factor
    return found


def _follows(before: Array, after: Array, factor: float, unit: float) -> bool:
    """Whether every element was multiplied by a factor, each product rounded."""
    old, new = before.astype(np.float64), after.astype(np.float64)
    if not np.isfinite(new).all():
        return False
    # below the normal numbers of float16 a product is rounded to the least one
    least = float(np.finfo(before.dtype).smallest_subnormal)
    allowed = max(SAME_FACTOR, unit) * float(np.abs(new).max()) + least
    return bool((np.abs(new - factor * old) <= allowed).all())


def _factor(before: Array, after: Array, unit: float) -> float | None:
    """What every element was multiplied by; None where that is not one number."""
    old, new = before.astype(np.float64).ravel(), after.astype(np.float64).ravel()
    square = float(old @ old)
    if not square or not np.isfinite(new).all():
        return None
    factor = float(old @ new) / square
    return factor if _follows(before, after, factor, unit) else None


def _clusters(factors: Mapping[str, float], near: float) -> Iterator[Sequence[str]]:
    """Names that were multiplied by one factor."""
    cluster: list[str] = []
    for name in sorted(factors, key=lambda name: factors[name]):
        if cluster and not _near(factors[cluster[0]], factors[name], 0.0, near):
            yield cluster
            cluster = []
        cluster.append(name)
    if cluster:
        yield cluster


def _limited(before: Array, after: Array, unit: float) -> Treatment:
    """Elements cut at a largest magnitude, or something else."""
    limit = float(np.abs(after).max(initial=0.0))
    size = float(np.abs(before).max(initial=0.0))
    if np.allclose(after, np.clip(before, -limit, limit), rtol=SAME_FACTOR, atol=0.0):
        return Treatment("value", limit, limit / size if size else 1.0, size, unit)
    return Treatment("other", unit=unit)


def _norm(arrays: Sequence[Array]) -> float:
    return math.sqrt(sum(float(np.square(array, dtype=np.float64).sum()) for array in arrays))
