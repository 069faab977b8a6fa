"""Initial states of recurrent layers: handed in by one model, and left at zeros by the other."""

from __future__ import annotations

import numpy as np

from padiff_graph.capture.normal.form import Edge, NormalGraph, NormalNode
from padiff_graph.capture.normal.traits import traits
from padiff_graph.matching.difference.compared import Compared, attribute_difference
from padiff_graph.matching.result import Difference

__all__ = ["left_out_state", "state_positions"]

STATE = "initial state"
"""What a user calls it."""


def state_positions(op: str) -> tuple[int, ...]:
    """The operands of an operator that are initial states."""
    names = enumerate(traits(op).operands)
    return tuple(position for position, name in names if name.startswith("initial_"))


def left_out_state(compared: Compared, a: NormalNode, b: NormalNode) -> Difference | None:
    """That one of two layers starts from zeros and the other from a state; None where neither or
    both do."""
    starts = [
        any(not _zeros(graph, node.inputs[at]) for at in state_positions(a.op))
        for graph, node in zip(compared.graphs, (a, b), strict=True)
    ]
    if starts[0] == starts[1]:
        return None
    cause_id, values = "operand.missing", ("none", STATE)
    if starts[0]:
        cause_id, values = "operand.extra", (STATE, "none")
    return attribute_difference((a, b), cause_id, STATE, values, {"op": a.op, "operand": STATE})


def _zeros(graph: NormalGraph, edge: Edge | None) -> bool:
    """Whether a state is none, or holds nothing but zeros."""
    if edge is None:
        return True
    constant = graph.nodes[edge.source].constant
    return constant is not None and not edge.shift and not np.any(constant)
