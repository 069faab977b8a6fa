"""Sums, products and powers: any number of operands, scales and shifts on the edges."""

from __future__ import annotations

import math

import numpy as np

from padiff_graph.capture.normal.builder import Draft
from padiff_graph.capture.normal.edges import affine, broadcast, read_through, shape_of, view_of
from padiff_graph.capture.normal.form import Edge
from padiff_graph.capture.normal.rewrites.rule import Sweep, applies_to, same_operand
from padiff_graph.capture.normal.traits import Scale, traits, with_trait

__all__ = [
    "clip_unscaled",
    "composed_hard_sigmoid",
    "least_operands",
    "nested_sum_or_product",
    "power_of_power",
    "product_of_equals",
    "scale_out_of_elementwise",
    "shift_out_of_sum",
    "x_times_hard_sigmoid",
    "x_times_sigmoid",
]

_HOMOGENEOUS = with_trait(lambda row: row.scale in (Scale.ANY, Scale.POSITIVE))
"""Operators of one operand through which factors pass."""


@applies_to("Add", "Mul")
def nested_sum_or_product(sweep: Sweep, draft: Draft) -> bool:
    """Add of Add and Mul of Mul, each read once, are one node of more operands."""
    if draft.op not in ("Add", "Mul"):
        return False
    for position, edge in enumerate(draft.inputs):
        if edge is None:
            continue
        inner = sweep.builder.drafts[edge.source]
        if (
            inner.op != draft.op
            or not sweep.alone(inner)
            or not view_of(edge).identity
            or shape_of(edge) != inner.shape
        ):
            continue
        if draft.op == "Mul" and (edge.shift != 0.0 or edge.scale != 1.0):
            continue
        members: list[Edge | None] = []
        for part, member in enumerate(inner.inputs):
            if member is None:
                return False
            # scale * (a + b) + shift; the shift goes with the first.
            scaled = affine(
                member, edge.scale, edge.shift if part == 0 and draft.op == "Add" else 0.0
            )
            members.append(broadcast(scaled, draft.shape))
        inputs = [*draft.inputs[:position], *members, *draft.inputs[position + 1 :]]
        sweep.replace(draft, sweep.made_of(draft, draft.op, inputs, {}, inner, native=edge.through))
        return True
    return False


@applies_to(*with_trait(lambda row: row.elementwise and len(row.operands) + row.variadic > 1))
def least_operands(sweep: Sweep, draft: Draft) -> bool:
    """x + expand(b) = x + b, also where the expansion came to light by another rule."""
    least = [None if edge is None else broadcast(edge, draft.shape) for edge in draft.inputs]
    shapes = [shape_of(edge) for edge in least if edge is not None]
    if least == draft.inputs or np.broadcast_shapes(*shapes) != draft.shape:
        return False
    draft.inputs[:] = least
    return True


@applies_to("Add")
def shift_out_of_sum(sweep: Sweep, draft: Draft) -> bool:
    """(x + c) + y = (x + y) + c."""
    if draft.op != "Add" or all(
        edge is None or edge.shift == 0.0 or view_of(edge).padded for edge in draft.inputs
    ):
        return False
    total = 0.0
    inputs: list[Edge | None] = []
    for edge in draft.inputs:
        if edge is not None and edge.shift != 0.0 and not view_of(edge).padded:
            total += edge.shift
            edge = Edge(edge.source, edge.output, edge.view, edge.scale, 0.0, edge.through)
        inputs.append(edge)
    sweep.replace(draft, sweep.made_of(draft, "Add", inputs, {}), 1.0, total)
    return True


@applies_to("Mul", "Pow", *_HOMOGENEOUS)
def scale_out_of_elementwise(sweep: Sweep, draft: Draft) -> bool:
    """(a x) * (b y + c) = a b (x * (y + c / b)); Pow and positive factors of Relu, LeakyRelu and means alike."""
    factor = 1.0
    inputs: list[Edge | None] = []
    if draft.op == "Mul":
        for edge in draft.inputs:
            if edge is not None and edge.scale not in (0.0, 1.0):
                factor *= edge.scale
                edge = Edge(
                    edge.source, edge.output, edge.view, 1.0, edge.shift / edge.scale, edge.through
                )
            inputs.append(edge)
    elif draft.op in _HOMOGENEOUS and len(draft.outputs) == 1:
        edge = draft.inputs[0]
        linear = traits(draft.op).scale is Scale.ANY
        if (
            edge is None
            or edge.shift != 0.0
            or edge.scale in (0.0, 1.0)
            or (edge.scale < 0.0 and not linear)
        ):
            return False
        factor = edge.scale
        inputs = [Edge(edge.source, edge.output, edge.view, 1.0, 0.0, edge.through)]
    elif draft.op == "Pow" and draft.attrs["exponent"] is not None:
        edge = draft.inputs[0]
        exponent = draft.attrs["exponent"]
        if (
            edge is None
            or edge.shift != 0.0
            or edge.scale in (0.0, 1.0)
            or (edge.scale < 0.0 and not float(exponent).is_integer())
        ):
            return False
        factor = edge.scale**exponent
        inputs = [Edge(edge.source, edge.output, edge.view, 1.0, 0.0, edge.through)]
    if factor == 1.0:
        return False
    sweep.replace(draft, sweep.made_of(draft, draft.op, inputs, dict(draft.attrs)), factor)
    return True


