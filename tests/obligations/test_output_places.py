"""Outputs are laid beside each other where the user reads them."""

from collections import deque, namedtuple
from dataclasses import dataclass

import numpy as np

from padiff_graph.capture.leaf_names import leaves, output_leaves, settled, tree
from padiff_graph.obligations.output_places import pairs_by_place


def is_tensor(value):
    return isinstance(value, np.ndarray)


T = np.zeros(1)
Heads = namedtuple("Heads", ("mean", "scale"))


@dataclass
class Output:
    logits: object
    loss: object = None


class Cache:
    __slots__ = ("_keys",)

    def __init__(self):
        self._keys = T


class Posterior:
    def __init__(self):
        self._mean = T


def places(first, second):
    found = pairs_by_place(tree(first, is_tensor), tree(second, is_tensor))
    return (
        [(ours.name, theirs.name) for ours, theirs in found.pairs],
        [leaf.name for leaf in found.first_open],
        [leaf.name for leaf in found.second_open],
    )


def test_by_position_key_field_and_attribute():
    assert places((T, T), [T, T]) == ([("0", "0"), ("1", "1")], [], [])
    assert places({"b": T, "a": 1}, {"a": 2, "b": T}) == ([("b", "b"), ("a", "a")], [], [])
    assert places(Heads(T, T), {"scale": T, "mean": T})[0] == [("mean", "mean"), ("scale", "scale")]
    assert places(Output(T), Output(T)) == ([("logits", "logits"), ("loss", "loss")], [], [])
    assert places(T, T) == ([("output", "output")], [], [])


def test_nested():
    first = {"states": [(T, T), (T, T)], "y": T}
    second = {"y": T, "states": ((T, T), (T, T))}
    pairs, *open_places = places(first, second)
    assert len(pairs) == 5 and all(ours == theirs for ours, theirs in pairs)
    assert open_places == [[], []]


def test_places_without_a_counterpart_are_open():
    assert places((T, T), Output(T)) == ([], ["0", "1"], ["logits", "loss"])
    assert places((T, T), (T,)) == ([], ["0", "1"], ["0"])
    assert places(T, (T,)) == ([], ["output"], ["0"])
    assert places({"a": T, "b": T}, {"a": T, "c": T}) == ([("a", "a")], ["b"], ["c"])


def test_nothing_in_a_container_stands_beside_none():
    assert places((T, None), (T, [])) == ([("0", "0"), ("1", "1")], [], [])
    assert places({"aux": {}}, {"aux": None}) == ([("aux", "aux")], [], [])
    assert places((T, []), (T, ()))[0] == [("0", "0")]


def test_deques_slots_private_fields_and_generators_count():
    assert list(leaves({"states": deque([T, T])}, is_tensor)) == ["states.0", "states.1"]
    assert list(output_leaves(Cache(), is_tensor)) == ["_keys"]
    assert list(output_leaves({"dist": Posterior()}, is_tensor)) == ["dist._mean"]
    assert list(output_leaves(settled(value for value in (T, T)), is_tensor)) == ["0", "1"]
