"""One side of a region with one operation changed: only what comes behind it runs again."""

from __future__ import annotations

import numpy as np
import pytest

from padiff_graph.capture.engine import NotRunnable
from padiff_graph.diagnosis.region_half import Half
from padiff_graph.executor.partition import Slice
from padiff_graph.executor.region_run import Side
from tests.models.toy_engine import Toy, ToyEngine

X = np.linspace(-1.0, 1.0, 8, dtype=np.float32).reshape(2, 4)
LENGTH = 6


class Counting(ToyEngine):
    ran = 0

    def run(self, node, operands, **how):
        self.ran += 1
        return super().run(node, operands, **how)


def made(marks=()):
    """A chain of activations whose last one is added to the first, and what they yield."""
    model = Toy()
    weight = model.parameter("w", np.full((4, 4), 0.5, np.float32))
    x = model.input("x", X)
    chain = [model.op("linear", x, weight)]
    for _ in range(LENGTH):
        chain.append(model.op("gelu", chain[-1], marks=marks))
    chain.append(model.op("add", chain[-1], chain[0]))
    graph = model.normal().graph
    engine = Counting(model)
    side = Side(graph, engine, model.values, lambda node: None, engine.inputs(graph))
    nodes = tuple(value.node for value in chain)
    part = Slice(nodes, (0,), (x,), (weight.node,))
    return Half(side, part, {x: X}, (chain[-1],)), chain


def without(half, chain, at):
    """The half without one activation, run as a whole."""
    part = half.part
    half.known = {}
    found = half.changed(chain[at].node, instead=chain[at - 1])
    half.known, half.part = None, part
    return found


@pytest.mark.parametrize("at", [1, 3, LENGTH])
def test_what_comes_behind_is_all_that_runs_again(at):
    half, chain = made()
    expected = without(half, chain, at)[chain[-1]]
    half.changed(chain[at].node, instead=chain[at - 1])
    half.side.engine.ran = 0
    found = half.changed(chain[at].node, instead=chain[at - 1])
    assert half.side.engine.ran == LENGTH - at + 1
    np.testing.assert_array_equal(found[chain[-1]], expected)
    assert np.abs(found[chain[-1]] - half.values()[chain[-1]]).max() > 1e-3


def test_what_it_yields_as_it_is_runs_once_and_serves_the_trials_too():
    half, chain = made()
    whole = half.values()
    half.side.engine.ran = 0
    np.testing.assert_array_equal(half.values()[chain[-1]], whole[chain[-1]])
    half.changed(chain[3].node, instead=chain[2])
    assert half.side.engine.ran == LENGTH - 3 + 1


def test_all_runs_again_where_an_operation_writes_in_place():
    half, chain = made(marks=("inplace",))
    half.changed(chain[3].node, instead=chain[2])
    assert half.side.engine.ran == len(chain) - 1 and half.known is None


def test_a_value_that_is_asked_for_and_stands_in_front_is_handed_out():
    half, chain = made()
    half.wanted = (chain[1], chain[-1])
    found = half.changed(chain[4].node, instead=chain[3])
    np.testing.assert_array_equal(found[chain[1]], half.values()[chain[1]])


def test_nothing_is_handed_on_in_the_place_of_a_result_of_another_size():
    half, chain = made()
    fed = Half(
        half.side, half.part, {half.part.values[0]: np.ones((3, 4), np.float32)}, half.wanted
    )
    assert fed.values()[chain[-1]].shape == (3, 4)  # the other model's rows, more than captured
    with pytest.raises(NotRunnable, match="does not stand for its result"):
        fed.changed(chain[3].node, instead=chain[2])
