"""Products of matrices in one order: which of three are multiplied first, and which way a product
is turned."""

from __future__ import annotations

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal.draft import Draft
from padiff_graph.capture.normal.edges import affine, reshape, shape_of, transpose, view_of
from padiff_graph.capture.normal.form import Edge
from padiff_graph.capture.normal.index_map import View
from padiff_graph.capture.normal.rewrites.rule import Sweep, applies_to

__all__ = ["cheaper_product", "product_read_turned"]

KEEPING = frozenset({"Cast", "Dropout"})
"""Operations that leave every element where it is."""
Three = tuple[Edge, Edge, Edge]
"""Factors in order, each [*batch, rows, columns]."""


def product_read_turned(sweep: Sweep, draft: Draft) -> bool:
    """f((a b)^T) = f(b^T a^T).

    Refuses a product that is read elsewhere too, or moved otherwise than by turning rows into
    columns. Refuses a softmax that is turned back behind: it goes over another axis, and with the
    factors exchanged a mistake there would look like queries and keys that stand crosswise. Leaves
    the turn to the location of the product.
    """
    for edge in draft.inputs:
        product = sweep.behind(edge, "MatMul")
        if edge is None or product is None or not sweep.alone(product):
            continue
        a, b = product.inputs
        if a is None or b is None or not _reads_turned(edge, product):
            continue
        if draft.op == "Softmax" and _turned_back(sweep, draft):
            continue
        turn = _turned(sweep.builder.read(product))
        kind = TensorType(shape_of(turn), _dtype(product))
        new = sweep.made_of(product, "MatMul", [_turned(b), _turned(a)], {}, kind=kind)
        sweep.replace_moved(product, new, view_of(_turned(sweep.builder.read(new))), view_of(turn))
        return True
    return False


def _reads_turned(edge: Edge, product: Draft) -> bool:
    """Whether a product is read with its rows as columns and nothing else moved."""
    view = view_of(edge)
    if view.size != view.source or view.identity or len(view.shape) < 2:
        return False
    turned = view_of(_turned(Edge(product.id, 0, View.of(product.shape))))
    return view.shape[-2:] == turned.shape[-2:] and view.same(turned.reshape(view.shape))


def _turned_back(sweep: Sweep, draft: Draft) -> bool:
    """Whether a draft is read with its rows as columns, be it behind a dropout or a cast."""
    builder = sweep.builder
    for reader in tuple(builder.drafts):  # to resolve may add some
        if reader.replaced:
            continue
        for edge in reader.inputs:
            if edge is None or not _leads_to(sweep, edge, draft):
                continue
            edge = builder.resolve(edge)
            if _reads_turned(edge, draft):
                return True
            if reader.op in KEEPING and _turned_back(sweep, reader):
                return True
    return False


def _leads_to(sweep: Sweep, edge: Edge | None, draft: Draft) -> bool:
    """Whether an edge reads a draft, or what was replaced by it."""
    drafts = sweep.builder.drafts
    while edge is not None and edge.source != draft.id:
        edge = drafts[edge.source].replaced.get(edge.output)
    return edge is not None


def _turned(edge: Edge) -> Edge:
    """Rows as columns."""
    axes = range(len(shape_of(edge)))
    return transpose(edge, (*axes[:-2], axes[-1], axes[-2]))


@applies_to("MatMul")
def cheaper_product(sweep: Sweep, draft: Draft) -> bool:
    """a (b c) = (a b) c, as whichever takes fewer multiplications; (a b) c where both take as many.

    So linear attention is the same however it is spelled, and models that do the cheaper thing stay
    as they are. Refuses an inner product that is read elsewhere too, shifted, moved, without
    gradient or of other batches. Leaves the product that the model does not compute without a
    native tensor.
    """
    for position in (0, 1):
        inner = sweep.behind(draft.inputs[position], "MatMul")
        three = None if inner is None else _factors(sweep, draft, inner, position)
        if inner is None or three is None:
            continue
        left, right = _costs(three)
        if (left <= right) if position == 0 else (right < left):
            continue  # the cheaper one already
        a, b, c = three
        first = _product(sweep, inner, *((b, c) if position == 0 else (a, b)))
        operands = [a, first] if position == 0 else [first, c]
        through = () if (edge := draft.inputs[position]) is None else edge.through
        sweep.replace(draft, sweep.made_of(draft, "MatMul", operands, {}, native=through))
        return True
    return False


def _factors(sweep: Sweep, draft: Draft, inner: Draft, position: int) -> Three | None:
    """The three factors in order where the inner product stands at a position of the outer one;
    None where the rule refuses."""
    edge, other = draft.inputs[position], draft.inputs[1 - position]
    x, y = inner.inputs
    if edge is None or other is None or x is None or y is None or edge.shift != 0.0:
        return None
    if not view_of(edge).identity or shape_of(edge)[-2:] != inner.shape[-2:]:
        return None
    if not sweep.alone(inner) or "no_grad" in inner.marks or _dtype(inner) != _dtype(draft):
        return None
    batch = draft.shape[:-2]
    x, y = affine(_in_batches(x, batch), edge.scale, 0.0), _in_batches(y, batch)
    three = (x, y, other) if position == 0 else (other, x, y)
    return three if all(shape_of(each)[:-2] == batch for each in three) else None


def _in_batches(edge: Edge, batch: tuple[int, ...]) -> Edge:
    """A factor with the axes of batches that the outer product has; as it is where they differ in
    number of elements, which the rule refuses."""
    shape = (*batch, *shape_of(edge)[-2:])
    return reshape(edge, shape) if View.of(shape).size == view_of(edge).size else edge


def _costs(three: Three) -> tuple[int, int]:
    """Multiplications of (a b) c and of a (b c), for one batch."""
    (m, n), (_, k), (_, p) = (shape_of(each)[-2:] for each in three)
    return m * n * k + m * k * p, n * k * p + m * n * p


def _product(sweep: Sweep, inner: Draft, left: Edge, right: Edge) -> Edge:
    """The product of two factors that the model does not compute by itself."""
    shape = (*shape_of(left)[:-1], shape_of(right)[-1])
    kind = TensorType(shape, _dtype(inner))
    made = sweep.builder.add("MatMul", [left, right], {}, (kind,), native=inner.native, like=inner)
    return sweep.builder.read(made)


def _dtype(draft: Draft) -> str:
    return draft.outputs[0].dtype
