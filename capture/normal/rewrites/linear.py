"""Products with parameters, their biases, and convolutions of fewer axes."""

from __future__ import annotations

import math

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal.builder import Draft
from padiff_graph.capture.normal.edges import moved, plain, reshape, shape_of, transpose, view_of
from padiff_graph.capture.normal.form import Edge, Location
from padiff_graph.capture.normal.rewrites.rule import Sweep, applies_to
from padiff_graph.capture.normal.traits import Scale, traits, with_trait

__all__ = [
    "bias_into_product",
    "convolution_of_fewer_axes",
    "convolution_of_one_element",
    "matmul_with_parameter",
    "scale_out_of_matmul",
    "scale_out_of_product",
]

_PRODUCTS = with_trait(lambda row: row.scale is Scale.EACH and not row.elementwise)
"""Operators that multiply and sum."""
_BIASED = with_trait(lambda row: row.scale is Scale.EACH and row.role(2) == "bias")
"""Those of them that take a bias."""


@applies_to("MatMul")
def matmul_with_parameter(sweep: Sweep, draft: Draft) -> bool:
    """x @ W is Linear where W depends on parameters only and is a matrix."""
    if draft.op != "MatMul":
        return False
    x, weight = draft.inputs
    if x is None or weight is None:
        return False
    source = sweep.builder.drafts[weight.source]
    if source.varies or source.op == "Constant" or len(shape_of(weight)) != 2:
        return False
    if not sweep.builder.drafts[x.source].varies:
        return False
    sweep.replace(draft, sweep.made_of(draft, "Linear", [x, weight, None], {}))
    return True


@applies_to("Add")
def bias_into_product(sweep: Sweep, draft: Draft) -> bool:
    """Linear(x, W) + b and Conv(x, W) + b with one b for each feature take b as their third operand."""
    if draft.op != "Add" or len(draft.inputs) != 2:
        return False
    for product, bias in (draft.inputs, draft.inputs[::-1]):
        if product is None or bias is None:
            continue
        inner = sweep.builder.drafts[product.source]
        if inner.op not in _BIASED or (len(inner.inputs) == 3 and inner.inputs[2] is not None):
            continue
        origin = sweep.builder.drafts[bias.source]
        if origin.varies or origin.op == "Constant" or not sweep.alone(inner):
            continue
        if not plain(product):
            if _bias_of_moved(sweep, draft, inner, product, bias):
                return True
            continue
        shape = inner.shape
        feature = traits(inner.op).features % len(shape)
        # The product may have been reshaped in between (a lone spatial axis dropped or added).
        own = shape_of(bias)
        lone = [axis for axis, extent in enumerate(own) if extent != 1]
        seen = shape_of(product)
        if math.prod(own) != shape[feature] or len(lone) > 1:
            continue
        if lone and math.prod(seen[lone[0] + 1 :]) != math.prod(shape[feature + 1 :]):
            continue
        if not lone and shape[feature] != 1:
            continue
        new = sweep.made_of(
            draft,
            inner.op,
            [*inner.inputs[:2], reshape(bias, (shape[feature],))],
            dict(inner.attrs),
            inner,
            native=(*product.through,),
            outputs=(inner.outputs[0],),
        )
        place = draft.locations[0]
        if place is not None:
            new.locations[0] = Location(place.value, place.view.reshape(shape))
        sweep.builder.replace(draft, reshape(sweep.builder.read(new), draft.shape))
        return True
    return False


def _bias_of_moved(sweep: Sweep, draft: Draft, inner: Draft, product: Edge, bias: Edge) -> bool:
    """The same where the product's axes were put in another order before b is added: b one layout, the product another."""
    shape, movement = inner.shape, view_of(product)
    back = (
        movement.inverse(shape)
        if movement.permutation and product.scale == 1.0 and product.shift == 0.0
        else None
    )
    if back is None or bias.scale != 1.0 or bias.shift != 0.0:
        return False
    own = (1,) * (len(movement.shape) - len(shape_of(bias))) + shape_of(bias)
    added = view_of(bias).reshape(own).expand(movement.shape).then(back)
    feature = traits(inner.op).features % len(shape)
    lane = added
    for axis in reversed(range(len(shape))):
        if axis != feature:
            lane = lane.select(axis, 0)
    if (
        not lane.reshape([extent if axis == feature else 1 for axis, extent in enumerate(shape)])
        .expand(shape)
        .same(added)
    ):
        return False
    new = sweep.made_of(
        draft,
        inner.op,
        [*inner.inputs[:2], moved(bias, lane)],
        dict(inner.attrs),
        inner,
        native=(*product.through,),
        outputs=(inner.outputs[0],),
    )
    place = draft.locations[0]
    if place is not None:
        new.locations[0] = Location(place.value, place.view.then(back))
    sweep.builder.replace(draft, moved(sweep.builder.read(new), movement))
    return True


