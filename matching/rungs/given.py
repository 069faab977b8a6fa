"""What is known before anything is compared: hints, and the models' inputs."""

from __future__ import annotations

from collections import defaultdict

from padiff_graph.matching.labels import PLAIN
from padiff_graph.matching.match_state import State
from padiff_graph.matching.rungs.rung import Rung

__all__ = ["hinted_inputs", "hinted_parameters", "inputs_by_look", "inputs_by_name"]


def hinted_inputs(state: State, rung: Rung) -> int:
    """Pairs the inputs that the example inputs or the user pair."""
    wanted = dict(state.hints.inputs)
    named = {state.second.nodes[node].name: node for node in state.second.inputs}
    count = 0
    for first in state.first.inputs:
        second = named.get(wanted.get(state.first.nodes[first].name, ""))
        if second is not None:
            count += rung.pair(state, first, second, "input")
    return count


def hinted_parameters(state: State, rung: Rung) -> int:
    """Pairs the parameters that the user pairs."""
    wanted = dict(state.hints.parameters)
    named = {node.name: node.id for node in state.second.nodes if node.op == "Parameter"}
    count = 0
    for node in state.first.nodes:
        second = named.get(wanted.get(node.name, ""))
        if node.op == "Parameter" and second is not None:
            count += rung.pair(state, node.id, second, "parameter")
    return count


def inputs_by_name(state: State, rung: Rung) -> int:
    """Pairs inputs of the same name, where their sizes and types are the same too."""
    named = {state.second.nodes[node].name: node for node in state.second.inputs}
    labels = state.first.labels[PLAIN], state.second.labels[PLAIN]
    count = 0
    for first in _unhinted(state, 0):
        second = named.get(state.first.nodes[first].name)
        if second is not None and labels[0][first] == labels[1][second]:
            count += rung.pair(state, first, second, "name")
    return count


def inputs_by_look(state: State, rung: Rung, level: int) -> int:
    """Pairs inputs that look alike, in order where both sides have as many of them."""
    groups: dict[int, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for which in (0, 1):
        labels = state.side(which).labels[level]
        for node in _unhinted(state, which):
            groups[labels[node]][which].append(node)
    count = 0
    for mine, theirs in groups.values():
        if len(mine) == len(theirs):
            case = "only" if len(mine) == 1 else "in order"
            for first, second in zip(mine, theirs, strict=True):
                count += rung.pair(state, first, second, case)
    return count


def _unhinted(state: State, which: int) -> list[int]:
    """Open inputs that no hint speaks of: one whose counterpart the other model does not read goes
    with no other input."""
    side = state.side(which)
    hinted = {pair[which] for pair in state.hints.inputs}
    return [
        node
        for node in side.inputs
        if side.nodes[node].name not in hinted and state.partner[which][node] < 0
    ]
