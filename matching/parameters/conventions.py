"""Orders of a weight's elements that a known convention explains: axes permuted, a tensor read as a
matrix, gates of a recurrent cell, the two halves of rotary features."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import permutations

from padiff_graph.capture.normal.index_map import View
from padiff_graph.matching.parameters.relations import axis_orders, flattened_orders

__all__ = [
    "HALVES",
    "HEAD_SIZES",
    "PAIRS",
    "TURNED",
    "Shape",
    "any_gate_orders",
    "gate_orders",
    "orders",
    "rotary_orders",
]

Shape = tuple[int, ...]
TURNED = "its axes turned"
"""Any other order of axes."""
GATES = {
    "the gates i, f, o, g": (0, 1, 3, 2),
    "the gates i, o, f, g": (0, 3, 1, 2),
    "the gates i, g, f, o": (0, 2, 1, 3),
    "the gates i, o, g, f": (0, 2, 3, 1),
    "the gates z, r, n": (1, 0, 2),
}
"""Where each gate stands among those of torch and Paddle (i, f, g, o; r, z, n): fused cells of
TensorFlow and Keras, ONNX, and the inverse of ONNX's."""
LETTERS = ("ifgo", "rzn")
"""The gates of a cell by their usual names, in the order of torch and Paddle."""
HEAD_SIZES = 2
"""Most sizes of a head that rotary orders are made for: a model has one, and few have two."""
HALVES = "rotary features in halves, not in pairs"
PAIRS = "rotary features in pairs, not in halves"


def orders(
    first: Shape, second: Shape, heads: Sequence[int] = (), gated: bool = False
) -> Iterator[tuple[str, View]]:
    """The views of a second parameter that give a first one's elements in order, each once.

    Each comes with its convention in words: "" for the likeliest order of axes, which needs none.

    Args:
        heads: how many features a head with a rotary embedding may have.
        gated: whether the tensor may hold the gates of a cell in an order of somebody's own.
    """
    if math.prod(first) != math.prod(second):
        return
    seen: list[View] = []
    for convention, view in _all(first, second, heads):
        if not any(view.same(known) for known in seen):
            seen.append(view)
            yield convention, view
    if gated:
        plain = next(_axes(first, second))
        yield from ((words, turned.then(plain)) for words, turned in _own_gate_orders(second))


def _all(first: Shape, second: Shape, heads: Sequence[int]) -> Iterator[tuple[str, View]]:
    plain = list(_axes(first, second))
    yield "", plain[0]
    yield from ((TURNED, view) for view in plain[1:])
    for words, turned in rotary_orders(second, heads):
        yield words, turned.then(plain[0])
        yield from ((f"{words}, {TURNED}", turned.then(view)) for view in plain[1:])
    for words, turned in gate_orders(second):
        yield from ((words, turned.then(view)) for view in plain)


def rotary_orders(shape: Shape, heads: Sequence[int]) -> Iterator[tuple[str, View]]:
    """A tensor whose first axis holds heads, with each head's pairs of neighbouring features taken
    apart into two halves, or its halves put together to pairs.

    Both turn the same planes, so that a rotary embedding comes in either order; query and key go
    with it (the conversion of Llama's weights for transformers).

    Args:
        heads: how many features a head may have.
    """
    rows = shape[0] if shape else 0
    fitting = [size for size in heads if rows and not rows % size]
    for size in fitting[:HEAD_SIZES]:
        for words, parts in ((HALVES, (size // 2, 2)), (PAIRS, (2, size // 2))):
            blocks = View.of((shape[0] // size, *parts, *shape[1:]))
            axes = (0, 2, 1, *range(3, 2 + len(shape)))
            yield words, blocks.transpose(axes).reshape(shape)


def gate_orders(shape: Shape) -> Iterator[tuple[str, View]]:
    """A tensor whose first axis holds the gates of a cell, with these in another known order."""
    for words, places in GATES.items():
        turned = _gated(shape, places)
        if turned is not None:
            yield words, turned.reshape(shape)


def any_gate_orders(shape: Shape) -> Iterator[tuple[str, View]]:
    """The same in every order, known ones first: who writes a cell out may choose."""
    yield from gate_orders(shape)
    yield from _own_gate_orders(shape)


def _own_gate_orders(shape: Shape) -> Iterator[tuple[str, View]]:
    """The orders of gates that no known convention has."""
    for letters in LETTERS:
        for places in permutations(range(len(letters))):
            turned = _gated(shape, places)
            usual = places in GATES.values() or places == tuple(sorted(places))
            if turned is not None and not usual:
                named = ", ".join(letters[place] for place in places)
                yield f"the gates {named}", turned.reshape(shape)


def _axes(first: Shape, second: Shape) -> Iterator[View]:
    """Axes in another order, flattened ones too, and the tensor as a matrix of its rows, or of its
    columns, turned."""
    if _matrix(first) == _matrix(second):
        yield View.of(second).reshape(first)
    yield from axis_orders(second, first)
    yield from flattened_orders(second, first, whole=True)
    yield View.of(second).reshape(first)
    if len(second) > 1:
        yield View.of(_matrix(second)).transpose((1, 0)).reshape(first)
        rest = (math.prod(second[:-1]), second[-1])
        yield View.of(rest).transpose((1, 0)).reshape(first)


def _matrix(shape: Sequence[int]) -> Shape:
    return (shape[0], math.prod(shape[1:])) if shape else (1, 1)


def _gated(shape: Shape, places: Sequence[int]) -> View | None:
    """The first axis, which holds one gate behind the other, with the gates in another order."""
    if not shape or shape[0] % len(places):
        return None
    blocks = (len(places), shape[0] // len(places), *shape[1:])
    return View.of(blocks).take(0, places)
