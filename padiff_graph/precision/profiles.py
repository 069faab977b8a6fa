"""In which precision each matched operation computes, and where the two sides part.

A value that is rounded by all of its readers at once counts as rounded: what a kernel computes in
float32 and hands out in the low precision is the same as the cast behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from padiff_graph.capture.graph import ComputationGraph, Value
from padiff_graph.capture.normal.form import Edge, NormalGraph, NormalNode
from padiff_graph.matching.result import Matching
from padiff_graph.precision.placement import HIGH, LOW, Placement
from padiff_graph.precision.rounding import LowSide

__all__ = ["Parted", "Profile", "Reading", "parted"]


Profile = Mapping[str, str]
"""Precision by part of an operation: of those in PARTS that it has."""
SPELLED = ("terms", "statistics", "scaled", "result")
"""What an operation that is spelled out holds on its way: values of full size before the first
reduction, reduced ones, values of full size behind it, and what it hands out."""
BEHIND_STATISTICS = ("statistics", "scaled")
"""What a kernel holds that also reduces, whatever is spelled out before it."""
PARTS = ("operands", *SPELLED)
"""With what is scaled or shifted by a number before the operation reads it."""
SCALINGS = frozenset({"mul", "multiply", "div", "divide", "scale", "add", "sub", "subtract"})
"""Native operations that an edge may stand for and that round."""
DIVISIONS = frozenset({"div", "divide"})
"""Those of them that the normal form spells out, as a product with an inverse."""
NORMS = ("norm", "p_norm", "linalg_vector_norm")
REDUCTIONS = frozenset({"sum", "mean", "max", "amax", "logsumexp", "var", "std", *NORMS})
"""Native operations that a softmax or a normalization is spelled out with."""
PRODUCTS = frozenset({"Linear", "Gemm", "MatMul", "Conv", "ConvTranspose"})
"""Their bias is added by the kernel of one framework and by an operation of the other: no choice of
the code."""


@dataclass(frozen=True)
class Parted:
    """A pair of matched operations that do not compute in one precision.

    Attributes:
        first, second: ids of the normal nodes.
        parts: those that differ.
        kernel: whether one side holds the value inside a kernel, where no cast of the code decides.
        first_profile, second_profile: their precisions.
    """

    first: int
    second: int
    parts: tuple[str, ...]
    first_profile: Profile
    second_profile: Profile
    kernel: bool = False


class Reading:
    """One side's graph read for its precisions."""

    def __init__(self, side: LowSide, normal: NormalGraph) -> None:
        self.side = side
        self.normal = normal
        self.readers = _readers(side.graph)

    @property
    def placement(self) -> Placement:
        """Of the side as it is."""
        return self.side.placement

    def casts(self, value: Value) -> list[Value]:
        """What casts and movement make of a value, at any distance, in the low precision."""
        found: list[Value] = []
        for reader in self.readers.get(value, ()):
            made = Value(reader)
            if self._moves(reader) and self.placement.get(made) is not None:
                found += [made, *self.casts(made)]
        return [made for made in found if self.placement[made] == LOW]

    def effective(self, value: Value) -> str:
        """The precision in which all readers see a value; "" for what is no float."""
        held = self.placement.get(value)
        if held is None or held == LOW:
            return held or ""
        readers = self.readers.get(value, ())
        seen = [self.effective(Value(reader)) for reader in readers if self._moves(reader)]
        if readers and len(seen) == len(readers) and all(one == LOW for one in seen):
            return LOW
        return HIGH

    def _moves(self, number: int) -> bool:
        """Whether an operation hands on its operand's numbers: a cast, a reshape."""
        node = self.side.graph.record(number)
        return node.kind == "operation" and number not in self._computing

    @property
    def _computing(self) -> frozenset[int]:
        if not hasattr(self, "_computing_nodes"):
            natives = frozenset(
                number for node in self.normal.nodes if not node.leaf for number in node.native
            )
            self._computing_nodes = (natives | frozenset(self.normal.factors)) - self.side.casts
        return self._computing_nodes

    def results(self, node: NormalNode) -> list[Value]:
        """The floating values that an operation's native operations yield, in order."""
        return [
            Value(number)
            for number in (*sorted(node.native[:-1]), *node.native[-1:])
            if Value(number) in self.placement and self._computes(number)
        ]

    def _computes(self, number: int) -> bool:
        return number not in self.side.casts and bool(self.side.graph.record(number).inputs)

    def profile(self, node: NormalNode) -> Profile:
        """An operation's precisions; empty where it yields no float."""
        values = self.results(node)
        if not values:
            return {}
        held = dict.fromkeys(self._within_kernels(node, values), HIGH)
        for part, values in self.parts(node).items():
            if part == "result" and _inside(node):
                continue
            seen = [self.effective(value) for value in values]
            held[part] = LOW if LOW in seen else HIGH
        return held

    def _within_kernels(self, node: NormalNode, values: Sequence[Value]) -> tuple[str, ...]:
        """The parts of an operation that kernels hold, as no operation of the code yields them."""
        if len(values) == 1 or _inside(node):
            return SPELLED
        return () if self.reduces(node) else BEHIND_STATISTICS

    def parts(self, node: NormalNode) -> dict[str, list[Value]]:
        """The values of each part of an operation; of a kernel the result alone."""
        values = self.results(node)
        found: dict[str, list[Value]] = {}
        scaled = self._scaled_operands(node)
        full = max((self._size(value) for value in values), default=0)
        for value in values[:-1]:
            part = "scaled" if "statistics" in found else "terms"
            if self._size(value) < full:
                part = "statistics"
            found.setdefault(part, []).append(value)
        if values:
            found["result"] = values[-1:]
        return {"operands": scaled, **found} if scaled else found

    def divides(self, node: NormalNode) -> bool:
        """Whether it is a division of the code, whose divisor the normal form has as an operation
        of its own."""
        return all(_tail(self.side.graph, number) in DIVISIONS for number in node.native)

    def reduces(self, node: NormalNode) -> bool:
        """Whether one of an operation's native operations is a reduction of its own."""
        return any(_tail(self.side.graph, number) in REDUCTIONS for number in node.native)

    def _scaled_operands(self, node: NormalNode) -> list[Value]:
        """What edges scale on the way to an operation."""
        return [value for edge in node.inputs if edge is not None for value in self.scaled(edge)]

    def scaled(self, edge: Edge) -> list[Value]:
        """What an edge scales or shifts by a number."""
        return [
            Value(number)
            for number in dict.fromkeys(edge.through)
            if _tail(self.side.graph, number) in SCALINGS
            and Value(number) in self.placement
            and self.side.graph.record(number).constant is None
        ]

    def _size(self, value: Value) -> int:
        kind = self.side.graph.type_of(value)
        return 0 if kind is None else kind.size


