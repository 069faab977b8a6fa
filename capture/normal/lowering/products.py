"""Products of matrices and attention."""

from __future__ import annotations

import math
from collections.abc import Sequence

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
    """x @ weight + bias with weight [in, out]; kept as a product and a sum until it is clear that the
    weight depends on parameters only (rewrite `linear`)."""
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
    heads = shape_of(query)[-3] if call.rank(query) > 2 else 1
    if call.rank(key) > 2 and shape_of(key)[-3] not in (1, heads):
        rows = [row for row in range(shape_of(key)[-3]) for _ in range(heads // shape_of(key)[-3])]
        key, value = take(key, -3, rows), take(value, -3, rows)
    width, length, keys = shape_of(query)[-1], shape_of(query)[-2], shape_of(key)[-2]
    lead = np.broadcast_shapes(shape_of(query)[:-2], shape_of(key)[:-2])
    scores = TensorType((*lead, length, keys), dtype)
    factor = 1.0 / math.sqrt(width) if scale is None else scale
    order = [*range(call.rank(key) - 2), call.rank(key) - 1, call.rank(key) - 2]
    weights = call.affine(
        call.draft("MatMul", [query, transpose(key, order)], None, scores), factor
    )
    if causal:
        visible = np.tril(np.ones((length, keys), bool))
        weights = call.draft(
            "Where",
            [broadcast(call.constant(visible), scores.shape), weights, call.constant(-np.inf)],
            None,
            scores,
        )
    if mask is not None:
        if call.builder.dtype(mask) == "bool":
            weights = call.draft(
                "Where",
                [broadcast(mask, scores.shape), weights, call.constant(-np.inf)],
                None,
                scores,
            )
        else:
            weights = call.draft("Add", [weights, broadcast(mask, scores.shape)], None, scores)
    weights = call.draft("Softmax", [weights], {"axis": -1}, scores)
    if dropout:
        weights = call.draft(
            "Dropout", [weights], {"ratio": float(dropout), "channelwise": False}, scores
        )
    return call.draft(
        "MatMul", [weights, value], None, TensorType((*lead, length, shape_of(value)[-1]), dtype)
    )


def einsum(call: Call, equation: str, operands: Sequence[Edge]) -> Edge:
    """A product of two operands as MatMul: letters of both and of the result are its batch, letters of
    both only are summed. Anything else stays Einsum."""
    equation = equation.replace(" ", "")
    left, _, right = equation.partition("->")
    terms = left.split(",")
    simple = len(operands) == 2 == len(terms) and "->" in equation and "." not in equation
    if not simple or any(len(set(term)) != len(term) for term in (*terms, right)):
        return call.draft("Einsum", list(operands), {"equation": equation})
    first, second = terms
    extent = {
        letter: size
        for term, edge in zip(terms, operands, strict=True)
        for letter, size in zip(term, shape_of(edge), strict=True)
    }
    batch = [letter for letter in right if letter in first and letter in second]
    summed = [letter for letter in first if letter in second and letter not in right]
    rows_, columns = (
        [letter for letter in right if letter not in second],
        [letter for letter in right if letter not in first],
    )
    if len(batch) + len(summed) + len(rows_) != len(first) or len(batch) + len(summed) + len(
        columns
    ) != len(second):
        return call.draft("Einsum", list(operands), {"equation": equation})

    def arranged(edge: Edge, term: str, *groups: list[str]) -> Edge:
        order = [term.index(letter) for group in groups for letter in group]
        sizes = [extent[letter] for letter in groups[0]] + [
            math.prod(extent[letter] for letter in group) for group in groups[1:]
        ]
        return reshape(transpose(edge, order), sizes)

    kind = TensorType(
        (
            *(extent[letter] for letter in batch),
            math.prod(extent[letter] for letter in rows_),
            math.prod(extent[letter] for letter in columns),
        ),
        call.type().dtype,
    )
    result = call.draft(
        "MatMul",
        [
            arranged(operands[0], first, batch, rows_, summed),
            arranged(operands[1], second, batch, summed, columns),
        ],
        None,
        kind,
    )
    letters = [*batch, *rows_, *columns]
    return call.transpose(
        reshape(result, [extent[letter] for letter in letters]),
        [letters.index(letter) for letter in right],
    )
