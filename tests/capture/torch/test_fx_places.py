"""Places of fx nodes: the user's line, the module as the model spells it, which call of it."""

import inspect

import torch
from torch import nn
from torch.utils._traceback import CapturedTraceback

from padiff_graph.capture.torch.fx_places import MODULES, SOURCE, Place, Places, innermost
from padiff_graph.capture.torch.trace import trace

FRAMEWORK = torch.__file__


def frame(file, line):
    return f'  File "{file}", line {line}, in forward'


def test_the_innermost_line_of_the_user():
    stack = [frame("/user/net.py", 3), frame("/user/block.py", 7), frame(FRAMEWORK, 9)]
    assert innermost("\n".join(stack)) == "/user/block.py:7"
    assert innermost(frame(FRAMEWORK, 9)) == "" and innermost("") == ""


def test_a_shared_module_goes_by_its_first_name():
    model = nn.ModuleDict({"a": nn.Linear(1, 1)})
    model["b"] = model["a"]
    places = Places(model)
    meta = {MODULES: {"k0": ("model", ""), "k1": ("model.b", "")}, SOURCE: "/user/net.py:3"}
    assert places.place(meta) == Place("a", 0, "/user/net.py:3")


def test_calls_are_counted_by_module():
    places = Places(nn.ModuleDict({"a": nn.Identity(), "c": nn.Identity()}))

    def call(name, key):
        return places.place({MODULES: {"root": ("model", ""), key: (f"model.{name}", "")}}).call

    assert [call("a", "k0"), call("a", "k1"), call("a", "k0"), call("c", "k2")] == [0, 1, 0, 0]


def test_the_wrapper_is_not_inside():
    places = Places(nn.Identity())
    assert not places.inside({}) and not places.inside({MODULES: {"k": ("", "")}})
    assert places.place({MODULES: {"k": ("model", "")}}).path == ""
    assert places.inside({MODULES: {"k": ("", ""), "l": ("model", "")}})


def test_no_stack_is_written_out_for_operations_whose_line_is_known(monkeypatch):
    written, summary = [], CapturedTraceback.summary

    def noted(trace):
        written.append(trace)
        return summary(trace)

    monkeypatch.setattr(CapturedTraceback, "summary", noted)

    class Doubles(torch.nn.Module):
        def forward(self, x):
            for _ in range(times):
                x = x * 2.0
            return x

    line = inspect.getsourcelines(Doubles.forward)[1]
    counted = []
    for times in (1, 6):
        written.clear()
        operations = trace(Doubles(), {"x": torch.ones(3)}).of_kind("operation")
        assert [node.source for node in operations] == [f"{__file__}:{line + 2}"] * times
        counted.append(len(written))
    assert counted[0] == counted[1]
