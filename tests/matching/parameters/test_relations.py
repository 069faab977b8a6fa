"""Relations between tensors in other layouts, and what covers a parameter; no framework."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from padiff_graph.capture.normal.index_map import View
from padiff_graph.matching.parameters.cover import box, uncovered
from padiff_graph.matching.parameters.relations import operand_relation, parts, product, separable


def test_length_first_against_batch_first():
    rows = View.of((2, 5)).transpose((1, 0))  # second is [L, N], first is [N, L]
    relation = product([rows, View.of((16,))])
    assert relation.shape == (5, 2, 16)
    first = np.arange(160).reshape(2, 5, 16)
    assert np.array_equal(relation.apply(first), first.transpose(1, 0, 2))
    again = parts(relation, (10, 16), ((0, 1), (2,)))
    assert again is not None and again[0].same(rows) and not again[1].stages


def test_a_mixed_relation_has_no_parts():
    mixed = View.of((4, 4)).transpose((1, 0))
    assert parts(mixed, (4, 4), ((0,), (1,))) is None


@given(st.permutations(range(4)), st.permutations(range(4)))
def test_operands_are_related_through_their_sources(one, other):
    shape = (2, 3, 4, 5)
    first, second = View.of(shape).transpose(one), View.of(shape).transpose(other)
    relation = operand_relation(first, second, View.of(shape))
    assert relation is not None
    values = np.arange(120)
    assert np.array_equal(relation.apply(first.apply(values)), second.apply(values))


def test_separable_needs_no_single_stage():
    view = View.of((2, 3, 4)).transpose((1, 0, 2)).reshape((6, 4)).transpose((1, 0))
    stage = separable(view)
    assert stage is None or np.array_equal(View(24, view.shape, (stage,)).indices(), view.indices())


def test_pieces_cover_a_parameter_exactly_once():
    fused = View.of((48, 16))
    parts_of = [fused.slice(0, start, start + 16) for start in (0, 16, 32)]
    assert uncovered(parts_of, (48, 16)) == 0
    assert uncovered(parts_of[:2], (48, 16)) == 256
    assert uncovered([*parts_of, parts_of[0]], (48, 16)) is None
    heads = View.of((4, 3, 4, 16)).select(1, 1).reshape((16, 16)).transpose((1, 0))
    found = box(heads, (48, 16))
    assert found is not None and found[0].tolist() == [
        4,
        5,
        6,
        7,
        16,
        17,
        18,
        19,
        28,
        29,
        30,
        31,
        40,
        41,
        42,
        43,
    ]


def test_a_weight_of_billions_costs_nothing():
    shape = (200_000, 20_000)
    halves = [
        View.of(shape).slice(0, 0, 100_000).transpose((1, 0)),
        View.of(shape).slice(0, 100_000, 200_000).transpose((1, 0)),
    ]
    assert uncovered(halves, shape) == 0
