"""What a generator makes of the raw numbers that both models share: each its own range, mean, or
order of them."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["coin", "exponential", "integers", "permutation", "ranged", "thrown"]

Numbers = np.ndarray[Any, Any]
HALVES = 1024
"""A draw's digits behind this factor part elements into halves, wherever they stand: chosen so
that the halves say nothing of the draw's own size."""


def thrown(raw: Numbers, probability: float) -> Numbers:
    """Ones of this probability: what floor(u + probability) makes of uniform numbers."""
    made: Numbers = (raw >= 1.0 - probability).astype(np.float32)
    return made


def exponential(raw: Numbers) -> Numbers:
    """Numbers of the standard exponential distribution from uniform ones."""
    made: Numbers = -np.log(raw)
    return made


def ranged(raw: Numbers, scale: float, shift: float) -> Numbers:
    """A generator's numbers from those of the standard one."""
    made: Numbers = raw * scale + shift
    return made


def integers(raw: Numbers, low: int, high: int) -> Numbers:
    """Whole numbers from `low` up to, without, `high`, from uniform ones in [0, 1)."""
    made: Numbers = low + np.floor(raw.astype(np.float64) * (high - low)).astype(np.int64)
    return made


def permutation(raw: Numbers) -> Numbers:
    """The numbers from 0 on, each in another's place: one ring, in the order of uniform numbers.

    Of few rows a shuffle leaves some where they are, at times all, and what is done to a row and
    its partner could not be told from what is done to the row alone.
    """
    order = np.argsort(raw, kind="stable")
    made: Numbers = np.empty_like(order)
    made[order] = np.roll(order, -1)
    return made


def coin(raw: Numbers, probability: Numbers) -> Numbers:
    """Ones with the probabilities of a tensor; for every second element the probability itself.

    A probability that is a little off hits the same side almost everywhere: it shows only where
    it can be read. One that is the same throughout is a coin like others.
    """
    ones = (raw >= 1.0 - probability).astype(np.float64)
    if np.ptp(probability) == 0:
        return ones
    told = np.floor(raw * HALVES) % 2 == 1
    made: Numbers = np.where(told, probability, ones)
    return made
