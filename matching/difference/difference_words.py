"""Differences in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from padiff_graph.capture.normal.form import NormalGraph, NormalNode

__all__ = ["cut", "joined", "listed", "operand", "present", "show"]


def present(node: NormalNode) -> int:
    """How many operands an operation has."""
    return sum(edge is not None for edge in node.inputs)


def listed(graph: NormalGraph, nodes: Sequence[int]) -> str:
    """The operators of a region, equal ones counted."""
    counts: dict[str, int] = {}
    for node in nodes:
        counts[graph.nodes[node].op] = counts.get(graph.nodes[node].op, 0) + 1
    words = [op if count == 1 else f"{count} {op}" for op, count in counts.items()]
    return ", ".join(words[:6]) + (f" and {len(words) - 6} more" if len(words) > 6 else "")


def cut(graph: NormalGraph, nodes: Sequence[int]) -> str:
    """What follows from a region of detaches: no gradient passes."""
    return (
        ": the gradient path is cut here"
        if all(graph.nodes[node].op == "Detach" for node in nodes)
        else ""
    )


def joined(
    having: NormalGraph, lacking: NormalGraph, partner: Mapping[int, int], nodes: Sequence[int]
) -> NormalNode | None:
    """The sum or product of the other side that has an operand less, where a region is that operand."""
    inside = set(nodes)
    readers = [
        node
        for node in having.nodes
        if node.id not in inside
        and any(edge is not None and edge.source in inside for edge in node.inputs)
    ]
    if len(readers) != 1 or readers[0].id not in partner or not readers[0].commutative:
        return None
    reader, other = readers[0], lacking.nodes[partner[readers[0].id]]
    return other if reader.op == other.op and present(reader) > present(other) else None


def operand(reader: NormalNode | None) -> str:
    """That a region is an operand of what `joined` found."""
    return f": an operand of {reader.op}" if reader is not None else ""


def show(value: object) -> str:
    """A value, short."""
    return (
        f"{value:.6g}"
        if isinstance(value, float)
        else repr(value)
        if isinstance(value, str)
        else str(value)
    )
