"""The JSON keeps to its schema."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import jsonschema
import pytest

from padiff_graph.report.report import Report
from padiff_graph.report.report_json import report_schema
from tests.models.sample_reports import empty, failed, passed, rounding

PAGE = Path(__file__).parents[2] / "docs" / "json.md"


@pytest.mark.parametrize(
    "report",
    [failed(), passed(), rounding(), empty(), failed(required_tolerance={"rtol": math.inf})],
)
def test_schema(report: Report) -> None:
    jsonschema.validate(json.loads(report.to_json()), report_schema())


def test_schema_refuses_what_it_does_not_know() -> None:
    data = json.loads(failed().to_json())
    data["findings"][0]["verdict"] = "fine"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, report_schema())


def test_written_file_is_the_text(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    assert failed().to_json(path) == path.read_text(encoding="utf-8")
    data = json.loads(path.read_text(encoding="utf-8"))
    assert data["parameters"][0]["torch_names"] == ["head.weight"]
    assert data["findings"][0]["places"][1] == ["layer2.0.bn1", "body.2.norms.0"]


def test_page_names_every_field_and_no_other() -> None:
    rows = re.findall(r"^\| (`.*?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    named = re.findall(r"`(\w+)`", " ".join(rows))
    assert sorted(named) == sorted(report_schema()["properties"])
