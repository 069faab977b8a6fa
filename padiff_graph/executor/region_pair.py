"""One region pair: both sides run on the same values, compared, and sent to the referee where needed."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import Literal

import numpy as np

from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.graph import Value
from padiff_graph.diagnosis.ablation import surplus
from padiff_graph.diagnosis.probes import probe, probe_gradient
from padiff_graph.diagnosis.upstream_order import astray, moved
from padiff_graph.executor.partition import Cut, Plan, Region
from padiff_graph.executor.region_run import (
    Execution,
    Seconds,
    Side,
    differentiable,
    execute,
    gradients,
)
from padiff_graph.executor.shared_draws import unsteady
from padiff_graph.executor.transfer import cotangents as laid_out
from padiff_graph.executor.transfer import mapped, pair_gradients, paired
from padiff_graph.matching.result import ParameterRow
from padiff_graph.referee.gradient_check import overflown, slopes
from padiff_graph.referee.known_divergence import biased_variance
from padiff_graph.referee.referee import Measured, imprecise, judge, measure
from padiff_graph.referee.region_result import Part, Probe, RegionResult, RegionVerdict, worst
from padiff_graph.referee.rounding_bound import (
    UNITS,
    growth,
    input_growth,
    parameter_growth,
    precision,
)
from padiff_graph.referee.structural_evidence import Structure
from padiff_graph.referee.tolerance import Tolerance, quantity

__all__ = ["Fed", "Pair", "run_pair"]

_Gradients = tuple[dict[Value, Array | None], dict[int, Array | None]]
"""Of boundary values and of parameters, as `gradients` gives them."""

POOL = 1_000_003
"""Length of the pool that cotangents are taken from; a prime, so that no axis has it as a period."""


@dataclass(frozen=True)
class Pair:
    """Both sides, ready to run regions.

    Attributes:
        rows: the parameter map by name in the first model.
        forward, backward: what is compared.
        tolerance: what every tensor is held against besides; None for nothing.
    """

    first: Side
    second: Side
    rows: Mapping[str, ParameterRow]
    forward: bool = True
    backward: bool = True
    tolerance: Tolerance | None = None


@dataclass(frozen=True)
class Fed:
    """The values of the cuts that a region reads, for each side."""

    first: Mapping[Value, Array]
    second: Mapping[Value, Array]


@dataclass
class _Compared:
    """One tensor of both sides before a verdict; None stands for a gradient that did not arrive."""

    kind: Literal["output", "input", "parameter", "buffer"]
    first: str
    second: str
    one: Array | None
    other: Array | None
    growth: float = 0.0
    cut: int = -1

    def arrays(self) -> tuple[Array, Array]:
        if self.one is not None and self.other is not None:
            return self.one, self.other
        some = self.one if self.one is not None else self.other
        assert some is not None
        return (some, np.zeros_like(some)) if self.one is not None else (np.zeros_like(some), some)


@dataclass
class _Ran:
    """One run of a region on both sides."""

    parts: list[_Compared]
    outputs: dict[Value, Array]
    shape: Probe | None = None
    reason: str = ""


def run_pair(
    pair: Pair, region: Region, plan: Plan, feed: Fed, structure: Structure, seconds: Seconds
) -> tuple[RegionResult, dict[Value, Array]]:
    """Checks one region; also returns the second side's values of its cut, {} where it cannot run."""
    names = {
        "reads": tuple(
            plan.cuts[read].second[-1].node
            for read in sorted({*region.first.reads, *region.second.reads})
        ),
        "moved": moved(region.cut),
        "reads_only_first": _labels(pair, plan, set(region.first.reads) - set(region.second.reads)),
        "reads_only_second": _labels(
            pair, plan, set(region.second.reads) - set(region.first.reads)
        ),
    }

    def result(
        verdict: RegionVerdict,
        parts: tuple[Part, ...] = (),
        reason: str = "",
        referee: bool = False,
    ) -> RegionResult:
        return RegionResult(
            region.order,
            verdict,
            parts,
            region.first.nodes,
            region.second.nodes,
            reason=reason,
            referee=referee,
            label=region.cut.label,
            **names,
        )  # type: ignore[arg-type]

    outputs: dict[Value, Array] = {}
    try:
        ran = _run(pair, region, plan, feed, False, seconds, outputs)
    except NotRunnable as error:
        return result("not-comparable", reason=str(error)), outputs
    if ran.shape is not None:
        part = Part(
            "output",
            _name(pair.first, region.cut.first[0]),
            _name(pair.second, region.cut.second[0]),
            float("inf"),
            1.0,
            0.0,
            "different",
            None,
            ran.shape,
        )
        return result("different", (part,)), ran.outputs
    units = _Units.of(pair, region)
    start = perf_counter()
    singles = [measure(*part.arrays()) for part in ran.parts]
    bounds = [
        units.unit
        * (units.growth + part.growth + (units.backward if part.kind == "input" else 0.0))
        for part in ran.parts
    ]
    seconds["compare"] += perf_counter() - start
    doubtful = structure.doubtful(region)
    beyond = {
        part.kind
        for part, single, bound in zip(ran.parts, singles, bounds, strict=True)
        if single.error > bound * single.scale
    }
    asked = doubtful or bool(beyond)
    doubles: list[_Compared | None] = [None] * len(ran.parts)
    reason = ""
    if asked:
        start = perf_counter()
        try:
            # the backward is asked again only where a gradient is in question
            wide = (
                pair
                if doubtful or beyond & {"input", "parameter"}
                else replace(pair, backward=False)
            )
            again = _run(wide, region, plan, feed, True, defaultdict(float), {})
            if len(again.parts) == len(ran.parts) or not wide.backward:
                doubles = [*again.parts, *doubles[len(again.parts) :]]
        except NotRunnable as error:
            reason = f"float64 could not be asked: {error}"
        seconds["referee"] += perf_counter() - start
    extra = _one_sided(pair, plan, region, feed)
    attributed = structure.attributed(region)
    size = partial(_summed, pair, region, feed)
    parts = [
        _judged(part, single, bound, double, units, attributed, extra, size)
        for part, single, bound, double in zip(ran.parts, singles, bounds, doubles, strict=True)
    ]
    parts = _explained(pair, region, plan, feed, ran.parts, doubles, parts)
    values = any(part.verdict == "different" and part.kind == "output" for part in parts)
    lost = values and astray(pair, region, plan, feed)
    alone = surplus(pair, region, feed) if values and not lost else None
    if pair.tolerance is not None:
        equal = [single.scale if single.error == 0.0 else None for single in singles]
        parts = [
            replace(
                part,
                held=quantity(
                    part.kind, part.first, part.second, *plain.arrays(), pair.tolerance, scale=scale
                ),
            )
            for part, plain, scale in zip(parts, ran.parts, equal, strict=True)
        ]
    reached = worst([part.verdict for part in parts])
    drawn = (
        unsteady(
            (pair.first, pair.second),
            (region.first, region.second),
            (feed.first, feed.second),
            (region.cut.first, region.cut.second),
        )
        if reached == "different"
        else ""
    )
    if drawn:
        return result(
            "not-comparable", tuple(replace(part, held=None) for part in parts), drawn, asked
        ), ran.outputs
    if ran.reason and reached != "different":
        return result("not-comparable", tuple(parts), ran.reason, asked), ran.outputs
    return replace(
        result(reached, tuple(parts), reason, asked), astray=lost, surplus=alone
    ), ran.outputs


