"""Weights that structure and conventions leave open, told by gradients: both whole graphs run in
float64, and elements that what both compute answers to alike are one.

It needs no idea of how a weight is laid out or which operations read it: a convolution against a
product of unfolded windows, a cell of the library's against one that is written out. What it tells
is held against values under the second model's own numbers before anything is taken from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from padiff_graph.alignment.aligned import Alignment
from padiff_graph.alignment.map_trials import Target, Trials, readers_of, targets
from padiff_graph.alignment.value_proof import prove
from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.graph import ComputationGraph, Value
from padiff_graph.capture.interpreter import differentiable
from padiff_graph.capture.normal.index_map import View
from padiff_graph.executor.pair_setup import pair_of
from padiff_graph.executor.region_parameters import first_reads, share
from padiff_graph.executor.region_run import Side
from padiff_graph.executor.transfer import mapped, read
from padiff_graph.executor.whole_graph import example_values, graph_values, pulled_gradients
from padiff_graph.matching.parameters.element_classes import Classes, Elements, rows_of
from padiff_graph.matching.parameters.row_changes import with_rows
from padiff_graph.matching.result import Matching, ParameterRow
from padiff_graph.sides.recorded_engine import is_recorded

__all__ = ["told_by_gradients"]

ELEMENTS = 1 << 18
"""Most open elements of a side; chosen so that parting them takes a second at most."""
OPERATIONS = 100_000
"""Most operations that all runs take together, as for trials of maps."""
NUMBERS = 1 << 28
"""Most numbers that all runs compute together; chosen so that they take a minute at most where they
are those of convolutions, which take a microsecond for each three of them in float64."""
FEWEST = 8
"""Runs below which nothing is begun: fewer part no model's elements."""
ROUNDS = 64
"""Most runs of one question."""
QUESTIONS = 6
"""Most questions: all outputs at once, then matched values from the first on."""
SURE = 0.97
"""Confidence in a row that a run has proved, as for one that was tried."""
AGREE = 1e-8
"""Relative difference up to which values of float64 runs on one set of weights are one."""
LARGEST = 0.5
"""Spread of the numbers of elements, over the fourth root of their count: a square weight keeps the
size of what passes through it."""
STILL = 2
"""Runs without a new class after which elements are taken to be interchangeable; a second one since
two gradients may fall together once."""


SILENT = 4
"""The same where some have not answered yet, which activations may let through another time."""


def told_by_gradients(alignment: Alignment) -> Alignment:
    """The alignment with rows for weights that gradients tell; itself where they tell none."""
    matching = alignment.matching
    sides = _elements(matching)
    if sides is None or any(is_recorded(engine) for engine in alignment.engines):
        return alignment
    if _affordable(matching) < FEWEST:
        return alignment
    behind = readers_of(matching.first.graph, set(sides[0].shapes))
    aims = targets(matching, behind)
    outputs = tuple(aim for aim in aims if aim.output)
    questions = [outputs] if outputs else []
    questions += [(aim,) for aim in aims if not aim.output and _singly(aim)]
    try:
        for question in questions[:QUESTIONS]:
            rows = _Question.of(alignment, sides, question).rows()
            proved = _proved(alignment, rows, aims, question) if rows else None
            if proved is not None:
                return proved
    except NotRunnable as error:
        return replace(alignment, notes=(*alignment.notes, f"not run: {error}"))
    return alignment