@applies_to("MatMul")
def scale_out_of_matmul(sweep: Sweep, draft: Draft) -> bool:
    """(a x) @ (b y) = a b (x @ y): factors move from the operands to the readers."""
    return draft.op == "MatMul" and scale_out_of_product(sweep, draft)


@applies_to(*_PRODUCTS)
def scale_out_of_product(sweep: Sweep, draft: Draft) -> bool:
    """The same for Linear and Conv without a bias, once biases have been found."""
    if any(edge is not None for edge in draft.inputs[2:]):
        return False
    factor = 1.0
    inputs = []
    for edge in draft.inputs:
        if edge is not None and edge.scale != 1.0 and edge.shift == 0.0 and edge.scale != 0.0:
            factor *= edge.scale
            edge = Edge(edge.source, edge.output, edge.view, 1.0, 0.0, edge.through)
        inputs.append(edge)
    if all(new is old for new, old in zip(inputs, draft.inputs, strict=True)):
        return False
    sweep.replace(draft, sweep.made_of(draft, draft.op, inputs, dict(draft.attrs)), factor)
    return True


@applies_to("Conv")
def convolution_of_one_element(sweep: Sweep, draft: Draft) -> bool:
    """A convolution of an image of one element, as squeeze-and-excitation has it, is Linear."""
    x, weight = draft.inputs[:2]
    if x is None or weight is None or draft.attrs["group"] != 1 or any(draft.attrs["pads"]):
        return False
    if any(extent != 1 for extent in (*shape_of(x)[2:], *shape_of(weight)[2:])):
        return False
    source = sweep.builder.drafts[weight.source]
    if source.varies or source.op == "Constant" or not sweep.builder.drafts[x.source].varies:
        return False
    (rows, features), outputs = shape_of(x)[:2], draft.shape[1]
    kind = TensorType((rows, outputs), draft.outputs[0].dtype)
    matrix = transpose(reshape(weight, (outputs, features)), (1, 0))
    bias = draft.inputs[2] if len(draft.inputs) > 2 else None
    new = sweep.made_of(
        draft, "Linear", [reshape(x, (rows, features)), matrix, bias], {}, outputs=(kind,)
    )
    place = draft.locations[0]
    if place is not None:
        new.locations[0] = Location(place.value, place.view.reshape(kind.shape))
    sweep.builder.replace(draft, reshape(sweep.builder.read(new), draft.shape))
    return True


@applies_to("Conv")
def convolution_of_fewer_axes(sweep: Sweep, draft: Draft) -> bool:
    """An axis of one element under a kernel of one element is no axis: Paddle's Conv1D is a Conv2D."""
    if draft.op != "Conv":
        return False
    x, weight = draft.inputs[:2]
    if x is None or weight is None:
        return False
    count = len(draft.attrs["strides"])
    if count < 2 or len(shape_of(x)) != count + 2:
        return False
    pads = draft.attrs["pads"]
    idle = [
        at
        for at in range(count)
        if shape_of(x)[2 + at] == 1
        and shape_of(weight)[2 + at] == 1
        and pads[at] == pads[count + at] == 0
    ]
    idle = idle[: count - 1]
    if not idle:
        return False
    kept = [at for at in range(count) if at not in idle]

    def fewer(shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*shape[:2], *(shape[2 + at] for at in kept))

    attrs = {
        "strides": tuple(draft.attrs["strides"][at] for at in kept),
        "pads": (*(pads[at] for at in kept), *(pads[count + at] for at in kept)),
        "dilations": tuple(draft.attrs["dilations"][at] for at in kept),
        "group": draft.attrs["group"],
    }
    kind = TensorType(fewer(draft.shape), draft.outputs[0].dtype)
    new = sweep.made_of(
        draft,
        "Conv",
        [
            reshape(x, fewer(shape_of(x))),
            reshape(weight, fewer(shape_of(weight))),
            *draft.inputs[2:],
        ],
        attrs,
        outputs=(kind,),
    )
    place = draft.locations[0]
    if place is not None:
        new.locations[0] = Location(place.value, place.view.reshape(kind.shape))
    sweep.builder.replace(draft, reshape(sweep.builder.read(new), draft.shape))
    return True
