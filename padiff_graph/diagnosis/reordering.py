"""Operations that put elements elsewhere though the shape stays: no layout asks for them."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from padiff_graph.capture.graph import ComputationGraph, Node
from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.diagnosis.plain_names import plain_name

__all__ = ["around", "both_moving", "turning"]

TURNING = frozenset({"transpose", "flip", "roll"})
"""Operators, by plain name."""
MOVING = TURNING | {"gather", "index", "index_select", "take_along_axis"}
"""The same, and those that read at places which are told."""
NEAR = 24
"""Most operations that are looked at around one."""


def turning(
    graphs: tuple[ComputationGraph, ComputationGraph], numbers: tuple[Iterable[int], Iterable[int]]
) -> tuple[int, Node] | None:
    """The one native operation among these that turns a value, with its side; None for none or
    several. Where none keeps the shape it may be the only one that does not."""
    turns = [
        (side, record, _keeps_shape(graph, record))
        for side, (graph, own) in enumerate(zip(graphs, numbers, strict=True))
        for record in map(graph.record, own)
        if plain_name(record.op) in TURNING
    ]
    plain = [turn for turn in turns if turn[2]] or turns
    return plain[0][:2] if len(plain) == 1 else None


def both_moving(
    graphs: tuple[ComputationGraph, ComputationGraph], numbers: tuple[Iterable[int], Iterable[int]]
) -> tuple[Node, Node] | None:
    """The one native operation of each side that puts elements elsewhere, if each has one: then
    both do it, each in its own way."""
    movers = [
        [record for record in map(graph.record, own) if plain_name(record.op) in MOVING]
        for graph, own in zip(graphs, numbers, strict=True)
    ]
    return (movers[0][0], movers[1][0]) if len(movers[0]) == len(movers[1]) == 1 else None


def _keeps_shape(graph: ComputationGraph, record: Node) -> bool:
    operand = record.inputs[0] if record.inputs else None
    before = None if operand is None else graph.type_of(operand)
    after = record.outputs[0] if record.outputs else None
    return before is not None and after is not None and before.shape == after.shape


def around(normal: NormalGraph, parameters: Collection[str]) -> set[int]:
    """Native operations before and behind those that read some parameters, as far as the next
    parameters."""
    held = {node.id for node in normal.nodes if node.op == "Parameter" and node.name in parameters}
    weighty = {
        node.id
        for node in normal.nodes
        if any(
            edge is not None and normal.nodes[edge.source].op == "Parameter" for edge in node.inputs
        )
    }
    start = [
        node.id
        for node in normal.nodes
        if any(edge is not None and edge.source in held for edge in node.inputs)
    ]
    users = normal.users()
    found: set[int] = set()
    for ahead in (False, True):
        waiting = list(start)
        for at in range(NEAR):
            if at >= len(waiting):
                break
            node = normal.nodes[waiting[at]]
            if at >= len(start) and node.id in weighty:
                continue
            found.update(node.native)
            if ahead:
                for user, position in users[node.id]:
                    edge = normal.nodes[user].inputs[position]
                    found.update(edge.through if edge is not None else ())
                    waiting.append(user)
            else:
                for edge in node.inputs:
                    if edge is not None and not normal.nodes[edge.source].leaf:
                        found.update(edge.through)
                        waiting.append(edge.source)
    return found
