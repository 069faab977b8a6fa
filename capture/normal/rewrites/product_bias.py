"""Biases of products."""

from __future__ import annotations

import math

from padiff_graph.capture.normal.draft import Draft
from padiff_graph.capture.normal.edges import moved, plain, reshape, shape_of, unscaled, view_of
from padiff_graph.capture.normal.form import Edge
from padiff_graph.capture.normal.index_map import View
from padiff_graph.capture.normal.rewrites.operands import both_orders
from padiff_graph.capture.normal.rewrites.rule import Sweep, applies_to
from padiff_graph.capture.normal.traits import Scale, traits, with_trait

__all__ = ["bias_into_product"]

_BIASED = with_trait(lambda row: row.scale is Scale.EACH and row.role(2) == "bias")


@applies_to("Add")
def bias_into_product(sweep: Sweep, draft: Draft) -> bool:
    """f(x, W) + b = f(x, W, b) for Linear and convolutions, b learned.

    Refuses what is not one number for each output feature, a product that has a bias or is read
    elsewhere too, scaled or shifted. The product may have been moved before b was added: leaves the
    movement to the readers.
    """
    for product, bias in both_orders(draft):
        inner = sweep.behind(product, *_BIASED)
        if inner is None or any(edge is not None for edge in inner.inputs[2:]):
            continue
        if not sweep.learned(bias) or not sweep.alone(inner):
            continue
        if plain(product):
            if _by_feature(inner, product, bias):
                vector = reshape(bias, (inner.shape[_feature(inner)],))
                new = _with_bias(sweep, draft, inner, product, vector)
                sweep.replace_reshaped(draft, new)
                return True
        elif unscaled(product) and unscaled(bias):
            back = view_of(product).inverse(inner.shape) if view_of(product).permutation else None
            vector_view = None if back is None else _along_features(inner, product, bias, back)
            if back is not None and vector_view is not None:
                new = _with_bias(sweep, draft, inner, product, moved(bias, vector_view))
                sweep.replace_moved(draft, new, view_of(product), back)
                return True
    return False


def _feature(product: Draft) -> int:
    """The axis of output features."""
    return traits(product.op).features % len(product.shape)


def _by_feature(inner: Draft, product: Edge, bias: Edge) -> bool:
    """Whether a summand is one number for each output feature.

    The product may have been reshaped in between (a lone spatial axis dropped or added).
    """
    shape, feature = inner.shape, _feature(inner)
    own, seen = shape_of(bias), shape_of(product)
    if math.prod(own) != shape[feature]:
        return False
    wide = [axis for axis, extent in enumerate(own) if extent != 1]
    if not wide:
        return shape[feature] == 1
    below = math.prod(seen[wide[0] + 1 :])
    return len(wide) == 1 and below == math.prod(shape[feature + 1 :])


def _along_features(inner: Draft, product: Edge, bias: Edge, back: View) -> View | None:
    """How a summand of the moved product reads its parameter for each output feature; None where it
    changes along another axis too."""
    shape, feature, seen = inner.shape, _feature(inner), shape_of(product)
    own = (1,) * (len(seen) - len(shape_of(bias))) + shape_of(bias)
    added = view_of(bias).reshape(own).expand(seen).then(back)
    lane = added
    for axis in reversed(range(len(shape))):
        if axis != feature:
            lane = lane.select(axis, 0)
    lone = [extent if axis == feature else 1 for axis, extent in enumerate(shape)]
    return lane if lane.reshape(lone).expand(shape).same(added) else None


def _with_bias(sweep: Sweep, draft: Draft, inner: Draft, product: Edge, bias: Edge) -> Draft:
    """The product with its bias, in place of the sum."""
    operands = [*inner.inputs[:2], bias]
    return sweep.made_of(
        draft,
        inner.op,
        operands,
        inner.attrs,
        inner,
        native=product.through,
        kind=inner.outputs[0],
    )
