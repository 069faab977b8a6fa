"""Products of matrices and attention."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal.call import Call
from padiff_graph.capture.normal.edges import broadcast, reshape, shape_of, take, transpose
from padiff_graph.capture.normal.form import Edge

__all__ = ["attention", "einsum", "linear", "matmul"]


def matmul(call: Call, first: Edge, second: Edge) -> Edge:
    """numpy.matmul's rules, vectors too; the result in the native shape."""
    left, right = shape_of(first), shape_of(second)
    if len(left) == 1:
        first = reshape(first, (1, *left))
    if len(right) == 1:
        second = reshape(second, (*right, 1))
    left, right = shape_of(first), shape_of(second)
    if len(right) > 2 and all(extent == 1 for extent in right[:-2]):
        second = reshape(second, right[-2:])
        right = shape_of(second)
    lead = np.broadcast_shapes(left[:-2], right[:-2])
    kind = call.typed(first, (*lead, left[-2], right[-1]), call.type().dtype)
    return reshape(call.draft("MatMul", [first, second], None, kind), call.shape)


def linear(call: Call, x: Edge, weight: Edge, bias: Edge | None) -> Edge:
    """x @ weight + bias with weight [in, out]; kept as a product and a sum until it is clear that
    the weight depends on parameters only (rewrite `linear`)."""
    whole = matmul(call, x, weight)
    if bias is None:
        return whole
    return call.draft(
        "Add",
        [whole, broadcast(bias, shape_of(whole))],
        None,
        TensorType(shape_of(whole), call.type().dtype),
    )


def attention(
    call: Call,
    query: Edge,
    key: Edge,
    value: Edge,
    mask: Edge | None,
    *,
    scale: float | None,
    causal: bool,
    dropout: float = 0.0,
) -> Edge:
    """softmax(scale * query @ key^T + mask) @ value over [..., heads, length, width].

    A boolean mask keeps what is true. Fewer heads of key and value are repeated (grouped queries).
    """
    dtype = call.type().dtype
    key, value = _repeated(call, query, key), _repeated(call, query, value)
    width, length, keys = shape_of(query)[-1], shape_of(query)[-2], shape_of(key)[-2]
    lead = np.broadcast_shapes(shape_of(query)[:-2], shape_of(key)[:-2])
    scores = TensorType((*lead, length, keys), dtype)
    order = [*range(call.rank(key) - 2), call.rank(key) - 1, call.rank(key) - 2]
    weights = call.draft("MatMul", [query, transpose(key, order)], None, scores)
    weights = call.affine(weights, 1.0 / math.sqrt(width) if scale is None else scale)
    if causal:
        visible = call.constant(np.tril(np.ones((length, keys), bool)))
        weights = _masked(call, weights, visible, scores)
    if mask is not None:
        weights = _masked(call, weights, mask, scores)
    weights = call.draft("Softmax", [weights], {"axis": -1}, scores)
    if dropout:
        attrs = {"ratio": float(dropout)}
        weights = call.draft("Dropout", [weights], attrs, scores)
    kind = TensorType((*lead, length, shape_of(value)[-1]), dtype)
    return call.draft("MatMul", [weights, value], None, kind)


def _repeated(call: Call, query: Edge, edge: Edge) -> Edge:
    """Key or value with as many heads as the query, each repeated."""
    heads = shape_of(query)[-3] if call.rank(query) > 2 else 1
    own = shape_of(edge)[-3] if call.rank(edge) > 2 else 1
    if own in (1, heads):
        return edge
    return take(edge, -3, [head for head in range(own) for _ in range(heads // own)])


def _masked(call: Call, weights: Edge, mask: Edge, kind: TensorType) -> Edge:
    """Scores with a mask: added, or minus infinity where a boolean one is false."""
    mask_there = broadcast(mask, kind.shape)
    if call.builder.dtype(mask) != "bool":
        return call.draft("Add", [weights, mask_there], None, kind)
    return call.draft("Where", [mask_there, weights, call.constant(-np.inf)], None, kind)


def einsum(call: Call, equation: str, operands: Sequence[Edge]) -> Edge:
    """A product of two operands as MatMul: letters of both and of the result are its batch, letters
    of both only are summed. Anything else stays Einsum."""
    equation = equation.replace(" ", "")
    product = _Product.of(equation, [shape_of(edge) for edge in operands])
    if product is None:
        return call.draft("Einsum", list(operands), {"equation": equation})
    batch, rows, summed, columns = product.batch, product.rows, product.summed, product.columns
    first, second = product.terms
    left = product.arranged(operands[0], first, batch, rows, summed)
    right = product.arranged(operands[1], second, batch, summed, columns)
    shape = (*product.extents(batch), product.size(rows), product.size(columns))
    result = call.draft("MatMul", [left, right], None, TensorType(shape, call.type().dtype))
    letters = [*batch, *rows, *columns]
    order = [letters.index(letter) for letter in product.result]
    return call.transpose(reshape(result, product.extents(letters)), order)


@dataclass(frozen=True)
class _Product:
    """An equation of two terms as a batched product of matrices.

    Attributes:
        terms, result: the letters of both operands and of the result.
        extent: of each letter.
    """

    terms: tuple[str, str]
    result: str
    extent: Mapping[str, int]

    @classmethod
    def of(cls, equation: str, shapes: Sequence[tuple[int, ...]]) -> _Product | None:
        """None where the equation is no product: other than two terms, diagonals, letters of one
        term alone that are summed, an ellipsis, no result told."""
        left, arrow, right = equation.partition("->")
        terms = left.split(",")
        if not arrow or "." in equation or len(terms) != 2 or len(shapes) != 2:
            return None
        if any(len(set(term)) != len(term) for term in (*terms, right)):
            return None
        extent = {
            letter: size
            for term, shape in zip(terms, shapes, strict=True)
            for letter, size in zip(term, shape, strict=True)
        }
        if not all(set(term) <= set(right) | (set(terms[0]) & set(terms[1])) for term in terms):
            return None
        return cls((terms[0], terms[1]), right, extent)

    @property
    def batch(self) -> list[str]:
        """Letters of both terms and of the result."""
        return [letter for letter in self.result if all(letter in term for term in self.terms)]

    @property
    def summed(self) -> list[str]:
        """Letters of both terms only."""
        first, second = self.terms
        return [letter for letter in first if letter in second and letter not in self.result]

    @property
    def rows(self) -> list[str]:
        """Letters of the first term and of the result."""
        return [letter for letter in self.result if letter not in self.terms[1]]

    @property
    def columns(self) -> list[str]:
        """Letters of the second term and of the result."""
        return [letter for letter in self.result if letter not in self.terms[0]]

    def extents(self, letters: Sequence[str]) -> list[int]:
        """The extents of letters."""
        return [self.extent[letter] for letter in letters]

    def size(self, letters: Sequence[str]) -> int:
        """The elements over letters."""
        return math.prod(self.extents(letters))

    def arranged(self, edge: Edge, term: str, batch: list[str], *groups: list[str]) -> Edge:
        """An operand as [*batch, group, group]."""
        order = [term.index(letter) for group in (batch, *groups) for letter in group]
        sizes = [*self.extents(batch), *(self.size(group) for group in groups)]
        return reshape(transpose(edge, order), sizes)
