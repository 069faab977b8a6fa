"""The habit: both models run once, their outputs held against each other at rtol 1e-3."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import torch

from benchmarks.realbugs.case import Case, Pair
from benchmarks.realbugs.pairing import example
from benchmarks.realbugs.runners.runner import Said

__all__ = ["ask"]

RELATIVE, ABSOLUTE = 1e-3, 1e-5
"""Of `numpy.allclose`; the second keeps values near zero from being an alarm."""


def ask(case: Case, pair: Pair) -> Said:
    """Whether an output, or the loss where there is one, is beyond the tolerance."""
    ours, theirs = example(pair.arrays)
    with paddle.no_grad(), torch.no_grad():
        first, second = pair.layer(**ours), pair.module(**theirs)
        arrays = [(_flat(first), _flat(second))]
        if pair.training is not None and pair.training.losses is not None:
            losses = pair.training.losses
            arrays.append((_flat(losses[0](first)), _flat(losses[1](second))))
    same = all(_close(*sides) for sides in arrays)
    return Said("same" if same else "different")


def _close(first: list[Any], second: list[Any]) -> bool:
    return len(first) == len(second) and all(
        ours.shape == theirs.shape and np.allclose(ours, theirs, rtol=RELATIVE, atol=ABSOLUTE)
        for ours, theirs in zip(first, second, strict=True)
    )


def _flat(value: Any) -> list[Any]:
    """The arrays of an answer, in order."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [array for part in value for array in _flat(part)]
    return [] if value is None else [np.asarray(value.numpy())]
