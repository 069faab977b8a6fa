"""What stands on the screen, at 80 columns and without colour."""

from __future__ import annotations

import dataclasses
import os
import re
from html import unescape

import pytest
import rich.console
import rich.jupyter

from padiff_graph.alignment.correspondence import ModuleRow
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.layer_map.layer_map import LayerMap
from padiff_graph.report.layer_map_candidate import LayerMapCandidate
from padiff_graph.report.source_lines import short_source
from padiff_graph.report.structural_diff_result import StructuralDiff
from padiff_graph.report.terminal import finding_text, render_report, text_of
from tests.models.made_reports import matching
from tests.models.sample_reports import CROSSED, EPSILON, MISSING, empty, failed, passed, rounding


def test_failure_answers_on_one_screen() -> None:
    text = text_of(render_report(failed()))
    lines = text.splitlines()
    assert lines[0].startswith("NOT ALIGNED")
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 40
    for part in (
        "131 operations, 122 parameters, 63 regions, 1 output, 63 gradients",
        "60 equal, 1 rounding, 2 different",
        "epsilon 0.001 against 1e-05",
        "layer1.1.bn1",
        "body.1.norms.0",
        "sample_reports.py:3",
        "> from padiff_graph.capture.normal.index_map import View",
        "largest error 0.0049",
        "same cause in 1 more: layer2.0.bn1",
        "missing Relu",
        "asked for rtol 1e-05",
        "needs rtol 0.025 or atol 0.11",
        "The example decided the branch",
        "next: ",
    ):
        assert part in " ".join(text.split()), part


def test_each_finding_has_its_line_of_code() -> None:
    report = failed()
    text = text_of(render_report(report))
    for finding in report.findings[1:]:
        source = finding.paddle_source or finding.torch_source
        assert source and f"           {short_source(source)}\n" in text.partition(" more, in ")[2]


def test_pass_says_how_much_was_compared() -> None:
    text = text_of(render_report(passed()))
    assert text.startswith("ALIGNED")
    assert "63 regions" in text
    assert "the whole run is within" in text


def test_rounding_is_said_to_be_rounding() -> None:
    text = text_of(render_report(rounding()))
    assert "NOT ALIGNED (rounding only)" in text
    assert "options={'allow_rounding': True}" in text
    proved = text_of(render_report(dataclasses.replace(rounding(), equivalent=True)))
    assert proved.startswith("EQUIVALENT: every difference is rounding")
    assert "NOT ALIGNED (rounding only) at the tolerance asked for" in " ".join(proved.split())


def test_what_could_not_be_compared_is_no_rounding() -> None:
    report = dataclasses.replace(
        rounding(),
        findings=(
            *rounding().findings,
            Finding(
                "weights",
                "not-comparable",
                Cause.of("region.not_compared", text="no map was found"),
            ),
        ),
    )
    text = text_of(render_report(report))
    assert "NOT ALIGNED (not all could be compared)" in text and "layer_map" in text


def test_nothing_compared_is_no_pass() -> None:
    text = text_of(render_report(empty()))
    assert text.startswith("NOTHING COMPARED")
    assert "this is no pass" in text


def test_no_escape_codes_without_colour() -> None:
    assert "\x1b" not in text_of(render_report(failed()))
    assert "\x1b" in text_of(render_report(failed()), colour=True)


def test_many_findings_are_counted_not_flooded() -> None:
    text = text_of(render_report(failed(findings=(EPSILON,) * 40)))
    assert "and 27 more" in text


def seen(html: str) -> str:
    """What a reader sees of a piece of HTML, in one line."""
    return " ".join(unescape(re.sub(r"<[^>]+>", "", html)).split())


def test_print_and_notebook_show_the_same() -> None:
    report = failed(notes=("a <b>note</b> & more",))
    assert str(report).startswith("NOT ALIGNED")
    assert seen(report._repr_html_()) == " ".join(str(report).split())
    assert "<b>note" not in report._repr_html_()


def test_diffs_and_maps_print_and_show_in_notebooks() -> None:
    found = matching()
    rows = (ModuleRow("layers.0", "body.0", 0.98, "the only one computed like this"),)
    for view, says in (
        (
            StructuralDiff((EPSILON, MISSING), (), found),
            "BUILT DIFFERENTLY Network (paddle) against Network (torch)",
        ),
        (
            LayerMapCandidate(LayerMap(), rows, (), (), ("body.9",), 0.9),
            "1 module and 0 of 0 parameters mapped",
        ),
    ):
        assert " ".join(str(view).split()).startswith(says)
        assert seen(view._repr_html_()) == " ".join(str(view).split())


def test_show_prints(capsys: pytest.CaptureFixture[str]) -> None:
    failed().show()
    assert "NOT ALIGNED" in capsys.readouterr().out


def test_a_notebook_shows_everything_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where rich finds itself in a notebook, it displays whatever its consoles print."""
    displayed: list[str] = []
    monkeypatch.setattr(rich.console, "_is_jupyter", lambda: True)
    monkeypatch.setattr(rich.jupyter, "display", lambda _, text: displayed.append(text))
    assert "epsilon" in failed()._repr_html_()
    assert "epsilon" in str(failed())
    assert displayed == [], "asked for, not shown"
    failed().show()
    assert (len(displayed), capsys.readouterr().out) == (1, "")
    assert "epsilon" in displayed[0]


def test_finding_alone() -> None:
    assert "fc1 takes the weights of fc2" in finding_text(CROSSED)
    assert "no such operation" not in finding_text(CROSSED)
    assert "no such operation" in finding_text(MISSING)


def test_sources_are_short() -> None:
    assert short_source(os.path.join(os.getcwd(), "net.py") + ":3") == "net.py:3"
    assert short_source("/x/lib/site-packages/timm/models/vit.py:88") == "timm/models/vit.py:88"
    assert short_source("") == ""
