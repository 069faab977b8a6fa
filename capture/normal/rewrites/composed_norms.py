"""Normalisations over rows that a model spells out.

Statistics and data may lie in different orders of axes, so both are seen in the order of the
statistic: `taken` is the view that reads the data as [*rows, count], the normalised elements last.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal.draft import Draft
from padiff_graph.capture.normal.edges import expand, moved, plain, shape_of, unscaled, view_of
from padiff_graph.capture.normal.form import Edge
from padiff_graph.capture.normal.index_map import View
from padiff_graph.capture.normal.rewrites.operands import (
    both_orders,
    power_below,
    present,
    same_reading,
    same_value,
)
from padiff_graph.capture.normal.rewrites.rule import Sweep, applies_to
from padiff_graph.capture.normal.traits import traits

__all__ = ["as_read", "composed_layer_norm", "composed_rms_norm", "spread"]

CORRECTIONS = (0.0, 1.0)
"""How many elements a variance may leave out of its count: none, or one where it is the unbiased
one."""
LOOSEST = 1e-5
"""Relative distance within which a factor on the variance is n / (n - correction), float32's."""
SHARE = 0.1
"""For large counts the distance is this share of 1 / n, by which the two corrections differ."""


@dataclass(frozen=True, slots=True)
class _Root:
    """Pow(statistic + epsilon, -0.5), as a factor reads it."""

    edge: Edge
    inside: Edge

    @property
    def epsilon(self) -> float:
        """What is added to the statistic."""
        return self.inside.shift

    @classmethod
    def of(cls, sweep: Sweep, edge: Edge) -> _Root | None:
        """The root behind a factor; None where it is none, moved or scaled, or where epsilon is not
        positive."""
        inside = power_below(sweep.source(edge), -0.5)
        if inside is None or inside.scale <= 0.0 or inside.shift <= 0.0 or not unscaled(edge):
            return None
        return cls(edge, inside) if view_of(inside).identity and view_of(edge).identity else None


def as_read(edge: Edge, shape: tuple[int, ...], view: View) -> View:
    """An element-wise operand of a result of `shape`, as read through `view`."""
    return view_of(expand(edge, shape)).then(view)


def spread(rows: tuple[int, ...], count: int, *, along_rows: bool) -> View:
    """A vector over [*rows, count]: one number a row, or one for each place in a row."""
    whole = (*rows, count)
    if along_rows:
        return View.of(rows).reshape((*rows, 1)).expand(whole)
    return View.of((count,)).reshape((1,) * len(rows) + (count,)).expand(whole)


# -- RMS normalisation


@applies_to("Mul")
def composed_rms_norm(sweep: Sweep, draft: Draft) -> bool:
    """x * Pow(ReduceMean(x ** 2) + epsilon, -0.5) = RMSNormalization(x; epsilon).

    Refuses scaled or shifted x, and a statistic that does not go back to the rows it was taken
    from. Leaves the scale to `scale_and_bias_into_norm`.
    """
    for x, factor in both_orders(draft):
        root = _Root.of(sweep, factor)
        mean = None if root is None else sweep.behind(root.inside, "ReduceMean")
        if root is None or mean is None or root.inside.scale != 1.0:
            continue
        squared = mean.inputs[0]
        square = sweep.source(squared)
        inner = power_below(square, 2.0)
        if squared is None or square is None or inner is None or not unscaled(squared):
            continue
        if not unscaled(x) or not unscaled(inner) or not same_reading(inner, x):
            continue
        if shape_of(x) != draft.shape:
            continue
        norm = _Norm("RMSNormalization", x, view_of(squared), root, mean, {}, (square,))
        if norm.replaces(sweep, draft):
            return True
    return False


# -- layer normalisation


@applies_to("Mul")
def composed_layer_norm(sweep: Sweep, draft: Draft) -> bool:
    """(x - m) * Pow(v + epsilon, -0.5) = LayerNormalization(x; epsilon, correction), with
    m = ReduceMean(x) and v = ReduceMean((x - m) ** 2), n / (n - 1) of it, or ReduceVariance(x).

    Refuses scaled or shifted x, and statistics over other axes or not put back to where they were
    taken from. Leaves scale and bias to `scale_and_bias_into_norm`.
    """
    for centred, factor in both_orders(draft):
        root = _Root.of(sweep, factor)
        inner = sweep.behind(centred, "Add")
        if root is None or inner is None or not plain(centred):
            continue
        statistic = sweep.behind(root.inside, "ReduceMean", "ReduceSum", "ReduceVariance")
        if statistic is None or _correction(statistic, root.inside) is None:
            continue
        for x, mean in both_orders(inner):
            norm = _layer_norm(sweep, draft, root, inner, statistic, x, mean)
            if norm is not None and norm.replaces(sweep, draft):
                return True
    return False


