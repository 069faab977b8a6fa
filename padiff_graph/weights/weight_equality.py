"""Whether the two models hold the same weights, through the parameter map, and what is wrong where
not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from padiff_graph.alignment.hashed_weights import unshown
from padiff_graph.capture.engine import Array, Engine
from padiff_graph.diagnosis.moved_values import ORDERS
from padiff_graph.diagnosis.probes import probe
from padiff_graph.diagnosis.reordering import around, turning
from padiff_graph.executor.region_parameters import first_reads
from padiff_graph.executor.transfer import mapped
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.result import Matching, ParameterRow
from padiff_graph.sides.recorded_engine import is_recorded
from padiff_graph.weights.element_orders import ElementOrders
from padiff_graph.weights.forgotten_shifts import forgotten_by
from padiff_graph.weights.same_numbers import in_axis_orders, same_numbers
from padiff_graph.weights.summed_weights import summed_up

__all__ = ["FORGOTTEN", "weight_findings"]

UNREAD = 1 << 30
"""Behind every operation: where a parameter stands that nothing reads."""
ADVICE = "copy the weights through the parameter map: assign_weight, or auto_weights=True"
HASHED = "weights.hash_differs"
UNHELD = "copy the recorded model's own weights into the other: the recording holds their hashes"
RECORDED = "record both models with the same weights: nothing can be copied into a recording"
IN_ORDER = "compute in the second model's order, or lay the weights out anew for good"
"""Where the weights agree as they stand, copying them again would only hide what differs."""
FORGOTTEN = "weights.shift_forgotten"
"""Weights that differ, and neither a result nor a gradient does, whatever the input."""
AS_THEY_ARE, TURNED = "weights.as_they_are", "weights.read_in_another_order"
READ_OTHERWISE = (TURNED, "weights.permuted")


@dataclass(frozen=True)
class _Held:
    """One parameter as it is and as the map says it should be.

    Attributes:
        row: of the map.
        own: what it holds.
        wanted: what the map makes of the second model's parameters.
        raw: the second model's parameter as it is, the first of several.
    """

    row: ParameterRow
    own: Array
    wanted: Array
    raw: Array

    @property
    def names(self) -> dict[str, object]:
        """Facts of a cause: the names on both sides."""
        second = " + ".join(piece.second for piece in self.row.pieces)
        return {"first_name": self.row.first, "second_name": second}

    @property
    def alone(self) -> bool:
        """Whether it is made of one parameter."""
        return len(self.row.pieces) == 1

    @property
    def place(self) -> tuple[str, str]:
        """The modules that own it."""
        return _owner(self.row.first), _owner(self.row.pieces[0].second)


@dataclass(frozen=True)
class _Odd:
    """A parameter whose value is not what the map says.

    Attributes:
        held: the parameter.
        cause: what is wrong with it.
        group: equal where several parameters have one cause.
        place: where it shows, where that is elsewhere than at the parameter.
    """

    held: _Held
    cause: Cause
    group: Hashable
    place: tuple[str, str] | None = None

    @property
    def error(self) -> float:
        """The largest absolute difference; none of numbers that are not known."""
        if self.cause.kind == HASHED:
            return 0.0
        own, wanted = self.held.own.astype(np.float64), self.held.wanted.astype(np.float64)
        return float(np.abs(own - wanted).max())

    @property
    def relative(self) -> float:
        """The error against the largest value."""
        scale = float(np.abs(self.held.wanted.astype(np.float64)).max())
        return self.error / scale if scale else self.error


def weight_findings(matching: Matching, first: Engine, second: Engine) -> tuple[Finding, ...]:
    """Compares the models' own weights as they stand; nothing is written.

    One finding for each cause: a weight not transposed, two layers' weights swapped, running
    statistics never copied, or values that simply differ.
    """
    held = list(_held(matching, first, second))
    unknown = unshown(first), unshown(second)
    known = [one for one in held if not _of(one.row, unknown)]
    odds = [
        _odd(one, known, matching)
        for one in known
        if one.own.dtype.kind in "fc" and not same_numbers(one.own, one.wanted)
    ]
    odds += [
        _Odd(one, Cause.of(HASHED, **one.names), None) for one in held if _of(one.row, unknown)
    ]
    groups: dict[Hashable, list[_Odd]] = defaultdict(list)
    for odd in _with_their_weights(odds):
        groups[odd.cause.kind, odd.group].append(odd)
    order = first_reads(matching.second.graph)
    copying = RECORDED if is_recorded(first) else ADVICE
    findings = [_finding(group, order, matching, copying) for group in groups.values()]
    return tuple(sorted(findings, key=lambda finding: finding.order))


def _of(row: ParameterRow, names: tuple[frozenset[str], frozenset[str]]) -> bool:
    """Whether a row is about weights of some names, those of either side."""
    return row.first in names[0] or any(piece.second in names[1] for piece in row.pieces)


def _held(matching: Matching, first: Engine, second: Engine) -> Iterator[_Held]:
    """Every parameter that both engines have the values for."""
    ours = {name: first.array(tensor) for name, tensor in first.parameters().items()}
    theirs = {name: second.array(tensor) for name, tensor in second.parameters().items()}
    ours = summed_up(matching.parameters, ours)
    for row in matching.parameters:
        seconds = [piece.second for piece in row.pieces]
        if seconds and row.first in ours and theirs.keys() >= set(seconds):
            own = ours[row.first]
            yield _Held(row, own, mapped(row, own, theirs), theirs[seconds[0]])


# -- what is wrong with one


def _odd(held: _Held, all_held: Sequence[_Held], matching: Matching) -> _Odd:
    """The simplest explanation of a value: the layout, another parameter's, none at all, an
    order."""
    transform = {**held.names, "transform": held.row.transform}
    if held.alone and same_numbers(held.own, held.raw):
        if _in_an_own_order(held.row, matching):
            return _read_in_another_order(held, matching)
        return _Odd(held, Cause.of(AS_THEY_ARE, **transform), held.row.transform)
    square = held.own.ndim == 2 and held.own.shape[0] == held.own.shape[1]
    if square and same_numbers(held.own.T, held.wanted):
        return _Odd(held, Cause.of("weights.transposed", **transform), None)
    if held.alone and any(
        same_numbers(held.own, raw) for raw in in_axis_orders(held.raw, held.own.shape)
    ):
        return _read_in_another_order(held, matching)
    for other in all_held:
        if _swapped(held, other):
            return _swap(held, other.row.first)
    if _constant(held.own) and not _constant(held.wanted):
        number = float(held.own.reshape(-1)[0])
        return _Odd(held, Cause.of("weights.initial", **held.names, number=number), None)
    seen = probe(held.own, held.wanted)
    if seen is not None and seen.kind in ORDERS:
        cause = Cause.of("weights.permuted", **held.names).showing(seen)
        return _Odd(held, cause, held.row.first)
    forgetting = forgotten_by(matching.first, held.row.first, held.own, held.wanted)
    if forgetting is not None:
        cause = Cause.of(FORGOTTEN, **held.names, op=forgetting)
        return _Odd(held, cause, held.row.first)
    return _Odd(held, Cause.of("weights.differ", **held.names), None)


def _in_an_own_order(row: ParameterRow, matching: Matching) -> bool:
    """Whether no layout and no convention explains the order that a map asks for, so that it is one
    in which something is computed: copying by it would hide what differs."""
    orders = ElementOrders.of(matching)
    return orders.odd(row) and not orders.rotary(row)


def _with_their_weights(odds: Sequence[_Odd]) -> Iterator[_Odd]:
    """A bias that was copied as it is, beside a weight whose elements one model reads in another
    order: it is read so too, and copying it again would mend nothing."""
    turned = {odd.held.place: odd for odd in odds if odd.cause.kind == TURNED}
    for odd in odds:
        weight = turned.get(odd.held.place)
        if odd.cause.kind == AS_THEY_ARE and odd.held.own.ndim == 1 and weight is not None:
            yield replace(odd, cause=weight.cause, group=weight.group, place=weight.place)
        else:
            yield odd


def _read_in_another_order(held: _Held, matching: Matching) -> _Odd:
    """The values agree as they stand, and the models compute with their elements in another
    order."""
    first, second = held.row.first, held.row.pieces[0].second
    seen = probe(held.own, held.wanted)
    facts = {**held.names, "transform": seen or held.row.transform}
    turns = turning(
        (matching.first.graph, matching.second.graph),
        (around(matching.first, {first}), around(matching.second, {second})),
    )
    kind = TURNED
    if turns is None:
        return _Odd(held, Cause.of(kind, **facts), first)
    side, record = turns
    facts |= {"op": record.op, "path": record.path, "side": side}
    place = (record.path, held.place[1]) if side == 0 else (held.place[0], record.path)
    return _Odd(held, Cause.of(kind, **facts), record.path, place)


def _swapped(held: _Held, other: _Held) -> bool:
    """Whether a parameter holds what belongs to another one."""
    value = other.wanted
    if other.row.first == held.row.first or value.shape != held.own.shape or value.size == 1:
        return False
    if not same_numbers(held.own, value):
        return False
    return not same_numbers(value, held.wanted) and not _constant(held.own)


def _swap(held: _Held, other: str) -> _Odd:
    first, second = _named_owner(held.row.first), _named_owner(other)
    cause = Cause.of(
        "weights.swapped",
        first_name=held.row.first,
        parameter=other,
        first_owner=first,
        second_owner=second,
    )
    return _Odd(held, cause, frozenset({first, second}))


def _constant(array: Array) -> bool:
    array = np.asarray(array)
    return array.size > 0 and bool((array == array.reshape(-1)[0]).all())


def _owner(name: str) -> str:
    return name.rpartition(".")[0]


def _named_owner(name: str) -> str:
    return _owner(name) or "the root"


# -- several with one cause


def _advice(cause: Cause, copying: str) -> str:
    told = {FORGOTTEN: "", HASHED: UNHELD, **dict.fromkeys(READ_OTHERWISE, IN_ORDER)}
    return told.get(cause.kind, copying)


def _finding(
    group: Sequence[_Odd], order: Mapping[str, int], matching: Matching, copying: str
) -> Finding:
    def position(odd: _Odd) -> int:
        return order.get(odd.held.row.pieces[0].second, UNREAD)

    ranked = sorted(group, key=position)
    head = ranked[0]
    cause = head.cause
    if len(ranked) > 1:
        cause = replace(cause, facts=(*cause.facts, ("alike", len(ranked) - 1)))
    places = dict.fromkeys(odd.place or odd.held.place for odd in ranked)
    return Finding(
        "weights",
        "suspicious" if cause.kind == FORGOTTEN else "different",
        cause,
        *next(iter(places)),
        error=max(odd.error for odd in ranked),
        relative=max(odd.relative for odd in ranked),
        places=tuple(places),
        advice=_advice(cause, copying),
        order=position(head),
        frameworks=matching.frameworks,
    )
