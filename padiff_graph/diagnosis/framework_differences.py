"""What the frameworks themselves do differently, told apart from what the models do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.graph import ComputationGraph, Value
from padiff_graph.diagnosis.beside_example import parting_feed
from padiff_graph.diagnosis.plain_names import IDLE, plain_name
from padiff_graph.diagnosis.upstream_order import arranged_alike
from padiff_graph.executor.finite_differences import Ends, along_cut, along_parameter, change
from padiff_graph.executor.gradient_paths import follows_a_cut
from padiff_graph.executor.pair_run import Fed, Pair, first_cotangents
from padiff_graph.executor.partition import Cut, Plan, Region
from padiff_graph.executor.seeded_cotangents import seeded_cotangent
from padiff_graph.executor.tensor_pair import TensorPair
from padiff_graph.findings.cause import Cause
from padiff_graph.referee.gradient_check import Slope, overflown
from padiff_graph.referee.known_divergence import (
    STATISTICS,
    biased_variance,
    by_framework,
    composed_call,
    known_case,
    padding_row,
)
from padiff_graph.referee.region_result import Part, RegionVerdict
from padiff_graph.referee.structural_evidence import Structure
from padiff_graph.sides.recorded_engine import is_recorded

__all__ = ["explain_by_frameworks"]

INTERFERING = frozenset({"gradient_hook", "custom_function"})
"""Marks of operations with which a model itself changes gradients."""
FIXED = frozenset({"add", "sub", "mul", "relu"})
"""Operators of which IEEE 754 leaves nothing to a framework: equal operands yield equal numbers."""
TINY = 1e-300
"""Keeps a division by nothing from being one."""

Doubles = Sequence[TensorPair | None]


def explain_by_frameworks(
    pair: Pair,
    region: Region,
    plan: Plan,
    feed: Fed,
    singles: Sequence[TensorPair],
    doubles: Doubles,
    parts: Sequence[Part],
    structure: Structure,
) -> list[Part]:
    """Parts of a region with another verdict where a framework is the reason.

    A wrong gradient is a framework's only where no attribute differs and the operation is not one
    whose backward may be meant to be no derivative: there the models ask for different things.

    Args:
        pair, region, plan, feed: what was run.
        structure: what structure says of each operation.
        singles, doubles: every tensor in the models' precision and in float64, None where not
            asked.
        parts: the same, judged.
    """
    told = _biased_variances(pair, region, feed, doubles, parts)
    if arranged_alike(pair, region, plan):
        told = _same_calls(pair, region, doubles, told, structure)
    if structure.altering(region.first.nodes, region.second.nodes):
        return told
    if not _gradients_alone(pair, region, told):
        return told
    alike = _calls(pair, region) in structure.same
    overflows = _overflows(pair, region, singles, doubles, told, alike=alike)
    wrong = [
        number
        for number, part in enumerate(told)
        if _wrong_gradient(part) and number not in overflows
    ]
    for number, part in overflows.items():
        told[number] = part
    if not wrong:
        return told
    number = max(wrong, key=lambda number: parts[number].relative)
    slopes = _slopes(pair, region, plan, feed, singles[number], doubles[number])
    defect = None if slopes is None else _defect(*slopes)
    if defect is None or parting_feed(pair, region, plan, feed) is not None:
        return told  # two functions that only agree on this example have gradients of their own
    verdict, cause = defect
    if verdict == "framework-defect":
        verdict, cause = _or_by_design(pair, region, structure, cause)
    for number in wrong:
        told[number] = replace(told[number], verdict=verdict, probe=cause)
    return told


def _or_by_design(
    pair: Pair, region: Region, structure: Structure, cause: Cause
) -> tuple[RegionVerdict, Cause]:
    """A wrong gradient as a framework's, unless an operation of that side may be meant to have
    it."""
    side = 0 if cause.get("side") == 0 else 1
    part, graph = (region.first, region.second)[side], (pair.first, pair.second)[side].graph
    meant = structure.own[side].intersection(part.nodes)
    if not meant:
        return "framework-defect", cause
    facts = {"op": graph.record(max(meant)).op, **dict(cause.facts)}
    return "different", Cause.of("gradient.by_design", **facts)


def _same_calls(
    pair: Pair, region: Region, doubles: Doubles, parts: Sequence[Part], structure: Structure
) -> list[Part]:
    """What one public operation, called alike on both sides, yields other numbers for: its output,
    and the gradients that follow from it."""
    calls = _calls(pair, region)
    if calls is None or calls not in structure.same:
        return list(parts)
    first, second = pair.first.graph.record(calls[0]), pair.second.graph.record(calls[1])
    if plain_name(first.op) in FIXED:
        return list(parts)
    for part, double in zip(parts, doubles, strict=True):
        if part.verdict != "different" or double is None or part.kind != "output":
            continue
        padding = padding_row(first, second, double.arrays())
        if padding is not None:
            return [replace(own, probe=padding) if own is part else own for own in parts]
        if not all(np.isfinite(array).all() for array in double.arrays()):
            return list(parts)
    if not any(part.verdict == "different" and part.kind == "output" for part in parts):
        return list(parts)
    cause = Cause.of("framework.same_call", first_op=first.op, second_op=second.op)
    known = known_case(first, second, pair.second.shape(Value(second.id)))
    if known is not None:
        cause = cause.followed_by(Cause.of("framework.known", text=known))
    return [_told_of_frameworks(part, cause) for part in parts]


def _told_of_frameworks(part: Part, cause: Cause) -> Part:
    """A part that differs, as the frameworks' own."""
    if part.verdict != "different":
        return part
    return replace(part, verdict="framework-divergence", probe=cause)


