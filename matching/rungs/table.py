"""The table of rungs, from certain to likely: what each may match, how sure it is, and in which
words.

To add a rung: write its function (state, rung) -> how many it matched, give it a row here with a
grade for each of its cases, put the row into one of the groups, which `ladder.climb` asks in turn,
and test it on a small graph in tests/matching/rungs. `benchmarks/damage.py --calibrate` measures
its confidence.

What confidences are worth, by that measurement on 18 published pairs with one and with five random
edits (`--runs 4`, 39,404 matches), inputs and weights left out; of matches that ended with a
confidence, the share that is right, and of how many:

| rung | 0.5 to 0.7 | 0.75 to 0.85 | 0.9 | over 0.9 |
| --- | --- | --- | --- | --- |
| hash | | | 1.0000 of 144 | 1.0000 of 1,341 |
| hash-above | 1.0000 of 11 | 1.0000 of 1 | 0.9993 of 1,436 | 1.0000 of 2,547 |
| hash-below | 1.0000 of 25 | 1.0000 of 15 | 1.0000 of 1,283 | 1.0000 of 5,111 |
| hash-between | | | | 1.0000 of 3 |
| neighbour | 0.9907 of 107 | 0.9231 of 13 | 1.0000 of 813 | 1.0000 of 2,143 |
| place | 1.0000 of 103 | 1.0000 of 154 | 1.0000 of 13 | 1.0000 of 380 |
| operands | 1.0000 of 4 | 1.0000 of 2 | | |
| sequence | 0.9886 of 528 | 0.9981 of 1,058 | 1.0000 of 168 | |
| symmetry | 1.0000 of 231 | | | 1.0000 of 79 |

So the numbers are an order, not shares: over 0.9 nothing may be wrong, and below it a wrong match,
where an edit took the true partner away, must not weigh more than a right one. Equal branches
count as one answer.
"""

from __future__ import annotations

from functools import partial

from padiff_graph.matching.labels import EXACT, LOOSE, PLAIN
from padiff_graph.matching.rungs.equal_values import equal_values, weigh_values
from padiff_graph.matching.rungs.given import (
    hinted_inputs,
    hinted_parameters,
    inputs_by_look,
    inputs_by_name,
)
from padiff_graph.matching.rungs.ordered_hashes import (
    alike_above,
    alike_below,
    alike_between,
    alike_throughout,
)
from padiff_graph.matching.rungs.propagation import like_neighbours, weak_neighbours
from padiff_graph.matching.rungs.rebind import take_over
from padiff_graph.matching.rungs.replacement import same_place
from padiff_graph.matching.rungs.rung import Grade, Rung
from padiff_graph.matching.rungs.sequence_alignment import align_gaps
from padiff_graph.matching.rungs.surroundings import held_in_module, like_surroundings
from padiff_graph.matching.rungs.symmetry import interchangeable

__all__ = [
    "BETWEEN",
    "BY_VALUE",
    "GIVEN",
    "INTERCHANGEABLE",
    "IN_ORDER",
    "LAST",
    "NEAR",
    "NEIGHBOUR",
    "ONE_SIDED",
    "REBIND",
    "RUNGS",
    "WHOLE",
]

_WORDS = {
    EXACT: "operators, attributes, views",
    PLAIN: "operators and sizes",
    LOOSE: "operators and parameter sizes",
}
"""What a level of labels compares."""
GIVEN_BY_USER = "given, so certain"
BELOW_CERTAIN = "chosen so that only what is given is more certain"
BOTH_ENDS = "chosen so that neighbours and names must bear it out for more than 0.9"
GUESS = "chosen so that neighbours never raise it to what bears out another match (0.8)"


# -- given: hints, and the models' inputs

HINTED_INPUTS = Rung(
    "hint",
    hinted_inputs,
    "inputs that the example inputs pair",
    {"input": Grade(1.0, "the example inputs correspond", GIVEN_BY_USER)},
)
INPUTS_BY_NAME = Rung(
    "boundary",
    inputs_by_name,
    "inputs of one name, size and type",
    {"name": Grade(0.99, "inputs of the same name", BELOW_CERTAIN)},
)