def _readers(graph: ComputationGraph) -> dict[Value, list[int]]:
    readers: dict[Value, list[int]] = {}
    for node in graph.records():
        for operand in node.inputs:
            if operand is not None:
                readers.setdefault(operand, []).append(node.id)
    return readers


def parted(matching: Matching, readings: tuple[Reading, Reading]) -> Iterator[Parted]:
    """Matched operations whose precisions differ, in the second model's order."""
    for match in sorted(matching.matches, key=lambda match: match.second):
        first, second = matching.first.nodes[match.first], matching.second.nodes[match.second]
        if first.leaf or second.leaf:
            continue
        profiles = readings[0].profile(first), readings[1].profile(second)
        parts = _differing(*profiles)
        if first.op in PRODUCTS:
            parts = tuple(part for part in parts if part == "result")
        if parts:
            kernel = _kept_inside(readings, first, second, parts) or _fused(
                readings, first, second, parts
            )
            yield Parted(match.first, match.second, parts, *profiles, kernel)


def _tail(graph: ComputationGraph, number: int) -> str:
    """A native operator's own name: "mul" of "aten.mul.Tensor"."""
    return graph.record(number).op.partition(".")[2].partition(".")[0].strip("_")


def _inside(node: NormalNode) -> bool:
    """Whether the result stands on the way inside a kernel."""
    return not node.locations or node.locations[0] is None


def _kept_inside(
    readings: tuple[Reading, Reading],
    first: NormalNode,
    second: NormalNode,
    parts: tuple[str, ...],
) -> bool:
    """Whether nothing differs but what a kernel of attention keeps inside: scores, a mask added to
    them, and their softmax, unless the other side spells that out."""
    pairs = tuple(zip(readings, (first, second), strict=True))
    if not any(_inside(node) and not reading.divides(node) for reading, node in pairs):
        return False
    if set(parts) <= {"operands", "terms", "result"}:
        return True
    return not (readings[0].reduces(first) or readings[1].reduces(second))


def _fused(
    readings: tuple[Reading, Reading], first: NormalNode, second: NormalNode, parts: tuple[str, ...]
) -> bool:
    """Whether one side's kernel computes at once what the other spells out without statistics.

    Statistics are what code chooses a precision for, and so is the weight of a normalization: one
    that is spelled out without an upcast is told, whatever kernel the other side has.
    """
    if "Normalization" in first.op:
        return False
    counts = [
        len(reading.results(node)) for reading, node in zip(readings, (first, second), strict=True)
    ]
    inner = set(parts) <= {"terms", "scaled"}
    return inner and 1 in counts and max(counts) > 1


def _differing(first: Profile, second: Profile) -> tuple[str, ...]:
    return tuple(
        part for part in PARTS if part in first and part in second and first[part] != second[part]
    )
