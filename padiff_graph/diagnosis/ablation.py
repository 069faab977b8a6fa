"""A differing region computed again without one of its operations: where both sides then agree,
that operation is the whole difference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.graph import Node, Value
from padiff_graph.capture.interpreter import differentiable
from padiff_graph.diagnosis.moved_values import ORDERS
from padiff_graph.diagnosis.plain_names import IDLE, plain_name
from padiff_graph.diagnosis.probes import probe
from padiff_graph.diagnosis.region_half import Half
from padiff_graph.diagnosis.trial_runs import TRIALS, VANISHED, Differing, apart, halves_of
from padiff_graph.executor.pair_run import Fed, Pair
from padiff_graph.executor.partition import Cut, Region
from padiff_graph.executor.region_run import Side, members
from padiff_graph.executor.value_names import value_name
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.sentences import DEEDS
from padiff_graph.referee.region_result import Surplus

__all__ = ["inverted", "parts_turned", "stand_ins", "surplus"]


@dataclass(frozen=True, slots=True)
class _Trial:
    """An operation to leave out, and the operand to hand on in its place."""

    side: int
    node: int
    operand: Value


def surplus(found: Differing) -> Surplus | None:
    """The operation that one side has too many, None where leaving out one does not make the sides
    agree."""
    if found.before is None:
        return None
    halves = found.halves
    for trial in _trials(halves):
        left = _left(found.cut, halves, found.whole, trial)
        if left is not None and left <= VANISHED * found.before:
            return Surplus(trial.side, trial.node, _deed(halves[trial.side], trial))
    return None


def inverted(pair: Pair, region: Region, feed: Fed) -> Cause | None:
    """That both sides agree once truth values that the first side reads are inverted: one of them
    lacks a Not, or has one too many."""
    cut = region.cut
    truths = [value for value, array in feed.first.items() if array.dtype.kind == "b"]
    if not cut.exact or not truths:
        return None
    first, second = halves_of(pair, region, feed)
    try:
        ours, theirs = first.values(), second.values()
        before = apart(cut, ours, theirs)
        for value in truths[:TRIALS]:
            turned = first.fed_otherwise({**feed.first, value: ~feed.first[value]})
            left = apart(cut, turned, theirs)
            if before and left is not None and left <= VANISHED * before:
                return Cause.of("operand.inverted", tensor=value_name(pair.first, value))
    except NotRunnable:
        return None
    return None


def parts_turned(pair: Pair, region: Region, feed: Fed) -> Cause | None:
    """That both sides agree once the first side puts its parts together in reverse order: a
    concatenation or stack of the same parts."""
    cut = region.cut
    joining = [node for node in map(pair.first.graph.record, region.first.nodes) if members(node)]
    if not cut.exact or not joining:
        return None
    first, second = halves_of(pair, region, feed)
    try:
        ours, theirs = first.values(), second.values()
    except NotRunnable:
        return None
    before = apart(cut, ours, theirs)
    for node in joining[:TRIALS]:
        try:
            left = apart(cut, first.changed(node.id, turned=True), theirs)
        except NotRunnable:  # parts of other sizes, which its readers refuse
            continue
        if before and left is not None and left <= VANISHED * before:
            line = {"source": node.source} if node.source else {}
            return Cause.of("operand.parts", op=node.op, **line)
    return None


def _left(
    cut: Cut,
    halves: tuple[Half, Half],
    whole: tuple[dict[Value, Array], dict[Value, Array]],
    trial: _Trial,
) -> float | None:
    """How far the sides are apart without an operation."""
    try:
        without = halves[trial.side].changed(trial.node, instead=trial.operand)
    except NotRunnable:
        return None
    if trial.side == 0:
        return apart(cut, without, whole[1])
    return apart(cut, whole[0], without)


def _trials(halves: tuple[Half, Half]) -> Iterator[_Trial]:
    """Operations of a kind that the other side has fewer of first, the later before the earlier
    ones."""
    kinds = [_kinds(half) for half in halves]
    ranked: list[tuple[tuple[bool, int], _Trial]] = []
    for side, half in enumerate(halves):
        for node in half.part.nodes:
            record = half.side.graph.record(node)
            name = plain_name(record.op)
            rank = kinds[side][name] <= kinds[1 - side][name], -node
            if name not in IDLE:
                ranked += [
                    (rank, _Trial(side, node, operand)) for operand in stand_ins(half.side, record)
                ]
    ranked.sort(key=lambda entry: entry[0])
    for _, trial in ranked[:TRIALS]:
        yield trial


def _kinds(half: Half) -> Counter[str]:
    """How many operations of each kind a side has."""
    return Counter(plain_name(half.side.graph.record(node).op) for node in half.part.nodes)


def stand_ins(side: Side, record: Node) -> Iterator[Value]:
    """The operands that could be handed on in the place of an operation: of its dtype and size."""
    result = Value(record.id)
    dtype = side.dtype(result)
    if not (differentiable(dtype) or dtype == "bool"):
        return
    size = np.prod(side.shape(result))
    for operand in record.inputs:
        if operand is None or side.dtype(operand) != dtype:
            continue
        if np.prod(side.shape(operand)) == size:
            yield operand


def _deed(half: Half, trial: _Trial) -> Cause | None:
    """What an operation hands on, as far as the numbers tell."""
    result, operand = Value(trial.node), trial.operand
    given = {operand: half.feed[operand]} if operand in half.feed else {}
    try:
        ran = given | half.values(tuple(value for value in (result, operand) if value not in given))
    except NotRunnable:
        return None
    seen = probe(ran[result], ran[operand].reshape(ran[result].shape))
    if seen is None or seen.kind not in DEEDS.keys() | ORDERS:
        return None
    return seen