@dataclass(frozen=True)
class _Units:
    """How coarsely a region computes.

    Attributes:
        unit: unit roundoff that the region is judged by.
        growth: units that its operations may leave.
        backward: further units that they may leave in the gradients of what they read.
        mixed: in words, where one side computes in a coarser dtype than the other; "" otherwise.
    """

    unit: float
    growth: float
    backward: float
    mixed: str

    @classmethod
    def of(cls, pair: Pair, region: Region) -> _Units:
        one, other = (
            precision(pair.first.graph, region.first.nodes),
            precision(pair.second.graph, region.second.nodes),
        )
        known = [UNITS[dtype] for dtype in (one, other) if dtype] or [UNITS["float32"]]
        mixed = len(known) == 2 and known[0] != known[1] and max(known) > UNITS["float32"]
        grown = max(
            growth(pair.first.graph, region.first.nodes),
            growth(pair.second.graph, region.second.nodes),
        )
        back = max(
            input_growth(pair.first.graph, region.first.nodes),
            input_growth(pair.second.graph, region.second.nodes),
        )
        return cls(
            min(known) if mixed else max(known),
            grown,
            back,
            f"computed in {one} on the first side and in {other} on the second" if mixed else "",
        )


def _judged(
    part: _Compared,
    single: Measured,
    bound: float,
    double: _Compared | None,
    units: _Units,
    attributed: bool,
    extra: Mapping[str, Array],
    size: Callable[[str], float],
) -> Part:
    """One tensor's verdict, and what the numbers say of it. `size`: how large what a buffer's new value sums up is."""
    measured, noise, coarse = None, 0.0, ""
    if double is not None:
        measured = measure(*double.arrays())
        lost = [
            measure(plain, fine).error
            for plain, fine in zip(part.arrays(), double.arrays(), strict=True)
        ]
        noise = lost[1] if part.kind in ("input", "parameter") else 0.0
        coarse = imprecise((lost[0], lost[1]), single, measured, bound)
        if coarse and part.kind == "buffer":
            coarse = imprecise((lost[0], lost[1]), single, measured, bound, size(part.first))
    verdict = judge(
        single, bound, measured, noise, attribute=attributed, precision=bool(units.mixed or coarse)
    )
    seen = Probe()
    if verdict == "different":
        shown = double or part
        if units.mixed or coarse:
            seen = Probe("dtype", units.mixed or coarse)
        elif part.kind in ("input", "parameter"):
            seen = probe_gradient(shown.one, shown.other)
        else:
            seen = probe(*shown.arrays(), extra)
    return Part(
        part.kind,
        part.first,
        part.second,
        single.error,
        single.scale,
        bound,
        verdict,
        None if measured is None else measured.error,
        seen,
    )


