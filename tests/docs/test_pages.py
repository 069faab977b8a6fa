"""Everything that the documentation shows runs, and prints what it shows."""

import re
from xml.etree import ElementTree

import pytest
import yaml

import padiff_graph as pg
from padiff_graph.cli.commands import cli
from tests.docs.pages import BLOCK, PAGES, ROOT, alike, interpreter, run_page

SAME_BLOCKS = ("README.zh-CN.md",)
"""Pages whose blocks are those of another, which runs."""
RUN = [page for page in PAGES if str(page) not in SAME_BLOCKS and BLOCK.search(page.read_text())]


@pytest.fixture(scope="module")
def pool():
    with pytest.MonkeyPatch.context() as patch, interpreter() as process:
        patch.setenv("COLUMNS", "80")
        yield process


@pytest.mark.parametrize("page", RUN, ids=str)
def test_page_runs(page, tmp_path, pool):
    for ran in run_page(page, tmp_path, pool):
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


def blocks(name):
    """What runs of a page, in order: code without words for the reader, and what becomes of it."""

    def code(block):
        spoken = re.compile(r" *#(?! exit code \d).*")
        return spoken.sub("", block["code"]), alike(block["output"] or "")

    text = (ROOT / name).read_text(encoding="utf-8")
    return [(block["file"], block["language"], *code(block)) for block in BLOCK.finditer(text)]


def test_one_readme_runs_for_both():
    ours = blocks("README.md")
    assert ours == blocks("README.zh-CN.md")
    assert sum(shown != "" for *_, shown in ours) and sum(bool(file) for file, *_ in ours)


def test_both_readmes_begin_with_the_picture_of_a_report():
    raw = (ROOT / "docs" / "report.svg").read_text(encoding="utf-8")
    assert "url(http" not in raw, "nothing is fetched"
    drawn = "".join(ElementTree.fromstring(raw).itertext()).replace("\u00a0", " ")
    for name in ("README.md", "README.zh-CN.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert re.match(r"# PaDiff-Graph\n\n\[.*?\)\n\n!\[.*?\]\(docs/report.svg\)", text), name
        shown = re.search(r"^```text\n(.*?)^First finding$", text, re.S | re.M)[1]
        for line in shown.splitlines():
            assert alike(line) in alike(drawn), f"{line}: make picture"


def test_the_api_has_every_public_name():
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for name in set(pg.__all__) - {"__version__"}:
        place = f"{pg._HOMES[name]}.{name}"
        assert f":: {place}\n" in page, place


@pytest.mark.parametrize(("page", "calls"), [("cli.md", 2), ("merging.md", 1)])
def test_workflows_are_yaml_and_call_what_there_is(page, calls):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", text, re.S | re.M)
    workflow = yaml.safe_load(block)
    steps = workflow["jobs"]["check"]["steps"]
    assert all(("uses" in step) != ("run" in step) for step in steps)
    called = [step["run"].split() for step in steps if "padiff-graph align" in step.get("run", "")]
    known = {name for option in cli.commands["align"].params for name in option.opts}
    assert len(called) == calls
    assert {word for words in called for word in words if word.startswith("--")} <= known
