"""What a framework says of its tracing is kept from the terminal; what a model says is not."""

from __future__ import annotations

import logging
import sys

import pytest

from padiff_graph.capture.api import capture_graph
from padiff_graph.capture.chatter import Chatter, without_chatter

torch = pytest.importorskip("torch")
paddle = pytest.importorskip("paddle")

TRACER = Chatter("some_tracer", "/somewhere/some_tracer/", stand_ins=("Traced(",))
LOGGER = "padiff_graph.capture.some_tracer"


def test_a_line_with_a_stand_in_goes_to_the_log(capsys, caplog):
    with caplog.at_level(logging.DEBUG, LOGGER), without_chatter(TRACER):
        print("before", 1)
        print("x is", "Traced(2, 3)", "here")
        print("on standard error", file=sys.stderr)
        print("after")
    said = capsys.readouterr()
    assert said.out == "before 1\nafter\n"
    assert said.err == "on standard error\n"
    assert [record.getMessage() for record in caplog.records] == ["x is Traced(2, 3) here"]


def test_what_has_no_end_of_line_is_printed_when_asked_for_and_at_the_end(capsys):
    with without_chatter(TRACER):
        sys.stdout.write("(Pdb) ")
        assert capsys.readouterr().out == ""
        sys.stdout.flush()
        assert capsys.readouterr().out == "(Pdb) "
        sys.stdout.writelines(["one\n", "two"])
    assert capsys.readouterr().out == "one\ntwo"


def test_what_the_framework_itself_prints_goes_to_the_log(capsys):
    code = compile("print('dump', file=sys.stderr)", "/somewhere/some_tracer/trace.py", "exec")
    with without_chatter(TRACER):
        exec(code, {"sys": sys})
    assert capsys.readouterr().err == ""


def test_its_loggers_speak_again_afterwards(caplog, monkeypatch):
    theirs = logging.getLogger("some_tracer.inner")
    with pytest.raises(RuntimeError), without_chatter(TRACER):
        theirs.warning("lost in tracing")
        logging.getLogger("model").warning("of the model")
        raise RuntimeError("a forward fails")
    theirs.warning("heard")
    assert [record.getMessage() for record in caplog.records] == ["of the model", "heard"]
    caplog.clear()
    monkeypatch.setenv("SOME_LOGS", "1")
    with without_chatter(Chatter("some_tracer", "/somewhere/", switches=("SOME_LOGS",))):
        theirs.warning("asked for")
    assert [record.getMessage() for record in caplog.records] == ["asked for"]


def test_streams_are_as_before_after_an_exception():
    before = sys.stdout, sys.stderr
    with pytest.raises(KeyboardInterrupt), without_chatter(TRACER):
        raise KeyboardInterrupt
    assert (sys.stdout, sys.stderr) == before


class Saying(torch.nn.Module):
    def forward(self, x):
        print("computing", x)
        print("a plain line")
        if x.sum() > 0:
            return x * 2
        return x


class PaddleSaying(paddle.nn.Layer):
    def forward(self, x):
        print("computing", x)
        print("a plain line")
        return x * 2


@pytest.mark.parametrize(
    ("model", "ones"), [(Saying, torch.ones), (PaddleSaying, paddle.ones)], ids=["torch", "paddle"]
)
def test_a_model_that_prints(model, ones, capsys, caplog):
    capture_graph(model(), {"x": ones([2, 3])})
    said = capsys.readouterr()
    assert "FakeTensor" not in said.out + said.err
    assert "Value(" not in said.out + said.err
    assert "def forward" not in said.out + said.err  # torch.export's own words of a failure
    assert "computing" in said.out  # from the eager run, with numbers
    assert "a plain line" in said.out
    assert not [record for record in caplog.records if record.name.startswith("torch")]