def _summed(pair: Pair, region: Region, feed: Fed, name: str) -> float:
    """The largest magnitude of what a buffer's update reads first: the mean of a normalised value is nothing but
    the rounding of values that cancel."""
    update = next(update for update in region.updates if update.first == name)
    operand = pair.second.graph.record(update.second_value.node).inputs[0]
    if operand is None:
        return 0.0
    read = feed.second.get(operand)
    if read is None:
        if operand.node not in region.second.nodes:
            return 0.0
        read = pair.second.engine.array(
            execute(pair.second, region.second, feed.second, (operand,), grad=False).outputs[
                operand
            ]
        )
    return float(np.abs(read).max(initial=0.0)) if read.dtype.kind in "fc" else 0.0


def _explained(
    pair: Pair,
    region: Region,
    plan: Plan,
    feed: Fed,
    singles: list[_Compared],
    doubles: list[_Compared | None],
    parts: list[Part],
) -> list[Part]:
    """Parts with what the frameworks themselves do differently told apart from what the models do."""
    found = list(parts)
    for number, (part, double) in enumerate(zip(parts, doubles, strict=True)):
        if part.kind == "buffer" and part.verdict == "different" and double is not None:
            update = next(update for update in region.updates if update.first == part.first)
            record = pair.first.graph.record(update.first_value.node)
            before = pair.first.parameters[update.first]
            operand = record.inputs[0]
            count = (
                float(np.prod(pair.first.shape(operand))) / max(before.size, 1)
                if operand is not None
                else 0.0
            )
            if biased_variance(before, *double.arrays(), count):
                words = f"the running variance is updated with the biased batch variance by one framework and with the unbiased one by the other: a factor of {count / (count - 1):.6g}"
                found[number] = replace(
                    part, verdict="framework-divergence", probe=Probe("divergence", words)
                )
    forward = all(part.verdict in ("equal", "rounding") for part in found if part.kind == "output")
    worse = [
        number
        for number, part in enumerate(found)
        if part.kind in ("input", "parameter") and part.verdict == "different"
    ]
    if (
        not forward
        or not worse
        or not region.cut.exact
        or _marks(pair.first, region.first.nodes)
        or _marks(pair.second, region.second.nodes)
    ):
        return found
    for number in list(worse):
        told = overflown(
            singles[number].arrays(),
            None if (wide := doubles[number]) is None else wide.arrays(),
            parts[number].bound,
            (len(region.first.nodes), len(region.second.nodes)),
        )
        if told is not None:
            found[number] = replace(found[number], verdict=told[0], probe=Probe("defect", told[1]))
            worse.remove(number)
    if not worse:
        return found
    number = max(worse, key=lambda number: parts[number].relative)
    double = doubles[number]
    cut = plan.cuts[singles[number].cut] if singles[number].cut >= 0 else None
    row = pair.rows.get(parts[number].first) if parts[number].kind == "parameter" else None
    if (
        double is None
        or (cut is None and row is None)
        or (cut is not None and (len(cut.points) != 1 or not cut.points[0].first_view.permutation))
    ):
        return found
    if cut is not None and not (
        cut.index in region.first.reads and cut.index in region.second.reads
    ):
        return found
    weights = {
        value: _cotangent(value, tuple(pair.second.shape(value))) for value in region.cut.second
    }
    ours = laid_out(
        region.cut, weights, {value: tuple(pair.first.shape(value)) for value in region.cut.first}
    )
    try:
        one, other = slopes(
            (pair.first, pair.second),
            region,
            (feed.first, feed.second),
            (ours, weights),
            double.arrays(),
            cut=cut,
            row=row,
        )
    except NotRunnable:
        return found
    verdict: RegionVerdict
    if one.agrees and other.agrees:
        return found
    if not one.agrees and not other.agrees:
        verdict, words = (
            "framework-divergence",
            "both gradients are one-sided at a kink of the function, where none is right",
        )
    else:
        name, mine = ("first", one) if not one.agrees else ("second", other)
        verdict, words = (
            "framework-defect",
            f"the {name} side's framework computes a wrong gradient: {mine.analytic:.6g} along a direction where its own forward changes by {mine.numeric:.6g}",
        )
    for number in worse:
        found[number] = replace(found[number], verdict=verdict, probe=Probe("defect", words))
    return found


