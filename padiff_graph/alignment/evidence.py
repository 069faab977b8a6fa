"""Values as evidence: both sides run under the map so far, matched again with what they showed,
rows proved."""

from __future__ import annotations

import time
from dataclasses import replace

from padiff_graph.alignment.aligned import Alignment, Known
from padiff_graph.alignment.gradient_map import told_by_gradients
from padiff_graph.alignment.held_alike import held_alike
from padiff_graph.alignment.tried_maps import tried
from padiff_graph.alignment.turned_weights import as_they_are_read, without_order
from padiff_graph.alignment.value_proof import Proof, prove
from padiff_graph.matching.difference.structural_differences import differences
from padiff_graph.matching.ladder import match
from padiff_graph.matching.parameters.parameter_map import map_parameters
from padiff_graph.matching.parameters.points import Layout, lay_out
from padiff_graph.matching.parameters.row_changes import filled
from padiff_graph.matching.parameters.stacked import stackings
from padiff_graph.matching.result import Matching
from padiff_graph.matching.rungs.value_evidence import Evidence

__all__ = ["confirm", "derive", "gather"]

ROUNDS = 2
"""How often values are collected and matched again; the second time only confirms as a rule."""
SURE = 0.95
"""Confidence in a stacking under which more values agree than under any other; chosen as for a
match that values confirm."""


def derive(matching: Matching, known: Known) -> tuple[Matching, Layout]:
    """The matching with its points and parameter rows, and the layout that they follow from."""
    layout = lay_out(matching, known.orders)
    matching = replace(matching, points=tuple(layout.points))
    mapped = map_parameters(matching, layout.readings, known.values, known.fixed)
    return filled(mapped, known.suggested), layout


def gather(alignment: Alignment) -> Alignment:
    """Runs both sides under the map so far, matches again with what they showed, and marks what is
    proved.

    Without numbers to run on nothing but the structural differences is told. Rows that a map's file
    suggests come last, for what is still open then: with them and without all else is told alike.
    """
    started = time.perf_counter()
    known = alignment.known
    gathered = replace(_gathered(replace(alignment, known=known.unsuggested())), known=known)
    suggested = filled(gathered.matching, known.suggested)
    if suggested is not gathered.matching:
        gathered = _gathered(replace(gathered, matching=suggested))
    gathered = as_they_are_read(gathered)
    spent = alignment.timings.get("values", 0.0) + time.perf_counter() - started
    return replace(
        gathered,
        timings={**alignment.timings, "values": spent},
        differences=without_order(gathered.matching, differences(gathered.matching)),
    )


def _gathered(alignment: Alignment) -> Alignment:
    if not alignment.alive:
        return alignment
    glance = _at_a_glance(alignment)
    if glance is not None:
        return glance
    found, unshown = tried(_try_stackings(_matched_again(alignment)))
    return held_alike(told_by_gradients(found), unshown, found.matching)


def confirm(alignment: Alignment) -> Alignment:
    """Marks what is proved where every region agreed, fed with the same values: then all values
    agree."""
    proof = Proof(agreeing=set(range(len(alignment.matching.points))))
    return _confirmed(alignment, proof)


def _confirmed(alignment: Alignment, proof: Proof) -> Alignment:
    matching = proof.mark(proof.confirm(alignment.matching), alignment.layout)
    return replace(
        alignment, matching=matching, proof=proof, notes=(*alignment.notes, *proof.notes)
    )


def _proof(alignment: Alignment, *, prints: bool = True) -> Proof:
    return prove(alignment.matching, alignment.layout, *alignment.engines, prints=prints)


def _at_a_glance(alignment: Alignment) -> Alignment | None:
    """With samples alone, where they show that nothing is left to find."""
    glance = _proof(alignment, prints=False)
    whole = glance.whole(alignment.matching, alignment.layout)
    return _confirmed(alignment, glance) if whole else None


def _matched_again(alignment: Alignment) -> Alignment:
    """Matched with fingerprints as evidence, until that changes nothing."""
    for _ in range(ROUNDS):
        proof = _proof(alignment)
        again = match(
            alignment.matching.first,
            alignment.matching.second,
            hints=alignment.known.hints,
            evidence=Evidence(proof.first, proof.second, proof.deployed),
        )
        unchanged = _pairs(again) == _pairs(alignment.matching)
        matching, layout = derive(again, alignment.known)
        alignment = replace(alignment, matching=matching, layout=layout)
        if unchanged:
            break
    else:
        proof = _proof(alignment)
    return replace(
        alignment,
        matching=proof.mark(alignment.matching, alignment.layout),
        proof=proof,
        notes=(*alignment.notes, *proof.notes),
    )


def _pairs(matching: Matching) -> set[tuple[int, int]]:
    return {(pair.first, pair.second) for pair in matching.matches}


def _try_stackings(alignment: Alignment) -> Alignment:
    """Takes the one possibility for stacked parameters under which more values agree than under any
    other."""
    before = len(alignment.proof.agreeing) if alignment.proof is not None else 0
    tried: list[tuple[int, Matching, Proof]] = []
    for possible in stackings(alignment.matching):
        proof = _proof(replace(alignment, matching=possible))
        tried.append((len(proof.agreeing), possible, proof))
    tried.sort(key=lambda trial: -trial[0])
    if not tried or tried[0][0] <= before or (len(tried) > 1 and tried[1][0] == tried[0][0]):
        return alignment
    _, matching, proof = tried[0]
    old = {row.first: row for row in alignment.matching.parameters}
    rows = list(matching.parameters)
    for number, row in enumerate(rows):
        if row is not old[row.first]:
            reason = f"{row.reason}; with it the values behind agree"
            rows[number] = replace(row, proved=True, confidence=SURE, reason=reason)
    stacked = replace(matching, parameters=tuple(rows))
    return replace(alignment, matching=proof.mark(stacked, alignment.layout), proof=proof)
