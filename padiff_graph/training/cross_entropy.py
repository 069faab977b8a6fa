"""What a loss does with the rows of its logits, told from its gradient alone: which label each row
is held against, which rows count, how they are weighed, how much the labels are smoothed.

The gradient of a softmax cross entropy towards a row of logits is weight * (softmax - target), and
a target is (1 - smoothing) at its label on top of smoothing / classes everywhere. So over all
classes but the label's the gradient is a line over the softmax: its slope is the weight, its
intercept the smoothing. Where a row is no such line the loss is another one, and nothing is told.
It does not matter whether a framework's own function was called or the loss is spelled out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.findings.cause import Cause

__all__ = ["Rows", "row_differences", "rows_of"]

FEWEST = 4
"""Least number of classes: a line through three of them or more can be refuted."""
FITS = {8: 1e-6, 4: 1e-3}
"""Share of a row's largest gradient that may lie beside its line, by the bytes of its numbers: what
rounding leaves of a difference of two values near each other."""
ALIKE = 1e-3
"""Relative difference of weights and smoothings that are one: above what float32 leaves of a slope,
below what a person would set apart."""
FARTHEST = 4
"""Most places that labels are looked for from their own."""
TINY = 1e-9
"""Share of the largest gradient below which a row does not count."""
APART = 1e-3
"""Least spread of a softmax, and least distance to its target, that a weight is told from."""
LEAST = 3
"""Fewest rows that must agree for labels to be called shifted."""


@dataclass(frozen=True)
class Rows:
    """What a loss does with each row.

    Attributes:
        labels: the label of each row; -1 where the row does not count.
        weights: what each row's loss is multiplied with, 0 where it does not count.
        smoothing: of the labels.
        shape: of the rows: batch, positions.
    """

    labels: Array
    weights: Array
    smoothing: float
    shape: tuple[int, ...]

    @property
    def counted(self) -> Array:
        """Whether each row counts."""
        return np.asarray(self.weights != 0)


def rows_of(logits: Array, gradient: Array) -> Rows | None:
    """What the loss does with its rows; None where it is no softmax cross entropy of them.

    Args:
        logits: of any shape, classes along the last axis, or along the second.
        gradient: of the loss towards them.
    """
    for axis in dict.fromkeys((logits.ndim - 1, 1)):
        if logits.ndim < 2 or logits.shape[axis] < FEWEST:
            continue
        told = _along(np.moveaxis(logits, axis, -1), np.moveaxis(gradient, axis, -1))
        if told is not None:
            return told
    return None


def _along(logits: Array, gradient: Array) -> Rows | None:
    count = logits.shape[-1]
    fits = FITS.get(gradient.dtype.itemsize, FITS[4])
    slopes = np.asarray(gradient, np.float64).reshape(-1, count)
    shares = _softmax(np.asarray(logits, np.float64).reshape(-1, count))
    sizes = np.abs(slopes).max(axis=1)
    active = sizes > TINY * sizes.max(initial=0.0)
    if not active.any() or not np.isfinite(slopes).all():
        return None
    labels = np.where(active, slopes.argmin(axis=1), -1)
    own = shares[active], slopes[active], labels[active]
    lines = _lines(*own)
    if (lines.rest > fits * sizes[active]).any() or not lines.sure.any():
        return None
    smoothings = (-lines.offsets / lines.slopes * count)[lines.sure]
    smoothing = float(np.median(smoothings))
    if np.abs(smoothings - smoothing).max() > ALIKE or not -ALIKE < smoothing < 1:
        return None
    smoothing = smoothing if smoothing > ALIKE else 0.0
    every = np.zeros(len(slopes))
    every[active] = _weights(*own, lines, smoothing)
    return Rows(labels, every, smoothing, logits.shape[:-1]) if (every >= 0).all() else None


@dataclass(frozen=True)
class _Lines:
    """The line through all classes of a row but the label's: slope, intercept, what lies beside
    it; and whether its points are far enough apart to tell a slope."""

    slopes: Array
    offsets: Array
    rest: Array
    sure: Array


def _lines(shares: Array, slopes: Array, labels: Array) -> _Lines:
    others = np.ones_like(shares)
    others[np.arange(len(labels)), labels] = 0.0
    number = shares.shape[1] - 1
    means = [(values * others).sum(1, keepdims=True) / number for values in (shares, slopes)]
    across, down = (shares - means[0]) * others, (slopes - means[1]) * others
    square = (across * across).sum(1)
    weights = (across * down).sum(1) / np.where(square > 0, square, 1.0)
    rest = np.abs(down - weights[:, None] * across).max(axis=1)
    sure = (np.abs(across).max(axis=1) > APART) & (weights > 0)
    offsets = means[1][:, 0] - weights * means[0][:, 0]
    return _Lines(np.where(sure, weights, 1.0), offsets, rest, sure)


def _weights(shares: Array, slopes: Array, labels: Array, lines: _Lines, smoothing: float) -> Array:
    """The weight of each row by its label's own gradient; by the line where the label is met."""
    rows = np.arange(len(labels))
    target = 1 - smoothing + smoothing / shares.shape[1]
    missed = shares[rows, labels] - target
    near = np.abs(missed) <= APART
    own = slopes[rows, labels] / np.where(near, 1.0, missed)
    return np.asarray(np.where(near, lines.slopes, own))


