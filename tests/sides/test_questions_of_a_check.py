"""What two interpreters are asked is what a check of one process runs, and no more."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import padiff_graph as pg
from padiff_graph.capture.remote.client import Client
from padiff_graph.obligations import same_calls

MODELS = Path(__file__).parent / "side_models.py"
OPTIONS = {"rtol": 1e-2, "atol": 1e-2}


@pytest.fixture
def asked(monkeypatch):
    """Which functions were asked whole, each by its name; models count as large."""
    names = []
    ask = Client.ask

    def noted(own, what, *arguments, **named):
        if what == "whole":
            names.append(arguments[0].partition(":")[2])
        return ask(own, what, *arguments, **named)

    monkeypatch.setattr(Client, "ask", noted)
    monkeypatch.setattr(same_calls, "LARGE", 0)
    return names


def _report():
    sides = [
        pg.Side(f"{MODELS}:{name}", python=sys.executable)
        for name in ("paddle_normal", "torch_normal")
    ]
    return pg.compare(*sides, options=OPTIONS)


def _shown(report, name):
    (told,) = [one.by for one in report.obligations if one.name == name]
    return told


def test_totals_and_later_calls_cost_no_further_runs_of_both(asked):
    report = _report()
    assert report.passed
    assert "under random cotangents" in _shown(report, "gradients")
    assert "further calls do the same" in _shown(report, "state")
    assert asked.count("_certified_there") == 2 and asked.count("_again") == 2
    assert not [name for name in asked if "graph" in name]


@pytest.mark.parametrize("framework", ["paddle", "torch"])
def test_a_later_call_that_does_otherwise_is_told(asked, monkeypatch, framework):
    monkeypatch.setenv("SIDE_DEED", framework)
    report = _report()
    assert not report.passed
    assert "further calls do the same" not in _shown(report, "state")