def _marks(side: Side, nodes: tuple[int, ...]) -> bool:
    """Whether the model itself interferes with gradients here."""
    for number in nodes:
        record = side.graph.record(number)
        if record.marks & {"no_grad", "gradient_hook", "custom_function"} or any(
            fragment in record.op for fragment in ("detach", "share_data", "stop_gradient")
        ):
            return True
    return False


def _run(
    pair: Pair,
    region: Region,
    plan: Plan,
    feed: Fed,
    double: bool,
    seconds: Seconds,
    produced: dict[Value, Array],
) -> _Ran:
    """Both sides once, one after the other, forward and backward. `produced` receives the second's values as
    soon as they are there."""
    cut = region.cut
    wanted = (*cut.second, *(update.second_value for update in region.updates))
    with _timed(seconds, "second"):
        second = execute(
            pair.second, region.second, feed.second, wanted, grad=pair.backward, double=double
        )
        theirs = {value: pair.second.engine.array(second.outputs[value]) for value in wanted}
    outputs = {value: theirs[value] for value in cut.second}
    produced.update(outputs)
    weights: dict[Value, Array] = {}
    others: _Gradients | str = ""
    if pair.backward and any(differentiable(pair.second.dtype(value)) for value in cut.second):
        weights = {
            value: _cotangent(value, array.shape).astype(
                np.float64 if double else np.float32, copy=False
            )
            for value, array in outputs.items()
        }
        with _timed(seconds, "second backward"):
            others = _pulled(pair.second, second, weights, double)
    del second
    wanted = (*cut.first, *(update.first_value for update in region.updates))
    with _timed(seconds, "first"):
        first = execute(
            pair.first, region.first, feed.first, wanted, grad=pair.backward, double=double
        )
        ours = {value: pair.first.engine.array(first.outputs[value]) for value in wanted}
    mismatch = _shapes(pair, cut, ours, theirs)
    if mismatch is not None:
        return _Ran([], outputs, mismatch)
    parts: list[_Compared] = []
    name = _name(pair.first, cut.first[0]), _name(pair.second, cut.second[0])
    if pair.forward:
        sides = (
            paired(cut, ours, theirs)
            if cut.exact
            else [(ours[cut.first[0]], theirs[cut.second[0]])]
        )
        parts += [_Compared("output", *name, one, other) for one, other in sides]
        parts += [
            _Compared(
                "buffer",
                update.first,
                update.second,
                ours[update.first_value],
                theirs[update.second_value].reshape(ours[update.first_value].shape),
            )
            for update in region.updates
        ]
    if weights:
        shapes = {value: tuple(pair.first.shape(value)) for value in cut.first}
        mine = (
            laid_out(cut, weights, shapes) if cut.exact else {cut.first[0]: weights[cut.second[0]]}
        )
        with _timed(seconds, "first backward"):
            ones = others if isinstance(others, str) else _pulled(pair.first, first, mine, double)
        if isinstance(ones, str) or isinstance(others, str):
            return _Ran(parts, outputs, None, str(ones))
        for read in sorted({*region.first.reads, *region.second.reads}):
            parts += _input_parts(pair, plan.cuts[read], ones[0], others[0])
        parts += _parameter_parts(pair, region, ones[1], others[1], theirs)
    return _Ran(parts, outputs)


