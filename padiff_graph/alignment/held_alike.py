"""Weights that no run has shown, and that both models hold alike: the same numbers are a map.

A fault beside keeps any candidate from making values agree. Where both models hold the same random
numbers under one candidate alone, they were written with it in mind, and the fault is looked for
under that map; a guess from shapes would tell of an order that is right. Numbers that agree under
several candidates, as those of constants and of symmetric weights do, tell none, and what a run has
shown stands, whatever the numbers are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from padiff_graph.alignment.aligned import Alignment
from padiff_graph.alignment.value_proof import prove
from padiff_graph.matching.parameters.candidates import Choice, Option
from padiff_graph.matching.parameters.names import template
from padiff_graph.matching.parameters.row_changes import with_rows
from padiff_graph.matching.result import Matching, ParameterRow

__all__ = ["SAME", "Unshown", "held_alike"]

NAMED = "the same name, shape and values on both sides"
SAME = "the same values on both sides"
"""How the reason of a row ends that nothing but equal numbers tells."""


@dataclass(frozen=True)
class Unshown:
    """What was asked about parameters, and what runs have shown of it.

    Attributes:
        asked: the questions, with what both models hold under each answer.
        shown: parameters of the first model whose rows a run has borne out.
    """

    asked: tuple[Choice, ...] = ()
    shown: frozenset[str] = frozenset()


def held_alike(alignment: Alignment, unshown: Unshown, before: Matching) -> Alignment:
    """The alignment with rows for what both models hold alike; itself where there are none.

    Args:
        alignment: with what runs and gradients have told.
        unshown: what was asked.
        before: the matching before gradients told anything.
    """
    if alignment.written:
        return alignment  # what a map wrote agrees with that map, right or wrong
    matching = alignment.matching
    known = {row.first: row for row in before.parameters}
    told = {row.first for row in matching.parameters if row.pieces != known[row.first].pieces}
    rows = _used_once(matching, _rows(matching, unshown.asked, unshown.shown | told))
    if not rows:
        return alignment
    changed = with_rows(matching, rows)
    proof = prove(changed, alignment.layout, *alignment.engines)
    return replace(alignment, matching=proof.mark(changed, alignment.layout), proof=proof)


def _rows(
    matching: Matching, asked: Sequence[Choice], shown: AbstractSet[str]
) -> dict[str, ParameterRow]:
    """Rows under which alone both models hold the same numbers, or, where several are such, those
    of weights with the same names."""
    rows: dict[str, ParameterRow] = {}
    open_names = {row.first for row in matching.parameters if row.status in ("open", "neutral")}
    left = set(matching.unused_second)
    for choice in asked:
        agreeing = [option for option in choice.options if option.agrees]
        for option in agreeing:
            if len(agreeing) == 1:
                free = set(choice.names) - (shown - open_names)
                reason = f"{option.told}, {SAME}" if option.told else SAME
            elif _same_names(option, choice, open_names, left):
                free, reason = open_names, NAMED  # it does not matter which
            else:
                continue
            fresh = [row for row in option.rows if row.first in free]
            rows |= {row.first: replace(row, reason=reason) for row in fresh}
            break
    now = {row.first: row.pieces for row in matching.parameters}
    return {name: row for name, row in rows.items() if row.pieces != now[name]}


def _same_names(
    option: Option, choice: Choice, open_names: AbstractSet[str], left: AbstractSet[str]
) -> bool:
    """Whether open weights go with such of the same names that are left over."""
    pairs = [(row.first, row.pieces[0].second) for row in option.rows]
    return open_names >= set(choice.names) and all(
        template(one) == template(other) and other in left for one, other in pairs
    )


def _used_once(matching: Matching, rows: Mapping[str, ParameterRow]) -> dict[str, ParameterRow]:
    """Those rows that read no element of the second model twice, new and old ones together."""
    kept = dict(rows)
    while True:
        read: Counter[str] = Counter()
        for row in matching.parameters:
            for piece in kept.get(row.first, row).pieces:
                read[piece.second] += piece.second_view.size
        sizes = {name: info.type.size for name, info in matching.second.graph.parameters.items()}
        once = {
            name: row
            for name, row in kept.items()
            if all(
                read[piece.second] <= max(sizes[piece.second], piece.second_view.source)
                for piece in row.pieces
            )
        }
        if len(once) == len(kept):
            return kept
        kept = once