def _layer_norm(
    sweep: Sweep, draft: Draft, root: _Root, inner: Draft, statistic: Draft, x: Edge, mean: Edge
) -> _Norm | None:
    """The normalisation, where `inner` is x - mean(x) and `statistic` its variance."""
    average, reading = sweep.behind(mean, "ReduceMean"), statistic.inputs[0]
    over = None if average is None else average.inputs[0]
    if average is None or over is None or reading is None or shape_of(x) != draft.shape:
        return None
    if (mean.scale, mean.shift) != (-1.0, 0.0) or not unscaled(x) or not unscaled(over):
        return None
    if (over.source, over.output) != (x.source, x.output):
        return None
    # The mean must go back to where it was taken from.
    taken = _relative(x, over)
    if taken is None or not as_read(mean, draft.shape, taken).same(
        spread(average.shape, shape_of(over)[-1], along_rows=True)
    ):
        return None
    if statistic.op == "ReduceVariance":
        if reading.scale != 1.0 or not same_reading(reading, over):
            return None
        folded = [*_means(sweep, inner), inner]
    else:
        squared = _squared(sweep, reading, inner)
        if squared is None or not view_of(reading).same(taken):
            return None
        folded = [*_means(sweep, inner), inner, *_means(sweep, squared[0]), *squared]
    attrs = {"correction": _correction(statistic, root.inside)}
    return _Norm("LayerNormalization", x, taken, root, statistic, attrs, tuple(folded))


def _squared(sweep: Sweep, reading: Edge, inner: Draft) -> tuple[Draft, Draft] | None:
    """What is squared, and the square, where an edge reads the square of what `inner` computes."""
    square = sweep.source(reading)
    below = power_below(square, 2.0)
    if square is None or below is None or not unscaled(reading) or not plain(below):
        return None
    centred = sweep.builder.drafts[below.source]
    return (centred, square) if same_value(sweep.builder, centred, inner) else None


def _correction(statistic: Draft, edge: Edge) -> float | None:
    """How many elements the variance leaves out of its count; None where it is no variance.

    `edge` reads the variance: its factor may turn a mean into n / (n - 1) of it, or a sum into
    either.
    """
    if statistic.op == "ReduceVariance":
        correction: float = statistic.attrs["correction"]
        return correction if edge.scale == 1.0 and correction in CORRECTIONS else None
    over = statistic.inputs[0]
    count = shape_of(over)[-1] if over is not None and shape_of(over) else 0
    if count < 2:
        return None
    mean = edge.scale * (count if statistic.op == "ReduceSum" else 1.0)
    near = min(LOOSEST, SHARE / count)
    for correction in CORRECTIONS:
        if math.isclose(mean, count / (count - correction), rel_tol=near):
            return correction
    return None


def _relative(x: Edge, over: Edge) -> View | None:
    """How `over` reads what `x` reads: where x is all of its source, or in the order of x."""
    if not view_of(x).permutation:
        shape = shape_of(over)
        alike = math.prod(shape) == math.prod(shape_of(x))
        if not alike or not view_of(x).reshape(shape).same(view_of(over)):
            return None
        return View.of(shape_of(x)).reshape(shape)
    back = view_of(x).inverse((view_of(x).source,))
    return None if back is None else back.then(view_of(over))


def _means(sweep: Sweep, centred: Draft) -> Iterator[Draft]:
    """What is subtracted."""
    for edge in present(centred):
        if edge.scale == -1.0:
            yield sweep.builder.drafts[edge.source]


# -- both


@dataclass(frozen=True, slots=True)
class _Norm:
    """A normalisation found.

    Attributes:
        op: its operator.
        x: the data, as the product reads it.
        taken: reads the data as the statistic does, [*rows, count].
        root: the factor.
        statistic: mean or variance.
        attrs: besides epsilon and axis.
        folded: drafts before the statistic that it stands for.
    """

    op: str
    x: Edge
    taken: View
    root: _Root
    statistic: Draft
    attrs: Mapping[str, object]
    folded: tuple[Draft, ...]

    def replaces(self, sweep: Sweep, draft: Draft) -> bool:
        """Puts the normalisation in place of the product, where its rows are the product's."""
        taken = self.taken
        if not taken.size == taken.source == math.prod(draft.shape):
            return False
        rows = spread(self.statistic.shape, taken.shape[-1], along_rows=True)
        back = taken.inverse(draft.shape)
        if back is None or not as_read(self.root.edge, draft.shape, taken).same(rows):
            return False
        operand = moved(self.x, view_of(self.x).then(taken))
        roots = (self.statistic, sweep.builder.drafts[self.root.edge.source])
        new = sweep.made_of(
            draft,
            self.op,
            [operand, *(None for _ in traits(self.op).operands[1:])],
            {"epsilon": self.root.epsilon, "axis": -1, **self.attrs},
            *self.folded,
            *roots,
            kind=TensorType(taken.shape, draft.outputs[0].dtype),
        )
        sweep.replace_moved(draft, new, back, taken)
        return True
