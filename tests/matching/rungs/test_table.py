import string

import pytest

from padiff_graph.matching.confidence import SURE
from padiff_graph.matching.match_state import FIRM
from padiff_graph.matching.rungs.table import RUNGS


@pytest.mark.parametrize("rung", RUNGS, ids=lambda rung: f"{rung.name}: {rung.matches}")
def test_each_row_says_what_it_matches_how_sure_it_is_and_why(rung):
    assert rung.matches and rung.grades
    for grade in rung.grades.values():
        assert 0 < grade.confidence <= 1
        assert grade.reason and grade.source


def test_rows_are_told_apart_by_what_they_match():
    assert len({rung.matches for rung in RUNGS}) == len(RUNGS)


def test_firm_rungs_are_rows_of_the_table():
    assert {rung.name for rung in RUNGS} >= FIRM


def test_only_what_is_given_or_seen_from_both_ends_or_equal_branches_are_sure_by_themselves():
    sure = {rung.name for rung in RUNGS for grade in rung.grades.values() if grade.confidence > 0.9}
    assert sure == {"hint", "boundary", "hash", "symmetry", "values"}
    assert SURE <= 0.9


def test_words_with_blanks_are_filled_by_their_rung():
    blanks = {
        (rung.name, field)
        for rung in RUNGS
        for grade in rung.grades.values()
        for _, field, _, _ in string.Formatter().parse(grade.reason)
        if field
    }
    assert blanks == {("neighbour", "word"), ("neighbour", "at"), ("symmetry", "size")}
