"""What changed between two reports."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from padiff_graph.errors import UsageError
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.report.report import Compared, Report
from padiff_graph.report.report_diff import diff_reports, read_report
from padiff_graph.report.report_json import report_data
from tests.models.sample_reports import CROSSED, EPSILON, MISSING, empty, failed, passed


def epsilon(value: float, **changes: object) -> Finding:
    reason = Cause(
        "attribute.epsilon",
        (*EPSILON.reason.facts[:2], ("first_value", value), ("second_value", 1e-5)),
    )
    return replace(EPSILON, reason=reason, **changes)  # type: ignore[arg-type]


def test_a_mended_bug() -> None:
    diff = failed(findings=(MISSING,), regions={"equal": 62, "different": 1}).diff(failed())
    assert diff.outcome == "better"
    assert [finding.cause_id for finding in diff.gone] == ["attribute.epsilon"]
    assert diff.kept == 1 and not diff.new and not diff.changed
    assert diff.regions["different"] == (2, 1)
    text = str(diff)
    assert text.startswith("BETTER")
    assert "not aligned, as before" in text
    assert "layer1.1.bn1 | body.1.norms.0" in text


def test_a_pass_and_its_loss() -> None:
    assert passed().diff(failed()).outcome == "better"
    worse = failed().diff(passed())
    assert worse.outcome == "worse"
    assert "aligned -> not aligned" in str(worse)
    assert failed().diff(failed()).outcome == "same"
    assert "AS BEFORE" in str(failed().diff(failed()))


def test_one_mended_and_one_made() -> None:
    diff = failed(findings=(MISSING,)).diff(failed(findings=(EPSILON,)))
    assert diff.outcome == "mixed"
    assert (len(diff.gone), len(diff.new)) == (1, 1)


def test_another_value_is_a_change_of_the_same_finding() -> None:
    diff = failed(findings=(epsilon(1e-2),)).diff(failed(findings=(epsilon(1e-3),)))
    assert (diff.gone, diff.new) == ((), ())
    assert diff.changed[0].other_values
    assert "was: BatchNormalization.epsilon 0.001" in str(diff)


def test_places_and_error_of_a_finding() -> None:
    less = epsilon(1e-3, places=EPSILON.places[:1], error=EPSILON.error)
    diff = failed(findings=(less,)).diff(failed(findings=(epsilon(1e-3),)))
    assert diff.outcome == "better" and diff.changed[0].better == ("places",)
    more = epsilon(1e-3, error=EPSILON.error * 2)
    diff = failed(findings=(more,)).diff(failed(findings=(epsilon(1e-3),)))
    assert diff.outcome == "worse" and diff.changed[0].worse == ("error",)
    alike = epsilon(1e-3, error=EPSILON.error * 1.01)
    assert failed(findings=(alike,)).diff(failed(findings=(epsilon(1e-3),))).outcome == "same"


def test_lines_and_names_of_the_port_may_change() -> None:
    moved = epsilon(
        1e-3,
        paddle_source="port.py:99",
        paddle_path="stage1.norm",
        places=(("stage1.norm", "body.1.norms.0"),),
    )
    diff = failed(findings=(moved,)).diff(failed(findings=(epsilon(1e-3),)))
    assert not diff.gone and not diff.new


def test_another_place_is_another_finding() -> None:
    other = epsilon(1e-3, paddle_path="bn9", torch_path="norms.9", places=(("bn9", "norms.9"),))
    diff = failed(findings=(other,)).diff(failed(findings=(epsilon(1e-3),)))
    assert (len(diff.gone), len(diff.new)) == (1, 1)


def test_what_was_not_compared_is_not_mended() -> None:
    diff = empty().diff(failed())
    assert not diff.gone
    assert len(diff.unasked) == 2
    assert diff.outcome == "unclear"
    assert "not compared any more" in str(diff)
    backward = replace(EPSILON, phase="backward")
    forward_only = passed().__class__(
        **{**passed().__dict__, "options": {"diff_phase": "forward"}, "passed": False}
    )
    diff = forward_only.diff(failed(findings=(backward,)))
    assert diff.unasked and not diff.gone
    assert "another diff_phase" in str(diff)


def test_a_finding_that_does_not_fail_makes_nothing_worse() -> None:
    diff = passed().__class__(**{**passed().__dict__, "findings": (CROSSED,)}).diff(passed())
    assert diff.outcome == "same"
    assert diff.new


def test_from_files(tmp_path: Path) -> None:
    failed().to_json(tmp_path / "before.json")
    diff = passed().diff(tmp_path / "before.json")
    assert diff.outcome == "better"
    data = json.loads(diff.to_json(tmp_path / "diff.json"))
    assert data == json.loads((tmp_path / "diff.json").read_text())
    assert data["gone"][0]["values"]["first_value"] == 0.001
    assert data["passed"] == [False, True]


def test_a_file_without_values_is_compared_by_cause_and_place() -> None:
    old = report_data(failed())
    for finding in old["findings"]:
        del finding["reason"]
    diff = diff_reports(old, report_data(failed()))
    assert diff.outcome == "same" and diff.kept == 2


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"passed": true, "findings": []}'])
def test_what_is_no_report(tmp_path: Path, text: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"report\.json"):
        read_report(path)


def test_infinite_errors(tmp_path: Path) -> None:
    before = failed(findings=(epsilon(1e-3, error=float("nan")),))
    diff = failed(findings=(epsilon(1e-3),)).diff(before)
    assert diff.changed[0].better == ("error",)
    json.loads(diff.to_json())


def test_names_steer_no_terminal() -> None:
    odd = replace(EPSILON, paddle_path="a\x1b[2J", places=())
    assert "\x1b" not in str(failed(findings=(odd,)).diff(passed()))


def test_less_compared_is_told() -> None:
    less = Report(**{**failed().__dict__, "compared": Compared(130, 122, 60, 1, 63)})
    assert "operations 131 -> 130, regions 63 -> 60" in str(less.diff(failed()))
