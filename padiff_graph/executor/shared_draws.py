"""Random operations share their draws: the mask of one side's dropout is the other side's too."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.capture.graph import ComputationGraph, Node, Value
from padiff_graph.capture.normal.form import INVERTED, NormalGraph, NormalNode
from padiff_graph.capture.normal.traits import attributes_equal
from padiff_graph.executor.partition import Slice
from padiff_graph.executor.region_run import Side
from padiff_graph.executor.side_run import side_values
from padiff_graph.executor.transfer import read
from padiff_graph.matching.result import Matching, Point

__all__ = ["Coin", "Draws", "coins", "random_pairs", "unsteady"]

NORMAL = ("randn", "normal", "gauss")
"""Fragments of names of operators that draw from the normal distribution; others draw uniformly."""
SMALLER, LARGER = ("less", ".lt", ".le"), ("greater", ".gt", ".ge")
"""Fragments of names of operators that compare a draw with a bound."""
THROWN = ("bernoulli", "dropout", "floor", "ceil")
"""Fragments of names of operators that throw a coin by themselves: larger draws give a one."""
STEPS = 1 << 16
"""Uniform draws are odd multiples of half of one over this: no usual probability is among them, and
float32 holds them and their sums with one exactly."""
DISPUTED = 0.25
"""Share of a coin's draws put where coins of two probabilities fall on different sides: chosen so
that few draws show it and most stay as they are."""


def random_pairs(matching: Matching) -> dict[int, tuple[int, Point | None]]:
    """For each random native node of the first side: its counterpart, and the point that lays one's
    elements out like the other's."""
    points: dict[tuple[int, int], Point] = {}
    for point in matching.points:
        points.setdefault((point.first.node, point.second.node), point)
    pairs: dict[int, tuple[int, Point | None]] = {}
    for match in matching.matches:
        firsts = _random(matching.first, match.first)
        seconds = _random(matching.second, match.second)
        if len(firsts) == len(seconds):
            for first, second in zip(firsts, seconds, strict=True):
                pairs[first] = second, points.get((first, second))
    return pairs


def _random(normal: NormalGraph, node: int) -> list[int]:
    """The native operations of a node that draw random numbers."""
    return [
        native
        for native in normal.nodes[node].native
        if "random" in normal.graph.record(native).marks
    ]


@dataclass(frozen=True, slots=True)
class Coin:
    """How ones of a probability are drawn.

    Attributes:
        probability: of a one.
        below: whether a small uniform draw gives a one, as in u < probability, rather than a large
            one, as in floor(u + probability), u > 1 - probability, and where an operator throws
            the coin.
    """

    probability: float
    below: bool

    def drawn(self, uniform: Array) -> Array:
        """The random operation's own draw, so that every way makes the same ones of one uniform
        draw."""
        return 1.0 - uniform if self.below else uniform


def coins(normal: NormalGraph) -> dict[int, Coin]:
    """The random native operations of a model that throw a coin, as it does; a dropout throws one
    for each element that it keeps."""
    thrown: dict[int, Coin] = {}
    for node in normal.nodes:
        probability = _probability(node)
        if probability is None:
            continue
        below = _below(normal, node) != (INVERTED in node.marks)
        for native in _random(normal, node.id):
            thrown[native] = Coin(probability, below)
    return thrown


def _probability(node: NormalNode) -> float | None:
    """How likely a node's coins give a one; None for what throws none."""
    if node.op == "Bernoulli" and isinstance(node.attrs.get("p"), (int, float)):
        return float(node.attrs["p"])
    if node.op == "Dropout" and isinstance(node.attrs.get("ratio"), (int, float)):
        return 1.0 - float(node.attrs["ratio"])
    return None


def _below(normal: NormalGraph, node: NormalNode) -> bool:
    """Whether a comparison makes ones of the smaller draws; what is compared behind the throw, the
    coin itself, decides nothing."""
    records = {native: normal.graph.record(native) for native in node.native}
    drawn: set[int] = set()
    for native, record in sorted(records.items()):
        reads = [value is not None and value.node in drawn for value in record.inputs]
        if "random" in record.marks or any(reads):
            drawn.add(native)
        if any(fragment in record.op for fragment in THROWN):
            return False
        if any(reads) and any(fragment in record.op for fragment in SMALLER):
            return reads[0]
        if any(reads) and any(fragment in record.op for fragment in LARGER):
            return not reads[0]
    return False


