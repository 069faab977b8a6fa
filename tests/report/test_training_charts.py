"""Curves of a training on the HTML page: points and bands are where the numbers say, and the page
shows them in a tab of its own."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from padiff_graph.report.html_page import write_html
from padiff_graph.report.training_charts import training_charts
from padiff_graph.report.training_curves import TrainingStep
from tests.models.made_reports import report
from tests.report.browser import needs_chromium, probe

STEPS = (
    TrainingStep(1, (2.0, 2.0), (1.0, 1.0), 0.0, 1e-6, 1e-7),
    TrainingStep(2, (1.5, 1.25), (0.5, 0.8), 1e-3, 2e-6, 1e-6),
    TrainingStep(3, (math.nan, 1.0), (0.4, 0.6), 1e-2, 4e-6, 1e-5),
)


def test_a_chart_has_a_point_for_each_number_and_a_band_where_it_was_measured():
    loss, norm, losses, weights = training_charts(STEPS, ("paddle", "torch"))
    assert [len(curve.points) for curve in loss.curves] == [2, 3], "a loss of nan has no place"
    assert (loss.band, norm.band) == ("", "")
    first, second = loss.curves
    assert first.points[0][:2] == second.points[0][:2], "equal numbers, one place"
    assert first.points[1][1] < second.points[1][1], "a larger loss stands higher"
    assert second.points[2][2] == "step 3: 1"
    (apart,) = weights.curves
    edge = [tuple(map(float, corner.split(","))) for corner in weights.band.split()][1:-1]
    assert len(edge) == len(apart.points) == 3
    assert apart.points[0][1] > edge[0][1], "zero is inside of the band"
    assert all(
        point[1] < corner[1] for point, corner in zip(apart.points[1:], edge[1:], strict=True)
    )
    assert losses.band and len(losses.curves[0].points) == 2


@pytest.mark.parametrize("step", [TrainingStep(1, None, (0.0, 0.0), 0.0), STEPS[0]])
def test_one_step_alone_is_drawn(step):
    charts = training_charts([step], ("paddle", "torch"))
    places = [point for chart in charts for curve in chart.curves for point in curve.points]
    assert places and all(math.isfinite(x) and math.isfinite(y) for x, y, _ in places)


def test_a_page_without_training_has_no_tab(tmp_path):
    write_html(report(), tmp_path / "report.html")
    assert "tab-training" not in (tmp_path / "report.html").read_text(encoding="utf-8")


@needs_chromium
def test_the_page_draws_the_training(tmp_path):
    page = tmp_path / "report.html"
    write_html(replace(report(), training=STEPS), page)
    seen = probe(
        page,
        """
        document.querySelector("[data-tab=training]").click(); await pause();
        const tab = document.getElementById("tab-training");
        found.hidden = tab.hidden;
        found.charts = [...tab.querySelectorAll("figcaption")].map((one) => one.firstChild.data);
        found.drawn = [...tab.querySelectorAll("polyline, polygon")]
            .every((one) => one.getBoundingClientRect().width > 50);
        found.told = tab.querySelector("circle.second title").textContent;
        """,
    )
    assert seen["hidden"] is False and seen["drawn"] is True
    assert [title.strip() for title in seen["charts"]] == [
        "loss",
        "gradient norm",
        "losses apart",
        "weights apart",
    ]
    assert seen["told"] == "torch, step 1: 2"
