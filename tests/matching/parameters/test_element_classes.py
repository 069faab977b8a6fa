"""Elements parted by gradients, on arrays made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from padiff_graph.matching.parameters.element_classes import (
    Classes,
    Elements,
    Partners,
    rows_of,
)

FIRST, SECOND = Elements({"w": (2, 3)}), Elements({"a": (3, 1), "b": (3, 1)})
NUMBERS = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])


def _alone(places: np.ndarray) -> Partners:
    return Partners((places,), np.zeros(len(places), bool))


def test_gradients_part_what_shapes_do_not() -> None:
    parted = Classes.start(FIRST, SECOND).parted(NUMBERS, NUMBERS)
    assert parted is not None and parted.count == 6 and not parted.open()
    rows = rows_of(FIRST, SECOND, parted.partners())
    assert [piece.second for piece in rows["w"].pieces] == ["a", "b"]
    assert [piece.first_view.indices().reshape(-1).tolist() for piece in rows["w"].pieces] == [
        [0, 1, 2],
        [3, 4, 5],
    ]


def test_rounding_parts_nothing_and_what_cannot_be_parted_goes_in_order() -> None:
    near = np.array([1.0, 1.0 + 1e-13, 2.0, 2.0, 3.0, 4.0])
    parted = Classes.start(FIRST, SECOND).parted(near, near[::-1].copy())
    assert parted is not None and parted.count == 4 and len(parted.open()) == 2
    every = parted.guesses()[-1]
    assert not every.open() and every.partners().terms[0].tolist() == [4, 5, 2, 3, 1, 0]


@pytest.mark.parametrize("other", [[1.0, 2.0, 3.0, 4.0, 5.0, 7.0], [1.0, 1.0, 3.0, 4.0, 5.0, 6.0]])
def test_other_gradients_tell_nothing(other: list[float]) -> None:
    assert Classes.start(FIRST, SECOND).parted(NUMBERS, np.array(other)) is None


def test_what_nothing_answers_to_has_no_partner() -> None:
    quiet = NUMBERS * [1, 1, 0, 1, 1, 0]
    parted = Classes.start(FIRST, SECOND).parted(quiet, quiet)
    assert parted is not None and parted.partners().terms[0].tolist() == [0, 1, -1, 3, 4, -1]
    assert rows_of(FIRST, SECOND, parted.partners()) == {}


def test_an_order_that_nobody_chose_is_none() -> None:
    sides = Elements({"w": (4, 4)}), Elements({"v": (4, 4)})
    scrambled = np.random.default_rng(0).permutation(16)
    assert rows_of(*sides, _alone(scrambled)) == {}
    turned = np.arange(16).reshape(4, 4).T[:, [2, 0, 1, 3]].reshape(-1)
    assert rows_of(*sides, _alone(turned))["w"].pieces[0].second_view.indices().reshape(
        -1
    ).tolist() == (turned.tolist())


@pytest.mark.parametrize("backwards", [False, True])
def test_numbered_parts_stand_in_the_order_of_their_numbers(backwards: bool) -> None:
    listed = Elements({f"each.{at}.w": (2, 2) for at in range(3)})
    partners = np.arange(12).reshape(3, 4)[:: -1 if backwards else 1].reshape(-1)
    for sides in ((listed, Elements({"all": (3, 2, 2)})), (Elements({"all": (3, 2, 2)}), listed)):
        assert bool(rows_of(*sides, _alone(partners))) is not backwards


@pytest.mark.parametrize("ours", [True, False])
def test_terms_that_are_added_are_a_sum(ours: bool) -> None:
    one, two = Elements({"b": (3,)}), Elements({"p": (3,), "q": (3,)})
    sides = (one, two) if ours else (two, one)
    marks = np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0, 1.0, 2.0, 3.0])
    parted = Classes.start(*sides).parted(*(marks if ours else marks[::-1]))
    assert parted is not None and not parted.open()
    numbers = parted.numbers(np.array([5.0, 6.0, 7.0]))
    assert numbers[0 if ours else 1].tolist() == [5, 6, 7]
    assert numbers[1 if ours else 0].tolist() == [5, 6, 7, 0, 0, 0]
    rows = rows_of(*sides, parted.partners())
    told = {name: [piece.summed for piece in row.pieces] for name, row in rows.items()}
    assert told == ({"b": ["", "added"]} if ours else {"p": [""], "q": ["held"]})


def test_three_are_no_sums_of_two() -> None:
    sides = Elements({"b": (2,)}), Elements({"p": (3,)})
    assert Classes.start(*sides).parted(np.ones(2), np.ones(3)) is None


@pytest.mark.parametrize("misplaced", [False, True])
def test_silent_elements_stand_where_all_others_say(misplaced: bool) -> None:
    sides = Elements({"w": (4, 5)}), Elements({"v": (5, 4)})
    turned = np.arange(20).reshape(5, 4).T.copy()
    told = turned.copy()
    told[1, 2] = told[3, 4] = told[0, 0] = -1
    if misplaced:
        told[2, 1], told[2, 3] = told[2, 3], told[2, 1]
    rows = rows_of(*sides, _alone(told.reshape(-1)))
    assert bool(rows) is not misplaced
    if rows:
        assert np.array_equal(rows["w"].pieces[0].second_view.indices().reshape(4, 5), turned)


def test_a_coordinate_of_which_nothing_is_known_is_left_open() -> None:
    told = np.arange(20).reshape(4, 5)
    told[:, 2] = -1
    sides = Elements({"w": (4, 5)}), Elements({"v": (4, 5)})
    assert rows_of(*sides, _alone(told.reshape(-1))) == {}


def test_what_answered_once_is_told() -> None:
    once = NUMBERS * [1, 1, 1, 1, 1, 0]
    parted = Classes.start(FIRST, SECOND).parted(once, once)
    assert parted is not None and len(parted.silent) == 1
    again = parted.parted(NUMBERS * [0, 1, 1, 1, 1, 1], NUMBERS * [0, 1, 1, 1, 1, 1])
    assert again is not None and not again.silent and not again.open()
