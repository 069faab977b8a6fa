"""Random operations share their draws: the mask of one side's dropout is the other side's too."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.capture.graph import ComputationGraph, Node, Value
from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.executor.partition import Slice
from padiff_graph.executor.region_run import Side
from padiff_graph.executor.side_run import side_values
from padiff_graph.executor.transfer import read
from padiff_graph.matching.result import Matching, Point

__all__ = ["Coin", "Draws", "coins", "random_pairs", "unsteady"]

RATES = ("p", "dropout_prob", "ratio", "prob", "dropout_p")
"""Attribute names under which operators hold the probability to drop."""
USUAL_RATE = 0.5
"""The same where none is given: the default of both frameworks' dropout layers."""
SPELLED: Mapping[Literal["floor", "below"], tuple[str, ...]] = {
    "floor": ("floor",),
    "below": ("less", ".lt"),
}
"""Fragments of names of operators that make a coin of a uniform draw."""
NORMAL = ("randn", "normal", "gauss")
"""Fragments of names of operators that draw from the normal distribution; others draw uniformly."""


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
        way: "coin" by one operator; "floor" as floor(u + probability), "below" as u < probability,
            of a uniform draw u.
    """

    probability: float
    way: Literal["coin", "floor", "below"]

    def drawn(self, uniform: Array) -> Array:
        """What the random operation yields, so that every way makes the same ones of one uniform
        draw."""
        if self.way == "floor":
            return uniform
        if self.way == "below":
            return 1.0 - uniform
        ones: Array = np.floor(uniform + np.float32(self.probability)).astype(np.float32)
        return ones


def coins(normal: NormalGraph) -> dict[int, Coin]:
    """The random native operations of a model that throw a coin, as it does."""
    thrown: dict[int, Coin] = {}
    for node in normal.nodes:
        if node.op != "Bernoulli" or not isinstance(node.attrs.get("p"), (int, float)):
            continue
        names = [normal.graph.record(native).op for native in node.native]
        way: Literal["coin", "floor", "below"] = "coin"
        for spelled, fragments in SPELLED.items():
            if any(fragment in name for name in names for fragment in fragments):
                way = spelled
        for native in _random(normal, node.id):
            thrown[native] = Coin(float(node.attrs["p"]), way)
    return thrown


@dataclass(frozen=True)
class Draws:
    """Makes each random node's draw, the same whenever asked.

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
        return self._thrown(1, node.id, _draw(node, self.second))

    def _thrown(self, side: int, node: int, drawn: Array | None) -> Array | None:
        """A uniform draw as the node's own way to throw a coin asks for it."""
        coin = self.coins[side].get(node)
        return drawn if coin is None or drawn is None else coin.drawn(drawn)

    def of_first(self, node: Node) -> Array | None:
        """The draw of the counterpart in the second, laid out for the first; a draw of its own
        without one."""
        return self._thrown(0, node.id, self._laid_out(node))

    def _laid_out(self, node: Node) -> Array | None:
        other = self.pairs.get(node.id)
        kind = node.outputs[0] if node.outputs else None
        drawn = None
        if other is not None and kind is not None:
            drawn = _draw(self.second.record(other[0]), self.second)
        if drawn is None or other is None or kind is None:
            return _draw(node, self.first)
        point = other[1]
        if point is not None and _lays_out(point, drawn):
            target = np.zeros(kind.shape, drawn.dtype)
            point.first_view.scatter(target, read(point.second_view, drawn))
            return target
        shape = _attention_weights(node, self.first) or kind.shape
        if drawn.size == math.prod(shape):
            return drawn.reshape(shape)
        return _draw(node, self.first)


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


def _draw(node: Node, graph: ComputationGraph) -> Array | None:
    """Seeded by the node; the keep mask of a dropout, else normal or uniform noise."""
    kind = node.outputs[0] if node.outputs else None
    if kind is None:
        return None
    weights = _attention_weights(node, graph)
    generator = np.random.default_rng(zlib.crc32(f"{node.id}".encode()))
    if "dropout" in node.op or weights is not None:
        return _kept(node, weights or kind.shape, generator)
    if any(fragment in node.op for fragment in NORMAL):
        return generator.standard_normal(kind.shape).astype(np.float32)
    return generator.random(kind.shape, np.float32)


def _kept(node: Node, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
    """The keep mask of a dropout: of whole channels for one that drops features."""
    rate = _rate(node)
    if "feature" not in node.op:
        return (generator.random(shape, np.float32) >= rate).astype(np.float32)
    channels = (*shape[:2], *[1] * len(shape[2:]))
    return np.broadcast_to(generator.random(channels) >= rate, shape).astype(np.float32)


def _rate(node: Node) -> float:
    """The probability to drop."""
    for name in RATES:
        value = node.attrs.get(name)
        if isinstance(value, (int, float)):
            return float(value)
    return USUAL_RATE


def unsteady(
    sides: Sequence[Side],
    parts: Sequence[Slice],
    feeds: Sequence[Mapping[Value, Array]],
    wanted: Sequence[Sequence[Value]],
) -> str:
    """Why a region that differs proves nothing: a custom function of the model draws random numbers
    of its own, which cannot be shared. "" where what it yields is the same every time.
    """
    for side, part, feed, values in zip(sides, parts, feeds, wanted, strict=True):
        custom = _custom_function(side.graph, part)
        if custom is not None and not _repeats(side, part, feed, values):
            return (
                f"a custom function of {custom.path or 'the root'} draws random numbers of its "
                "own, which the other side cannot share; compare in evaluation mode"
            )
    return ""


def _custom_function(graph: ComputationGraph, part: Slice) -> Node | None:
    for record in map(graph.record, part.nodes):
        if "custom_function" in record.marks:
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
