"""What both models returned, held against each other place by place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from padiff_graph.check.eager_models import EagerModel
from padiff_graph.check.whole_quantities import pair_outputs
from padiff_graph.executor.output_pairs import yielded_alike
from padiff_graph.matching.result import Matching
from padiff_graph.obligations.crossed_outputs import Crossing, crossings
from padiff_graph.obligations.output_findings import Answers
from padiff_graph.obligations.output_layouts import Layout, layout_of
from padiff_graph.obligations.returned import Laid, Unlike, lay, numbers, unlike
from padiff_graph.referee.closeness import closeness
from padiff_graph.referee.tolerance import Quantity, Tolerance, quantity

__all__ = ["answers_of", "output_quantities"]


def answers_of(
    models: tuple[EagerModel, EagerModel],
    matching: Matching | None,
    asked: Tolerance,
    steady: Callable[[], frozenset[str]] | None,
) -> tuple[Answers, list[Quantity]]:
    """What two runs returned, and each number of it held against the tolerance.

    Args:
        models: both runs.
        matching: of the two; None where there is none.
        asked: the tolerance.
        steady: tells which plain values of the second are the same whatever is drawn; None where
            nothing is drawn.
    """
    first, second = models

    def by_yield(firsts: Sequence[str], seconds: Sequence[str]) -> list[tuple[str, str]]:
        return pair_outputs(matching, firsts, seconds)

    laid = lay(first.returned, second.returned, by_yield)
    held = list(output_quantities(laid, list(second.outputs), asked))
    answers = Answers(
        pairs=tuple(laid.pairs),
        unlike=tuple(_differing(laid, asked, steady)),
        crossed=_crossings(models, laid, matching, asked),
        lost=laid.lost,
        random=steady is not None,
    )
    if not answers.random and not answers.crossed:
        answers = replace(answers, layouts=tuple(_layouts(models, laid, held)))
    return answers, held


def _crossings(
    models: tuple[EagerModel, EagerModel], laid: Laid, matching: Matching | None, asked: Tolerance
) -> tuple[Crossing, ...]:
    if matching is None:
        return ()
    placed = [(ours.name, theirs.name) for ours, theirs in laid.placed]
    arrays = models[0].outputs, models[1].outputs
    return crossings(placed, yielded_alike(matching), arrays, asked)


def _layouts(
    models: tuple[EagerModel, EagerModel], laid: Laid, held: Sequence[Quantity]
) -> Iterator[Layout]:
    """Outputs beyond the tolerance whose axes stand in another order."""
    tensors = set(laid.pairs)
    for entry in held:
        if entry.within or (entry.first, entry.second) not in tensors:
            continue
        arrays = models[0].outputs[entry.first], models[1].outputs[entry.second]
        layout = layout_of(entry.first, *arrays)
        if layout is not None:
            yield layout


def output_quantities(laid: Laid, order: Sequence[str], asked: Tolerance) -> Iterator[Quantity]:
    """Every returned number of both models that corresponds, held against the tolerance: tensors in
    the second's order, then plain numbers with a fraction."""
    tensors = sorted((*laid.placed, *laid.yielded), key=lambda pair: order.index(pair[1].name))
    plain = [pair for pair in laid.plain if all(isinstance(leaf.value, float) for leaf in pair)]
    for ours, theirs in (*tensors, *plain):
        held = numbers(ours.value), numbers(theirs.value)
        own = asked.own(ours.name, theirs.name)
        single = quantity("output", ours.name, theirs.name, *held, own or asked)
        named = None if own is None else (own.atol, own.rtol)
        yield replace(single, closeness=closeness(*held), own=named)


def _differing(
    laid: Laid, asked: Tolerance, steady: Callable[[], frozenset[str]] | None
) -> list[tuple[str, str, Unlike]]:
    """Places with two types or values, without the values that draws may have made."""
    found: list[tuple[str, str, Unlike]] = []
    for ours, theirs in (*laid.placed, *laid.yielded, *laid.plain):
        difference = unlike(ours, theirs, asked)
        if difference is not None:
            found.append((ours.name, theirs.name, difference))
    if steady is None or all(entry[2].way != "value" for entry in found):
        return found
    same = steady()
    return [entry for entry in found if entry[2].way != "value" or entry[1] in same]
