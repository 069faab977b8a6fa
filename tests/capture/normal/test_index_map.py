"""Views against numpy: whatever is done to a tensor, the view reads the same elements."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from padiff_graph.capture.normal.index_map import Stage, View

Array = np.ndarray[Any, Any]


def factors(size: int) -> st.SearchStrategy[tuple[int, ...]]:
    """Shapes of a given number of elements."""

    @st.composite
    def draw(pick: Any) -> tuple[int, ...]:
        left, shape = size, []
        while left > 1 and len(shape) < 3:
            divisor = pick(st.sampled_from([d for d in range(1, left + 1) if left % d == 0]))
            shape.append(divisor)
            left //= divisor
        shape.append(left)
        return tuple(shape)

    return draw()


@st.composite
def moved(draw: Any, steps: int = 5, padding: bool = True) -> tuple[Array, View]:  # noqa: C901
    """A tensor after some movements, as numpy has it (positions, -1 for padding) and as a view."""
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    array = np.arange(math.prod(shape)).reshape(shape)
    view = View.of(shape)
    for _ in range(draw(st.integers(0, steps))):
        rank = array.ndim
        kind = draw(
            st.sampled_from(
                ["reshape", "transpose", "slice", "take", "select", "expand", "pad", "flip"]
            )
        )
        axis = draw(st.integers(0, max(rank - 1, 0)))
        if kind == "reshape":
            target = draw(factors(array.size))
            array, view = array.reshape(target), view.reshape(target)
        elif kind == "transpose":
            order = draw(st.permutations(range(rank)))
            array, view = array.transpose(order), view.transpose(order)
        elif rank and kind == "slice":
            start = draw(st.integers(0, array.shape[axis] - 1))
            step = draw(st.integers(1, 3))
            array, view = (
                array.take(range(start, array.shape[axis], step), axis),
                view.slice(axis, start, array.shape[axis], step),
            )
        elif rank and kind == "flip":
            array, view = (
                np.flip(array, axis),
                view.take(axis, range(array.shape[axis] - 1, -1, -1)),
            )
        elif rank and kind == "take":
            rows = draw(st.lists(st.integers(0, array.shape[axis] - 1), min_size=1, max_size=5))
            array, view = array.take(rows, axis), view.take(axis, rows)
        elif rank > 1 and kind == "select":
            row = draw(st.integers(0, array.shape[axis] - 1))
            array, view = array.take(row, axis), view.select(axis, row)
        elif kind == "expand":
            target = (
                draw(st.integers(1, 2)),
                *(3 if extent == 1 and draw(st.booleans()) else extent for extent in array.shape),
            )
            array, view = np.broadcast_to(array, target), view.expand(target)
        elif padding and rank and kind == "pad":
            widths = [
                (draw(st.integers(0, 1)), draw(st.integers(0, 2))) if at == axis else (0, 0)
                for at in range(rank)
            ]
            array, view = np.pad(array, widths, constant_values=-1), view.pad(widths)
        if array.size > 4000:
            break
    return array, view


@given(moved())
@settings(max_examples=300)
def test_reads_what_numpy_reads(case: tuple[Array, View]) -> None:
    array, view = case
    assert view.shape == array.shape
    assert np.array_equal(view.indices(), array.reshape(-1))


@given(moved())
def test_apply_is_the_index_map(case: tuple[Array, View]) -> None:
    array, view = case
    source = np.random.default_rng(0).integers(1, 1000, view.source)
    expected = np.where(array < 0, 0, source[np.maximum(array, 0)])
    assert np.array_equal(view.apply(source), expected)


@given(moved(), st.data())
@settings(max_examples=200)
def test_composition(case: tuple[Array, View], data: Any) -> None:
    array, outer = case
    inner = View.of(array.shape)
    second = np.arange(array.size).reshape(array.shape)
    order = data.draw(st.permutations(range(array.ndim)))
    inner, second = inner.transpose(order), second.transpose(order)
    if array.ndim and data.draw(st.booleans()):
        rows = data.draw(st.lists(st.integers(0, second.shape[0] - 1), min_size=1, max_size=4))
        inner, second = inner.take(0, rows), second.take(rows, 0)
    both = outer.then(inner)
    assert np.array_equal(both.indices(), array.reshape(-1)[second.reshape(-1)])
    assert both.shape == inner.shape


@given(moved())
def test_equal_maps_are_the_same_and_others_are_not(case: tuple[Array, View]) -> None:
    array, view = case
    rebuilt = View(
        view.source,
        (array.size,),
        (
            Stage(
                (array.size,),
                (tuple(-(1 << 60) if at < 0 else int(at) for at in array.reshape(-1)),),
            ),
        ),
    )
    assert view.same(rebuilt.reshape(array.shape)) and view.probe == rebuilt.probe
    if array.size > 1 and array.reshape(-1)[0] != array.reshape(-1)[-1]:
        flipped = view.reshape((array.size,)).take(0, range(array.size - 1, -1, -1))
        assert view.same(flipped) == np.array_equal(array.reshape(-1), array.reshape(-1)[::-1])


@given(moved())
@settings(max_examples=200)
def test_facts(case: tuple[Array, View]) -> None:
    array, view = case
    flat = array.reshape(-1)
    read = flat[flat >= 0]
    assert view.identity == (
        flat.size == view.source and np.array_equal(flat, np.arange(flat.size))
    )
    assert view.injective == (len(np.unique(read)) == len(read))
    assert view.padded or not (flat < 0).any()
    least = view.unexpanded()
    assert np.array_equal(np.broadcast_to(least.indices().reshape(least.shape), array.shape), array)


@given(moved(padding=False))
@settings(max_examples=300)
def test_inverse(case: tuple[Array, View]) -> None:
    array, view = case
    back = view.inverse((view.source,))
    if back is None:
        return
    assert np.array_equal(array.reshape(-1)[back.indices()], np.arange(view.source))


def test_inverse_of_common_movement_is_found() -> None:
    heads = View.of((2, 5, 12)).reshape((2, 5, 3, 4)).transpose((0, 2, 1, 3))
    back = heads.inverse((2, 5, 12))
    assert back is not None and heads.then(back).identity
    flipped = View.of((3, 4)).take(1, range(3, -1, -1)).transpose((1, 0))
    back = flipped.inverse((3, 4))
    assert back is not None and flipped.then(back).identity
    assert View.of((3, 4)).slice(0, 0, 2).inverse((3, 4)) is None


@given(moved(padding=False))
def test_scatter_undoes_apply(case: tuple[Array, View]) -> None:
    array, view = case
    source = np.arange(view.source) + 1
    target = np.zeros(view.source, int)
    view.scatter(target, view.apply(source))
    read = np.unique(array)
    assert np.array_equal(target[read], source[read])
    assert target.sum() == source[read].sum()


def test_scatter_writes_strided_views_in_place_and_leaves_the_rest() -> None:
    for view in (
        View.of((3, 4)),
        View.of((3, 4)).transpose((1, 0)),
        View.of((3, 4)).slice(1, 1, 3).transpose((1, 0)),
        View.of((3, 4)).take(0, [2, 1, 0]),
        View.of((2, 3)).expand((4, 2, 3)),
    ):
        target = np.full(view.source, -1)
        values = np.arange(view.size).reshape(view.shape)
        view.scatter(target, values)
        expected = np.full(view.source, -1)
        expected[view.indices()] = values.reshape(-1)
        assert np.array_equal(target, expected), view


def test_a_billion_elements_cost_nothing() -> None:
    weight = View.of((100_000, 10_000))
    moved = (
        weight.transpose((1, 0)).reshape((100, 100, 100_000)).transpose((1, 0, 2)).slice(0, 10, 60)
    )
    assert moved.size == 500_000_000
    assert len(moved.probe) > 1 and not moved.identity and moved.injective
    assert moved.same(
        weight.transpose((1, 0)).reshape((100, 100, 100_000)).slice(1, 10, 60).transpose((1, 0, 2))
    )


def test_composition_stays_one_step() -> None:
    heads = View.of((4, 16, 64)).reshape((4, 16, 8, 8)).transpose((0, 2, 1, 3))
    merged = heads.then(View.of((4, 8, 16, 8)).transpose((0, 2, 1, 3)))
    assert merged.identity and merged.stages == ()
    half = heads.then(View.of((4, 8, 16, 8)).slice(3, 0, 4))
    assert len(half.stages) == 1


@given(moved())
@settings(max_examples=200)
def test_a_map_in_full_becomes_steps_again(case: tuple[Array, View]) -> None:
    array, view = case
    gathered = View.gathered(view.source, array)
    assert gathered.shape == array.shape and np.array_equal(gathered.indices(), array.reshape(-1))
    assert gathered.same(view)


def test_wrong_use_is_said() -> None:
    with pytest.raises(ValueError, match="cannot reshape"):
        View.of((2, 3)).reshape((4,))
    with pytest.raises(ValueError, match="expected 6 elements"):
        View.of((2, 3)).apply(np.zeros(5))
    with pytest.raises(ValueError, match="cannot read an operand"):
        View.of((2, 3)).then(View.of((4,)))