def _inputs(level: int, only: float, in_order: float, source: str) -> Rung:
    return Rung(
        "boundary",
        partial(inputs_by_look, level=level),
        f"inputs alike in {_WORDS[level]}, as many on each side",
        {
            "only": Grade(only, "the only inputs of this shape and type", source),
            "in order": Grade(in_order, "inputs of one shape, in order", source),
        },
    )


INPUTS_BY_LOOK = (
    _inputs(EXACT, 0.97, 0.8, BELOW_CERTAIN),
    _inputs(PLAIN, 0.95, 0.8, "chosen below those of one shape: the layout may differ"),
    _inputs(LOOSE, 0.7, 0.7, GUESS),
)
HINTED_PARAMETERS = Rung(
    "hint",
    hinted_parameters,
    "parameters that the user pairs",
    {"parameter": Grade(1.0, "given", GIVEN_BY_USER)},
)
GIVEN = (HINTED_INPUTS, INPUTS_BY_NAME, *INPUTS_BY_LOOK, HINTED_PARAMETERS)


# -- ordered hashes


def _hash(level: int, confidence: float, source: str) -> Rung:
    words = f"the only node with these {_WORDS[level]} above and below"
    return Rung(
        "hash",
        partial(alike_throughout, level=level),
        f"nodes alone in their {_WORDS[level]} down from the inputs and up from the outputs",
        {"": Grade(confidence, words, source)},
    )


WHOLE = (
    _hash(EXACT, 0.99, BELOW_CERTAIN),
    _hash(PLAIN, 0.98, "chosen below the exact one: attributes may differ"),
    _hash(LOOSE, 0.9, "chosen not to be over 0.9: shapes may differ too"),
)
"""Everything above and below, without anchors."""


def _between(level: int) -> Rung:
    words = f"the only node with these {_WORDS[level]} above and below up to what is matched"
    return Rung(
        "hash-between",
        partial(alike_between, level=level),
        f"nodes alone in their {_WORDS[level]} up to what is matched, whose paths do not disagree",
        {"": Grade(0.9, words, BOTH_ENDS)},
    )


def _above(level: int) -> Rung:
    return Rung(
        "hash-above",
        partial(alike_above, level=level),
        f"nodes alone in the {_WORDS[level]} above them, with consumers that look alike",
        {"": Grade(0.9, f"the only node with these {_WORDS[level]} above", BOTH_ENDS)},
    )


def _below(level: int) -> Rung:
    return Rung(
        "hash-below",
        partial(alike_below, level=level),
        f"nodes alone in the {_WORDS[level]} below them, with operands that look alike",
        {"": Grade(0.9, f"the only node with these {_WORDS[level]} below", BOTH_ENDS)},
    )


ONE_SIDED = (_above(EXACT), _below(EXACT), _above(LOOSE), _below(LOOSE))
BETWEEN = (
    _between(EXACT),
    _above(EXACT),
    _below(EXACT),
    _between(LOOSE),
    _above(LOOSE),
    _below(LOOSE),
)
"""Hashes up to what is matched."""


# -- near what is matched

NEIGHBOUR = Rung(
    "neighbour",
    like_neighbours,
    "operands and consumers of matched nodes that look alike, as do their own neighbours",
    {"both": Grade(0.9, "the {word} of {at} that looks like it", BOTH_ENDS)},
)
REPLACED = Rung(
    "replaced",
    same_place,
    "whatever stands alone between the same matched neighbours",
    {
        "like": Grade(0.9, "stands alone between the same matched operations", BOTH_ENDS),
        "kin": Grade(
            0.88,
            "stands alone between the same matched operations",
            "chosen to be found out below a like one, and to bear out others",
        ),
        "another operator": Grade(0.6, "stands alone between the same matched operations", GUESS),
    },
)


