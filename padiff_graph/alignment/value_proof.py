"""What running both captures under the parameter map shows: fingerprints for matching, proofs for
rows.

Each side is replayed once on its own example with weights that are equal through the map, constants
randomised. Equal values at a matched pair say that everything above it is right. Nothing is written
into either model.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from padiff_graph.alignment.replay import visit_values
from padiff_graph.capture.engine import Array, Engine
from padiff_graph.capture.graph import ComputationGraph, Value
from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.executor.region_parameters import share
from padiff_graph.matching.parameters.points import Layout
from padiff_graph.matching.result import Matching, ParameterRow, Point
from padiff_graph.matching.rungs.value_evidence import Fingerprint

__all__ = ["Proof", "matched_whole", "prove"]

SAMPLES = 64
"""Elements of each point that are laid side by side."""
CLOSE = 1e-3
"""Largest difference of two samples, against the tensor's root mean square, that float32 noise
explains."""

LEAST = 1e-12
"""The least that a tensor's size is taken for, so that zeros may be told from next to nothing."""


@dataclass
class Proof:
    """What a run showed.

    Attributes:
        first, second: fingerprints of native values.
        agreeing: points whose sampled elements are equal, by position in `Matching.points`.
        disagreeing: points whose elements differ although both tensors hold the same numbers: the
            layout is wrong.
        apart: native values of points whose elements differ.
        notes: what could not be run.
        deployed: whether both sides ran with the weights that they carry.
    """

    first: dict[Value, Fingerprint] = field(default_factory=dict)
    second: dict[Value, Fingerprint] = field(default_factory=dict)
    agreeing: set[int] = field(default_factory=set)
    disagreeing: set[int] = field(default_factory=set)
    apart: set[tuple[Value, Value]] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    deployed: bool = False

    def mark(self, matching: Matching, layout: Layout) -> Matching:
        """Rows proved by what read them, and points without those whose layout is wrong."""
        shown = {
            matching.points[index].match for index in self.agreeing if index < len(matching.points)
        }
        readers: dict[str, set[int]] = defaultdict(set)
        names = {
            alias: name
            for name, info in matching.first.graph.parameters.items()
            for alias in (name, *info.aliases)
        }
        for reading in layout.readings:
            readers[names.get(reading.first, reading.first)].add(reading.match)
        rows = tuple(
            replace(row, proved=True, confidence=max(row.confidence, 0.99))
            if self._proved(row, readers.get(row.first, set()), shown)
            else row
            for row in matching.parameters
        )
        points = tuple(
            point for index, point in enumerate(matching.points) if index not in self.disagreeing
        )
        return replace(matching, parameters=rows, points=points)

    def whole(self, matching: Matching, layout: Layout) -> bool:
        """Whether every point agrees and both sides are matched whole, so that there is nothing
        left to find."""
        # a further result beside one that agrees (statistics, which the frameworks update unlike)
        # tells nothing of the match
        return (
            matched_whole(matching)
            and self._shows_orders(matching, layout)
            and all(
                index in self.agreeing
                for index, point in enumerate(matching.points)
                if not point.first.output
            )
        )

    def _shows_orders(self, matching: Matching, layout: Layout) -> bool:
        """Whether an order of elements that was taken from shapes has a point that shows it: where
        it is wrong nothing behind it is laid out, so that no point disagrees."""
        shown = {matching.points[index].match for index in self.agreeing}
        return all(reading.certain or reading.match in shown for reading in layout.readings)

    def confirm(self, matching: Matching) -> Matching:
        """The matches with what agreeing values say of them."""
        shown = {matching.points[index].match for index in self.agreeing}
        matches = tuple(
            replace(
                match,
                confidence=max(match.confidence, 0.95),
                reason=f"{match.reason}; values agree",
            )
            if index in shown and match.confidence < 0.97
            else match
            for index, match in enumerate(matching.matches)
        )
        return replace(matching, matches=matches)

    @staticmethod
    def _proved(row: ParameterRow, readers: set[int], shown: set[int]) -> bool:
        return row.status == "mapped" and bool(readers) and readers <= shown