def _affordable(matching: Matching) -> int:
    """How many runs of both graphs there may be."""
    graphs = matching.first.graph, matching.second.graph
    operations = max(len(graph) for graph in graphs)
    kinds = [kind for graph in graphs for node in graph.records() for kind in node.outputs]
    numbers = sum(kind.size for kind in kinds if kind is not None)
    return min(ROUNDS, OPERATIONS // max(operations, 1), NUMBERS // max(numbers, 1))


def _singly(aim: Target) -> bool:
    """Whether both views read no element twice."""
    return aim.first_view.injective and aim.second_view.injective


def _elements(matching: Matching) -> tuple[Elements, Elements] | None:
    """The open parameters of both sides; None where one has none, or too many elements."""
    first = [row.first for row in matching.parameters if row.status in ("open", "neutral")]
    both = (
        _of_floats(matching.first.graph, first),
        _of_floats(matching.second.graph, matching.unused_second),
    )
    if all(0 < len(side) <= ELEMENTS for side in both):
        return both
    return None


def _of_floats(graph: ComputationGraph, names: Sequence[str]) -> Elements:
    """Those of floats, in the order in which the program reads them."""
    reads = first_reads(graph)
    in_order = sorted(names, key=lambda name: reads.get(name, len(graph)))
    infos = {name: graph.parameters[name].type for name in in_order}
    return Elements(
        {
            name: tuple(info.shape)
            for name, info in infos.items()
            if differentiable(info.dtype) and not info.dtype.startswith("complex")
        }
    )


def _proved(
    alignment: Alignment,
    rows: Mapping[str, ParameterRow],
    aims: tuple[Target, ...],
    question: tuple[Target, ...],
) -> Alignment | None:
    """The alignment with rows under which what was asked agrees with the second model's own weights
    too, and nothing else less than without; None where it does not."""
    trials = Trials(alignment.engines, aims)
    before = trials.agreeing(alignment.matching)
    changed = with_rows(alignment.matching, rows)
    asked = {number for number, aim in enumerate(aims) if aim in question}
    if not trials.agreeing(changed) >= before | asked:
        return None
    known = {
        name: replace(row, confidence=SURE, proved=True, reason=f"{row.reason}, and values agree")
        for name, row in rows.items()
    }
    changed = with_rows(alignment.matching, known)
    proof = prove(changed, alignment.layout, *alignment.engines)
    return replace(alignment, matching=proof.mark(changed, alignment.layout), proof=proof)


@dataclass
class _Question:
    """One value, or all outputs, and how it answers to the open elements.

    Attributes:
        sides: both graphs with the weights that are known.
        rows_so_far: of the parameter map.
        elements: the open ones of both.
        aims: the values that are held against each other.
        fed: the example's inputs, moved at random alike where both are the same.
        runs: how many are left.
    """

    sides: tuple[Side, Side]
    rows_so_far: Sequence[ParameterRow]
    elements: tuple[Elements, Elements]
    aims: tuple[Target, ...]
    fed: tuple[Mapping[str, Array], Mapping[str, Array]]
    runs: int
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    @classmethod
    def of(
        cls, alignment: Alignment, elements: tuple[Elements, Elements], aims: tuple[Target, ...]
    ) -> _Question:
        matching = alignment.matching
        shared = share(matching, *alignment.engines)
        pair = pair_of(matching, alignment.engines, shared)
        sides = pair.first, pair.second
        rows = [row for row in matching.parameters if row.pieces]
        fed = _moved_inputs(matching, sides)
        return cls(sides, rows, elements, aims, fed, _affordable(matching))

    def rows(self) -> dict[str, ParameterRow]:
        """Rows of parameters whose every element is told."""
        classes = self._refined(Classes.start(*self.elements))
        return rows_of(*self.elements, classes.partners()) if classes is not None else {}

    def _refined(self, classes: Classes) -> Classes | None:
        """The classes, as far as they can be parted; None where both sides do not answer alike.

        What cannot be parted is interchangeable: any order does, if all go along. The order in
        which they stand is taken, of all classes at once, or, where that does not hold, of one
        class, then of one element of it.
        """
        guesses: list[Classes] = []
        still = 0
        while self.runs > 0:
            parted = self._asked(classes)
            if parted is None:
                if not guesses:
                    return None
                classes, still = guesses.pop(), 0
                continue
            still = still + 1 if _as_much(parted, classes) else 0
            classes = parted
            if not classes.open() and (still >= SILENT or not classes.silent):
                return classes
            if still >= STILL and classes.open():
                guesses = classes.guesses()
                classes, still = guesses.pop(), 0
        return None if classes.open() else classes

    def _asked(self, classes: Classes) -> Classes | None:
        """The classes parted once more; None where the values differ, or the gradients do."""
        self.runs -= 1
        numbers = self._numbers(classes)
        found = self._answers(numbers, self._known()) if classes.asked else None
        # with other signs a root or a logarithm may have no value
        found = found or self._answers(numbers, ({}, {}))
        return None if found is None else classes.parted(*found)

    def _answers(
        self, numbers: Sequence[Array], known: Sequence[Mapping[str, Array]]
    ) -> list[Array] | None:
        """Each side's gradients under numbers of the open elements and of what is known; None where
        the values differ."""
        sides = [
            replace(side, parameters={**side.parameters, **other, **elements.apart(own)})
            for side, other, elements, own in zip(
                self.sides, known, self.elements, numbers, strict=True
            )
        ]
        seeds = self._seeds(sides)
        if seeds is None:
            return None
        return [
            elements.together(pulled_gradients(side, seed, double=True, fed=fed))
            for elements, side, seed, fed in zip(self.elements, sides, seeds, self.fed, strict=True)
        ]

    def _numbers(self, classes: Classes) -> tuple[Array, Array]:
        """A number for each class, at random but for the first time; what adds starts at zero, so
        that it may be added in one model more often than in the other."""
        size = LARGEST * len(classes.first) ** -0.25
        if classes.asked:
            drawn = self.random.normal(0.0, size, classes.count)
        else:
            drawn = np.array([0.0, size])
        return classes.numbers(drawn)

    def _known(self) -> tuple[dict[str, Array], dict[str, Array]]:
        """Weights that have their counterpart with signs at random: what they let die on the way
        hides what is read there."""
        ours, theirs = (dict(side.parameters) for side in self.sides)
        names = {piece.second for row in self.rows_so_far for piece in row.pieces}
        turned = {
            name: array * self.random.choice([-1.0, 1.0], array.shape).astype(array.dtype)
            for name in sorted(names)
            if (array := np.asarray(theirs[name])).dtype.kind == "f"
            and not self.sides[1].graph.parameters[name].buffer
        }
        rows = [row for row in self.rows_so_far if any(p.second in turned for p in row.pieces)]
        held = {**theirs, **turned}
        return {row.first: mapped(row, ours[row.first], held) for row in rows}, turned

    def _seeds(self, sides: Sequence[Side]) -> tuple[dict[Value, Array], ...] | None:
        """Cotangents of the values that are asked, the same on both sides; None where the values
        differ."""
        ours, theirs = (
            graph_values(side, list(dict.fromkeys(wanted)), double=True, fed=fed)
            for side, wanted, fed in zip(
                sides,
                ([aim.first for aim in self.aims], [aim.second for aim in self.aims]),
                self.fed,
                strict=True,
            )
        )
        seeds: tuple[dict[Value, Array], dict[Value, Array]] = ({}, {})
        for aim in self.aims:
            one = read(aim.first_view, ours[aim.first])
            other = read(aim.second_view, theirs[aim.second])
            if not _alike(one, other.reshape(one.shape)):
                return None
            drawn = self.random.normal(size=one.size)
            _scatter(seeds[0], aim.first, aim.first_view, ours[aim.first].shape, drawn)
            _scatter(seeds[1], aim.second, aim.second_view, theirs[aim.second].shape, drawn)
        return seeds


def _as_much(parted: Classes, before: Classes) -> bool:
    """Whether a run has told nothing new."""
    return parted.count == before.count and len(parted.silent) == len(before.silent)


def _scatter(
    seeds: dict[Value, Array], value: Value, view: View, shape: tuple[int, ...], drawn: Array
) -> None:
    """Adds numbers to the cotangent of a value, where a view of it reads."""
    part = np.zeros(shape)
    view.scatter(part, drawn.reshape(view.shape))
    seeds[value] = seeds[value] + part if value in seeds else part


def _alike(ours: Array, theirs: Array) -> bool:
    """Whether two values are one, and finite."""
    scale = float(np.abs(theirs).max(initial=0.0))
    gap = float(np.abs(ours - theirs).max(initial=0.0))
    return bool(np.isfinite(scale + gap)) and gap <= AGREE * scale


def _moved_inputs(
    matching: Matching, sides: tuple[Side, Side]
) -> tuple[Mapping[str, Array], Mapping[str, Array]]:
    """Random numbers in the place of inputs that are equal on both sides: an example of zeros or
    ones tells elements less well apart."""
    ours, theirs = (example_values(side) for side in sides)
    random = np.random.default_rng(1)
    moved: tuple[dict[str, Array], dict[str, Array]] = ({}, {})
    for match in matching.matches:
        names = matching.first.nodes[match.first].name, matching.second.nodes[match.second].name
        if matching.first.nodes[match.first].op != "Input" or names[0] not in ours:
            continue
        one, other = ours[names[0]], theirs.get(names[1])
        if other is not None and one.dtype.kind == "f" and np.array_equal(one, other):
            drawn = one + random.normal(0.0, float(one.std()) or 1.0, one.shape)
            moved[0][names[0]] = moved[1][names[1]] = drawn.astype(one.dtype)
    return moved
