"""The ladder of evidence: rungs from certain to likely, over one match state.

A rung matches only what is alone in its kind on both sides and what no neighbour contradicts; the rest
waits for a later rung or stays open. A wrong match is worse than an open one.
"""

from __future__ import annotations

from padiff_graph.capture.normal.collection import without_collection
from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.matching.confidence import settle, weigh_values
from padiff_graph.matching.labels import EXACT, LOOSE, PLAIN, Labeler, Side
from padiff_graph.matching.match_state import State
from padiff_graph.matching.result import Match, Matching
from padiff_graph.matching.rungs.hints import Hints
from padiff_graph.matching.rungs.leaf_readers import match_inputs, match_weights, operand_positions
from padiff_graph.matching.rungs.misnamed import give_up_misnamed
from padiff_graph.matching.rungs.ordered_hashes import one_sided, two_sided, votes
from padiff_graph.matching.rungs.propagation import propagate
from padiff_graph.matching.rungs.rebind import rebind
from padiff_graph.matching.rungs.replacement import replaced
from padiff_graph.matching.rungs.sequence_alignment import align_gaps
from padiff_graph.matching.rungs.surroundings import by_place
from padiff_graph.matching.rungs.symmetry import symmetric
from padiff_graph.matching.rungs.value_evidence import Evidence
from padiff_graph.matching.tree.path_numbers import Names

__all__ = ["match"]

ROUNDS = 20
"""Most repetitions of a group of rungs; each repetition matches something, so this only bounds time."""


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
        evidence: fingerprints of native values of both sides, from runs on the same inputs and weights.

    Returns:
        The matches with rung, confidence and reason; points and parameter rows are left empty.
    """
    state = prepare(first, second, hints or Hints())
    climb(state)
    if evidence is not None:
        for _ in range(3):
            if not weigh_values(state, evidence):
                break
            climb(state)
    settle(state)
    match_weights(state)
    return result(state)


def prepare(first: NormalGraph, second: NormalGraph, hints: Hints) -> State:
    """Labels both sides and sets what is given: hints and graph inputs."""
    labeler = Labeler()
    sides = (Side(first, labeler), Side(second, labeler))
    state = State(
        *sides,
        Names(
            [node.path for node in first.nodes],
            [node.path for node in second.nodes],
            (first.graph.modules, second.graph.modules),
        ),
    )
    for number, paths in enumerate(hints.modules, 1):
        for which, path in enumerate(paths):
            for node in sides[which].nodes:
                if not node.leaf and (
                    node.path == path or node.path.startswith(path + ".") or not path
                ):
                    state.scope[which][node.id] = number
    match_inputs(state, hints)
    names = {node.name: node.id for node in second.nodes if node.op == "Parameter"}
    wanted = dict(hints.parameters)
    for node in first.nodes:
        if node.op == "Parameter" and wanted.get(node.name) in names:
            state.pair(node.id, names[wanted[node.name]], "hint", 1.0, "given")
    return state


def climb(state: State) -> None:
    """All structural rungs, from certain to likely."""
    for level in (EXACT, PLAIN, LOOSE):
        if _open(state):
            two_sided(state, level)
    if not _open(state):
        return
    _learn(state)
    for level in (EXACT, LOOSE):
        one_sided(state, level)
    _learn(state)
    _strong(state)
    for level in (PLAIN, LOOSE):
        for _ in range(ROUNDS):
            if not symmetric(state, level):
                break
            propagate(state)
    _learn(state)
    _strong(state)
    _fill(state)
    _learn(state)
    if give_up_misnamed(state):
        _strong(state)
        _fill(state)
    for _ in range(ROUNDS):
        if not rebind(state):
            break
        _strong(state)


def _fill(state: State) -> None:
    """The rungs that go by order and by one end, for what is still open."""
    for _ in range(ROUNDS):
        if not _open(state) or not align_gaps(state) + replaced(state):
            break
        _strong(state)
    for _ in range(ROUNDS):
        if not _open(state) or not propagate(state, weak=True) + replaced(state) + align_gaps(
            state
        ):
            break
        _strong(state)


def _strong(state: State) -> None:
    """The rungs that need what they match to be unique and borne out, until nothing more is found.

    Hashes pass over the whole graph, so they come when the local rungs find nothing more.
    """
    for _ in range(ROUNDS):
        if not _open(state):
            return
        count = propagate(state) + replaced(state)
        for radius in (3, 1, 0):
            count += by_place(state, radius)
        if count * 20 > len(state.first.computing) or (count and _few(state)):
            continue
        for level in (EXACT, LOOSE):
            count += two_sided(state, level, anchored=True)
            count += one_sided(state, level)
        if not count:
            return


def _few(state: State) -> bool:
    """Whether so few nodes are open that passing over the whole graph for them can wait."""
    return sum(partner < 0 for partner in state.partner[0]) * 10 < state.first.size


def _learn(state: State) -> None:
    """Learns how the two models number their modules."""
    sure = [
        (pairing.first, pairing.second)
        for pairing in state.pairings.values()
        if pairing.confidence >= 0.9 and not state.first.leaf[pairing.first]
    ]
    state.names.learn(sure, votes(state, LOOSE))


def _open(state: State) -> bool:
    """Whether both sides have nodes without a partner."""
    return bool(state.waiting(0) and state.waiting(1))


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
    left = {first: tuple(sorted(found)) for first, found in state.alternatives.items()}
    return Matching(state.first.graph, state.second.graph, matches, alternatives=left)
