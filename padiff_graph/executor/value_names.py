"""Values in words: the operation and module that yield them."""

from __future__ import annotations

from collections.abc import Iterable

from padiff_graph.capture.graph import Value
from padiff_graph.executor.partition import Plan
from padiff_graph.executor.region_run import Side

__all__ = ["cut_labels", "value_name"]


def value_name(side: Side, value: Value) -> str:
    """A value's operation and module, or its kind and name where it is a leaf."""
    record = side.graph.record(value.node)
    if record.kind != "operation":
        return f"{record.kind} {record.name!r}"
    return f"{record.op} in {record.path or 'the root'}"


def cut_labels(second: Side, plan: Plan, indices: Iterable[int]) -> tuple[str, ...]:
    """What some cuts hold, in the second side's words."""
    return tuple(
        plan.cuts[index].label or f"what {value_name(second, plan.cuts[index].second[0])} yields"
        for index in sorted(indices)
    )
