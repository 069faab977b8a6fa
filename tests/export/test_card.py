"""The acceptance card, and the faults that it plants."""

from __future__ import annotations

import json
from dataclasses import replace
from html import unescape

import numpy as np
import pytest

import padiff_graph as pg
from padiff_graph.errors import UsageError
from padiff_graph.export import planted_faults
from padiff_graph.export.card import card_data, weights_hash, write_card
from padiff_graph.export.planted_faults import plant_faults

torch = pytest.importorskip("torch")
paddle = pytest.importorskip("paddle")


class First(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.linear = paddle.nn.Linear(4, 6)
        self.norm = paddle.nn.LayerNorm(6)
        self.drop = paddle.nn.Dropout(0.3)

    def forward(self, x):
        return self.drop(paddle.nn.functional.relu(self.norm(self.linear(x)) * 0.5))


class Second(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 6)
        self.norm = torch.nn.LayerNorm(6)
        self.drop = torch.nn.Dropout(0.3)
        self.spare = torch.nn.Linear(2, 2)

    def forward(self, x):
        return self.drop(torch.relu(self.norm(self.linear(x)) * 0.5))


@pytest.fixture(scope="module")
def report():
    torch.manual_seed(0)
    values = np.random.default_rng(0).standard_normal((5, 4)).astype("float32")
    layer, module = First(), Second()
    layer.eval()
    module.eval()
    example = {"x": paddle.to_tensor(values)}, {"x": torch.from_numpy(values)}
    return pg.compare(layer, module, example, options={"rtol": 1e-3, "atol": 1e-6})


@pytest.fixture(autouse=True)
def no_clock(monkeypatch):
    """A slow machine plants all faults, too."""
    monkeypatch.setattr(planted_faults.time, "monotonic", lambda: 0.0)


def test_what_evaluation_hides_is_missed_and_the_rest_shows(report):
    planted = plant_faults(report.matching, report.engines)
    missed = {fault.what for fault in planted.missed}
    assert missed == {"dropout left out", "dropout: p 0.3 -> 0.6"}
    shown = {fault.what for fault in planted.faults if fault.outcome == "shown"}
    assert {"relu left out", "layer_norm: eps 1e-05 -> 0.0001", "layer_norm left out"} <= shown
    assert "dropout: train False -> True" in shown
    assert planted.possible == len(planted.faults)
    assert planted.share == planted.shown / (planted.shown + 2)


def test_drawing_is_seeded_and_time_is_bounded(report):
    few = [plant_faults(report.matching, report.engines, most=3) for _ in range(2)]
    assert few[0] == few[1]
    assert len(few[0].faults) == 3
    none = plant_faults(report.matching, report.engines, seconds=-1.0)
    assert none.faults == () and none.share is None


def test_models_are_as_before(report):
    before = [weights_hash(engine) for engine in report.engines]
    draws = torch.random.get_rng_state()
    plant_faults(report.matching, report.engines)
    assert before == [weights_hash(engine) for engine in report.engines]
    assert torch.equal(draws, torch.random.get_rng_state())


def test_the_card_says_what_was_not_reached(report):
    first, second = card_data(report)["models"]
    assert first["coverage"]["parameters_not_read"] == []
    assert second["coverage"]["parameters_not_read"] == ["spare.weight", "spare.bias"]
    assert second["coverage"]["modules_not_run"] == ["spare"]
    assert first["version"] == paddle.__version__
    assert second["version"] == torch.__version__


def test_a_hash_follows_the_weights(report):
    engine = report.engines[1]
    before = weights_hash(engine)
    weight = dict(engine.parameters())["linear.bias"]
    with torch.no_grad():
        kept = weight.clone()
        weight[0] = torch.nextafter(weight[0], torch.tensor(9.0))
        assert weights_hash(engine) != before
        weight.copy_(kept)
    assert weights_hash(engine) == before


def test_both_forms(report, tmp_path):
    write_card(report, tmp_path / "card.json")
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["passed"] is True
    assert {entry["status"] for entry in card["obligations"]} <= {"shown", "not asked"}
    write_card(report, tmp_path / "card.md")
    text = (tmp_path / "card.md").read_text()
    assert text.startswith("# Acceptance card\n")
    assert "dropout: p 0.3 -> 0.6" in unescape(text)
    assert "spare.weight" in text
    with pytest.raises(UsageError):
        write_card(report, tmp_path / "card.txt")


def test_a_model_that_cannot_be_captured_has_a_card_too(report, tmp_path):
    bare = replace(report, matching=None, engines=None, passed=False)
    write_card(bare, tmp_path / "card.md")
    text = (tmp_path / "card.md").read_text()
    assert "Not asked: a model could not be captured." in text
    assert "Not known: a model could not be captured." in text


def test_names_in_a_card_are_text_and_no_markdown():
    from padiff_graph.export.card_text import _cell

    shown = _cell("![x](y) \\| <img src=x> @team #1 `a` *b*\n# c")
    marks = {"!\\[", "\\]", "\\\\\\|", "&#60;img", "&#64;team", "&#35;1", "\\`a\\`", "\\*b\\*"}
    assert {mark for mark in marks if mark not in shown} == set()
    assert "\n" not in shown
