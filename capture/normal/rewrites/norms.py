"""Normalisations and Gelu that a model spells out."""

from __future__ import annotations

import math
from collections.abc import Mapping

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal.builder import Draft
from padiff_graph.capture.normal.edges import expand, moved, plain, reshape, shape_of, view_of
from padiff_graph.capture.normal.form import Edge, Location
from padiff_graph.capture.normal.index_map import View
from padiff_graph.capture.normal.rewrites.rule import Sweep, applies_to, same_value

__all__ = ["composed_gelu", "composed_layer_norm", "composed_rms_norm", "scale_and_bias_into_norm"]

NORMS = ("LayerNormalization", "RMSNormalization")
NONE: Mapping[str, object] = {}
"""No further attributes."""


def _root(sweep: Sweep, edge: Edge | None) -> tuple[Edge, float] | None:
    """For Pow(mean + epsilon, -0.5): the edge that reads the mean, and epsilon."""
    root = sweep.source(edge)
    if (
        edge is None
        or root is None
        or root.op != "Pow"
        or root.attrs["exponent"] != -0.5
        or (edge.scale, edge.shift) != (1.0, 0.0)
    ):
        return None
    inside = root.inputs[0]
    if (
        inside is None
        or inside.scale <= 0.0
        or inside.shift <= 0.0
        or not view_of(inside).identity
        or not view_of(edge).identity
    ):
        return None
    return inside, inside.shift


def _seen(edge: Edge, shape: tuple[int, ...], view: View) -> View:
    """An element-wise operand of a result of `shape`, as read through `view`."""
    return view_of(expand(edge, shape)).then(view)


def _along(rows: tuple[int, ...], count: int, varies: bool) -> View:
    """The view of a vector along the last axis (`varies`) or along all others, over [*rows, count]."""
    if varies:
        return View.of((count,)).reshape((1,) * len(rows) + (count,)).expand((*rows, count))
    return View.of(rows).reshape((*rows, 1)).expand((*rows, count))


@applies_to("Mul")
def composed_rms_norm(sweep: Sweep, draft: Draft) -> bool:
    """x * Pow(mean(x ** 2) + epsilon, -0.5)."""
    if draft.op != "Mul" or len(draft.inputs) != 2:
        return False
    for x, root in (draft.inputs, draft.inputs[::-1]):
        found = _root(sweep, root)
        if x is None or root is None or found is None or x.shift != 0.0:
            continue
        mean = sweep.source(found[0])
        if mean is None or mean.op != "ReduceMean" or mean.inputs[0] is None:
            continue
        squared = mean.inputs[0]
        square = sweep.source(squared)
        if (
            square is None
            or square.op != "Pow"
            or square.attrs["exponent"] != 2.0
            or square.inputs[0] is None
        ):
            continue
        inner = square.inputs[0]
        if (
            (inner.source, inner.output, inner.shift) != (x.source, x.output, 0.0)
            or not view_of(inner).same(view_of(x))
            or shape_of(x) != draft.shape
        ):
            continue
        # mean(x^2) * scale with x = inner / inner.scale: only the plain case.
        if (
            x.scale != 1.0
            or inner.scale != 1.0
            or found[0].scale != 1.0
            or (squared.scale, squared.shift) != (1.0, 0.0)
        ):
            continue
        if _replace(sweep, draft, "RMSNormalization", x, root, mean, found[1]):
            return True
    return False


@applies_to("Mul")
def composed_layer_norm(sweep: Sweep, draft: Draft) -> bool:
    """(x - mean(x)) * Pow(mean((x - mean(x)) ** 2) + epsilon, -0.5); or with the variance as an operator."""
    if draft.op != "Mul" or len(draft.inputs) != 2:
        return False
    for centred, root in (draft.inputs, draft.inputs[::-1]):
        found = _root(sweep, root)
        inner = sweep.source(centred)
        if (
            centred is None
            or root is None
            or found is None
            or inner is None
            or inner.op != "Add"
            or len(inner.inputs) != 2
            or not plain(centred)
        ):
            continue
        statistic = sweep.source(found[0])
        correction = None if statistic is None else _correction(statistic, found[0])
        if statistic is None or statistic.inputs[0] is None or correction is None:
            continue
        for x, mean in (inner.inputs, inner.inputs[::-1]):
            average = sweep.source(mean)
            if (
                x is None
                or mean is None
                or average is None
                or average.op != "ReduceMean"
                or average.inputs[0] is None
                or (mean.scale, mean.shift) != (-1.0, 0.0)
            ):
                continue
            if (x.scale, x.shift) != (1.0, 0.0) or shape_of(x) != draft.shape:
                continue
            over = average.inputs[0]
            if (over.source, over.output, over.scale, over.shift) != (x.source, x.output, 1.0, 0.0):
                continue
            if statistic.op == "ReduceVariance":
                reading = statistic.inputs[0]
                same = (reading.source, reading.output, reading.scale) == (
                    x.source,
                    x.output,
                    1.0,
                ) and view_of(reading).same(view_of(over))
            else:
                reading = statistic.inputs[0]
                square = sweep.source(reading)
                same = (
                    square is not None
                    and square.op == "Pow"
                    and square.attrs["exponent"] == 2.0
                    and square.inputs[0] is not None
                    and same_value(
                        sweep.builder, sweep.builder.drafts[square.inputs[0].source], inner
                    )
                    and plain(square.inputs[0])
                    and (reading.scale, reading.shift) == (1.0, 0.0)
                )
            if not same:
                continue
            rows = average.shape
            # The mean must go back to where it was taken from.
            taken = _relative(x, over)
            if taken is None or not _seen(mean, draft.shape, taken).same(
                _along(rows, shape_of(over)[-1], varies=False)
            ):
                continue
            if statistic.op != "ReduceVariance" and not view_of(reading).same(taken):
                continue
            if _replace(
                sweep,
                draft,
                "LayerNormalization",
                x,
                root,
                statistic,
                found[1],
                taken,
                {"correction": correction},
            ):
                return True
    return False