def _place(radius: int, confidence: float, source: str) -> Rung:
    words = f"the same surroundings {radius} operations around, in corresponding modules"
    return Rung(
        "place",
        partial(like_surroundings, radius=radius),
        f"nodes alone in their surroundings {radius} operations around and their module",
        {"": Grade(confidence, words, source)},
    )


HELD_IN_MODULE = Rung(
    "place",
    held_in_module,
    "nodes of one kind in corresponding modules, all of whose operands, or consumers, are partners",
    {
        "": Grade(
            0.8,
            "the only one of its kind in corresponding modules next to what is matched",
            "one end alone: chosen to bear out others, but not to teach names (0.9)",
        )
    },
)
PLACES = (
    _place(3, 0.9, BOTH_ENDS),
    _place(1, 0.8, "so little says less: chosen to bear out others, but not to teach names (0.9)"),
    HELD_IN_MODULE,
)
NEAR = (NEIGHBOUR, REPLACED, *PLACES)
"""Rungs that look only at what is near."""


# -- interchangeable branches


def _symmetry(level: int, confidence: float) -> Rung:
    source = "any pairing of equal branches is right; chosen below a hash that is alone"
    return Rung(
        "symmetry",
        partial(interchangeable, level=level),
        f"as many nodes on each side alike in the {_WORDS[level]} above and below",
        {
            "of several": Grade(confidence, "one of {size} interchangeable branches", source),
            "follows": Grade(confidence, "follows an interchangeable branch", source),
        },
    )


INTERCHANGEABLE = (_symmetry(PLAIN, 0.95), _symmetry(LOOSE, 0.93))


# -- by order, and by one end

SEQUENCE = Rung(
    "sequence",
    align_gaps,
    "open nodes of one family in the same order between matched ones",
    {
        "named": Grade(
            0.85, "aligned in order between matched operations", "names agree; never over 0.9"
        ),
        "like": Grade(
            0.8,
            "aligned in order between matched operations",
            "chosen as the least that bears out others",
        ),
        "kin": Grade(0.7, "aligned in order between matched operations", GUESS),
        "ambiguous": Grade(
            0.5,
            "aligned in order between matched operations; another alignment is as good",
            "one of two",
        ),
    },
)
WEAK_NEIGHBOUR = Rung(
    "neighbour",
    weak_neighbours,
    "operands and consumers of matched nodes that look alike and are held at one end",
    {
        "kin": Grade(0.75, "the {word} of {at} that looks like it", GUESS),
        "one end": Grade(0.6, "the {word} of {at} that looks like it", GUESS),
    },
)
IN_ORDER = (SEQUENCE, REPLACED)
LAST = (WEAK_NEIGHBOUR, REPLACED, SEQUENCE)


# -- corrections

REBIND = Rung(
    "operands",
    take_over,
    "open nodes that compute from more of a matched node's operands than its partner does",
    {
        "all": Grade(
            0.8,
            "computed from the same values by the same operation",
            "one end alone: chosen to bear out others, but not to teach names (0.9)",
        ),
        "some": Grade(0.7, "computed from some of the same values by the same operation", GUESS),
    },
)

VALUES = Rung(
    "values",
    weigh_values,
    "matches that values confirm or refute; a norm whose value the other side yields, deployed",
    {
        "folded": Grade(
            0.95,
            "yields the value of the other, into which what stands before it is folded",
            "that of a match whose values agree",
        )
    },
)
EQUAL_VALUES = Rung(
    "values",
    equal_values,
    "open nodes that alone hold a value",
    {"only": Grade(0.9, "the only operations that yield this value", "not over 0.9: no structure")},
)
BY_VALUE = (VALUES, EQUAL_VALUES)

RUNGS = (
    *GIVEN,
    *WHOLE,
    *BETWEEN,
    *NEAR,
    *INTERCHANGEABLE,
    SEQUENCE,
    WEAK_NEIGHBOUR,
    REBIND,
    *BY_VALUE,
)
"""All of them, each once."""
