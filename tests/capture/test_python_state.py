"""What a run changed in a model's Python state, and all of it put back."""

from collections import OrderedDict, deque
from types import SimpleNamespace

import numpy as np
import pytest

from padiff_graph.capture.python_state import ABSENT, PythonState


class Arrays:
    """Numpy arrays of one element stand for tensors here."""

    def is_tensor(self, value):
        return isinstance(value, np.ndarray) and value.ndim == 0

    def copied(self, tensor):
        return tensor.copy()

    def unchanged(self, tensor, numbers):
        return bool(tensor == numbers)

    def put_back(self, tensor, numbers):
        tensor[...] = numbers


class Slotted:
    __slots__ = ("keys", "length")

    def __init__(self):
        self.keys = [1]
        self.length = 0


class Module:
    def __init__(self):
        self.count = 0
        self.config = SimpleNamespace(calls=0, names=["a"])
        self.window = deque([1, 2], maxlen=3)
        self.table = np.zeros(3)
        self.cache = Slotted()
        self.seen = {"x"}
        self.order = OrderedDict(a=1)
        self.tensor = np.array(1.0)
        self.nan = float("nan")
        self._hooks = {}


def change(module):
    module.count += 1
    module.config.calls += 1
    module.config.names.append("b")
    module.window.append(3)
    module.table[1] = 5
    module.cache.length = 4
    module.cache.keys.append(2)
    module.seen.add("y")
    module.order["b"] = 2
    module.tensor[...] = 7.0
    module.fresh = [1]
    module._hooks["h"] = print


def state_of(module):
    return PythonState([("block", module)], Arrays(), frozenset({"_hooks"}))


def test_an_unchanged_model_has_no_changes():
    assert not list(state_of(Module()).changed())


def test_every_change_is_told_with_both_values():
    module = Module()
    state = state_of(module)
    change(module)
    changes = {entry.name: entry for entry in state.changed()}
    assert changes["count"].before == 0 and changes["count"].after == 1
    assert changes["config.calls"].after == 1
    assert changes["config.names.1"].before is ABSENT and changes["config.names.1"].after == "b"
    assert changes["cache.length"].after == 4
    assert {"window.2", "table", "tensor", "fresh", "cache.keys.1", "order.b"} <= set(changes)
    assert all(entry.owner == "block" for entry in changes.values())
    assert not any(name.startswith("_hooks") for name in changes)


def test_everything_is_put_back():
    module = Module()
    holders = {name: id(value) for name, value in vars(module).items()}
    state = state_of(module)
    change(module)
    state.restore()
    assert not list(state.changed())
    assert {name: id(value) for name, value in vars(module).items() if name != "count"} == {
        name: place for name, place in holders.items() if name != "count"
    }
    assert module.count == 0 and module.config.names == ["a"] and module.config.calls == 0
    assert module.window == deque([1, 2], maxlen=3) and not module.table.any()
    assert module.cache.length == 0 and module.cache.keys == [1] and module.seen == {"x"}
    assert list(module.order) == ["a"] and module.tensor == 1.0 and not module._hooks
    assert not hasattr(module, "fresh")


@pytest.mark.parametrize("depth", [3, 500])
def test_deep_and_circular_holders(depth):
    module = Module()
    inner = module.config
    for _ in range(depth):
        inner.below = SimpleNamespace(value=0)
        inner = inner.below
    inner.top = module.config
    state = state_of(module)
    inner.value = 1
    assert [entry.after for entry in state.changed()] == [1]
    state.restore()
    assert inner.value == 0