@contextmanager
def _timed(seconds: Seconds, step: str) -> Iterator[None]:
    start = perf_counter()
    yield
    seconds[step] += perf_counter() - start


def _pulled(
    side: Side, execution: Execution, weights: Mapping[Value, Array], double: bool
) -> _Gradients | str:
    """One side's gradients, or why there are none."""
    try:
        return gradients(side, execution, weights, double=double)
    except Exception as error:  # whatever a user's own backward raises
        return f"the backward pass of this region cannot run: {type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"


def _shapes(
    pair: Pair, cut: Cut, ours: Mapping[Value, Array], theirs: Mapping[Value, Array]
) -> Probe | None:
    """A difference in shape, which ends the comparison of a region."""
    if cut.exact:
        for side, arrays, values in (
            (pair.first, ours, cut.first),
            (pair.second, theirs, cut.second),
        ):
            for value in values:
                if arrays[value].shape != side.shape(value) and arrays[value].size != int(
                    np.prod(side.shape(value))
                ):
                    return Probe(
                        "shape",
                        f"shape {list(arrays[value].shape)} where the capture saw {list(side.shape(value))}",
                    )
        if cut.sink and ours[cut.first[0]].shape != theirs[cut.second[0]].shape:
            return Probe(
                "shape",
                f"shape {list(ours[cut.first[0]].shape)} against {list(theirs[cut.second[0]].shape)}",
            )
        return None
    one, other = ours[cut.first[0]], theirs[cut.second[0]]
    return (
        None
        if one.shape == other.shape
        else Probe("shape", f"shape {list(one.shape)} against {list(other.shape)}")
    )


def _input_parts(
    pair: Pair, cut: Cut, ones: Mapping[Value, Array | None], others: Mapping[Value, Array | None]
) -> list[_Compared]:
    """Gradients of one boundary cut; a side that does not read it has none."""
    firsts = {value: ones[value] for value in cut.first if ones.get(value) is not None}
    seconds = {value: others[value] for value in cut.second if others.get(value) is not None}
    name = _name(pair.first, cut.first[0]), _name(pair.second, cut.second[0])
    if not firsts and not seconds:
        return []
    if not all(differentiable(pair.second.dtype(value)) for value in cut.second):
        return []
    some = next(array for array in (*firsts.values(), *seconds.values()) if array is not None)
    if not cut.exact:
        one, other = firsts.get(cut.first[0]), seconds.get(cut.second[0])
        return [_Compared("input", *name, one, other, cut=cut.index)]
    left = {
        value: array
        if (array := firsts.get(value)) is not None
        else np.zeros(pair.first.shape(value), some.dtype)
        for value in cut.first
    }
    right = {
        value: array
        if (array := seconds.get(value)) is not None
        else np.zeros(pair.second.shape(value), some.dtype)
        for value in cut.second
    }
    return [
        _Compared(
            "input", *name, one if firsts else None, other if seconds else None, cut=cut.index
        )
        for one, other in pair_gradients(cut, left, right)
    ]