def _correction(statistic: Draft, edge: Edge) -> float | None:
    """How many elements the variance leaves out of its count: 0, or 1 where it is the unbiased one; None for
    no variance. `edge` reads the variance."""
    over = statistic.inputs[0]
    count = shape_of(over)[-1] if over is not None and shape_of(over) else 0
    if statistic.op == "ReduceVariance":
        left: float = statistic.attrs["correction"]
        return left if edge.scale == 1.0 and left in (0.0, 1.0) else None
    if statistic.op not in ("ReduceMean", "ReduceSum") or count < 2:
        return None
    mean = edge.scale * (count if statistic.op == "ReduceSum" else 1.0)
    return next(
        (
            left
            for left in (0.0, 1.0)
            if math.isclose(mean, count / (count - left), rel_tol=min(1e-5, 0.1 / count))
        ),
        None,
    )


def _relative(x: Edge, over: Edge) -> View | None:
    """How `over` reads what `x` reads, where x is all of its source."""
    if not view_of(x).permutation:
        return None
    back = view_of(x).inverse((view_of(x).source,))
    return None if back is None else back.then(view_of(over))


def _replace(
    sweep: Sweep,
    draft: Draft,
    op: str,
    x: Edge,
    root: Edge,
    statistic: Draft,
    epsilon: float,
    taken: View | None = None,
    attrs: Mapping[str, object] = NONE,
) -> bool:
    """Puts the normalisation over the axes of the statistic in place of the product."""
    reading = statistic.inputs[0]
    assert reading is not None
    taken = view_of(reading) if taken is None else taken
    if taken.size != math.prod(draft.shape) or taken.source != taken.size:
        return False
    rows, count = statistic.shape, taken.shape[-1]
    if not _seen(root, draft.shape, taken).same(_along(rows, count, varies=False)):
        return False
    back = taken.inverse(draft.shape)
    if back is None:
        return False
    operand = moved(x, view_of(x).then(taken))
    folded = [statistic, sweep.builder.drafts[root.source]]
    square = sweep.builder.drafts[reading.source]
    if square.op == "Pow":
        folded.insert(0, square)
        again = square.inputs[0]
        if again is not None and op == "LayerNormalization":
            centred = sweep.builder.drafts[again.source]
            folded = [*_means(sweep, centred), centred, *folded]
    if op == "LayerNormalization":
        inner = sweep.builder.drafts[
            next(
                edge for edge in draft.inputs if edge is not None and edge.source != root.source
            ).source
        ]
        folded = [*_means(sweep, inner), inner, *folded]
    inputs: list[Edge | None] = (
        [operand, None, None] if op == "LayerNormalization" else [operand, None]
    )
    new = sweep.made_of(
        draft,
        op,
        inputs,
        {"epsilon": epsilon, "axis": -1, **attrs},
        *folded,
        outputs=(TensorType(taken.shape, draft.outputs[0].dtype),),
    )
    place = draft.locations[0]
    if place is not None:
        new.locations[0] = Location(place.value, place.view.then(taken))
    sweep.builder.replace(draft, moved(sweep.builder.read(new), back))
    return True


def _means(sweep: Sweep, centred: Draft) -> list[Draft]:
    """What is subtracted."""
    return [
        sweep.builder.drafts[edge.source]
        for edge in centred.inputs
        if edge is not None and edge.scale == -1.0
    ]


