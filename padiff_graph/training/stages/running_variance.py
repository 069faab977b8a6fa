"""Running variances of two frameworks in training: torch's are updated with the unbiased variance
of the batch, Paddle's with the biased one.

With n elements under a variance, c = n / (n - 1), and m what a step keeps of the old variance, the
one goes from p to p' = m p + (1 - m) v, the other from t to t' = m t + (1 - m) c v. So
t' = m t + c (p' - m p): with m solved from all channels, the one is carried over to the other,
however often both were updated before, and in several runs of one step too (m is what all of them
keep), as long as each run is of one size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.training.stages.step_record import StepRecord

__all__ = ["carried_to_unbiased", "share_of_example"]

BEST = 0.25
"""Share of the plain distance within which the rule must bring two variances to explain it."""
KEPT = (-1e-2, 1.01)
"""What a step may keep of the old variance, float32's rounding of a small difference allowed."""


def carried_to_unbiased(
    before: tuple[Array, Array], after: tuple[Array, Array], count: float
) -> Array | None:
    """The first side's new running variance as the second's framework would have updated it; None
    where the rules of the frameworks do not explain what the two differ by.

    Args:
        before, after: of both sides, in one layout.
        count: elements under each variance in one run.
    """
    if count <= 1:
        return None
    old, new = ([np.asarray(array, np.float64) for array in both] for both in (before, after))
    plain = float(np.abs(new[0] - new[1]).max(initial=0.0))
    factors = count / (count - 1), (count - 1) / count
    carried = [_carried(old, new, factor) for factor in factors]
    fitting = [array for array in carried if array is not None]
    if not fitting:
        return None
    best = min(fitting, key=lambda array: float(np.abs(array - new[1]).max(initial=0.0)))
    rest = float(np.abs(best - new[1]).max(initial=0.0))
    return np.asarray(best, after[0].dtype) if rest <= BEST * plain else None


def _carried(old: Sequence[Array], new: Sequence[Array], factor: float) -> Array | None:
    starts = old[1] - factor * old[0]
    if not starts.all() or not np.isfinite(new[0] + new[1]).all():
        return None
    kept = float(np.median((new[1] - factor * new[0]) / starts))
    if not KEPT[0] <= kept <= KEPT[1]:
        return None
    return np.asarray(kept * old[1] + factor * (new[0] - kept * old[0]))


def share_of_example(
    record: StepRecord, batch: Mapping[str, int], example: Mapping[str, int]
) -> float | None:
    """How large a run of this step is against the one that was captured; None where runs of several
    sizes make up the step.

    Args:
        record: of the step.
        batch: elements of each array that the step was given, by name.
        example: the same of the captured run.
    """
    runs = [_sizes(arrays) for entry in record.passes for arrays in entry.inputs]
    shares = {_share(run, example) for run in (runs or [dict(batch)])}
    return shares.pop() if len(shares) == 1 else None


def _sizes(arrays: Mapping[str, Array]) -> dict[str, int]:
    return {name: int(np.size(array)) for name, array in arrays.items()}


def _share(own: Mapping[str, int], example: Mapping[str, int]) -> float:
    names = own.keys() & example.keys()
    captured = sum(example[name] for name in names)
    return sum(own[name] for name in names) / captured if captured else 1.0
