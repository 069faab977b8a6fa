"""The normal form of a model of equal blocks is the one that the whole graph gives."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable

import pytest

from padiff_graph.capture.graph import ComputationGraph, ParameterInfo, Value
from padiff_graph.capture.normal import normalize as normalizing
from padiff_graph.capture.normal import repeated_blocks as finding
from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.capture.normal.stamping import Finished, stamped
from tests.capture.normal.test_normalize import block
from tests.models.graph_maker import Maker
from tests.models.spelled import add, call, composed_norm, linear, mul

SHAPE = (2, 3, 8)
Blocks = Callable[[ComputationGraph], finding.Blocks | None]


class Both:
    """Normal forms both ways, however few operations it saves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stamps = 0
        monkeypatch.setattr(finding, "WORTH", 1)
        monkeypatch.setattr(normalizing, "stamped", self._stamped)
        self.patch = monkeypatch

    def _stamped(self, blocks: finding.Blocks, short: Finished) -> Finished:
        whole = stamped(blocks, short)
        self.stamps += 1
        return whole

    def __call__(self, graph: ComputationGraph) -> int:
        """How many runs were stamped out, both forms being equal."""
        self.stamps = 0
        found = normalizing.normalize(graph)
        with self.patch.context() as patch:
            patch.setattr(normalizing, "repeated_blocks", lambda graph: None)
            told(found, normalizing.normalize(graph))
        return self.stamps


def told(one: NormalGraph, other: NormalGraph) -> None:
    """Two forms are equal to the last word."""
    assert one.graph is other.graph
    for ours, theirs in zip(one.nodes, other.nodes, strict=True):
        assert repr(ours) == repr(theirs)
    for fact in ("outputs", "updates", "rewrites", "unread", "factors", "unasked"):
        assert getattr(one, fact) == getattr(other, fact), fact


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Both:
    return Both(monkeypatch)


def apart(graph: ComputationGraph) -> ComputationGraph:
    """The graph with a name of its own for each parameter."""
    records = [
        dataclasses.replace(record, name=f"{record.id}.{record.name}")
        if record.kind == "parameter"
        else record
        for record in graph.records()
    ]
    infos = {
        record.name: ParameterInfo(record.name, record.outputs[0])
        for record in records
        if record.kind == "parameter" and record.outputs[0] is not None
    }
    return ComputationGraph.build(graph.framework, records, parameters=infos)


@pytest.mark.parametrize("framework", ["torch", "paddle"])
@pytest.mark.parametrize("blocks", [12, 25])
def test_a_decoder(both: Both, framework: str, blocks: int) -> None:
    graph = block(framework, blocks=blocks)  # which calls the scales of all its norms one name
    assert both(graph) == 0
    assert both(apart(graph)) == 1


def test_few_operations_are_not_looked_at() -> None:
    assert finding.repeated_blocks(block("torch", blocks=20)) is None


def with_paths(graph: ComputationGraph, paths: Callable[[int], str]) -> ComputationGraph:
    """The graph, each operation in the module of its place."""
    records = [
        dataclasses.replace(record, path=paths(record.id)) if record.kind == "operation" else record
        for record in graph.records()
    ]
    return ComputationGraph.build(graph.framework, records, parameters=graph.parameters)


def test_each_block_has_its_own_paths(both: Both) -> None:
    make = Maker("torch")
    x = make.input("x", SHAPE)
    begins = []
    for at in range(20):
        begins.append(len(make.nodes))
        x = call(make, "relu", "relu", linear(make, x, SHAPE, 8, 8, f"{at}."), SHAPE)
    graph = make.done(x)
    for width in (1, 2):  # modules of one block, and of two
        paths = with_paths(
            graph, lambda id, width=width: f"m.{sum(id >= begin for begin in begins) // width}"
        )
        both(paths)


def residual(make: Maker, x: Value, name: str, epsilon: float = 1e-6) -> Value:
    y = linear(make, composed_norm(make, x, SHAPE, False, epsilon), SHAPE, 8, 8, f"{name}.")
    return add(make, x, call(make, "relu", "relu", y, SHAPE), SHAPE)