@applies_to("Mul", "Add")
def scale_and_bias_into_norm(sweep: Sweep, draft: Draft) -> bool:
    """norm(x) * w and norm(x) + b with one number for each normalised element become operands of the norm."""
    if draft.op not in ("Mul", "Add") or len(draft.inputs) != 2:
        return False
    for normed, parameter in (draft.inputs, draft.inputs[::-1]):
        norm = sweep.source(normed)
        if (
            normed is None
            or parameter is None
            or norm is None
            or norm.op not in NORMS
            or not sweep.alone(norm)
            or (normed.scale, normed.shift) != (1.0, 0.0)
        ):
            continue
        position = 1 if draft.op == "Mul" else 2
        if (
            position >= len(norm.inputs)
            or norm.inputs[position] is not None
            or (position == 1 and len(norm.inputs) > 2 and norm.inputs[2] is not None)
        ):
            continue
        source = sweep.builder.drafts[parameter.source]
        if (
            source.varies
            or source.op == "Constant"
            or not view_of(normed).permutation
            or shape_of(normed) != draft.shape
        ):
            continue
        count = math.prod(norm.shape[norm.attrs["axis"] :])
        rows = norm.shape[: norm.attrs["axis"]]
        back = view_of(normed).inverse(norm.shape)
        if back is None or math.prod(shape_of(parameter)) != count:
            continue
        if not _seen(parameter, draft.shape, back).same(
            _along((math.prod(rows),), count, varies=True)
        ):
            continue
        operands = list(norm.inputs)
        operands[position] = reshape(parameter, norm.shape[norm.attrs["axis"] :])
        new = sweep.made_of(
            draft,
            norm.op,
            operands,
            dict(norm.attrs),
            norm,
            native=normed.through,
            outputs=norm.outputs,
        )
        place = draft.locations[0]
        if place is not None:
            new.locations[0] = Location(place.value, place.view.then(back))
        sweep.builder.replace(draft, moved(sweep.builder.read(new), view_of(normed)))
        return True
    return False


@applies_to("Mul")
def composed_gelu(sweep: Sweep, draft: Draft) -> bool:
    """x * (1 + erf(x / sqrt 2)) is 2 Gelu(x); x * (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) its approximation."""
    if draft.op != "Mul" or len(draft.inputs) != 2:
        return False
    for x, gate in (draft.inputs, draft.inputs[::-1]):
        inner = sweep.source(gate)
        if (
            x is None
            or gate is None
            or inner is None
            or inner.op not in ("Erf", "Tanh")
            or (gate.scale, gate.shift) != (1.0, 1.0)
            or not view_of(gate).identity
        ):
            continue
        inside = inner.inputs[0]
        if inside is None or (x.scale, x.shift) != (1.0, 0.0):
            continue
        parts: list[Draft] = [inner]
        if inner.op == "Erf":
            if not _reads(inside, x, math.sqrt(0.5)):
                continue
            approximate = "none"
        else:
            cubic = _cubic(sweep, inside, x)
            if cubic is None:
                continue
            parts = [*cubic, inner]
            approximate = "tanh"
        new = sweep.made_of(draft, "Gelu", [x], {"approximate": approximate}, *parts)
        sweep.replace(draft, new, 2.0)
        return True
    return False


def _reads(edge: Edge, x: Edge, scale: float) -> bool:
    """Whether an edge reads scale * x."""
    same = (edge.source, edge.output, edge.shift) == (x.source, x.output, 0.0) and view_of(
        edge
    ).same(view_of(x))
    return same and math.isclose(edge.scale, scale * x.scale, rel_tol=1e-3)


def _cubic(sweep: Sweep, edge: Edge, x: Edge) -> list[Draft] | None:
    """The drafts of sqrt(2 / pi) * (x + 0.044715 x^3), where an edge reads that."""
    root = math.sqrt(2.0 / math.pi)
    inner = sweep.source(edge)
    if inner is None or edge.shift != 0.0 or not view_of(edge).identity:
        return None
    operands = [operand for operand in inner.inputs if operand is not None]
    if inner.op == "Add" and len(operands) == 2:
        for plain_part, cube in (operands, operands[::-1]):
            power = sweep.source(cube)
            if (
                power is None
                or power.op != "Pow"
                or power.attrs["exponent"] != 3.0
                or power.inputs[0] is None
            ):
                continue
            if (
                _reads(plain_part, x, root / edge.scale)
                and _reads(power.inputs[0], x, 1.0)
                and math.isclose(cube.scale * edge.scale, root * 0.044715, rel_tol=1e-3)
            ):
                return [power, inner]
    if inner.op == "Mul" and len(operands) == 2:
        for plain_part, bracket in (operands, operands[::-1]):
            power = sweep.source(bracket)
            if (
                power is None
                or power.op != "Pow"
                or power.attrs["exponent"] != 2.0
                or power.inputs[0] is None
            ):
                continue
            # x * (x^2 + 1 / 0.044715), the factor taken out of the bracket.
            ratio = bracket.shift / bracket.scale if bracket.scale else 0.0
            if (
                _reads(plain_part, x, plain_part.scale / x.scale)
                and _reads(power.inputs[0], x, 1.0)
                and math.isclose(ratio, 1.0 / 0.044715, rel_tol=1e-3)
            ):
                factor = edge.scale * plain_part.scale * bracket.shift
                if math.isclose(factor, root, rel_tol=1e-3):
                    return [power, inner]
    return None
