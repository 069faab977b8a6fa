"""Which extents become smaller together."""

from __future__ import annotations

import numpy as np
import pytest

from padiff_graph.capture.graph import Node, TensorType, Value
from padiff_graph.shrinking.piece import Leaf, Piece, SidePiece
from padiff_graph.shrinking.sizes import Resize, candidates

pytest.importorskip("torch")


def leaf(kind: str, name: str, *shape: int, dtype: str = "float32") -> Leaf:
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    return Leaf(kind, name, array, dtype)


def side() -> SidePiece:
    """x [6, 12] times w [12, 12], seen as [6, 3, 4]."""
    leaves = {
        Value(0): leaf("value", "x", 6, 12),
        Value(1): leaf("parameter", "w", 12, 12),
        Value(2): leaf("value", "ids", 6, dtype="int64"),
    }
    product = Node(
        3, "operation", "aten.mm.default", inputs=(Value(0), Value(1)), roles=("self", "mat2")
    )
    view = Node(
        4,
        "operation",
        "aten.view.default",
        inputs=(Value(3),),
        roles=("self",),
        attrs={"size": (6, 3, 4)},
        outputs=(TensorType((6, 3, 4), "float32"),),
    )
    turned = Node(
        5,
        "operation",
        "aten.permute.default",
        inputs=(Value(4),),
        roles=("self",),
        attrs={"dims": (0, 2, 1)},
    )
    return SidePiece("torch", leaves, (product, view, turned), (Value(5),))


PIECE = Piece(side(), side())


def shapes(piece: Piece) -> list[tuple[int, ...]]:
    return [held.array.shape for held in piece.first.leaves.values()]


def test_extents_of_leaves_and_of_attributes() -> None:
    assert PIECE.extents == [12, 6, 4, 3]


def test_an_extent_everywhere() -> None:
    smaller = Resize({6: 2}, "all").of(PIECE)
    assert shapes(smaller) == [(2, 12), (12, 12), (2,)]
    assert smaller.first.nodes[1].attrs["size"] == (2, 3, 4)
    assert smaller.first.nodes[2].attrs["dims"] == (0, 2, 1)
    assert smaller.first.nodes[2] is PIECE.first.nodes[2]
    assert PIECE.first.nodes[1].attrs["size"] == (6, 3, 4)


def test_a_factor_takes_its_products_along() -> None:
    ways = [way for size, ways in candidates(PIECE, 3) if size == 1 for way in ways]
    together = next(way for way in ways if 12 in way.extents and way.scope == "all")
    smaller = together.of(PIECE)
    assert shapes(smaller)[1] == (4, 4)
    assert smaller.first.nodes[1].attrs["size"][1:] == (1, 4)


def test_scopes() -> None:
    assert shapes(Resize({12: 4}, "activations").of(PIECE)) == [(6, 4), (12, 12), (6,)]
    kernel = SidePiece("torch", {Value(0): leaf("parameter", "w", 3, 3, 3, 3)}, (), ())
    smaller = Resize({3: 1}, "channels").of(Piece(kernel, kernel))
    assert shapes(smaller) == [(1, 1, 3, 3)]


def test_indices_stay_inside_what_became_smaller() -> None:
    smaller = Resize({12: 4}, "all").of(PIECE)
    ids = smaller.first.leaves[Value(2)].array
    assert ids.max() == 3


def test_sizes_ascend_and_stay_below() -> None:
    assert [size for size, _ in candidates(PIECE, 12)] == [1, 2, 4, 8]
    assert list(candidates(PIECE, 1)) == []
