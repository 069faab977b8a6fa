"""What machines read of a report: every finding, at its line, escaped as the format wants it."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from padiff_graph.cli.commands import FORMAT_NAMES
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.report.machine_formats import FORMATS, github, junit, sarif
from padiff_graph.report.report import Report

EPSILON = Cause.of(
    "attribute.epsilon",
    op="LayerNormalization",
    name="epsilon",
    first_value=1e-3,
    second_value=1e-5,
)
FINDINGS = (
    Finding(
        "forward",
        "different",
        EPSILON,
        "block.norm",
        "norm",
        paddle_source="a port, 50%.py:7",
        torch_source="reference.py:9",
    ),
    Finding("capture", "not-comparable", Cause.of("nothing.compared", text="a <b>\n\x00 & c")),
    Finding("forward", "framework-divergence", EPSILON, torch_source="reference.py:3"),
)
FAILED = Report(False, FINDINGS, models=("Port", "Reference"))


def test_the_command_line_names_every_format():
    assert set(FORMAT_NAMES) == set(FORMATS)


def test_github_shows_each_finding_at_the_ports_line():
    first, second, third, *_ = github(FAILED).splitlines()
    assert first.startswith("::error file=a port%2C 50%25.py,line=7,title=different%3A ")
    assert "attribute.epsilon" in first and "(block.norm against norm)" in first
    assert second.startswith("::warning title=") and "\n" not in second
    assert third.startswith("::notice file=reference.py,line=3,")


def test_files_are_named_from_the_checkout_that_githubs_runner_tells(tmp_path, monkeypatch):
    """A step with a working directory of its own: annotations are looked up from the root."""
    (tmp_path / "ports").mkdir()
    monkeypatch.chdir(tmp_path / "ports")
    port = Finding("forward", "different", EPSILON, paddle_source=f"{tmp_path}/ports/net.py:4")
    report = Report(False, (port,))
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    assert "file=net.py,line=4," in github(report)
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    assert "file=ports/net.py,line=4," in github(report)
    assert '"uri": "ports/net.py"' in sarif(report)


def test_github_has_an_error_where_nothing_is_found_and_nothing_passed():
    assert github(Report(False)).startswith("::error title=not aligned::")
    assert "::error" not in github(Report(True))


def test_sarif_holds_a_rule_and_a_result_for_each():
    (run,) = json.loads(sarif(FAILED))["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert len(run["results"]) == len(FINDINGS)
    for finding, result in zip(FINDINGS, run["results"], strict=True):
        assert result["ruleId"] == finding.cause_id == rules[result["ruleIndex"]]
        assert result["message"]["text"] and "\x00" not in result["message"]["text"]
    assert [result["level"] for result in run["results"]] == ["error", "warning", "note"]
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place["region"]["startLine"] == 7
    assert place["artifactLocation"]["uri"] == "a%20port,%2050%25.py"
    assert run["results"][0]["relatedLocations"][0]["physicalLocation"]["region"] == {
        "startLine": 9
    }


def test_junit_counts_what_it_holds():
    suite = ElementTree.fromstring(junit(FAILED))
    cases = suite.findall("testcase")
    assert int(suite.get("tests")) == len(cases) == 1 + len(FINDINGS)
    assert int(suite.get("failures")) == len(suite.findall("testcase/failure")) == 2
    assert int(suite.get("skipped")) == len(suite.findall("testcase/skipped")) == 1
    assert cases[1].get("classname") == "block.norm"


def test_junit_is_what_its_schema_allows():
    """junit-10.xsd, which Jenkins publishes: elements, what they hold, attributes."""
    allowed = {
        "testsuite": (
            {"testcase", "system-out"},
            {"name", "tests", "failures", "skipped", "errors", "time"},
        ),
        "testcase": ({"failure", "skipped", "system-out"}, {"name", "classname"}),
        "failure": (set(), {"message", "type"}),
        "skipped": (set(), {"message"}),
        "system-out": (set(), set()),
    }
    for report in (FAILED, Report(True), Report(False)):
        for element in ElementTree.fromstring(junit(report)).iter():
            members, attributes = allowed[element.tag]
            assert {member.tag for member in element} <= members
            assert set(element.attrib) <= attributes
    failure = ElementTree.fromstring(junit(FAILED)).find("testcase[2]/failure")
    assert failure.text.endswith("\na port, 50%.py:7\nreference.py:9")


def test_junit_of_a_pass_fails_nothing():
    suite = ElementTree.fromstring(junit(Report(True)))
    assert suite.get("failures") == "0" and not suite.findall("testcase/failure")


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_each_format_writes_any_report(name):
    assert FORMATS[name](Report(True)) and FORMATS[name](FAILED)


def test_junit_keeps_what_xml_can_hold_and_no_more():
    names = ("模型.\U0001f680", "half.\ud83d", "null.\x00")
    findings = tuple(Finding("forward", "different", EPSILON, name) for name in names)
    cases = ElementTree.fromstring(junit(Report(False, findings)).encode()).findall("testcase")
    shown = [case.get("classname") for case in cases[1:]]
    assert shown == ["模型.\U0001f680", "half.\\ud83d", "null.\\x00"]


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_file_name_that_is_no_text_can_be_printed(name):
    source = b"port\xff.py:7".decode(
        "utf-8", "surrogateescape"
    )  # as os.fsdecode spells such a name
    finding = Finding("forward", "different", EPSILON, "norm", "norm", paddle_source=source)
    text = FORMATS[name](Report(False, (finding,)))
    assert "norm" in text and text.encode("utf-8")
