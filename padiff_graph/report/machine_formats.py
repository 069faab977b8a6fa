"""A report for machines that read it: annotations of GitHub Actions, SARIF 2.1.0 and JUnit XML.

A finding stands at its line of the port, the first model; at the second's where it has none there.
Files are named from the root of the checkout, which GitHub's runners tell, since annotations are
looked up there; elsewhere from the working directory.
Sources: GitHub's workflow commands, the OASIS standard "Static Analysis Results Interchange Format
(SARIF) Version 2.1.0", and the JUnit XML that CI servers read (testsuite, testcase, failure).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from padiff_graph.findings.cause_kinds import KINDS
from padiff_graph.findings.finding import Finding
from padiff_graph.printable import printable
from padiff_graph.report.report import Report
from padiff_graph.report.source_lines import short_source
from padiff_graph.version import __version__

__all__ = ["FORMATS", "github", "junit", "sarif"]

TOOL = "PaDiff-Graph"
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
ROOT = "GITHUB_WORKSPACE"
"""Where GitHub's runners tell the folder that the repository is checked out in."""
LEVELS = {True: "error", False: "warning"}
"""Whether a finding fails -> its level, in SARIF's words and GitHub's."""
QUIET = frozenset({"rounding", "framework-divergence"})
"""Verdicts that nobody has to do anything about, while nothing fails by them."""
NOT_XML = re.compile("[^\\t\\n\\r\\u0020-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
"""What is no character of XML 1.0 (production 2, Char): controls and halves of surrogate pairs."""


def github(report: Report) -> str:
    """Workflow commands, one line a finding, which GitHub shows at the line of the port."""
    lines = []
    for finding in report.findings:
        file, line = _place(finding)
        where = f"file={_property(file)},line={line}," if file else ""
        level = {"note": "notice"}.get(_level(finding), _level(finding))
        title = _property(f"{finding.verdict}: {finding.cause_id}")
        lines.append(f"::{level} {where}title={title}::{_message(_text(finding))}")
    if not report.passed and not any(finding.fails for finding in report.findings):
        reason = report.doubt or "not everything was shown"
        lines.append(f"::error title=not aligned::{_message(reason)}")
    return "\n".join([*lines, _headline(report)])


def sarif(report: Report) -> str:
    """A SARIF log with one run: a rule for each kind of cause, a result for each finding."""
    used = sorted({finding.cause_id for finding in report.findings})
    rules = [
        {"id": kind, "shortDescription": {"text": KINDS[kind].meaning if kind in KINDS else kind}}
        for kind in used
    ]
    run = {
        "tool": {"driver": {"name": TOOL, "version": __version__, "rules": rules}},
        "results": [_result(finding, used) for finding in report.findings],
        "properties": {"passed": report.passed, "headline": _headline(report)},
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def junit(report: Report) -> str:
    """A test suite: a case for the verdict and one for each finding; what fails has a failure, what
    was not compared is skipped."""
    failing = [finding for finding in report.findings if finding.fails]
    undecided = not report.passed and not failing
    suite = ElementTree.Element("testsuite", name=TOOL)
    verdict = ElementTree.SubElement(suite, "testcase", classname=TOOL, name="verdict")
    if not report.passed:
        reason = _xml_text(_headline(report))
        ElementTree.SubElement(verdict, "failure", message=reason, type="not aligned")
    for finding in report.findings:
        case = ElementTree.SubElement(suite, "testcase")
        case.set("classname", _xml_text(finding.paddle_path or finding.torch_path or "(root)"))
        case.set("name", f"{finding.phase}: {finding.cause_id}")
        _judged(case, finding)
    suite.set("tests", str(1 + len(report.findings)))
    suite.set("failures", str(len(failing) + (not report.passed)))
    suite.set("skipped", str(sum(found.verdict == "not-comparable" for found in report.findings)))
    suite.set("errors", "0")
    suite.set("time", f"{sum(report.timings.values()):.3f}")
    if undecided:
        ElementTree.SubElement(suite, "system-out").text = _xml_text(report.doubt)
    ElementTree.indent(suite)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suite, "unicode")


def _judged(case: ElementTree.Element, finding: Finding) -> None:
    text = _xml_text(_text(finding))
    if finding.fails:
        failure = ElementTree.SubElement(case, "failure", message=text, type=finding.verdict)
        failure.text = "\n".join([text, *(_xml_text(_named(place)) for place in _sources(finding))])
    elif finding.verdict == "not-comparable":
        ElementTree.SubElement(case, "skipped", message=text)
    else:
        ElementTree.SubElement(case, "system-out").text = text


def _result(finding: Finding, rules: list[str]) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": finding.cause_id,
        "ruleIndex": rules.index(finding.cause_id),
        "level": _level(finding),
        "message": {"text": _text(finding)},
        "properties": {"verdict": finding.verdict, "phase": finding.phase},
    }
    places = _sources(finding)
    if places:
        result["locations"] = [_location(places[0])]
    if len(places) > 1:
        result["relatedLocations"] = [_location(place) for place in places[1:]]
    return result


def _sources(finding: Finding) -> list[str]:
    """The "file:line" of each model that has one."""
    return [place for place in (finding.paddle_source, finding.torch_source) if place]


def _location(source: str) -> dict[str, Any]:
    file, line = _split(source)
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": quote(file.replace("\\", "/"), safe="/,:")},
            "region": {"startLine": line},
        }
    }


def _level(finding: Finding) -> str:
    if not finding.fails and finding.verdict in QUIET:
        return "note"
    return LEVELS[finding.fails]


def _place(finding: Finding) -> tuple[str, int]:
    return _split(finding.paddle_source or finding.torch_source)


def _split(source: str) -> tuple[str, int]:
    file, _, line = _named(source).rpartition(":")
    return (printable(file), int(line)) if line.isdigit() else ("", 1)


def _named(source: str) -> str:
    root = os.environ.get(ROOT)
    return short_source(source, os.path.realpath(root) if root else os.curdir)


def _text(finding: Finding) -> str:
    """The cause with both modules."""
    paths = (finding.paddle_path or "the root", finding.torch_path or "the root")
    return printable(f"{finding.cause} ({paths[0]} against {paths[1]})")


def _headline(report: Report) -> str:
    """The first line of the report on a terminal."""
    return printable(str(report).partition("\n")[0])


def _message(text: str) -> str:
    """As workflow commands escape a message."""
    return printable(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """As workflow commands escape a property."""
    return _message(text).replace(":", "%3A").replace(",", "%2C")


def _xml_text(text: str) -> str:
    """Without what XML 1.0 cannot hold, or a terminal would obey."""
    return NOT_XML.sub("?", printable(text))


FORMATS: Mapping[str, Callable[[Report], str]] = {
    "text": str,
    "json": lambda report: report.to_json(),
    "github": github,
    "sarif": sarif,
    "junit": junit,
}
"""What `--format` names, and what writes it."""