def matched_whole(matching: Matching) -> bool:
    """Whether no operation and no parameter of either side is left without a partner."""
    partner = matching.partner()
    matched = (partner.keys(), set(partner.values()))
    left = any(
        not node.leaf and node.id not in side
        for normal, side in zip((matching.first, matching.second), matched, strict=True)
        for node in normal.nodes
    )
    return not left and all(row.status != "open" for row in matching.parameters)


def prove(
    matching: Matching,
    layout: Layout,
    first_engine: Engine,
    second_engine: Engine,
    *,
    prints: bool = True,
) -> Proof:
    """Runs both sides and compares every point.

    A deployed model is run with the weights that it carries: an exporter folds some into others.
    Without `prints` only samples are compared, which costs a tenth; where they disagree nothing
    tells why.
    """
    deployed = "onnx" in (matching.first.graph.framework, matching.second.graph.framework)
    shared = share(matching, first_engine, second_engine, as_they_are=deployed)
    proof = Proof(deployed=deployed)
    taken: list[dict[int, Array]] = []
    for side, (normal, engine, values, taking) in enumerate(
        (
            (matching.first, first_engine, shared.first, proof.first),
            (matching.second, second_engine, shared.second, proof.second),
        )
    ):
        own: dict[int, Array] = {}
        samples = _samples(matching.points, side)
        lost = _run(normal, engine, values, taking if prints else None, samples, own)
        proof.notes.extend(f"not run: {reason}" for reason in lost[:1])
        taken.append(own)
    for index, point in enumerate(matching.points):
        ours, theirs = taken[0].get(index), taken[1].get(index)
        if ours is None or theirs is None or ours.shape != theirs.shape:
            continue
        scale = max(proof.second[point.second].square, LEAST) if prints else _size(theirs)
        if _close(ours, theirs, scale):
            proof.agreeing.add(index)
            continue
        proof.apart.add((point.first, point.second))
        if prints and _moved(proof.first[point.first], proof.second[point.second]):
            proof.disagreeing.add(index)
    return proof


def _moved(first: Fingerprint, second: Fingerprint) -> bool:
    """Whether two tensors hold the same numbers: where their elements differ, the layout is
    wrong."""
    return first.agrees(second) and first.telling


def _run(
    normal: NormalGraph,
    engine: Engine,
    values: Mapping[str, Array],
    prints: dict[Value, Fingerprint] | None,
    samples: Mapping[Value, list[tuple[int, Array]]],
    taken: dict[int, Array],
) -> list[str]:
    graph: ComputationGraph = normal.graph
    wanted = set(samples)
    if prints is not None:
        wanted |= {
            location.value
            for node in normal.nodes
            for location in node.locations
            if location is not None and node.op != "Parameter"
        }

    def visit(value: Value, array: Array) -> None:
        if prints is not None:
            prints[value] = Fingerprint.of(array)
        flat = array.reshape(-1)
        for index, positions in samples.get(value, ()):
            if positions.size and positions.max() < flat.size:
                taken[index] = flat[positions].astype(
                    np.complex128 if flat.dtype.kind == "c" else np.float64
                )

    return visit_values(graph, engine, values, wanted, visit)


def _samples(points: tuple[Point, ...], side: int) -> dict[Value, list[tuple[int, Array]]]:
    """Which elements of each native value to keep, by point."""
    samples: dict[Value, list[tuple[int, Array]]] = defaultdict(list)
    for index, point in enumerate(points):
        if point.first_view.size != point.second_view.size or point.first_view.size == 0:
            continue
        size = point.first_view.size
        positions = (
            np.unique(np.random.default_rng(size).integers(0, size, SAMPLES))
            if size > SAMPLES
            else np.arange(size)
        )
        value, view = (
            (point.first, point.first_view) if side == 0 else (point.second, point.second_view)
        )
        samples[value].append((index, view.at(positions.astype(np.int64))))
    return samples


def _size(sample: Array) -> float:
    """The root mean square of what is finite in a sample."""
    finite = np.abs(sample[np.isfinite(sample)])
    return max(float(np.sqrt(np.mean(finite * finite))), LEAST) if finite.size else LEAST


def _close(ours: Array, theirs: Array, scale: float) -> bool:
    finite = np.isfinite(theirs)
    if not np.array_equal(finite, np.isfinite(ours)):
        return False
    gaps, sizes = np.abs(ours[finite] - theirs[finite]), np.abs(theirs[finite])
    return bool((gaps <= CLOSE * (scale + sizes)).all())