def _calls(pair: Pair, region: Region) -> tuple[int, int] | None:
    """The one operation of either side that does anything; None where there are more or fewer."""
    busy = []
    for side, part in ((pair.first, region.first), (pair.second, region.second)):
        records = [side.graph.record(node) for node in part.nodes]
        doing = [
            record.id
            for record in records
            if record.constant is None and record.inputs and plain_name(record.op) not in IDLE
        ]
        if len(doing) != 1:
            return None
        busy.append(doing[0])
    return busy[0], busy[1]


def _wrong_gradient(part: Part) -> bool:
    return part.kind in ("input", "parameter") and part.verdict == "different"


def _biased_variances(
    pair: Pair, region: Region, feed: Fed, doubles: Doubles, parts: Sequence[Part]
) -> list[Part]:
    """Running variances that one framework updates with the biased batch variance, the other with
    the unbiased."""
    told = list(parts)
    if pair.first.graph.framework == pair.second.graph.framework:
        return told
    for number, (part, double) in enumerate(zip(parts, doubles, strict=True)):
        buffer = _buffer(region, part)
        if buffer is None or part.verdict != "different" or double is None:
            continue
        own = pair.first.parameters[buffer]
        count = _elements(pair, region, buffer) / max(own.size, 1)
        starts = [own, *_updated_before(pair, region, feed, buffer)]
        both = by_framework(double.arrays(), pair.first.graph.framework)
        if any(biased_variance(start, *both, count) for start in starts):
            cause = Cause.of("framework.biased_variance", factor=count / (count - 1))
            told[number] = replace(part, verdict="framework-divergence", probe=cause)
    return told


def _buffer(region: Region, part: Part) -> str | None:
    """The first model's buffer that a part is; a new value that a region is about by itself is its
    output too."""
    if part.kind == "buffer":
        return part.first
    if part.kind != "output" or not region.cut.sink or len(region.updates) != 1:
        return None
    update = region.updates[0]
    values = region.cut.first[0], region.cut.second[0]
    return update.first if values == (update.first_value, update.second_value) else None


def _updated_before(pair: Pair, region: Region, feed: Fed, buffer: str) -> list[Array]:
    """What an update may start from where the layer has run before: operands of the buffer's
    shape that come from further up."""
    update = next(update for update in region.updates if update.first == buffer)
    operands = pair.first.graph.record(update.first_value.node).inputs
    arrays = [feed.first.get(value) for value in operands if value is not None]
    shape = pair.first.parameters[buffer].shape
    return [array for array in arrays if array is not None and array.shape == shape]


def _elements(pair: Pair, region: Region, buffer: str) -> float:
    """Elements of what the norm reads that updates a buffer, on the side where a framework's own
    does; 0.0 where both are written out, so that no framework chose how."""
    update = next(update for update in region.updates if update.first == buffer)
    for side, value in ((pair.first, update.first_value), (pair.second, update.second_value)):
        record = side.graph.record(value.node)
        operand = record.inputs[0] if record.inputs else None
        if len(record.outputs) >= STATISTICS and operand is not None:
            return float(np.prod(side.shape(operand)))
    return 0.0


def _gradients_alone(pair: Pair, region: Region, parts: Sequence[Part]) -> bool:
    """Whether only gradients differ, and the model itself does not interfere with them."""
    forward = all(part.verdict in ("equal", "rounding") for part in parts if part.kind == "output")
    return (
        forward
        and region.cut.exact
        and any(_wrong_gradient(part) for part in parts)
        and not _interferes(pair.first.graph, region.first.nodes)
        and not _interferes(pair.second.graph, region.second.nodes)
    )


def _interferes(graph: ComputationGraph, nodes: Sequence[int]) -> bool:
    for record in map(graph.record, nodes):
        if record.marks & INTERFERING or follows_a_cut(graph, record):
            return True
    return False


