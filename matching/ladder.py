"""The ladder of evidence: rungs from certain to likely, over one match state.

A rung matches only what is alone in its kind on both sides and what no neighbour contradicts; the
rest waits for a later rung or stays open. A wrong match is worse than an open one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from padiff_graph.capture.normal.collection import without_collection
from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.matching.confidence import settle
from padiff_graph.matching.labels import LOOSE, Labeler
from padiff_graph.matching.match_state import State
from padiff_graph.matching.operand_positions import operand_positions
from padiff_graph.matching.result import Match, Matching
from padiff_graph.matching.rungs.hints import Hints
from padiff_graph.matching.rungs.leaf_readers import match_weights
from padiff_graph.matching.rungs.misnamed import give_up_misnamed
from padiff_graph.matching.rungs.ordered_hashes import votes
from padiff_graph.matching.rungs.rung import Rung
from padiff_graph.matching.rungs.table import (
    BETWEEN,
    BY_VALUE,
    GIVEN,
    IN_ORDER,
    INTERCHANGEABLE,
    LAST,
    NEAR,
    NEIGHBOUR,
    ONE_SIDED,
    REBIND,
    WHOLE,
)
from padiff_graph.matching.rungs.unlike_sizes import give_up_unlike_sizes
from padiff_graph.matching.rungs.value_evidence import Evidence
from padiff_graph.matching.sides import Side
from padiff_graph.matching.tree.path_numbers import Names

__all__ = ["match", "prepare"]

ROUNDS = 20
"""Most repetitions of a group of rungs: each repetition matches something, so this only bounds
time."""
VALUE_ROUNDS = 3
"""Most times that values change what structure says, which is then asked again: bounds time too."""
TAUGHT_BY = 0.9
"""Least confidence of matches that teach the names: all rungs that need both ends, none that
guesses."""
MANY = 20
"""One part in so many of the operations matched by near rungs is enough to ask them again before
the hashes, which pass over the whole graph."""
FEW = 10
"""Where less than one part in so many of the nodes is open, the hashes wait until nothing near is
found."""


@without_collection()
def match(
    first: NormalGraph,
    second: NormalGraph,
    *,
    hints: Hints | None = None,
    evidence: Evidence | None = None,
) -> Matching:
    """Finds which nodes of two models correspond.

    Args:
        first: the Paddle side of the two-framework calls.
        second: the other model.
        hints: pairs that are given.
        evidence: fingerprints of native values of both sides, from runs on the same inputs and
            weights.

    Returns:
        The matches with rung, confidence and reason; points and parameter rows are left empty.
    """
    state = prepare(first, second, hints or Hints(), evidence)
    climb(state)
    if evidence is not None:
        for _ in range(VALUE_ROUNDS):
            if not sum(rung(state) for rung in BY_VALUE):
                break
            climb(state)
    settle(state)
    give_up_unlike_sizes(state)
    match_weights(state)
    return result(state)


def prepare(
    first: NormalGraph, second: NormalGraph, hints: Hints, evidence: Evidence | None = None
) -> State:
    """Labels both sides and sets what is given: hints and graph inputs."""
    labeler = Labeler()
    names = Names(
        [node.path for node in first.nodes],
        [node.path for node in second.nodes],
        (first.graph.modules, second.graph.modules),
    )
    state = State(Side(first, labeler), Side(second, labeler), names, hints, evidence)
    for number, paths in enumerate(hints.modules, 1):
        for which, path in enumerate(paths):
            _set_scope(state, which, path, number)
    for rung in GIVEN:
        rung(state)
    return state


def _set_scope(state: State, which: int, path: str, number: int) -> None:
    """Puts everything that computes under a module path under a hint."""
    for node in state.side(which).nodes:
        inside = not path or node.path == path or node.path.startswith(path + ".")
        if inside and not node.leaf:
            state.scope[which][node.id] = number


# -- the order of the rungs


def climb(state: State) -> None:
    """All structural rungs, from certain to likely."""
    _pass(state, WHOLE)
    if not state.unfinished():
        return
    _learn(state)
    _pass(state, ONE_SIDED)
    _learn(state)
    _strong(state)
    for rung in INTERCHANGEABLE:
        _repeat(state, [rung], NEIGHBOUR)
    _learn(state)
    _strong(state)
    _fill(state)
    _learn(state)
    if give_up_misnamed(state):
        _strong(state)
        _fill(state)
    if state.unfinished():
        _by_structure_alone(state)
    for _ in range(ROUNDS):  # here open nodes of one side are enough
        if not REBIND(state):
            return
        _strong(state)
        _fill(state)


def _pass(state: State, rungs: Iterable[Rung]) -> int:
    """Each rung once, as long as anything is open; how many are matched."""
    return sum(rung(state) for rung in rungs if state.unfinished())


def _repeat(state: State, rungs: Iterable[Rung], then: Callable[[State], object]) -> None:
    """Rungs, and whatever follows from what they match, until they match nothing more."""
    for _ in range(ROUNDS):
        if not _pass(state, rungs):
            return
        then(state)


def _fill(state: State) -> None:
    """The rungs that go by order and by one end, for what is still open."""
    _repeat(state, IN_ORDER, _strong)
    _repeat(state, LAST, _strong)


def _strong(state: State) -> None:
    """The rungs that need what they match to be unique and borne out, until nothing more is found.

    Hashes pass over the whole graph, so they come when the near rungs find nothing more.
    """
    for _ in range(ROUNDS):
        count = _pass(state, NEAR)
        if count * MANY > len(state.first.computing) or (count and _few_open(state)):
            continue
        if not count + _pass(state, BETWEEN):
            return


def _few_open(state: State) -> bool:
    """Whether so few nodes are open that passing over the whole graph for them can wait."""
    return state.partner[0].count(-1) * FEW < state.first.size


def _learn(state: State) -> None:
    """Learns how the two models number their modules."""
    state.names.learn(_sure(state), votes(state, LOOSE))


def _by_structure_alone(state: State) -> None:
    """What names keep apart and nothing else: one model may number its blocks in another order."""
    state.names.learn(())
    _strong(state)
    _fill(state)
    _learn(state)


def _sure(state: State) -> list[tuple[int, int]]:
    """The matches that teach names."""
    return [
        (pairing.first, pairing.second)
        for pairing in state.pairings.values()
        if pairing.confidence >= TAUGHT_BY and not state.first.leaf[pairing.first]
    ]


# -- what came of it


def result(state: State) -> Matching:
    """The state as plain frozen data."""
    matches = tuple(
        Match(
            pairing.first,
            pairing.second,
            pairing.rung,
            round(pairing.confidence, 3),
            pairing.reason,
            operand_positions(state, pairing.first, pairing.second),
        )
        for _, pairing in sorted(state.pairings.items())
    )
    left = {node: tuple(sorted(others)) for node, others in state.alternatives.items()}
    return Matching(state.first.graph, state.second.graph, matches, alternatives=left)