def _parameter_parts(
    pair: Pair,
    region: Region,
    ones: Mapping[int, Array | None],
    others: Mapping[int, Array | None],
    theirs: Mapping[Value, Array],
) -> list[_Compared]:
    """Gradients of the parameters that either side reads, through the parameter map."""
    mine = _by_name(pair.first, ones)
    yours = _by_name(pair.second, others)
    parts = []
    done: set[str] = set()
    reverse = {
        piece.second for row in pair.rows.values() for piece in row.pieces if row.first in mine
    }
    names = [
        name
        for name in pair.rows
        if name in mine
        or any(
            piece.second in yours and piece.second not in reverse
            for piece in pair.rows[name].pieces
        )
    ]
    for name in names:
        row = pair.rows[name]
        if not row.pieces or name in done:
            continue
        done.add(name)
        own = pair.first.parameters.get(name)
        if own is None or own.dtype.kind not in "fc":
            continue
        one = mine.get(name)
        arrived = [piece.second for piece in row.pieces if yours.get(piece.second) is not None]
        if one is None and not arrived:
            continue
        if (one is None or not arrived) and _frozen(pair, row):
            continue  # whether a path leads to what neither model trains is nobody's concern
        filled: dict[str, Array] = {}
        dtype = next(array for array in (one, *yours.values()) if array is not None).dtype
        for piece in row.pieces:
            found = yours.get(piece.second)
            filled[piece.second] = (
                found
                if found is not None
                else np.zeros(pair.second.parameters[piece.second].shape, dtype)
            )
        other = mapped(row, np.zeros(own.shape, dtype), filled) if arrived else None
        parts.append(
            _Compared(
                "parameter",
                name,
                " + ".join(piece.second for piece in row.pieces),
                one,
                other,
                parameter_growth(own, theirs.values()),
            )
        )
    return parts


def _frozen(pair: Pair, row: ParameterRow) -> bool:
    """Whether neither model trains a parameter."""
    first, second = pair.first.graph.parameters, pair.second.graph.parameters
    return (
        row.first in first
        and not first[row.first].trainable
        and all(
            piece.second in second and not second[piece.second].trainable for piece in row.pieces
        )
    )


def _by_name(side: Side, found: Mapping[int, Array | None]) -> dict[str, Array]:
    """Gradients by parameter name; several nodes of one parameter add up."""
    total: dict[str, Array] = {}
    for number, array in found.items():
        record = side.graph.record(number)
        if array is not None:
            total[record.name] = total[record.name] + array if record.name in total else array
    return total


_POOL: list[Array] = []


def _cotangent(value: Value, shape: tuple[int, ...]) -> Array:
    """Seeded normal numbers, taken round and round from one pool."""
    if not _POOL:
        _POOL.append(np.random.default_rng(20).standard_normal(POOL, np.float32))
    size = int(np.prod(shape))
    start = zlib.crc32(f"{value.node}.{value.output}".encode()) % POOL
    if start + size <= POOL:
        return _POOL[0][start : start + size].reshape(shape)
    rounds, rest = divmod(size - (POOL - start), POOL)
    return np.concatenate([_POOL[0][start:], *[_POOL[0]] * rounds, _POOL[0][:rest]]).reshape(shape)


def _one_sided(pair: Pair, plan: Plan, region: Region, feed: Fed) -> dict[str, Array]:
    """Boundary values that only one side reads, by label: what a residual would be."""
    found = {}
    for value, array in feed.second.items():
        if all(
            read in region.first.reads
            for read in region.second.reads
            if value in plan.cuts[read].second
        ):
            continue
        found[f"the value of {_name(pair.second, value)} on the second side"] = array
    for value, array in feed.first.items():
        if all(
            read in region.second.reads
            for read in region.first.reads
            if value in plan.cuts[read].first
        ):
            continue
        found[f"the value of {_name(pair.first, value)} on the first side"] = array
    return found


def _labels(pair: Pair, plan: Plan, indices: set[int]) -> tuple[str, ...]:
    return tuple(
        plan.cuts[index].label or f"what {_name(pair.second, plan.cuts[index].second[0])} yields"
        for index in sorted(indices)
    )


def _name(side: Side, value: Value) -> str:
    """A value in words: its operation and module."""
    record = side.graph.record(value.node)
    if record.kind != "operation":
        return f"{record.kind} {record.name!r}"
    return f"{record.op} in {record.path or 'the root'}"
