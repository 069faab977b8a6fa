"""Neither framework's `quiet` leaves anything behind in what modules hold in Python."""

from collections import deque
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import paddle
import pytest
import torch

from padiff_graph.capture.paddle.quiet import quiet as paddle_quiet
from padiff_graph.capture.torch.quiet import quiet as torch_quiet


class Slotted:
    __slots__ = ("_hits", "keys")

    def __init__(self):
        self._hits, self.keys = 0, []


def holder(framework):
    lib, base = (paddle, paddle.nn.Layer) if framework == "paddle" else (torch, torch.nn.Module)

    class Holder(base):
        def __init__(self):
            super().__init__()
            self.fc = lib.nn.Linear(2, 2)
            self.register_buffer("seen", lib.zeros([2]))
            self.cfg = SimpleNamespace(n=0, inner={"names": ["a"]})
            self.window = deque([1, 2], maxlen=2)
            self.kept = [lib.ones([2])]
            self.table = np.zeros(3)
            self.cache = Slotted()
            self.beside = [lib.nn.Linear(2, 2)]

        def forward(self, x):
            self.cfg.n += 1
            self.cfg.inner["names"].append(x)
            self.window.append(3)
            self.kept[0] += 1
            self.kept.append(x)
            self.table[0] = 1
            self.cache._hits += 1
            self.cache.keys.append(x)
            self.beside[0].extra = x
            self.seen = self.seen + 1
            self.fresh = x
            return self.fc(x)

    return Holder(), lib.ones([1, 2])


QUIET = {"paddle": paddle_quiet, "torch": torch_quiet}


def state(model):
    return {
        "names": sorted(vars(model)),
        "cfg": (model.cfg.n, list(model.cfg.inner["names"])),
        "window": list(model.window),
        "kept": [tensor.numpy().tolist() for tensor in model.kept],
        "identity": [id(tensor) for tensor in (*model.kept, model.seen)],
        "table": model.table.tolist(),
        "cache": (model.cache._hits, list(model.cache.keys)),
        "beside": sorted(vars(model.beside[0])),
        "seen": model.seen.numpy().tolist(),
    }


@pytest.mark.parametrize("framework", list(QUIET))
@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_left_behind(framework, fails):
    model, x = holder(framework)
    before = state(model)
    with suppress(KeyboardInterrupt), QUIET[framework](model) as watch:
        model(x)
        changed = {change.name for change in watch.python.changed()}
        assert {"cfg.n", "window.0", "kept.0", "table", "cache._hits", "fresh"} <= changed
        if fails:
            raise KeyboardInterrupt
    assert state(model) == before


@pytest.mark.parametrize("framework", list(QUIET))
def test_written_parameters_are_told_by_name(framework):
    model, _ = holder(framework)
    with QUIET[framework](model) as watch:
        assert not watch.written()
        if framework == "torch":
            model.fc.weight.data.mul_(2)
        else:
            model.fc.weight.set_value(model.fc.weight * 2)
        assert watch.written() == {"fc.weight"}


def test_a_lazy_module_stays_lazy():
    model = torch.nn.Sequential(torch.nn.LazyLinear(3))
    with torch_quiet(model):
        model(torch.ones(2, 5))
        assert type(model[0]) is torch.nn.Linear
    assert type(model[0]) is torch.nn.LazyLinear
    assert isinstance(model[0].weight, torch.nn.parameter.UninitializedParameter)
    assert model(torch.ones(2, 4)).shape == (2, 3)