def _overflows(
    pair: Pair,
    region: Region,
    singles: Sequence[TensorPair],
    doubles: Doubles,
    parts: Sequence[Part],
    *,
    alike: bool,
) -> dict[int, Part]:
    """Gradients that one side's arithmetic overflows in, by position; a framework's kernel is to
    blame only where both sides call the same operation `alike`: a root without the epsilon that
    the other side adds has no such gradient by right."""
    names = (
        _names(pair.first.graph, region.first.nodes),
        _names(pair.second.graph, region.second.nodes),
    )
    operations = len(region.first.nodes), len(region.second.nodes)
    told: dict[int, Part] = {}
    for number, part in enumerate(parts):
        if not _wrong_gradient(part):
            continue
        double = doubles[number]
        fine = None if double is None else double.arrays()
        overflow = overflown(singles[number].arrays(), fine, part.bound, operations)
        if overflow is not None:
            verdict, cause = overflow
            if verdict == "framework-defect" and not alike:
                verdict, cause = "different", Cause("gradient.overflows", cause.facts)
            singular = composed_call(*names) if verdict == "different" else None
            if singular is not None:
                verdict = "framework-divergence"
                cause = Cause.of("framework.kink").followed_by(
                    Cause.of("framework.known", text=singular)
                )
            told[number] = replace(part, verdict=verdict, probe=cause)
    return told


def _names(graph: ComputationGraph, nodes: Sequence[int]) -> list[str]:
    """The plain names of operations that do anything."""
    records = [record for record in map(graph.record, nodes) if record.inputs]
    return [plain_name(record.op) for record in records]


def _slopes(
    pair: Pair, region: Region, plan: Plan, feed: Fed, single: TensorPair, double: TensorPair | None
) -> tuple[Slope, Slope] | None:
    """Both sides' slopes along the direction in which two gradients differ most; None where no side
    can be moved along it alone."""
    if double is None:
        return None
    gradients = tuple(np.asarray(gradient, np.float64) for gradient in double.arrays())
    direction = gradients[0] - gradients[1]
    direction /= max(float(np.abs(direction).max()), TINY)
    ends = _ends(pair, region, plan, feed, single, direction)
    if ends is None:
        return None
    weights = {
        value: seeded_cotangent(value, tuple(pair.second.shape(value)))
        for value in region.cut.second
    }
    cotangents = first_cotangents(pair, region.cut, weights), weights
    try:
        changes = [change(region.first, cotangents[0], ends[0])]
        # a recorded side cannot be moved; both yield the same here, and so they change alike
        recorded = is_recorded(pair.second.engine)
        changes += changes if recorded else [change(region.second, cotangents[1], ends[1])]
    except NotRunnable:
        return None
    analytic = [float(np.vdot(gradient, direction)) for gradient in gradients]
    return (
        Slope(analytic[0], changes[0].slope, changes[0].rounding, changes[0].bend),
        Slope(analytic[1], changes[1].slope, changes[1].rounding, changes[1].bend),
    )


def _ends(
    pair: Pair, region: Region, plan: Plan, feed: Fed, tensor: TensorPair, direction: Array
) -> tuple[Ends, Ends] | None:
    """Both ends of a step along the direction, for each side."""
    if tensor.cut >= 0:
        cut = plan.cuts[tensor.cut]
        if not _steppable(cut, region) or direction.size != prod(cut.points[0].first_view.shape):
            return None
        return (
            along_cut(pair.first, 0, feed.first, cut, direction),
            along_cut(pair.second, 1, feed.second, cut, direction),
        )
    row = pair.rows.get(tensor.first_name) if tensor.kind == "parameter" else None
    if row is None:
        return None
    return (
        along_parameter(pair.first, 0, feed.first, row, direction),
        along_parameter(pair.second, 1, feed.second, row, direction),
    )


def _steppable(cut: Cut, region: Region) -> bool:
    """Whether both sides read a boundary, and each element of one is one element of the other."""
    plain = len(cut.points) == 1 and cut.points[0].first_view.permutation
    return plain and cut.index in region.first.reads and cut.index in region.second.reads


def _defect(first: Slope, second: Slope) -> tuple[RegionVerdict, Cause] | None:
    """What slopes say of gradients that differ."""
    if first.agrees and second.agrees:
        return None
    if first.bent and second.bent:
        return "framework-divergence", Cause.of("framework.kink")
    if not (first.agrees or second.agrees):
        return None  # a smooth function that neither gradient is the slope of
    side, wrong = (0, first) if not first.agrees else (1, second)
    if wrong.bent:
        return None  # the other function has no kink there: it is another function
    slopes = {"analytic": wrong.analytic, "numeric": wrong.numeric}
    return "framework-defect", Cause.of("framework.wrong_gradient", side=side, **slopes)
