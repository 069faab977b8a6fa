from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from padiff_graph.capture import leaf_names as leaves

Point = namedtuple("Point", "left right")


@dataclass(frozen=True)
class Answer:
    logits: Any
    states: Any = None


class Cache:
    def __init__(self, keys):
        self.keys = keys
        self.length = 3


def is_array(value):
    return isinstance(value, np.ndarray)


def some(n):
    return [np.full(2, i) for i in range(n)]


def test_names_follow_the_way_to_the_leaf():
    a, b, c, d, e = some(5)
    example = {
        "x": a,
        "batch": {"mask": b, "flag": True},
        "states": [c, (d, None)],
        "cache": Cache(e),
    }
    assert list(leaves.leaves(example, is_array)) == [
        "x",
        "batch.mask",
        "states.0",
        "states.1.0",
        "cache.keys",
    ]
    assert leaves.values(example, is_array) == {"batch.flag": True, "cache.length": 3}


def test_outputs_of_every_kind():
    a, b = some(2)
    assert list(leaves.output_leaves(a, is_array)) == ["output"]
    assert list(leaves.output_leaves((a, [b]), is_array)) == ["0", "1.0"]
    assert list(leaves.output_leaves(Answer(a, Point(a, b)), is_array)) == [
        "logits",
        "states.left",
        "states.right",
    ]
    assert list(leaves.output_leaves(OrderedDict(loss=a), is_array)) == ["loss"]


@pytest.mark.parametrize(
    "make",
    [
        lambda a: {"k": [a]},
        lambda a: (Point(a, 1),),
        lambda a: [Answer(a)],
        lambda a: {"c": Cache(a)},
        lambda a: a,
    ],
)
def test_replace_copies_and_leaves_the_original(make):
    old, new = some(2)
    structure = make(old)
    (name,) = leaves.leaves(structure, is_array)
    changed = leaves.replace(structure, is_array, {name: new})
    assert type(changed) is type(structure)
    assert leaves.leaves(changed, is_array)[name] is new
    assert leaves.leaves(structure, is_array)[name] is old


def test_replace_gives_containers_of_their_own():
    (a,) = some(1)

    class Counter:
        def __init__(self):
            self.seen = []

    counter = Counter()
    example = {"x": a, "options": {"k": [1]}, "counter": counter, "call": len}
    copied = leaves.replace(example, is_array, {})
    copied["options"]["k"].append(2)
    copied["counter"].seen.append(3)
    assert example["options"] == {"k": [1]} and counter.seen == []
    assert copied["x"] is a and copied["call"] is len


def test_replace_refuses_unknown_names():
    with pytest.raises(KeyError, match="no leaves named"):
        leaves.replace({"x": some(1)[0]}, is_array, {"y": 1})


def test_equal_names_are_told_apart_and_cycles_end():
    a, b = some(2)
    tangled: dict[str, Any] = {"a.b": a, "a": {"b": b}}
    tangled["self"] = tangled
    assert list(leaves.leaves(tangled, is_array)) == ["a.b", "a.b~2"]