def _softmax(logits: Array) -> Array:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def row_differences(first: Rows, second: Rows) -> list[Cause]:
    """What two losses of the same logits do otherwise with their rows, each with both values.

    Labels that are others decide which rows count and how much: no more is told then.
    """
    if first.shape != second.shape:
        return []
    told = list(_labels(first, second))
    if not told:
        told = [*_smoothing(first, second), *_counting(first, second), *_weighing(first, second)]
    return told


def _labels(first: Rows, second: Rows) -> Iterator[Cause]:
    both = first.counted & second.counted
    other = both & (first.labels != second.labels)
    if not other.any():
        return
    places = _shift(first, second)
    if places is not None:
        yield Cause.of("loss.shifted_labels", places=places)
        return
    row = int(np.flatnonzero(other)[0])
    yield Cause.of(
        "loss.labels",
        count=int(other.sum()),
        total=int(both.sum()),
        row=row,
        first_setting=int(first.labels[row]),
        second_setting=int(second.labels[row]),
    )


def _shift(first: Rows, second: Rows) -> int | None:
    """By how many positions the first's labels are taken further on; None where they are no shift
    of the second's."""
    if len(first.shape) > 2:
        return None
    ours, theirs = (
        rows.labels.reshape(-1, first.shape[-1]) if len(first.shape) == 2 else rows.labels[None]
        for rows in (first, second)
    )
    fits = []
    for places in range(-FARTHEST, FARTHEST + 1):
        if places == 0 or abs(places) >= ours.shape[1]:
            continue
        # the first's label at t is the second's at t + places
        own = ours[:, : ours.shape[1] - places] if places > 0 else ours[:, -places:]
        wanted = theirs[:, places:] if places > 0 else theirs[:, : theirs.shape[1] + places]
        known = (own >= 0) & (wanted >= 0)
        if known.sum() >= LEAST and (own == wanted)[known].all():
            fits.append(places)
    return fits[0] if len(fits) == 1 else None


def _smoothing(first: Rows, second: Rows) -> Iterator[Cause]:
    values = first.smoothing, second.smoothing
    if abs(values[0] - values[1]) > ALIKE:
        ours, theirs = (float(f"{value:.4g}") for value in values)
        yield Cause.of("loss.label_smoothing", first_setting=ours, second_setting=theirs)


def _counting(first: Rows, second: Rows) -> Iterator[Cause]:
    """Rows that count on one side alone; those of one label are an index that is ignored."""
    alone = first.counted != second.counted
    if not alone.any():
        return
    known = np.maximum(first.labels, second.labels)[alone]
    counts = int(first.counted.sum()), int(second.counted.sum())
    settings = {"first_setting": counts[0], "second_setting": counts[1]}
    if len(set(known.tolist())) == 1:
        settings["label"] = int(known[0])
    yield Cause.of("loss.counted_rows", total=len(alone), **settings)


def _weighing(first: Rows, second: Rows) -> Iterator[Cause]:
    words = _reductions(first), _reductions(second)
    if not set(words[0]) & set(words[1]):
        ours, theirs = (fitting[0] for fitting in words)
        yield Cause.of("loss.reduction", first_setting=ours, second_setting=theirs)


def _reductions(rows: Rows) -> tuple[str, ...]:
    """How rows are summed, in words: all that fit. Where every row counts, means are one."""
    weights = rows.weights[rows.counted]
    number, total = len(weights), len(rows.weights)
    if _one_number(weights):
        size = float(weights.mean())
        known = {
            "sum": 1.0,
            "mean of the rows that count": 1 / number,
            "mean of all rows": 1 / total,
        }
        words = [word for word, value in known.items() if abs(size - value) <= ALIKE * value]
        return tuple(words) or (f"each row times {size:.6g}",)
    average = abs(float(weights.sum()) - 1) <= ALIKE
    if _by_label(rows):
        return ("mean weighed by label" if average else "sum weighed by label",)
    if _by_sentence(rows):
        return ("mean of the means of sentences",)
    return ("rows weighed each by its own",)


def _by_label(rows: Rows) -> bool:
    """Whether rows of one label have one weight, some label having several rows."""
    counted = rows.counted
    groups = [
        rows.weights[counted & (rows.labels == label)]
        for label in set(rows.labels[counted].tolist())
    ]
    return any(len(group) > 1 for group in groups) and all(map(_one_number, groups))


def _by_sentence(rows: Rows) -> bool:
    """Whether all rows of a sentence weigh alike and all sentences together alike."""
    if len(rows.shape) != 2:
        return False
    sentences = [own[own != 0] for own in rows.weights.reshape(rows.shape)]
    sums = np.array([own.sum() for own in sentences if len(own)])
    return all(map(_one_number, sentences)) and _one_number(sums)


def _one_number(values: Array) -> bool:
    return not len(values) or bool(np.ptp(values) <= ALIKE * np.abs(values).max())