@dataclass(frozen=True)
class Draws:
    """Makes each random node's draw, the same whenever asked: raw numbers, of which every operation
    makes its own.

    Attributes:
        first, second: the captured graphs.
        pairs: as of `random_pairs`.
        coins: of each side, as of `coins`.
    """

    first: ComputationGraph
    second: ComputationGraph
    pairs: Mapping[int, tuple[int, Point | None]]
    coins: tuple[Mapping[int, Coin], Mapping[int, Coin]] = ({}, {})

    def of_second(self, node: Node) -> Array | None:
        """A draw of the second side's own."""
        return self._thrown(1, node.id, self._raw(node))

    def _thrown(self, side: int, node: int, drawn: Array | None) -> Array | None:
        """A uniform draw as the node's own way to throw a coin asks for it."""
        coin = self.coins[side].get(node)
        return drawn if coin is None or drawn is None else coin.drawn(drawn)

    def _raw(self, node: Node) -> Array | None:
        """Raw numbers of a node of the second side: where its counterpart throws coins of another
        probability, some fall where the two part."""
        drawn = _draw(node, self.second)
        own = self.coins[1].get(node.id)
        other = self.coins[0].get(self._back.get(node.id, -1))
        if drawn is None or own is None:
            return drawn
        drawn = _with_both_faces(drawn, own.probability)
        if other is None:
            return drawn
        if attributes_equal(own.probability, other.probability):
            return drawn
        return _with_disputed(drawn, own.probability, other.probability)

    @cached_property
    def _back(self) -> dict[int, int]:
        """Random node of the second side -> its counterpart."""
        return {second: first for first, (second, _) in self.pairs.items()}

    def of_first(self, node: Node) -> Array | None:
        """The draw of the counterpart in the second, laid out for the first; a draw of its own
        without one."""
        return self._thrown(0, node.id, self._laid_out(node))

    def _laid_out(self, node: Node) -> Array | None:
        pair = self.pairs.get(node.id)
        kind = node.outputs[0] if node.outputs else None
        if pair is None or kind is None:
            return _draw(node, self.first)
        drawn = self._raw(self.second.record(pair[0]))
        if drawn is None:
            return _draw(node, self.first)
        point = pair[1]
        if point is not None and _lays_out(point, drawn):
            target = np.zeros(kind.shape, drawn.dtype)
            point.first_view.scatter(target, read(point.second_view, drawn))
            return target
        shape = _own_shape(node, self.first)
        if shape is not None and drawn.size == math.prod(shape):
            return drawn.reshape(shape)
        return _draw(node, self.first)


def _with_both_faces(drawn: Array, probability: float) -> Array:
    """Draws of which one at least gives a one and one at least none: a rare face that never comes
    up hides what is done there."""
    parting = 1.0 - probability
    if drawn.size < 2 or not 0.0 < probability < 1.0:
        return drawn
    faced: Array = drawn.copy()
    flat = faced.reshape(-1)
    if (flat >= parting).all():
        flat[flat.argmin()] = parting / 2
    elif (flat < parting).all():
        flat[flat.argmax()] = 1.0 - probability / 2
    return faced


def _with_disputed(drawn: Array, *probabilities: float) -> Array:
    """Draws of which some lie where a coin of one probability gives a one and of the other none."""
    low, high = sorted(1.0 - probability for probability in probabilities)
    flat: Array = drawn.reshape(-1).copy()
    order = np.argsort(flat, kind="stable")[: math.ceil(flat.size * DISPUTED)]
    flat[order] = (low + high) / 2
    disputed: Array = flat.reshape(drawn.shape)
    return disputed


def _lays_out(point: Point, drawn: Array) -> bool:
    """Whether a point says where each element of a draw stands on the first side."""
    return (
        drawn.size == point.second_view.source
        and point.first_view.size == point.second_view.size
        and point.first_view.permutation
    )


def _attention_weights(node: Node, graph: ComputationGraph) -> tuple[int, ...] | None:
    """Shape of the weights inside a fused attention, which is what it drops; None for anything
    else."""
    if "attention" not in node.op:
        return None
    kinds = {
        role: graph.type_of(value)
        for role, value in zip(node.roles, node.inputs, strict=True)
        if value is not None
    }
    query, key = kinds.get("query"), kinds.get("key")
    return None if query is None or key is None else (*query.shape[:-1], key.shape[-2])


def _own_shape(node: Node, graph: ComputationGraph) -> tuple[int, ...] | None:
    """How many numbers a node draws: of channels one for each."""
    kind = node.outputs[0] if node.outputs else None
    if kind is None:
        return None
    if "feature" in node.op:
        return (*kind.shape[:2], *[1] * len(kind.shape[2:]))
    return _attention_weights(node, graph) or kind.shape


def _draw(node: Node, graph: ComputationGraph) -> Array | None:
    """Raw numbers seeded by the node: normal or uniform."""
    shape = _own_shape(node, graph)
    if shape is None:
        return None
    generator = np.random.default_rng(zlib.crc32(f"{node.id}".encode()))
    if any(fragment in node.op for fragment in NORMAL):
        return generator.standard_normal(shape).astype(np.float32)
    steps = generator.integers(STEPS, size=shape)
    return ((steps + 0.5) / STEPS).astype(np.float32)


def unsteady(
    sides: Sequence[Side],
    parts: Sequence[Slice],
    feeds: Sequence[Mapping[Value, Array]],
    wanted: Sequence[Sequence[Value]],
) -> str:
    """Why a region that differs proves nothing: an operation that cannot be given its draw, or a
    custom function of the model, draws random numbers of its own. "" where what it yields is the
    same every time.
    """
    for side, part, feed, values in zip(sides, parts, feeds, wanted, strict=True):
        own = _own_draw(side.graph, part)
        if own is None:
            continue
        where = own.path or "the root"
        if "unshareable_random" in own.marks:
            return f"{own.op} of {where} {OF_ITS_OWN}"
        if not _repeats(side, part, feed, values):
            return f"a custom function of {where} {OF_ITS_OWN}"
    return ""


OF_ITS_OWN = (
    "draws random numbers of its own, which the other side cannot share; compare in evaluation mode"
)


def _own_draw(graph: ComputationGraph, part: Slice) -> Node | None:
    """The first operation that draws what cannot be shared, or may."""
    for record in map(graph.record, part.nodes):
        if not record.marks.isdisjoint({"custom_function", "unshareable_random"}):
            return record
    return None


def _repeats(side: Side, part: Slice, feed: Mapping[Value, Array], values: Sequence[Value]) -> bool:
    """Whether two runs yield the same numbers."""
    once = side_values(side, part, feed, values)
    again = side_values(side, part, feed, values)
    return all(
        np.array_equal(once[value], again[value], equal_nan=once[value].dtype.kind == "f")
        for value in values
    )
