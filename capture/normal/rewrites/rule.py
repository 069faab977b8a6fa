"""How local rewrites run: one sweep over the graph, operands first, every rule on every draft.

A rule looks at one draft and what is behind its operands, refuses by returning False, or puts
something else in its place and returns True. It leaves the same elements at the same native
locations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal.builder import Builder
from padiff_graph.capture.normal.draft import Draft
from padiff_graph.capture.normal.edges import affine, moved, reshape
from padiff_graph.capture.normal.form import HELD, Edge, Location
from padiff_graph.capture.normal.index_map import View

__all__ = ["EXACT", "Rule", "Sweep", "applies_to", "sweep"]

EXACT = 1e-6
"""Relative distance from one within which a scale is one: chosen so that rounding of a factor and
its inverse in float32 counts as none."""
NO_SHIFT = 1e-12
"""A shift below this is none: chosen below what float32 adds to anything of ordinary size."""


class Sweep:
    """What a rule sees besides its draft.

    Attributes:
        builder: the graph under construction.
        readers: how many operands and outputs read each draft, as of the start of the sweep; what a
            rule makes inherits the readers of what it replaces.
    """

    def __init__(self, builder: Builder, order: Iterable[Draft]) -> None:
        self.builder = builder
        self.readers = readers = [0] * len(builder.drafts)
        ends = (*builder.outputs.values(), *builder.updates.values())
        for edges in (*[draft.inputs for draft in order], ends):
            for edge in edges:
                if edge is not None:
                    readers[edge.source] += 1

    # -- asking

    def source(self, edge: Edge | None) -> Draft | None:
        """The draft behind an operand."""
        return None if edge is None else self.builder.drafts[edge.source]

    def behind(self, edge: Edge | None, *operators: str) -> Draft | None:
        """The draft behind an operand where it is of one of these operators."""
        if edge is None:
            return None
        source = self.builder.drafts[edge.source]
        return source if source.op in operators else None

    def alone(self, draft: Draft) -> bool:
        """Whether a draft has a single reader and carries nothing that must stay visible."""
        count = self.readers[draft.id] if draft.id < len(self.readers) else 1
        return count == 1 and not draft.marks & HELD

    def learned(self, edge: Edge) -> bool:
        """Whether an operand is computed from parameters, whatever goes in."""
        source = self.builder.drafts[edge.source]
        return not source.varies and source.op != "Constant"

    def varies(self, edge: Edge) -> bool:
        """Whether an operand depends on an input or a random draw."""
        return self.builder.drafts[edge.source].varies

    # -- making

    def made_of(
        self,
        draft: Draft,
        op: str,
        inputs: Sequence[Edge | None],
        attrs: Mapping[str, object],
        *parts: Draft,
        kind: TensorType | None = None,
        native: tuple[int, ...] = (),
    ) -> Draft:
        """A new draft in place of `draft`, standing for `parts` too.

        It has the results of `draft` at their locations, or one result of another `kind`, whose
        location `replace_reshaped` and `replace_moved` tell.
        """
        outputs = draft.outputs if kind is None else (kind,)
        stands = (*native, *_absorbed(inputs, (*parts, draft)))
        new = self.builder.add(
            op, inputs, attrs, outputs, native=tuple(dict.fromkeys(stands)), like=draft
        )
        if kind is None:
            new.locations, new.aliases = list(draft.locations), list(draft.aliases)
        for part in parts:
            new.marks |= part.marks
        new.gradient = new.gradient or draft.gradient
        new.varies = new.varies or draft.varies
        return new

    def replace(
        self,
        draft: Draft,
        new: Draft,
        scale: float = 1.0,
        shift: float = 0.0,
        by: tuple[int, ...] = (),
    ) -> None:
        """`draft` = scale * `new` + shift from now on. Where the new value stands on no native
        tensor as it is, its location tells the scale at which it does."""
        if scale != 1.0 or shift != 0.0:
            held = [place for place in (draft.locations[0], *draft.aliases) if place is not None]
            places = [_scaled(place, scale, shift) for place in held]
            places.sort(key=lambda place: place.scale != 1.0 or place.shift != 0.0)
            new.locations[0] = places[0] if places else None
            new.aliases = places[1:]
        self.builder.replace(draft, affine(self.builder.read(new), scale, shift, *by))

    def replace_reshaped(self, draft: Draft, new: Draft) -> None:
        """`draft` = `new` in another shape from now on."""
        place = draft.locations[0]
        if place is not None:
            new.locations[0] = Location(place.value, place.view.reshape(new.shape))
        self.builder.replace(draft, reshape(self.builder.read(new), draft.shape))

    def replace_moved(self, draft: Draft, new: Draft, view: View, back: View) -> None:
        """`draft` = `view` of `new` from now on; `back` reads `draft` and yields `new`."""
        place = draft.locations[0]
        if place is not None:
            new.locations[0] = Location(place.value, place.view.then(back))
        self.builder.replace(draft, moved(self.builder.read(new), view))

    # -- running

    def rewrite(self, draft: Draft, rules: Mapping[str, Sequence[Rule]]) -> None:
        """Offers a draft to the rules of its operator, and what they make of it to theirs."""
        current: Draft | None = draft
        while current is not None:
            self.builder.refresh(current)
            current = self._first(current, rules.get(current.op, rules[EVERY]))

    def _first(self, draft: Draft, rules: Sequence[Rule]) -> Draft | None:
        """Applies the first rule that does not refuse; the draft that is to be looked at again."""
        before = len(self.builder.drafts)
        applied = None
        for rule in rules:
            if rule(self, draft):
                applied = rule
                break
        self.readers.extend([1] * (len(self.builder.drafts) - len(self.readers)))
        if applied is None:
            return None
        self.builder.note(applied.__name__, draft)
        made = draft.replaced.get(0)
        if made is None:
            return draft  # changed in place
        if made.source < before or len(draft.outputs) != 1:
            return None
        self.readers[made.source] = self.readers[draft.id]
        return self.builder.drafts[made.source]


def _absorbed(inputs: Sequence[Edge | None], parts: Iterable[Draft]) -> list[int]:
    """The native operations of parts, and those on edges into them that no operand of the whole
    says."""
    said = {by for edge in inputs if edge is not None for by in edge.through}
    native: list[int] = []
    for part in parts:
        for edge in part.inputs:
            if edge is not None:
                native += [by for by in edge.through if by not in said]
        native += part.native
    return native


def _scaled(place: Location, scale: float, shift: float) -> Location:
    """Where a value lives whose multiple lives at a place; the scale exactly one where it nearly
    is."""
    scale, shift = place.scale * scale, place.scale * shift + place.shift
    if math.isclose(scale, 1.0, rel_tol=EXACT) and abs(shift) < NO_SHIFT:
        return Location(place.value, place.view)
    return Location(place.value, place.view, scale, shift)


Rule = Callable[[Sweep, Draft], bool]
"""Rewrites one draft where it applies, by `Sweep.replace`; says whether it did."""

EVERY = ""
"""Key of the rules that see every operator."""
_OPERATORS: dict[Rule, frozenset[str]] = {}


def applies_to(*operators: str) -> Callable[[Rule], Rule]:
    """Names the operators that a rule rewrites; without it the rule sees every draft."""

    def note(rule: Rule) -> Rule:
        _OPERATORS[rule] = frozenset(operators)
        return rule

    return note


def _by_operator(rules: Collection[Rule]) -> dict[str, list[Rule]]:
    """The rules of each operator, in order."""
    named = {op for rule in rules for op in _OPERATORS.get(rule, ())}
    return {
        op: [rule for rule in rules if rule not in _OPERATORS or op in _OPERATORS[rule]]
        for op in (*named, EVERY)
    }


def sweep(builder: Builder, rules: Collection[Rule]) -> None:
    """Applies rules to every live draft, operands first; what a rule makes is offered to all of
    them."""
    order = builder.order()
    state = Sweep(builder, order)
    chosen = _by_operator(rules)
    for draft in order:
        if not draft.leaf:
            state.rewrite(draft, chosen)
