"""The HTML report, driven in a real browser."""

import re

import pytest

from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.report.html_page import render_page, report_page, write_html
from padiff_graph.report.page_data import Page
from padiff_graph.report.report import Report
from tests.models.made_reports import matching, report
from tests.report.browser import needs_chromium, probe, screenshot


@pytest.fixture
def page(tmp_path):
    target = tmp_path / "report.html"
    write_html(report(), target)
    return target


def test_page_stands_alone(page):
    written = page.read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)\s*=\s*["']""", written), "nothing is loaded"
    assert not re.search(r"https?://(?!www\.w3\.org)", written)
    assert "default-src 'none'" in written
    assert written.count("</script>") == 2, "text of a finding cannot end the data"


def test_answer_stands_without_script(page):
    head = page.read_text(encoding="utf-8").split("<main>")[0]
    assert "Not aligned" in head and "Port (paddle) against Network (torch)" in head
    assert "tolerance needed" in head and "rtol 2e-06 or atol 1e-07" in head


def test_nothing_compared_is_no_pass():
    found = report_page(
        Report(
            passed=False,
            findings=(
                Finding("capture", "not-comparable", Cause.of("capture.refused", text="no")),
            ),
        )
    )
    assert found.state == "unsure" and "Nothing was compared" in found.headline
    assert "no" in render_page(found)


def test_rounding_only_is_said():
    found = report_page(
        report(
            findings=(Finding("forward", "rounding", Cause.of("capture.refused", text="beyond")),)
        )
    )
    assert found.headline == "Not aligned, by rounding only"


@needs_chromium
def test_findings_open_both_places(page):
    found = probe(
        page,
        """
        found.start = document.querySelector("#panel .told").textContent;
        found.picked = [...document.querySelectorAll(".row.picked")].map((row) => row.textContent);
        found.code = document.querySelectorAll("#panel pre .at").length;
        found.bold = document.querySelectorAll("#panel b, #finding-list b").length;
        document.querySelectorAll("#finding-list > li")[1].click();
        await pause();
        found.second = document.querySelector("#panel").textContent;
        """,
    )
    assert "Linear.bias False against </script><b>True</b>" in found["start"]
    assert (
        len(found["picked"]) == 2
        and "pd_op.matmul" in found["picked"][0]
        and "aten.linear" in found["picked"][1]
    )
    assert found["code"] == 2, "the line of both sources is shown"
    assert found["bold"] == 0, "text is never markup"
    assert "missing Relu" in found["second"] and "no such operation here" in found["second"]


@needs_chromium
def test_click_shows_the_partner(page):
    found = probe(
        page,
        """
        document.getElementById("open-0").click();
        const rows = () => [...document.querySelectorAll("#tree-0 .row")];
        rows().find((row) => row.textContent.includes("pd_op.relu")).click();
        await pause();
        const picked = [...document.querySelectorAll("#tree-1 .row.picked")];
        found.operation = picked.map((row) => row.textContent);
        found.reason = document.querySelector("#panel .also").textContent;
        rows().find((row) => row.textContent.includes("2 Block")).click();
        await pause();
        found.module = document.querySelector("#tree-1 .row.picked").textContent;
        document.getElementById("close-0").click();
        await pause();
        found.closed = rows().length;
        document.querySelector("#tree-1 .row.picked .twist").click();
        const input = document.getElementById("search-1");
        input.value = "linear";
        input.dispatchEvent(new Event("input"));
        await pause();
        found.hits = document.querySelectorAll("#tree-1 .row.hit").length;
        """,
    )
    assert len(found["operation"]) == 1 and "aten.relu" in found["operation"][0]
    assert "matched by hash, confidence 0.98" in found["reason"]
    assert "2 Block" in found["module"]
    assert found["closed"] == 4, "root, input, layers, output"
    assert found["hits"] >= 1


