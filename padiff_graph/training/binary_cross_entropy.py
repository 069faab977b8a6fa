"""What a binary cross entropy does with each element, told from its gradient alone: which answer it
is held against, whether it counts, how it is weighed.

The gradient of weight * BCE towards a logit x is weight * (sigmoid(x) - answer), towards a
probability p it is weight * (p - answer) / (p * (1 - p)). So its sign is the answer, and what is
left is the weight. All elements of one answer have one weight where it is such a loss: that can be
refuted, and where it is, nothing is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.findings.cause import Cause
from padiff_graph.training.cross_entropy import Rows, row_differences, rows_of

__all__ = ["Answers", "answers_of", "loss_differences"]

FEWEST = 4
"""Least number of elements of each answer: fewer weights may be one number by chance."""
ALIKE = 1e-3
"""Relative difference of weights that are one, as of rows of logits."""
SPREAD = 1e-2
"""Least spread of the probabilities of one answer: with less, any loss has one weight."""
TINY = 1e-9
"""Share of the largest gradient below which an element does not count."""
EDGE = 1e-5
"""Distance to an answer below which a probability in float32 tells no weight."""


@dataclass(frozen=True)
class Answers:
    """What a loss does with each element.

    Attributes:
        rows: an element each, labels 0 and 1, the weight of positives divided by `positive`.
        positive: how many times as much as a negative a positive weighs.
    """

    rows: Rows
    positive: float


def answers_of(values: Array, gradient: Array) -> Answers | None:
    """What the loss does with its elements; None where it is no binary cross entropy of them.

    Args:
        values: logits or probabilities, of any shape.
        gradient: of the loss towards them.
    """
    given = np.asarray(values, np.float64).ravel()
    slopes = np.asarray(gradient, np.float64).ravel()
    if not np.isfinite(given).all() or not np.isfinite(slopes).all():
        return None
    clipped = np.clip(given, -60.0, 60.0)
    told = _weighed(1 / (1 + np.exp(-clipped)), slopes, 1.0)
    if told is None and given.min(initial=0.0) >= 0 and given.max(initial=1.0) <= 1:
        shares = np.clip(given, EDGE, 1 - EDGE)
        told = _weighed(shares, slopes, shares * (1 - shares))
    return told


def _weighed(shares: Array, slopes: Array, steepness: Array | float) -> Answers | None:
    """The weights of elements with these probabilities.

    Args:
        steepness: what the gradient of a weight of one is to be divided by.
    """
    active = np.abs(slopes) > TINY * np.abs(slopes).max(initial=0.0)
    labels = np.where(active, slopes < 0, -1).astype(np.int64)
    misses = np.where(labels == 1, 1 - shares, shares)
    sure = active & (misses > EDGE) & (misses < 1 - EDGE / 2)
    weights = np.where(active, np.abs(slopes) * steepness / np.where(sure, misses, 1.0), 0.0)
    groups = [sure & (labels == label) for label in (0, 1)]
    if any(group.sum() < FEWEST or not _one_weight(weights, shares, group) for group in groups):
        return None
    negative, positive = (float(np.median(weights[group])) for group in groups)
    # an element too near to its answer tells no weight and has that of its kind
    every = np.where(active, negative, 0.0)
    return Answers(Rows(labels, every, 0.0, (len(labels), 1)), positive / negative)


def _one_weight(weights: Array, shares: Array, group: Array) -> bool:
    own = weights[group]
    return bool(np.ptp(shares[group]) >= SPREAD and np.ptp(own) <= ALIKE * own.max())


def loss_differences(values: Sequence[Array], gradients: Sequence[Array]) -> Iterator[Cause]:
    """What two losses of the same logits do otherwise with their rows or elements.

    Args:
        values: what both losses are of, on each side.
        gradients: of each loss towards it.
    """
    pairs = list(zip(values, gradients, strict=True))
    rows = [rows_of(*pair) for pair in pairs]
    if rows[0] is not None and rows[1] is not None:
        yield from row_differences(rows[0], rows[1])
        return
    first, second = (answers_of(*pair) for pair in pairs)
    if first is None or second is None:
        return
    told = row_differences(first.rows, second.rows)
    ratios = first.positive, second.positive
    if abs(ratios[0] - ratios[1]) > ALIKE * max(ratios):
        ours, theirs = (float(f"{ratio:.4g}") for ratio in ratios)
        yield Cause.of("loss.positive_weight", first_setting=ours, second_setting=theirs)
    yield from told