@applies_to("Clip")
def clip_unscaled(sweep: Sweep, draft: Draft) -> bool:
    """clip(a x + b, l, h) = a clip(x + b / a, l / a, h / a) for a > 0: relu6(x + 3) / 6 is hardsigmoid."""
    edge = draft.inputs[0] if draft.op == "Clip" else None
    if edge is None or edge.scale == 1.0 or edge.scale <= 0.0:
        return False
    scale = edge.scale
    attrs = {
        name: None if draft.attrs[name] is None else draft.attrs[name] / scale
        for name in ("min", "max")
    }
    operand = Edge(edge.source, edge.output, edge.view, 1.0, edge.shift / scale, edge.through)
    sweep.replace(draft, sweep.made_of(draft, "Clip", [operand], dict(attrs)), scale)
    return True


@applies_to("Clip")
def composed_hard_sigmoid(sweep: Sweep, draft: Draft) -> bool:
    """clip(x + b, 0, h) = h clip(x / h + b / h, 0, 1), which is h HardSigmoid(x)."""
    edge = draft.inputs[0] if draft.op == "Clip" else None
    if (
        edge is None
        or edge.scale != 1.0
        or edge.shift == 0.0
        or draft.attrs["min"] != 0.0
        or not draft.attrs["max"]
        or view_of(edge).padded
    ):
        return False
    height = draft.attrs["max"]
    operand = Edge(edge.source, edge.output, edge.view, 1.0, 0.0, edge.through)
    sweep.replace(
        draft,
        sweep.made_of(
            draft, "HardSigmoid", [operand], {"alpha": 1.0 / height, "beta": edge.shift / height}
        ),
        height,
    )
    return True


@applies_to("Mul")
def x_times_hard_sigmoid(sweep: Sweep, draft: Draft) -> bool:
    """x * HardSigmoid(x) with the slope of 1/6 is HardSwish."""
    if draft.op != "Mul" or len(draft.inputs) != 2:
        return False
    for x, gate in (draft.inputs, draft.inputs[::-1]):
        inner = sweep.source(gate)
        if (
            x is None
            or gate is None
            or inner is None
            or inner.op != "HardSigmoid"
            or inner.inputs[0] is None
            or not sweep.alone(inner)
        ):
            continue
        if (
            (gate.scale, gate.shift) != (1.0, 0.0)
            or not view_of(gate).identity
            or not same_operand(x, inner.inputs[0])
        ):
            continue
        if math.isclose(inner.attrs["alpha"], 1.0 / 6.0, rel_tol=1e-4) and math.isclose(
            inner.attrs["beta"], 0.5, rel_tol=1e-4
        ):
            sweep.replace(draft, sweep.made_of(draft, "HardSwish", [x], {}, inner))
            return True
    return False


@applies_to("Pow")
def power_of_power(sweep: Sweep, draft: Draft) -> bool:
    """1 / sqrt(x) is one power; only where no sign is lost on the way."""
    if draft.op != "Pow" or draft.attrs["exponent"] is None:
        return False
    edge = draft.inputs[0]
    inner = sweep.source(edge)
    if (
        edge is None
        or inner is None
        or inner.op != "Pow"
        or inner.attrs["exponent"] is None
        or not sweep.alone(inner)
    ):
        return False
    outside, inside = draft.attrs["exponent"], inner.attrs["exponent"]
    # (x ** 2) ** 0.5 is |x|: an even power inside must not be undone; a root inside is of what is positive.
    if (
        (float(inside).is_integer() and not float(outside).is_integer())
        or (edge.scale, edge.shift) != (1.0, 0.0)
        or inner.inputs[0] is None
    ):
        return False
    below = read_through(inner.inputs[0], edge)
    if below is None:
        return False
    sweep.replace(
        draft, sweep.made_of(draft, "Pow", [below], {"exponent": inside * outside}, inner)
    )
    return True


@applies_to("Mul")
def product_of_equals(sweep: Sweep, draft: Draft) -> bool:
    """x * x is a power."""
    if draft.op != "Mul" or len(draft.inputs) < 2 or any(edge is None for edge in draft.inputs):
        return False
    operands = [edge for edge in draft.inputs if edge is not None]
    first = operands[0]
    if (
        not all(same_operand(first, edge) for edge in operands[1:])
        or shape_of(first) != draft.shape
    ):
        return False
    sweep.replace(draft, sweep.made_of(draft, "Pow", [first], {"exponent": float(len(operands))}))
    return True


@applies_to("Mul")
def x_times_sigmoid(sweep: Sweep, draft: Draft) -> bool:
    """x * sigmoid(a x) is Swish: SiLU for a = 1, the quick Gelu for a = 1.702."""
    if draft.op != "Mul" or len(draft.inputs) != 2:
        return False
    for x, gate in (draft.inputs, draft.inputs[::-1]):
        inner = sweep.source(gate)
        if (
            x is None
            or gate is None
            or inner is None
            or inner.op != "Sigmoid"
            or not sweep.alone(inner)
            or (gate.scale, gate.shift) != (1.0, 0.0)
        ):
            continue
        inside = inner.inputs[0]
        if (
            inside is None
            or not view_of(gate).identity
            or inside.shift != 0.0
            or x.shift != 0.0
            or inside.scale == 0.0
        ):
            continue
        alpha = inside.scale / x.scale
        if (x.source, x.output) != (inside.source, inside.output) or not view_of(x).same(
            view_of(inside)
        ):
            continue
        sweep.replace(draft, sweep.made_of(draft, "Swish", [x], {"alpha": alpha}, inner))
        return True
    return False
