"""The ladder: which ways are tried, in which order, and what is said of those in vain."""

import pytest
import torch
from torch import nn

from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.capture.torch import trace as ladder
from padiff_graph.capture.torch.aliases import Untold
from padiff_graph.capture.torch.trace import RUNGS, Rung, trace

EXAMPLE = {"x": torch.ones(2, 3)}


class Doubling(nn.Module):
    def forward(self, x):
        return x * 2


def test_every_rung_says_when_and_why():
    assert len({rung.name for rung in RUNGS}) == len(RUNGS)
    assert all(rung.tried and rung.why for rung in RUNGS)


@pytest.mark.parametrize("place", range(len(RUNGS)))
def test_below_starts_there(place):
    below = ["", *(rung.name for rung in RUNGS)][place]
    assert trace(Doubling(), EXAMPLE, below=below).session.rung == RUNGS[place].name


def failing(message, source=""):
    def capture(flat, tensors):
        raise Untold(message, source)

    return Rung(message, capture, tried="first", why="in no way")


def test_what_was_tried_is_noted(monkeypatch):
    monkeypatch.setattr(ladder, "RUNGS", [failing("no", "net.py:3"), RUNGS[0]])
    assert trace(Doubling(), EXAMPLE).notes[0] == "not captured by no: no (net.py:3)"


def test_where_nothing_is_left(monkeypatch):
    monkeypatch.setattr(ladder, "RUNGS", [failing("no", "net.py:3"), failing("nor this")])
    with pytest.raises(CaptureError, match=r"at net.py:3. Tried no: no .*; nor this") as caught:
        trace(Doubling(), EXAMPLE)
    assert caught.value.attempts == (("no", "no (net.py:3)"), ("nor this", "nor this"))


def test_a_model_that_switches_its_inputs_gradient_on():
    class Switching(nn.Module):
        def forward(self, x):
            x.requires_grad = True
            return x * 2

    graph = trace(Switching(), {"x": torch.ones(2, 3)})
    assert any("switches gradients of its input on" in note for note in graph.notes)
