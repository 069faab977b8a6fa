"""docs/causes.md and the ids in the report's schema, as the list of causes makes them.

`python -m tests.docs.causes_page` writes both.
"""

from __future__ import annotations

import json
from pathlib import Path

from padiff_graph.findings.cause_kinds import KINDS
from padiff_graph.findings.cause_sentences import sentence
from padiff_graph.report.report_json import report_schema

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "causes.md"
SCHEMA = ROOT / "padiff_graph" / "report" / "schema.json"
HEAD = """# Causes

Every finding has a `cause`, a sentence for you, and a `cause_id`, one of the ids below, for
programs: in Python `finding.cause_id`, in JSON the field of that name. An id keeps its meaning; new
ones are added, and sentences may change. Where a difference is measured and nothing more is known
of it than what the numbers show, the id is that of what they show (`values.scaled`).

An id with `attribute.` ends with the name of an attribute of the [normal form](glossary.md), one
with `optimizer.` with a setting's. The examples are for a Paddle model against a torch model; where
both are of one framework, sentences say first and second.

| id | meaning | example |
| --- | --- | --- |
"""


def page() -> str:
    """The text of the page."""
    rows = [
        f"| `{kind.id}` | {kind.meaning} | {sentence(kind.example)} |" for kind in KINDS.values()
    ]
    return HEAD + "\n".join(rows) + "\n"


def schema() -> str:
    """The report's schema with the ids of today."""
    data = report_schema()
    data["$defs"]["finding"]["properties"]["cause_id"]["enum"] = sorted(KINDS)
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    SCHEMA.write_text(schema(), encoding="utf-8")