@needs_chromium
def test_keys_move_through_the_tree(page):
    found = probe(
        page,
        """
        const tree = document.getElementById("tree-0");
        const press = async (key) => {
            tree.dispatchEvent(new KeyboardEvent("keydown", { key }));
            await pause();
            return document.querySelector("#tree-0 .row.picked").textContent;
        };
        found.home = await press("Home");
        found.down = await press("ArrowDown");
        found.end = await press("End");
        """,
    )
    assert "(root)" in found["home"] and "x" in found["down"] and "output" in found["end"]


@needs_chromium
def test_parameters_filter(page):
    found = probe(
        page,
        """
        document.querySelector("[data-tab=parameters]").click();
        await pause();
        const shown = () => document.getElementById("parameter-shown").textContent;
        found.all = shown();
        const input = document.getElementById("parameter-filter");
        input.value = "transpose";
        input.dispatchEvent(new Event("input"));
        found.filtered = shown();
        input.value = "";
        const status = document.getElementById("parameter-status");
        status.value = "not proved";
        status.dispatchEvent(new Event("change"));
        found.unproved = shown();
        await pause();
        found.row = document.querySelector("#parameter-list .row").textContent;
        """,
    )
    assert (
        found["all"] == "6 of 6" and found["filtered"] == "3 of 6" and found["unproved"] == "2 of 6"
    )
    assert "layers.0.0.weight [8, 8]" in found["row"] and "body.0.0.weight" in found["row"]


@needs_chromium
def test_plot_is_drawn_and_leads_to_the_place(page):
    found = probe(
        page,
        """
        document.querySelector("[data-tab=depth]").click();
        await pause();
        const canvas = document.getElementById("plot");
        const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        const colours = new Set();
        for (let at = 0; at < pixels.length; at += 4)
            if (pixels[at + 3]) colours.add(pixels.slice(at, at + 3).join());
        found.colours = colours.size;
        found.points = drawn.length;
        found.legend = document.getElementById("legend").textContent;
        const at = (x, y) => {
            const scale = canvas.width / canvas.clientWidth;
            const first = (Math.round(y * scale) * canvas.width + Math.round(x * scale)) * 4;
            return pixels.slice(first, first + 4).join();
        };
        found.inside = at(drawn[0].x + 1, drawn[0].y + 9);
        found.above = at(drawn[0].x + 1, 14);
        const box = canvas.getBoundingClientRect(), point = drawn[0];
        const where = { clientX: box.left + point.x, clientY: box.top + point.y };
        canvas.dispatchEvent(new MouseEvent("mousemove", where));
        found.tip = document.getElementById("tip").textContent;
        canvas.dispatchEvent(new MouseEvent("click", where));
        await pause();
        found.tab = document.querySelector("nav [aria-selected=true]").dataset.tab;
        """,
    )
    assert found["colours"] > 3 and found["points"] == 12
    assert "layers." in found["tip"] and "equal" in found["tip"]
    assert found["tip"].endswith("rounding may explain 0.000002")
    assert found["legend"].startswith("▒ what rounding may explain")
    assert found["inside"] != found["above"], "the noise floor is shaded"
    assert found["tab"] == "graphs"


@needs_chromium
def test_twenty_thousand_operations(tmp_path):
    """A page of 20,000 operations a side stays a few megabytes, opens whole, and draws only what is
    in view."""
    target = tmp_path / "large.html"
    write_html(report(blocks=100, width=100), target)
    assert target.stat().st_size < 8_000_000
    found = probe(
        target,
        """
        document.getElementById("open-0").click();
        document.getElementById("open-1").click();
        found.rows = document.querySelectorAll("#tree-0 .row").length;
        const tree = document.getElementById("tree-0");
        found.height = tree.firstChild.offsetHeight;
        tree.scrollTop = found.height / 2;
        await pause();
        [...document.querySelectorAll("#tree-0 .row")][5].click();
        found.picked = document.querySelectorAll("#tree-1 .row.picked").length;
        """,
        seconds=120,
    )
    assert found["height"] > 20_000 * 22, "everything can be scrolled to"
    assert found["rows"] < 120, "only what is in view is drawn"
    assert found["picked"] == 1


