"""The benchmark of real bugs: its cases are whole, and what they claim is true without any tool."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.realbugs import truth
from benchmarks.realbugs.case import Case, Pair
from benchmarks.realbugs.cases import CASES
from benchmarks.realbugs.run import main
from benchmarks.realbugs.runners import Said, runner
from benchmarks.realbugs.scoring import rows, scored, totals

CAUSES = Path(__file__).parents[2] / "docs" / "causes.md"
BY_NAME = {case.name: case for case in CASES}
EXAMPLES = [case.name for case in CASES][::4]
"""Every fourth: the whole list takes a minute, `python -m benchmarks.realbugs --truth`."""


def test_names_are_unique_and_every_case_has_a_source() -> None:
    assert [name for name, count in Counter(case.name for case in CASES).items() if count > 1] == []
    for case in CASES:
        assert case.sources and case.mechanism
        for source in case.sources:
            assert re.fullmatch(r"[\w.-]+/[\w.-]+#\d+", source.name) and source.says


def test_right_answers_are_whole() -> None:
    known = set(re.findall(r"^\| `([\w.]+)`", CAUSES.read_text(), re.MULTILINE))
    for case in CASES:
        harmless = case.right.verdict == "none"
        assert harmless == (not case.changes), case.name
        assert harmless or (case.right.places and case.right.causes), case.name
        assert set(case.right.causes) <= known, (case.name, set(case.right.causes) - known)
        assert bool(case.precision) == (case.twin is not None), case.name


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_a_case_claims_is_true_in_plain_runs(name: str) -> None:
    assert truth.agrees(BY_NAME[name]) == []


def test_truth_tells_a_false_claim() -> None:
    case = BY_NAME["gemma2_query_scale"]
    harmless = Case(case.name, case.sources, "", "nobody", (), case.build, case.right)
    assert any("harmless" in wrong for wrong in truth.agrees(harmless))
    healthy = Case(
        case.name,
        case.sources,
        "",
        "port",
        ("output",),
        lambda faulty: case.build(False),
        case.right,
    )
    assert any("only" in wrong for wrong in truth.agrees(healthy))


def test_a_score_counts_place_and_cause_only_where_detected() -> None:
    case = BY_NAME["keras_hub_patch_epsilon"]
    place, cause = case.right.places[0], case.right.causes[0]
    right = scored(case, Said("different", place, cause), Said("same"))
    assert (right.detected, right.exact, right.cause, right.alarms) == (True, True, True, 0)
    missed = scored(case, Said("same", place, cause), Said("different"))
    assert (missed.detected, missed.exact, missed.cause, missed.alarms) == (False, False, False, 1)
    words = scored(case, Said("different", "", None, "the Epsilon differs"), Said("cannot"))
    assert (words.detected, words.exact, words.cause, words.cannot) == (True, False, True, 1)
    assert totals([right, missed, words])["exact"] == 1
    assert len(rows([right], CASES)) == 3


def test_plain_comparison_is_asked_by_its_name() -> None:
    case = BY_NAME["gemma2_query_scale"]
    ask = runner("outputs")
    assert ask(case, case.build(True)).verdict == "different"
    assert ask(case, case.build(False)).verdict == "same"


def loud(case: Case, pair: Pair) -> Said:
    """A tool that always finds the root."""
    return Said("different", "", None, "epsilon")


def test_another_tool_plugs_in(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keras_hub_patch_epsilon", "--tools", f"{__name__}:loud"]) == 0
    shown = capsys.readouterr().out
    assert f"| {__name__}:loud | 1 of 1 | 0 | 1 | 1 of 1 | 0 |" in shown
    with pytest.raises(ValueError, match="known are"):
        runner("no such tool")
