"""How local rewrites run: one sweep over the graph, operands first, every rule on every draft."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from padiff_graph.capture.normal.builder import Builder, Draft
from padiff_graph.capture.normal.edges import affine, view_of
from padiff_graph.capture.normal.form import Edge, Location

__all__ = ["Rule", "Sweep", "applies_to", "same_operand", "same_value", "sweep"]


class Sweep:
    """What a rule sees besides its draft.

    Attributes:
        builder: the graph under construction.
        readers: how many operands and outputs read each draft, as of the start of the sweep.
    """

    def __init__(self, builder: Builder, readers: list[int]) -> None:
        self.builder = builder
        self.readers = readers

    def source(self, edge: Edge | None) -> Draft | None:
        """The draft behind an operand."""
        return None if edge is None else self.builder.drafts[edge.source]

    def alone(self, draft: Draft) -> bool:
        """Whether a draft has a single reader and carries nothing that must stay visible."""
        return (
            self.readers[draft.id] if draft.id < len(self.readers) else 1
        ) == 1 and not draft.marks & {"gradient_hook", "custom_function"}

    def made_of(
        self,
        draft: Draft,
        op: str,
        inputs: Sequence[Edge | None],
        attrs: dict[str, object],
        *parts: Draft,
        outputs: tuple[object, ...] | None = None,
        native: tuple[int, ...] = (),
    ) -> Draft:
        """A new draft in place of `draft`, standing for `parts` too; same result, same location."""
        kept = {by for edge in inputs if edge is not None for by in edge.through}
        behind: list[int] = []
        for part in (*parts, draft):
            # What the edges into it did and no operand of the new draft says is done inside it now.
            behind += [
                by
                for edge in part.inputs
                if edge is not None
                for by in edge.through
                if by not in kept
            ]
            behind += part.native
        stands = tuple(dict.fromkeys([*native, *behind]))
        new = self.builder.add(
            op,
            inputs,
            attrs,
            draft.outputs if outputs is None else outputs,
            native=stands,
            like=draft,
        )  # type: ignore[arg-type]
        if outputs is None:
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
        """`draft` = scale * `new` + shift from now on. Where the new value stands on no native tensor
        as it is, its location tells the scale at which it does."""
        if scale != 1.0 or shift != 0.0:
            held = [place for place in (draft.locations[0], *draft.aliases) if place is not None]
            places = [
                Location(
                    place.value, place.view, place.scale * scale, place.scale * shift + place.shift
                )
                for place in held
            ]
            places.sort(
                key=lambda place: (
                    not (math.isclose(place.scale, 1.0, rel_tol=1e-6) and abs(place.shift) < 1e-12)
                )
            )
            new.locations[0] = places[0] if places else None
            new.aliases = places[1:]
            if (
                places
                and math.isclose(places[0].scale, 1.0, rel_tol=1e-6)
                and abs(places[0].shift) < 1e-12
            ):
                new.locations[0] = Location(places[0].value, places[0].view)
        self.builder.replace(draft, affine(self.builder.read(new), scale, shift, *by))


Rule = Callable[[Sweep, Draft], bool]
"""Rewrites one draft where it applies, by `Sweep.replace`; says whether it did."""

_OPERATORS: dict[Rule, frozenset[str]] = {}


def applies_to(*operators: str) -> Callable[[Rule], Rule]:
    """Names the operators that a rule rewrites; without it the rule sees every draft."""

    def note(rule: Rule) -> Rule:
        _OPERATORS[rule] = frozenset(operators)
        return rule

    return note


def sweep(builder: Builder, rules: Sequence[Rule]) -> None:
    """Applies rules to every live draft, operands first; what a rule makes is offered to the others too."""
    order = builder.order()
    readers = [0] * len(builder.drafts)
    for draft in order:
        for edge in draft.inputs:
            if edge is not None:
                readers[edge.source] += 1
    for edge in (*builder.outputs.values(), *builder.updates.values()):
        readers[edge.source] += 1
    state = Sweep(builder, readers)
    chosen: dict[str, list[Rule]] = {}
    for draft in order:
        if draft.leaf:
            continue
        current = draft
        again = True
        while again:
            builder.refresh(current)
            again = False
            if current.op not in chosen:
                chosen[current.op] = [
                    rule
                    for rule in rules
                    if rule not in _OPERATORS or current.op in _OPERATORS[rule]
                ]
            for rule in chosen[current.op]:
                before = len(builder.drafts)
                if rule(state, current):
                    builder.rewrites[rule.__name__] += 1
                    # A new draft inherits the readers of the one it replaces.
                    readers.extend([1] * (len(builder.drafts) - len(readers)))
                    made = current.replaced.get(0)
                    if made is None:
                        # Changed in place: the others see it as it is now.
                        again = True
                    elif made.source >= before and len(current.outputs) == 1:
                        readers[made.source] = readers[current.id]
                        current = builder.drafts[made.source]
                        again = True
                    break
        if len(readers) < len(builder.drafts):
            readers.extend([1] * (len(builder.drafts) - len(readers)))


def same_operand(first: Edge, second: Edge) -> bool:
    """Whether two operands read the same elements of the same draft, scaled alike."""
    same = (first.source, first.output, first.scale, first.shift) == (
        second.source,
        second.output,
        second.scale,
        second.shift,
    )
    return same and view_of(first).same(view_of(second))


def same_value(builder: Builder, first: Draft, second: Draft, deep: int = 1) -> bool:
    """Whether two drafts compute the same thing from the same operands, or from operands that do, `deep`
    drafts further up; models compute some values twice."""
    if first is second:
        return True
    if (
        first.op != second.op
        or first.leaf
        or first.attrs != second.attrs
        or len(first.inputs) != len(second.inputs)
        or "random" in first.marks | second.marks
    ):
        return False
    for a, b in zip(first.inputs, second.inputs, strict=True):
        if a is None or b is None:
            if a is not b:
                return False
            continue
        twice = (
            deep > 0
            and a.source != b.source
            and same_value(builder, builder.drafts[a.source], builder.drafts[b.source], deep - 1)
        )
        if not same_operand(
            a, b if not twice else Edge(a.source, b.output, b.view, b.scale, b.shift)
        ):
            return False
    return True
