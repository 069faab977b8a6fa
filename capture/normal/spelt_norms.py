"""Buffers that a normalisation which a model spells out reads as its state, as frozen batch norms
of detection models do: no operation of a framework says so, but a root of a variance does."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from padiff_graph.capture.graph import ComputationGraph, Node, TensorType

__all__ = ["spelt_statistics"]

MOVING = frozenset({"view", "reshape", "_unsafe_view", "unsqueeze", "expand", "alias", "assign"})
"""What hands numbers on in another shape."""
ADDING = frozenset({"add", "scale"})
"""What adds an epsilon."""
ROOTS = frozenset({"rsqrt", "sqrt", "pow"})
"""What takes the root of the sum."""


@dataclass(frozen=True, slots=True)
class _Carried:
    """A buffer's numbers on their way to a root."""

    buffer: Node
    added: bool = False


VECTORS = 4
"""Scale, bias, mean and variance: a module without the first two may hold the statistics of a data
set, which are constants of the code."""


def spelt_statistics(graph: ComputationGraph, records: Sequence[Node]) -> set[int]:
    """Numbers of the buffer records that a spelt-out normalisation reads: those of which a root is
    taken, plus an epsilon, and all others of as many numbers in the same module, where it holds
    what a normalisation does.

    Args:
        graph: the capture.
        records: its records, in program order.
    """
    buffers = [record for record in records if record.kind == "buffer" and _floating(record)]
    carried = {record.id: _Carried(record) for record in buffers}
    rooted: set[tuple[str, int]] = set()
    for record in records if buffers else ():
        if record.kind != "operation":
            continue
        read = [value.node for value in record.inputs if value is not None]
        sources = [carried[node] for node in read if node in carried]
        if len(sources) != 1:
            continue
        source, name = sources[0], (*record.op.split("."), "")[1]
        if name in MOVING:
            carried[record.id] = source
        elif name in ADDING and not source.added:
            carried[record.id] = _Carried(source.buffer, added=True)
        elif name in ROOTS and source.added:
            rooted.add(_kin(source.buffer))
    if not rooted:
        return set()
    kin = Counter(_kin_of(name, info.type) for name, info in graph.parameters.items())
    norms = {own for own in rooted if kin[own] >= VECTORS}
    return {record.id for record in buffers if _kin(record) in norms}


def _floating(record: Node) -> bool:
    kind = record.outputs[0] if record.outputs else None
    return kind is not None and kind.dtype.startswith(("float", "bfloat"))


def _kin(record: Node) -> tuple[str, int]:
    return _kin_of(record.name, record.outputs[0])


def _kin_of(name: str, kind: TensorType | None) -> tuple[str, int]:
    """The module that owns a buffer or parameter, and how many numbers it holds."""
    return name.rpartition(".")[0], math.prod(kind.shape) if kind is not None else 0
