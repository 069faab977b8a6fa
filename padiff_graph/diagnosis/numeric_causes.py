"""The likely cause of a region's difference: by marks, by leaving operations out, by what one side
has more of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from padiff_graph.capture.graph import ComputationGraph, Node
from padiff_graph.capture.spoken_operations import spoken
from padiff_graph.diagnosis.constant_tables import other_table
from padiff_graph.diagnosis.finding_places import Place, Places
from padiff_graph.diagnosis.plain_names import plain_name
from padiff_graph.diagnosis.reordering import both_moving, turning
from padiff_graph.executor.gradient_paths import cut_gradients
from padiff_graph.findings.cause import Cause
from padiff_graph.matching.result import Matching
from padiff_graph.referee.region_result import Part, RegionResult, Surplus

__all__ = ["Told", "both_turning", "numeric_cause", "turned"]

MARKS = {
    "no_grad": "gradient.detached",
    "gradient_hook": "gradient.hook",
    "custom_function": "gradient.custom_backward",
}
"""A mark on one side only -> what it says of a difference in gradients."""
SPEAKING = frozenset({"gradient.by_design", "framework.same_call", "embedding.padding"})
"""Kinds that name the operations themselves."""
SURPLUS = ("operation.extra", "operation.missing")
"""The cause, by the side that has the operation."""


@dataclass(frozen=True, slots=True)
class Told:
    """A cause, and the place that it moves the finding to on one side; None where it moves none."""

    cause: Cause
    side: int = 0
    place: Place | None = None


def numeric_cause(result: RegionResult, part: Part, matching: Matching, places: Places) -> Told:
    """The likely cause of a region's difference.

    Args:
        result: the region of the place.
        part: the tensor that tells most.
        matching: of the two models.
        places: where the finding stands as yet.
    """
    if part.probe is not None and part.probe.kind in SPEAKING:
        return Told(part.probe)
    if part.kind in ("input", "parameter"):
        told = _marked(result, matching)
        if told is not None:
            return replace(told, cause=told.cause.showing(part.probe))
    if result.tried is not None:
        return Told(result.tried)
    if result.surplus is not None:
        return _left_out(result.surplus, matching)
    if part.kind == "output":
        # a mask says more than what its effect looks like
        table = other_table(result, matching, masks_alone=part.probe is not None)
        if table is not None:
            return Told(table)
    return Told(_plain(result, part, places).showing(part.probe))


def _plain(result: RegionResult, part: Part, places: Places) -> Cause:
    """That a tensor differs, and which."""
    first, second = places
    names = {"first_name": part.first, "second_name": part.second}
    if part.kind == "buffer":
        return Cause.of("statistics.differ", **names)
    if part.kind == "parameter":
        return Cause.of("gradient.differs", **names)
    if part.kind == "input":
        return Cause.of("gradient.differs", op=first.op, path=first.path, towards=part.first)
    if not (first.op and second.op):  # returned of inputs, weights or constants
        return Cause.of("values.differ", **names)
    facts: dict[str, object] = {"first_op": first.op, "first_path": first.path}
    facts |= {"second_op": second.op, "second_path": second.path}
    reads = result.reads_only_first, result.reads_only_second
    if part.probe is None and any(reads):
        side = 1 if reads[1] else 0
        facts |= {"side": side, "reads": reads[side]}
    elif result.began is not None and part.probe is None:
        facts["entered"] = second.op
    return Cause.of("values.differ", **facts)


# -- marks


def _marked(result: RegionResult, matching: Matching) -> Told | None:
    """A hook, a custom backward or a cut gradient path that one side has and the other has not."""
    marks = (
        list(_marks(matching.first.graph, result.first_nodes)),
        list(_marks(matching.second.graph, result.second_nodes)),
    )
    for side in (0, 1):
        others = {mark for mark, _ in marks[1 - side]}
        for mark, record in marks[side]:
            if mark not in others:
                cause = Cause.of(MARKS[mark], side=side, op=record.op)
                return Told(cause, side, Place.of_record(record))
    return None


def _marks(graph: ComputationGraph, natives: tuple[int, ...]) -> Iterator[tuple[str, Node]]:
    """What decides gradients among these operations, one mark for each."""
    for native in natives:
        record = graph.record(native)
        own = [mark for mark in MARKS if mark in record.marks and mark != "no_grad"]
        if own:
            yield own[0], record
        elif cut_gradients(graph, record):
            yield "no_grad", record


# -- operations that one side has too many


def _left_out(surplus: Surplus, matching: Matching) -> Told:
    """The operation without which both sides agree."""
    graph = (matching.first.graph, matching.second.graph)[surplus.side]
    record, deed_kind = graph.record(surplus.node), surplus.deed and surplus.deed.kind
    # one operation of Paddle's multiplies and adds: told by what it does here
    adds = deed_kind == "values.shifted" and plain_name(record.op) == "mul"
    told = _surplus(surplus.side, record, "left_out", "Add" if adds else "")
    if surplus.deed is None:
        return told
    deed: tuple[str, object] = ("deed", surplus.deed)
    return replace(told, cause=replace(told.cause, facts=(*told.cause.facts, deed)))


def turned(result: RegionResult, matching: Matching) -> Told | None:
    """The one operation of a region that turns what keeps its shape."""
    graphs = matching.first.graph, matching.second.graph
    found = turning(graphs, (result.first_nodes, result.second_nodes))
    return None if found is None else _surplus(*found, "turning")


def both_turning(result: RegionResult, matching: Matching) -> Places | None:
    """The one operation of either side that puts elements elsewhere; None where a side has none or
    several."""
    graphs = matching.first.graph, matching.second.graph
    found = both_moving(graphs, (result.first_nodes, result.second_nodes))
    return None if found is None else (Place.of_record(found[0]), Place.of_record(found[1]))


def _surplus(side: int, record: Node, evidence: str, title: str = "") -> Told:
    """`evidence` is the fact that says how the operation was found out; `title`: what it is called,
    "" for by its name."""
    title = title or spoken(record.op, record.attrs)
    if title == record.op:
        title = plain_name(record.op).title().replace("_", "")
    facts = {"side": side, "operation": title, evidence: record.op, "path": record.path}
    return Told(Cause.of(SURPLUS[side], **facts), side, Place.of_record(record))
