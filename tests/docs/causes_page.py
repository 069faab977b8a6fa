"""docs/causes.md as the list of causes makes it: `python -m tests.docs.causes_page` writes it."""

from __future__ import annotations

from pathlib import Path

from padiff_graph.findings.cause_kinds import KINDS
from padiff_graph.findings.cause_sentences import sentence

PAGE = Path(__file__).resolve().parents[2] / "docs" / "causes.md"
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


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
