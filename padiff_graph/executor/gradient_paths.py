"""Which values of a model a gradient passes: from the outputs back, up to where it is cut."""

from __future__ import annotations

from padiff_graph.capture.graph import ComputationGraph, Node, Value

__all__ = ["cut_gradients", "cuts_gradients", "follows_a_cut", "reached_values"]

CUTTING = ("detach", "share_data", "stop_gradient")
"""Fragments of the names of operators that hand their operand on without its gradient."""

DIFFERENTIABLE = ("float", "bfloat", "complex")
"""How the dtypes begin that have gradients."""


def cuts_gradients(node: Node) -> bool:
    """Whether no gradient passes through an operation."""
    return "no_grad" in node.marks or any(fragment in node.op for fragment in CUTTING)


def reached_values(graph: ComputationGraph) -> frozenset[Value]:
    """The values that a gradient of an output reaches and leaves again, towards an input or a
    parameter: of the others nobody can see what their gradient would be."""
    carrying = _carrying(graph)
    reached: set[Value] = set()
    passing: set[int] = set()
    for node in reversed(graph.records()):
        if node.kind != "output" and node.id not in passing:
            continue
        for value in node.inputs:
            if value is not None and value.node in carrying:
                reached.add(value)
                passing.add(value.node)
    return frozenset(reached)


def cut_gradients(graph: ComputationGraph, node: Node) -> bool:
    """Whether an operation cuts a gradient that would pass: one of numbers that no value decides,
    such as how many there are, has none."""
    if not cuts_gradients(node):
        return False
    carrying = _carrying(graph)
    return any(value is not None and value.node in carrying for value in node.inputs)


def follows_a_cut(graph: ComputationGraph, node: Node) -> bool:
    """Whether an operation cuts a gradient that a cut further up ends as well: nothing but the cut
    decides what its own gradient is."""
    if not cuts_gradients(node):
        return False
    carrying = _carrying(graph, cut=False)
    return any(value is not None and value.node in carrying for value in node.inputs)


def _carrying(graph: ComputationGraph, *, cut: bool = True) -> set[int]:
    """Inputs, parameters, and the operations behind them that nothing cuts off; an operation behind
    a cut bears no mark of its own. `cut`: whether anything is cut off at all."""
    carrying: set[int] = set()
    for node in graph.records():
        behind = any(value is not None and value.node in carrying for value in node.inputs)
        passing = behind and _differentiable(node) and not (cut and cuts_gradients(node))
        if node.kind in ("input", "parameter") or passing:
            carrying.add(node.id)
    return carrying


def _differentiable(node: Node) -> bool:
    """Whether any result may have a gradient: whole numbers and truth values have none."""
    kinds = [kind for kind in node.outputs if kind is not None]
    return not kinds or any(kind.dtype.startswith(DIFFERENTIABLE) for kind in kinds)