@needs_chromium
def test_page_without_graphs(tmp_path):
    target = tmp_path / "none.html"
    target.write_text(
        render_page(
            Page(
                "unsure",
                "Nothing was compared",
                "a against b",
                findings=(
                    Finding(
                        "capture",
                        "not-comparable",
                        Cause.of("capture.refused", text="it cannot be captured"),
                    ),
                ),
            )
        ),
        encoding="utf-8",
    )
    found = probe(
        target,
        'document.querySelector("#finding-list > li").click(); found.said ='
        ' document.getElementById("panel").textContent; found.ready = document.body.dataset.ready;',
    )
    assert "it cannot be captured" in found["said"] and found["ready"] == "yes"


@needs_chromium
def test_picture_is_not_blank(page, tmp_path):
    from PIL import Image

    picture = Image.open(screenshot(page, tmp_path / "report.png"))
    assert len(picture.convert("RGB").resize((150, 90)).getcolors(150 * 90)) > 50


def test_matching_by_hand_is_sound():
    found = matching()
    assert len(found.matches) == len(found.first.nodes) == len(found.second.nodes)


def test_one_output_is_one_output(tmp_path):
    report().to_html(tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "1 output," in text and "1 outputs" not in text


@needs_chromium
def test_search_counts_and_goes_on(page):
    found = probe(
        page,
        """
        const input = document.getElementById("search-1");
        const count = document.getElementById("found-1");
        const look = async (text) => {
            input.value = text;
            input.dispatchEvent(new Event("input"));
            await pause();
            return count.textContent;
        };
        found.first = await look("linear");
        const place = () => document.querySelector("#tree-1 .row.current").style.top;
        found.at = [place()];
        document.getElementById("next-1").click();
        await pause();
        found.second = count.textContent;
        found.at.push(place());
        input.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", shiftKey: true }));
        await pause();
        found.back = count.textContent;
        found.none = await look("no such thing");
        found.disabled = document.getElementById("next-1").disabled;
        found.empty = await look("");
        """,
    )
    total = found["first"].removeprefix("1 of ")
    assert total.isdigit() and int(total) > 1
    assert (found["second"], found["back"]) == (f"2 of {total}", f"1 of {total}")
    assert found["at"][0] != found["at"][1]
    assert (found["none"], found["disabled"], found["empty"]) == ("none", True, "")


IN_VIEW = """
const seen = (row, list) => {
    const box = row.getBoundingClientRect(), around = list.getBoundingClientRect();
    return box.top >= around.top - 1 && box.bottom <= around.bottom + 1;
};
await pause();
found.seen = [0, 1].map((side) => {
    const list = document.getElementById(`tree-${side}`), row = list.querySelector(".row.picked");
    return row ? seen(row, list) : null;
});
found.cut = [...document.querySelectorAll(".row .dot")].filter((dot) => {
    const box = dot.getBoundingClientRect();
    return box.right > dot.parentElement.getBoundingClientRect().right + 1;
}).length;
found.wide = document.documentElement.scrollWidth - innerWidth;
"""


@needs_chromium
@pytest.mark.parametrize("width", [1400, 420])
def test_the_first_finding_is_in_view_and_no_mark_is_cut_off(page, width):
    written = page.read_text(encoding="utf-8")
    # headless Chromium has no window below 500: the page is put into a frame of the width
    framed = page.with_name("framed.html")
    framed.write_text(written, encoding="utf-8")
    style = f"<style>html {{ width: {width}px; }}</style></head>"
    if width > 500:
        framed.write_text(written.replace("</head>", style), encoding="utf-8")
    else:
        narrow = written.replace("@media (max-width: 600px)", "@media all")
        framed.write_text(narrow.replace("</head>", style), encoding="utf-8")
    found = probe(framed, IN_VIEW)
    assert found["seen"] == [True, True]
    assert found["cut"] == 0
    assert found["wide"] <= 0


@needs_chromium
def test_tabs_and_findings_by_keyboard(page):
    found = probe(
        page,
        """
        const press = (element, key) =>
            element.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
        const tabs = [...document.querySelectorAll("nav button")];
        tabs[0].focus();
        press(tabs[0], "ArrowRight");
        found.tab = document.activeElement.dataset.tab;
        press(document.activeElement, "ArrowLeft");
        found.back = document.activeElement.dataset.tab;
        const entries = [...document.querySelectorAll("#finding-list > li")];
        entries[0].focus();
        press(entries[0], "ArrowDown");
        press(document.activeElement, "Enter");
        await pause();
        found.picked = entries.findIndex((entry) => entry.classList.contains("picked"));
        """,
    )
    assert (found["tab"], found["back"], found["picked"]) == ("drawing", "graphs", 1)


@needs_chromium
def test_print_shows_findings_and_no_trees(page, tmp_path):
    written = page.read_text(encoding="utf-8").replace("@media print", "@media all")
    printed = tmp_path / "printed.html"
    printed.write_text(written, encoding="utf-8")
    found = probe(
        printed,
        """
        const shown = (selector) => getComputedStyle(document.querySelector(selector)).display;
        found.trees = shown("#tab-graphs");
        found.finding = shown("#finding-list > li");
        found.panel = document.getElementById("panel").textContent.length;
        """,
    )
    assert found["trees"] == "none" and found["finding"] != "none" and found["panel"] > 0


DRAWN = """
    document.querySelector("[data-tab=drawing]").click();
    await pause();
    const boxes = () => [...document.querySelectorAll("#drawing .box")].map((group) => {
        const { left, right, top, bottom } = group.querySelector("rect").getBoundingClientRect();
        return { name: group.querySelector(".upper").textContent, kind: group.classList[1],
            alone: group.classList.contains("alone"), picked: group.classList.contains("picked"),
            left, right, top, bottom, group };
    });
    const told = () => boxes().map(({ group, ...box }) => box);
    const named = (name) => boxes().filter((box) => box.name === name);
"""


@needs_chromium
@pytest.mark.parametrize("width", [1400, 420])
def test_a_module_is_drawn_with_partners_beside_each_other(page, width):
    found = probe(
        page,
        DRAWN
        + f"document.body.style.width = '{width}px';"
        + """
        await pause();
        const click = (box, kind) => box.group.dispatchEvent(new MouseEvent(kind));
        found.first = told();
        found.edges = document.querySelectorAll("#drawing path.edge[d*=C]").length;
        click(named("pd_op.relu")[0], "click");
        await pause();
        found.after = told();
        found.panel = document.getElementById("panel").textContent;
        [...document.querySelectorAll("#drawing-way button")][0].click();
        await pause();
        found.root = told();
        click(named("layers")[0], "dblclick");
        await pause();
        found.inside = told();
        const relu = [...trees[0].nodes.values()].find((record) => record.label === "pd_op.relu");
        for (const link of relu.links) trees[1].nodes.get(link.ids[1][0]).links = [];
        relu.links = [];
        drawing.enter(0, trees[0].modules.get(relu.path));
        found.unmatched = told();
        """,
    )
    ours, theirs = (
        [box for box in found["first"] if box["name"].startswith(own)] for own in ("pd_op", "aten")
    )
    assert len(ours) == len(theirs) == 2
    for own, other in zip(ours, theirs, strict=True):
        assert own["top"] == other["top"] and own["right"] < other["left"]
    assert found["edges"] == len(found["first"]) - 2, "a chain on each side"
    picked = [box["name"] for box in found["after"] if box["picked"]]
    assert picked == ["pd_op.relu", "aten.relu"] and "pd_op.relu" in found["panel"]
    assert len(found["after"]) == len(found["first"]), "a click stays in the module"
    assert {"layers", "body"} <= {box["name"] for box in found["root"]}
    assert [box["name"] for box in found["inside"] if box["kind"] == "module"] == [
        "0",
        "1",
        "2",
    ] * 2
    assert not any(box["alone"] for box in found["first"])
    assert [box["name"] for box in found["unmatched"] if box["alone"]] == [
        "pd_op.relu",
        "aten.relu",
    ]
