"""Everything that the documentation shows runs, and prints what it shows."""

import re

import pytest

from tests.docs.pages import PAGES, ROOT, alike, run_page


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for ran in run_page(page, tmp_path):
        assert ran.expected is not None, (
            f"{page}:{ran.line}: the output is not shown; python -m tests.docs.pages {page}"
        )
        assert alike(ran.expected) == alike(ran.printed), (
            f"{page}:{ran.line}: another output than shown; python -m tests.docs.pages {page}"
        )


def test_every_page_is_in_the_contents():
    listed = (ROOT / "docs" / "index.md").read_text(encoding="utf-8").split("{toctree}")[1]
    for page in (ROOT / "docs").glob("*.md"):
        assert page.stem == "index" or f"\n{page.stem}\n" in listed, page


def skeleton(name):
    """What two languages of a page share.

    Headings by depth, code without comments, table rows, links.
    """
    text = (ROOT / name).read_text(encoding="utf-8")
    code = [
        alike(block) if language == "text" else re.sub(r" *#.*", "", block)
        for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.S | re.M)
    ]
    prose = re.sub(r"```.*?```", "", text, flags=re.S)
    links = [link for link in re.findall(r"\]\(([^)]+)\)", prose) if not link.startswith("README")]
    return {
        "headings": [len(mark) for mark in re.findall(r"^(#+) ", prose, re.M)],
        "code": code,
        "rows": re.findall(r"^\| (`[^`]+`)", prose, re.M),
        "links": sorted(links),
    }


def test_both_readmes_say_the_same():
    assert skeleton("README.md") == skeleton("README.zh-CN.md")