@pytest.mark.parametrize("framework", ["torch", "paddle"])
def test_one_block_is_another(both: Both, framework: str) -> None:
    make = Maker(framework)
    x = make.input("x", SHAPE)
    for at in range(40):
        x = residual(make, x, str(at), 1e-5 if at == 17 else 1e-6)
    assert both(apart(make.done(x))) == 2


@pytest.mark.parametrize("framework", ["torch", "paddle"])
def test_a_result_in_the_middle(both: Both, framework: str) -> None:
    make = Maker(framework)
    x = make.input("x", SHAPE)
    between = [x := residual(make, x, str(at)) for at in range(40)]
    scaled = mul(make, between[30], between[30], SHAPE)
    assert both(apart(make.done(x, scaled))) == 1


@pytest.mark.parametrize("framework", ["torch", "paddle"])
def test_two_stacks_and_what_all_blocks_read(both: Both, framework: str) -> None:
    make = Maker(framework)
    x, mask = make.input("x", SHAPE), make.input("mask", SHAPE)
    mask = call(make, "relu", "relu", mask, SHAPE)
    for at in range(15):
        x = residual(make, x, f"first.{at}")
    for at in range(15):
        y = call(make, "tanh", "tanh", linear(make, x, SHAPE, 8, 8, f"then.{at}."), SHAPE)
        x = add(make, x, mul(make, y, mask, SHAPE), SHAPE)
    assert both(apart(make.done(x))) == 2


def test_tied_weights_and_frozen_ones(both: Both) -> None:
    make = Maker("torch")
    x = make.input("x", SHAPE)
    for at in range(20):
        x = residual(make, x, str(at))
    names = list(make.parameters)
    tied = make.parameters[names[4]]
    make.parameters[names[4]] = ParameterInfo(names[4], tied.type, aliases=(names[6],))
    del make.parameters[names[6]]
    both(make.done(x))
    make.parameters[names[4]] = dataclasses.replace(tied, trainable=False)
    both(make.done(x))


@pytest.mark.parametrize("framework", ["torch", "paddle"])
def test_what_grows_with_every_block_is_not_stamped_out(both: Both, framework: str) -> None:
    make = Maker(framework)
    x = make.input("x", SHAPE)
    for at in range(30):
        x = add(make, x, make.parameter(f"{at}", SHAPE), SHAPE)
    assert both(make.done(x)) == 0


STEPS = ("linear", "relu", "norm", "residual", "mask", "square", "cut", "tanh", "twice")


def grown(seed: int, framework: str) -> ComputationGraph:
    """A stack of blocks drawn at random, read and altered at random places."""
    rng = random.Random(seed)
    make = Maker(framework)
    x, mask = make.input("x", SHAPE), make.input("mask", SHAPE)
    steps = [rng.choice(STEPS) for _ in range(rng.randint(1, 6))]
    odd = rng.choice([None, None, rng.randrange(40)])
    between: list[Value] = []
    for at in range(rng.randint(14, 40)):
        entered = x
        for place, step in enumerate(steps if at != odd else [*steps, "relu"]):
            x = _step(make, step, x, entered, mask, f"{at}.{place}.")
        between.append(x)
    ends = [x, *rng.sample(between, rng.choice([0, 0, 1]))]
    return make.done(*ends)


def _step(make: Maker, step: str, x: Value, entered: Value, mask: Value, name: str) -> Value:
    if step == "linear":
        return linear(make, x, SHAPE, 8, 8, name)
    if step == "norm":
        return composed_norm(make, x, SHAPE, False, 1e-6)
    if step == "residual":
        return add(make, x, entered, SHAPE)
    if step == "mask":
        return mul(make, x, mask, SHAPE)
    if step == "square":
        return mul(make, x, x, SHAPE)
    if step == "cut":
        return make.op(
            "relu", {"self" if make.framework == "torch" else "x": x}, SHAPE, ["no_grad"]
        )
    if step == "twice":
        return add(make, x, x, SHAPE)
    op = "relu" if step == "relu" else "tanh"
    return call(make, op, op, x, SHAPE)


@pytest.mark.parametrize("framework", ["torch", "paddle"])
def test_random_stacks(both: Both, framework: str) -> None:
    assert sum(both(apart(grown(seed, framework))) for seed in range(60)) > 20
