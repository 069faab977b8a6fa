"""A batch normalisation in evaluation mode that a model spells out, as frozen ones are."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from padiff_graph.capture.normal.draft import Draft
from padiff_graph.capture.normal.edges import reshape, shape_of, unscaled, view_of
from padiff_graph.capture.normal.form import Edge
from padiff_graph.capture.normal.rewrites.group_norm import by_channel
from padiff_graph.capture.normal.rewrites.operands import both_orders, power_below, same_value
from padiff_graph.capture.normal.rewrites.rule import Sweep, applies_to

__all__ = ["composed_batch_norm"]

LEAST_AXES = 2
"""Batch and channels."""


@dataclass(frozen=True, slots=True)
class _Parts:
    """The vectors of a normalisation by channel, and the drafts that it stands for."""

    x: Edge
    scale: Edge
    bias: Edge
    mean: Edge
    variance: Edge
    drafts: tuple[Draft, ...]


@applies_to("Add")
def composed_batch_norm(sweep: Sweep, draft: Draft) -> bool:
    """x * s + (b - m * s) or (x - m) * s + b, with s = w * Pow(v + epsilon, -0.5) by channel =
    BatchNormalization(x; w, b, m, v) in evaluation mode.

    Refuses vectors that are not learned or not one number for each channel, scaled or shifted
    ones, an epsilon that is not positive, and a product that is read elsewhere too.
    """
    if len(draft.shape) < LEAST_AXES:
        return False
    for parts in (*_folded(sweep, draft), *_centred(sweep, draft)):
        vectors = [parts.scale, parts.bias, parts.mean, parts.variance]
        channels = draft.shape[1]
        if shape_of(parts.x) != draft.shape or not unscaled(parts.x):
            continue
        if any(math.prod(shape_of(vector)) != channels for vector in vectors):
            continue
        if not all(map(sweep.learned, vectors)):
            continue
        operands = [parts.x, *(reshape(_bare(vector), (channels,)) for vector in vectors)]
        attrs = {"epsilon": parts.variance.shift, "momentum": None, "training": False}
        sweep.replace(
            draft, sweep.made_of(draft, "BatchNormalization", operands, attrs, *parts.drafts)
        )
        return True
    return False


def _folded(sweep: Sweep, draft: Draft) -> Iterator[_Parts]:
    """x * s + (b - m * s)."""
    for product, shift in both_orders(draft):
        scaled, offset = sweep.behind(product, "Mul"), sweep.behind(shift, "Add")
        if scaled is None or offset is None or not _plain(product) or not unscaled(shift):
            continue
        if not sweep.alone(scaled) or not _by_channel(shift, draft):
            continue
        for x, factor in both_orders(scaled):
            for bias, moved in both_orders(offset):
                carried = sweep.behind(moved, "Mul")
                if carried is None or (moved.scale, moved.shift) != (-1.0, 0.0):
                    continue
                for mean, again in both_orders(carried):
                    if _same(sweep, factor, again) and unscaled(mean) and unscaled(bias):
                        drafts = (scaled, offset, carried)
                        yield from _rooted(sweep, draft, (x, bias, mean), factor, drafts)


def _centred(sweep: Sweep, draft: Draft) -> Iterator[_Parts]:
    """(x - m) * s + b, s in one piece or as two factors one after the other."""
    for product, bias in both_orders(draft):
        scaled = sweep.behind(product, "Mul")
        if scaled is None or not _plain(product) or not sweep.alone(scaled):
            continue
        if not unscaled(bias) or not _by_channel(bias, draft):
            continue
        for centred, factor in both_orders(scaled):
            for x, mean, inner in _differences(sweep, draft, centred):
                vectors = x, bias, mean
                yield from _rooted(sweep, draft, vectors, factor, (scaled, inner))
            nearer = sweep.behind(centred, "Mul")
            if nearer is None or not _plain(centred) or not sweep.alone(nearer):
                continue
            for centre, other in both_orders(nearer):
                for x, mean, inner in _differences(sweep, draft, centre):
                    drafts = (scaled, nearer, inner)
                    for scale, root in ((factor, other), (other, factor)):
                        yield from _split(sweep, draft, (x, scale, bias, mean), root, drafts)


def _differences(sweep: Sweep, draft: Draft, centred: Edge) -> Iterator[tuple[Edge, Edge, Draft]]:
    """x and m where an operand is x - m by channel, and the draft that it is."""
    inner = sweep.behind(centred, "Add")
    if inner is None or not _plain(centred) or not sweep.alone(inner):
        return
    for x, mean in both_orders(inner):
        if (mean.scale, mean.shift) == (-1.0, 0.0) and _by_channel(mean, draft):
            yield x, mean._replace(scale=1.0), inner


def _split(
    sweep: Sweep,
    draft: Draft,
    vectors: tuple[Edge, Edge, Edge, Edge],
    root: Edge,
    drafts: tuple[Draft, ...],
) -> Iterator[_Parts]:
    """With w and Pow(v + epsilon, -0.5) as factors of their own; `vectors` are x, w, b and m."""
    x, scale, bias, mean = vectors
    inside = power_below(sweep.source(root), -0.5)
    if inside is None or not unscaled(root) or not unscaled(scale):
        return
    if not _by_channel(root, draft) or not _by_channel(scale, draft):
        return
    if inside.scale == 1.0 and inside.shift > 0.0:
        rooted = sweep.builder.drafts[root.source]
        yield _Parts(x, scale, bias, mean, inside, (*drafts, rooted))


def _rooted(
    sweep: Sweep,
    draft: Draft,
    vectors: tuple[Edge, Edge, Edge],
    factor: Edge,
    drafts: tuple[Draft, ...],
) -> Iterator[_Parts]:
    """With s = w * Pow(v + epsilon, -0.5)."""
    product = sweep.behind(factor, "Mul")
    if product is None or not unscaled(factor) or not _by_channel(factor, draft):
        return
    for scale, root in both_orders(product):
        inside = power_below(sweep.source(root), -0.5)
        if inside is None or not unscaled(root) or not unscaled(scale):
            continue
        if inside.scale == 1.0 and inside.shift > 0.0:
            rooted = sweep.builder.drafts[root.source]
            x, bias, mean = vectors
            yield _Parts(x, scale, bias, mean, inside, (*drafts, product, rooted))


def _plain(edge: Edge) -> bool:
    return unscaled(edge) and view_of(edge).identity


def _by_channel(edge: Edge, draft: Draft) -> bool:
    return by_channel(edge._replace(scale=1.0, shift=0.0), draft)


def _same(sweep: Sweep, first: Edge, second: Edge) -> bool:
    """Whether two operands read one vector, in whatever shape."""
    drafts = sweep.builder.drafts[first.source], sweep.builder.drafts[second.source]
    alike = unscaled(first) and unscaled(second) and first.output == second.output
    return alike and same_value(sweep.builder, *drafts, 1)


def _bare(edge: Edge) -> Edge:
    return edge._replace(scale=1.0, shift=0.0)
