"""What the rows of all operator tables are made of: one function for each idea of the normal form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal.builder import FLOATS, reduced
from padiff_graph.capture.normal.call import Call, Result, Row, Unsupported
from padiff_graph.capture.normal.edges import broadcast, expand, repeat, reshape, shape_of, take, transpose
from padiff_graph.capture.normal.form import Edge

__all__ = [
    "adaptive_pool",
    "along_last",
    "argument",
    "assign_box",
    "attention",
    "boolean",
    "both_sides",
    "cast",
    "channels_back",
    "channels_first",
    "clip",
    "combine",
    "concat",
    "convolution",
    "divide",
    "einsum",
    "fixed_power",
    "gather",
    "identity",
    "known_index",
    "linear",
    "lookup",
    "matmul",
    "multiply",
    "on_axis",
    "pad",
    "paired",
    "per_axis",
    "pieces",
    "pool",
    "power",
    "product",
    "raised",
    "reduce_over",
    "reduction",
    "reshaped",
    "resize",
    "root_of_squares",
    "same_pads",
    "slope",
    "spatial",
    "stack",
    "sum_of",
    "tiled",
    "unary",
    "unbound",
    "where",
]

FLOAT_ORDER = {"float16": 1, "bfloat16": 1, "float32": 2, "float64": 3, "complex64": 2, "complex128": 3}


# -- rows that are made from names


def unary(op: str, operand: str = "self", **attributes: Any) -> Row:
    """A row for one operand and attributes: a string names the native attribute, anything else is the value."""

    def row(call: Call) -> Result:
        attrs = {name: call.number(native) if isinstance(native, str) else native for name, native in attributes.items()}
        return call.draft(op, [call[operand]], attrs)

    return row


def identity(operand: str = "self") -> Row:
    """A row for what changes no value."""

    def row(call: Call) -> Result:
        return call.touch(call[operand])

    return row


def reshaped(operand: str = "self") -> Row:
    """A row for another shape over the same order: the shape is that of the native result."""

    def row(call: Call) -> Result:
        return call.reshape(call[operand], call.shape)

    return row


def paired(op: str, first: str = "self", second: str = "other") -> Row:
    """A row for an element-wise operator of two operands, the second of which may be a number."""

    def row(call: Call) -> Result:
        shape = call.shape
        pair = []
        for role in (first, second):
            edge = call.operand(role)
            pair.append(call.constant(call.number(role)) if edge is None else broadcast(edge, shape))
        if op in ("Min", "Max"):
            for edge, bound in (pair, pair[::-1]):
                number = call.scalar(bound)
                if number is not None and call.scalar(edge) is None:
                    return expand(clip(call, expand(edge, shape), number if op == "Max" else None, number if op == "Min" else None), shape)
        return call.draft(op, pair)

    return row


def boolean(op: str, number: str) -> Row:
    """A row for `&`, `|`, `~` and the like: ONNX's And, Or, Not on booleans, opaque on integers."""

    def row(call: Call) -> Result:
        if call.type().dtype != "bool":
            raise Unsupported(f"{call.record.op} works on bits here")
        if op == "Not":
            return call.draft(op, [call[number]])
        return paired(op, *number.split())(call)

    return row


def along_last(op: str, operand: str = "self", axis: str = "dim", results: int = 1, **attributes: Any) -> Row:
    """A row for what runs along one axis, which the view puts last."""

    def row(call: Call) -> Result:
        attrs = {name: call.number(native) if isinstance(native, str) else native for name, native in attributes.items()}
        return on_axis(call, op, call[operand], call.number(axis, -1), attrs, results)

    return row


def on_axis(call: Call, op: str, edge: Edge, axis: int, attrs: dict[str, Any], results: int = 1) -> Result:
    """A node along one axis: the operand with that axis last, the results with it put back."""
    rank = call.rank(edge)
    if rank == 0:
        edge, rank = reshape(edge, (1,)), 1
    axis %= rank
    order = [*(at for at in range(rank) if at != axis), axis]
    back = sorted(range(rank), key=order.__getitem__)
    operand = edge if axis == rank - 1 else transpose(edge, order)
    types = []
    for output in range(results):
        native = call.type(output)
        shape = native.shape or (1,)
        if len(shape) != rank:
            shape = (*shape[:axis], 1, *shape[axis:])
        types.append(TensorType(tuple(shape[at] for at in order), native.dtype))
    found = call.results(op, [operand], {"axis": axis - rank, **attrs}, *types)
    return [reshape(result if axis == rank - 1 else transpose(result, back), call.type(output).shape) for output, result in enumerate(found)]


# -- sums and products


def sum_of(call: Call, terms: Sequence[tuple[Edge, float]], constant: float = 0.0) -> Edge:
    """sum of coefficient * operand + constant. Operands that hold one number join the constant."""
    shape = call.shape
    tensors = []
    for edge, coefficient in terms:
        number = call.scalar(edge)
        if number is not None and not isinstance(number, complex):
            constant += coefficient * number
        else:
            tensors.append(call.affine(edge, coefficient) if coefficient != 1.0 else edge)
    if not tensors:
        return expand(call.constant(constant, call.type().dtype), shape)
    if len(tensors) == 1:
        return expand(call.affine(tensors[0], 1.0, constant), shape)
    total = call.draft("Add", [broadcast(edge, shape) for edge in tensors])
    return call.affine(total, 1.0, constant) if constant else total


def product(call: Call, factors: Sequence[Edge], constant: float = 1.0) -> Edge:
    """constant * the product of the operands. Operands that hold one number join the constant."""
    shape = call.shape
    tensors = []
    for edge in factors:
        number = call.scalar(edge)
        if number is not None and not isinstance(number, complex):
            constant *= number
        else:
            tensors.append(edge)
    if not tensors:
        return expand(call.constant(constant, call.type().dtype), shape)
    if len(tensors) == 1:
        return expand(call.affine(tensors[0], constant), shape)
    whole = call.draft("Mul", [broadcast(edge, shape) for edge in tensors])
    return call.affine(whole, constant) if constant != 1.0 else whole


def combine(first: str = "self", second: str = "other", sign: float = 1.0, weight: str = "alpha") -> Row:
    """A row for first + sign * weight * second; both, the second or the weight may be numbers."""

    def row(call: Call) -> Result:
        factor = sign * (call.number(weight, 1) or 0)
        terms, constant = [], 0.0
        for role, coefficient in ((first, 1.0), (second, factor)):
            edge = call.operand(role)
            if edge is None:
                constant += coefficient * call.number(role)
            else:
                terms.append((edge, float(coefficient)))
        if call.type().dtype == "bool":
            return call.draft("Or", [broadcast(edge, call.shape) for edge, _ in terms])
        return sum_of(call, terms, constant)

    return row


def multiply(first: str = "self", second: str = "other") -> Row:
    """A row for a product of two operands, either of which may be a number."""

    def row(call: Call) -> Result:
        factors, constant = [], 1.0
        for role in (first, second):
            edge = call.operand(role)
            if edge is None:
                constant *= call.number(role)
            else:
                factors.append(edge)
        if call.type().dtype == "bool":
            return call.draft("And", [broadcast(edge, call.shape) for edge in factors])
        return product(call, factors, constant)

    return row


def divide(first: str = "self", second: str = "other") -> Row:
    """A row for a quotient: numerator * Pow(denominator, -1)."""

    def row(call: Call) -> Result:
        if call.get("rounding_mode"):
            if call.get("rounding_mode") == "floor":
                return paired("FloorDiv", first, second)(call)
            raise Unsupported("a division that truncates")
        above, below = call.operand(first), call.operand(second)
        if call.type().dtype not in FLOATS:
            raise Unsupported("a division of integers")
        factors = [] if above is None else [above]
        constant = call.number(first) if above is None else 1.0
        number = call.number(second) if below is None else call.scalar(below)
        if number is not None:
            if number == 0:
                raise Unsupported("a division by zero")
            return product(call, factors, constant / number)
        assert below is not None
        known = call.known(below)
        if known is not None and known.size <= 4096:
            with np.errstate(divide="ignore"):
                return product(call, [*factors, call.constant(1.0 / known, call.type().dtype)], constant)
        inverse = call.draft("Pow", [below], {"exponent": -1.0}, call.typed(below, shape_of(below), call.type().dtype))
        return product(call, [*factors, inverse], constant)

    return row


def power(base: str = "self", exponent: str = "exponent") -> Row:
    """A row for powers; a constant exponent is an attribute."""

    def row(call: Call) -> Result:
        edge, above = call.operand(base), call.operand(exponent)
        number = call.number(exponent) if above is None else call.scalar(above)
        if edge is None:
            value = call.number(base)
            return call.draft("Pow", [call.constant(value), broadcast(call[exponent], call.shape)], {"exponent": None})
        if number is None:
            assert above is not None
            return call.draft("Pow", [broadcast(edge, call.shape), broadcast(above, call.shape)], {"exponent": None})
        if number == 1:
            return expand(edge, call.shape)
        return expand(fixed_power(call, edge, float(number)), call.shape)

    return row


def fixed_power(call: Call, edge: Edge, exponent: float) -> Edge:
    """The operand to a constant power."""
    return call.draft("Pow", [edge], {"exponent": exponent}, call.typed(edge, shape_of(edge), call.type().dtype))


def raised(exponent: float, operand: str = "self") -> Row:
    """A row for sqrt, rsqrt, reciprocal, square."""

    def row(call: Call) -> Result:
        return fixed_power(call, call[operand], exponent)

    return row


def clip(call: Call, edge: Edge, low: float | None, high: float | None) -> Edge:
    """The operand between bounds; None where there is none."""
    low = None if low is None or low <= -3.0e38 else float(low)
    high = None if high is None or high >= 3.0e38 else float(high)
    if low == 0.0 and high is None:
        return call.draft("Relu", [edge])
    return call.draft("Clip", [edge], {"min": low, "max": high})


# -- types


def cast(call: Call, edge: Edge, to: str) -> Edge:
    """Another element type: nothing where no value can change, a Cast where one can.

    Integers and booleans as floats, wider floats and wider integers are the same numbers.
    """
    native = call.record.inputs[0]
    kind = call.builder.graph.type_of(native) if native is not None else None
    own = kind.dtype if kind else call.builder.dtype(edge)
    if own == to:
        return call.touch(edge)
    into_float, from_float = to in FLOAT_ORDER, own in FLOAT_ORDER
    if into_float and not from_float:
        harmless = FLOAT_ORDER[to] >= 2 or own == "bool"
    elif into_float and from_float:
        harmless = FLOAT_ORDER[to] > FLOAT_ORDER[own] and to.startswith("complex") == own.startswith("complex")
    elif from_float or to == "bool":
        harmless = False
    else:
        harmless = own == "bool" or to in ("int64", "int32") or (own, to) == ("uint8", "int16")
    if harmless:
        return call.touch(edge)
    known = call.known(edge)
    if known is not None and to in ("float32", "bool", "int64", "int32"):
        return call.constant(np.asarray(known).astype(to), to)
    return call.draft("Cast", [edge], {"to": to}, TensorType(shape_of(edge), to))


# -- products of matrices


def matmul(call: Call, first: Edge, second: Edge) -> Edge:
    """numpy.matmul's rules, vectors too; the result in the native shape."""
    left, right = shape_of(first), shape_of(second)
    if len(left) == 1:
        first = reshape(first, (1, *left))
    if len(right) == 1:
        second = reshape(second, (*right, 1))
    left, right = shape_of(first), shape_of(second)
    if len(right) > 2 and all(extent == 1 for extent in right[:-2]):
        second = reshape(second, right[-2:])
        right = shape_of(second)
    lead = np.broadcast_shapes(left[:-2], right[:-2])
    kind = call.typed(first, (*lead, left[-2], right[-1]), call.type().dtype)
    return reshape(call.draft("MatMul", [first, second], None, kind), call.shape)


def linear(call: Call, x: Edge, weight: Edge, bias: Edge | None) -> Edge:
    """x @ weight + bias with weight [in, out]; kept as a product and a sum until it is clear that the
    weight depends on parameters only (rewrite `linear`)."""
    whole = matmul(call, x, weight)
    if bias is None:
        return whole
    return call.draft("Add", [whole, broadcast(bias, shape_of(whole))], None, TensorType(shape_of(whole), call.type().dtype))


def attention(
    call: Call,
    query: Edge,
    key: Edge,
    value: Edge,
    mask: Edge | None,
    *,
    scale: float | None,
    causal: bool,
    dropout: float = 0.0,
) -> Edge:
    """softmax(scale * query @ key^T + mask) @ value over [..., heads, length, width].

    A boolean mask keeps what is true. Fewer heads of key and value are repeated (grouped queries).
    """
    dtype = call.type().dtype
    heads = shape_of(query)[-3] if call.rank(query) > 2 else 1
    if call.rank(key) > 2 and shape_of(key)[-3] not in (1, heads):
        rows = [row for row in range(shape_of(key)[-3]) for _ in range(heads // shape_of(key)[-3])]
        key, value = take(key, -3, rows), take(value, -3, rows)
    width, length, keys = shape_of(query)[-1], shape_of(query)[-2], shape_of(key)[-2]
    lead = np.broadcast_shapes(shape_of(query)[:-2], shape_of(key)[:-2])
    scores = TensorType((*lead, length, keys), dtype)
    factor = 1.0 / math.sqrt(width) if scale is None else scale
    order = [*range(call.rank(key) - 2), call.rank(key) - 1, call.rank(key) - 2]
    weights = call.affine(call.draft("MatMul", [query, transpose(key, order)], None, scores), factor)
    if causal:
        visible = np.tril(np.ones((length, keys), bool))
        weights = call.draft("Where", [broadcast(call.constant(visible), scores.shape), weights, call.constant(-np.inf)], None, scores)
    if mask is not None:
        if call.builder.dtype(mask) == "bool":
            weights = call.draft("Where", [broadcast(mask, scores.shape), weights, call.constant(-np.inf)], None, scores)
        else:
            weights = call.draft("Add", [weights, broadcast(mask, scores.shape)], None, scores)
    weights = call.draft("Softmax", [weights], {"axis": -1}, scores)
    if dropout:
        weights = call.draft("Dropout", [weights], {"ratio": float(dropout), "channelwise": False}, scores)
    return call.draft("MatMul", [weights, value], None, TensorType((*lead, length, shape_of(value)[-1]), dtype))


# -- convolution and pooling


def per_axis(value: Any, count: int) -> tuple[int, ...]:
    """One number for each spatial axis."""
    values = tuple(int(v) for v in value) if isinstance(value, (tuple, list)) else (int(value),)
    return values * count if len(values) == 1 else values


def same_pads(extents: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]) -> tuple[int, ...]:
    """Pads so that the output has ceil(input / stride) elements; the odd one goes to the end."""
    total = []
    for extent, size, stride, dilation in zip(extents, kernel, strides, dilations, strict=True):
        total.append(max((-(-extent // stride) - 1) * stride + dilation * (size - 1) + 1 - extent, 0))
    return (*(count // 2 for count in total), *(count - count // 2 for count in total))


def both_sides(pads: Sequence[int], count: int) -> tuple[int, ...]:
    """ONNX's pads from one number an axis, or from (begin, end) pairs one axis after the other."""
    pads = tuple(int(pad) for pad in pads)
    if len(pads) == 1:
        pads *= count
    if len(pads) == count:
        return (*pads, *pads)
    if len(pads) == 2 * count:
        return (*pads[::2], *pads[1::2])
    raise Unsupported(f"{len(pads)} pads for {count} axes")


def channels_first(call: Call, edge: Edge, channels_last: bool) -> Edge:
    """[N, ..., C] as [N, C, ...]."""
    rank = call.rank(edge)
    return transpose(edge, [0, rank - 1, *range(1, rank - 1)]) if channels_last else edge


def channels_back(call: Call, edge: Edge, channels_last: bool) -> Edge:
    """[N, C, ...] as [N, ..., C]."""
    rank = call.rank(edge)
    return transpose(edge, [0, *range(2, rank), 1]) if channels_last else edge


def convolution(
    call: Call,
    x: Edge,
    weight: Edge,
    bias: Edge | None,
    *,
    strides: Any,
    pads: Any,
    dilations: Any,
    group: int,
    transposed: bool = False,
    output_padding: Any = 0,
    channels_last: bool = False,
) -> Edge:
    """Conv or ConvTranspose. `pads`: numbers, "SAME" or "VALID"."""
    count = call.rank(weight) - 2
    x = channels_first(call, x, channels_last)
    unbatched = call.rank(x) == count + 1
    if unbatched:
        x = reshape(x, (1, *shape_of(x)))
    strides, dilations = per_axis(strides, count), per_axis(dilations, count)
    kernel, extents = shape_of(weight)[2:], shape_of(x)[2:]
    if isinstance(pads, str):
        if pads.upper() == "SAME":
            pads = same_pads(extents, kernel, strides, dilations)
        else:
            pads = (0,) * (2 * count)
    else:
        pads = both_sides(pads, count)
    shape = call.shape
    if channels_last:
        shape = (shape[0], shape[-1], *shape[1:-1])
    if unbatched:
        shape = (1, *shape)
    attrs: dict[str, Any] = {"strides": strides, "pads": pads, "dilations": dilations, "group": int(group)}
    if transposed:
        spread = zip(extents, shape[2:], kernel, strides, dilations, pads[:count], pads[count:], strict=True)
        # What the result has beyond the formula, whether it was asked for as output padding or as output size.
        attrs["output_padding"] = tuple(out - ((extent - 1) * stride - before - after + dilation * (size - 1) + 1) for extent, out, size, stride, dilation, before, after in spread)
    result = call.draft("ConvTranspose" if transposed else "Conv", [x, weight], attrs, TensorType(shape, call.type().dtype))
    if bias is not None:
        along = reshape(bias, (1, shape[1]) + (1,) * count)
        result = call.draft("Add", [result, along], None, TensorType(shape, call.type().dtype))
    if unbatched:
        result = reshape(result, shape[1:])
    return channels_back(call, result, channels_last)


def pool(
    call: Call,
    x: Edge,
    kind: str,
    *,
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Any,
    ceil_mode: bool,
    count_include_pad: bool = True,
    dilations: Sequence[int] | int = 1,
    divisor: int | None = None,
    channels_last: bool = False,
    results: int = 1,
) -> Result:
    """MaxPool or AveragePool over the trailing axes; a window over everything is a reduction."""
    x = channels_first(call, x, channels_last)
    count = len(kernel)
    lead = call.rank(x) - count
    extents = shape_of(x)[lead:]
    kernel, strides, dilations = tuple(kernel), per_axis(strides, count), per_axis(dilations, count)
    if isinstance(pads, str):
        pads = same_pads(extents, kernel, strides, dilations) if pads.upper() == "SAME" else (0,) * (2 * count)
    else:
        pads = both_sides(pads, count)
    if results == 1 and kernel == extents and not any(pads) and divisor is None and dilations == (1,) * count:
        return channels_back(call, spatial(call, x, "ReduceMean" if kind == "AveragePool" else "ReduceMax", count), channels_last)
    if kernel == (1,) * count and strides == (1,) * count and not any(pads) and results == 1:
        return channels_back(call, call.touch(x), channels_last)
    attrs: dict[str, Any] = {"kernel_shape": kernel, "strides": strides, "pads": pads, "ceil_mode": bool(ceil_mode)}
    if kind == "MaxPool":
        attrs["dilations"] = dilations
    else:
        attrs["count_include_pad"] = bool(count_include_pad) and any(pads)
        attrs["divisor"] = divisor
    types = []
    for output in range(results):
        shape = call.type(output).shape
        types.append(TensorType((shape[0], shape[-1], *shape[1:-1]) if channels_last else shape, call.type(output).dtype))
    return [channels_back(call, edge, channels_last) for edge in call.results(kind, [x], attrs, *types)]


def adaptive_pool(call: Call, x: Edge, kind: str, output_size: Sequence[int | None], *, channels_last: bool = False, results: int = 1) -> Result:
    """Adaptive pooling: a reduction to one element, an ordinary pooling where sizes divide, else its own operator."""
    x = channels_first(call, x, channels_last)
    count = len(output_size)
    lead = call.rank(x) - count
    extents = shape_of(x)[lead:]
    sizes = tuple(extent if size is None or size < 0 else int(size) for size, extent in zip(output_size, extents, strict=True))
    if sizes == extents and results == 1:
        return channels_back(call, call.touch(x), channels_last)
    if all(size == 1 for size in sizes) and results == 1:
        return channels_back(call, spatial(call, x, "ReduceMean" if kind == "AveragePool" else "ReduceMax", count), channels_last)
    if all(extent % size == 0 for extent, size in zip(extents, sizes, strict=True)):
        kernel = [extent // size for extent, size in zip(extents, sizes, strict=True)]
        return pool(call, channels_back(call, x, channels_last), kind, kernel=kernel, strides=kernel, pads=(0,) * count, ceil_mode=False, channels_last=channels_last, results=results)
    if results > 1:
        raise Unsupported("adaptive pooling that returns indices")
    shape = (*shape_of(x)[:lead], *sizes)
    op = "AdaptiveAveragePool" if kind == "AveragePool" else "AdaptiveMaxPool"
    return channels_back(call, call.draft(op, [x], {"output_size": sizes}, TensorType(shape, call.type().dtype)), channels_last)


def spatial(call: Call, x: Edge, op: str, count: int) -> Edge:
    """A reduction over the last `count` axes, kept as axes of one element."""
    lead = shape_of(x)[: call.rank(x) - count]
    reduced = call.draft(op, [reshape(x, (*lead, math.prod(shape_of(x)[len(lead) :])))], {"axes": tuple(range(-count, 0))}, TensorType(lead, call.type().dtype))
    return reshape(reduced, (*lead, *(1,) * count))


# -- reductions


def reduction(op: str, operand: str = "self", axes: str = "dim", **attributes: Any) -> Row:
    """A row for a reduction; no axes means all of them. A second native result holds indices."""

    def row(call: Call) -> Result:
        attrs = {name: call.number(native) if isinstance(native, str) else native for name, native in attributes.items()}
        edge = call[operand]
        return reduce_over(call, op, edge, call.numbers(axes), attrs, results=max(1, len(call.record.outputs)))

    return row


def reduce_over(call: Call, op: str, edge: Edge, axes: Sequence[int], attrs: dict[str, Any], results: int = 1) -> Result:
    """A reduction over axes, which the operand's view puts last as one."""
    rank = call.rank(edge)
    over = sorted({int(axis) % rank for axis in axes}) if axes and rank else list(range(rank))
    rest = [axis for axis in range(rank) if axis not in over]
    shape = shape_of(edge)
    lead = tuple(shape[axis] for axis in rest)
    operand = edge if [*rest, *over] == list(range(rank)) else transpose(edge, [*rest, *over])
    operand = reshape(operand, (*lead, math.prod(shape[axis] for axis in over)))
    types = [TensorType(lead, call.type(output).dtype) for output in range(results)]
    found = call.results(op, [operand], {"axes": tuple(axis - rank for axis in over), **attrs}, *types)
    return [reshape(result, call.type(output).shape) for output, result in enumerate(found)]


# -- movement and selection


def concat(call: Call, parts: Sequence[Edge], axis: int) -> Edge:
    """Concat; nothing for a single part, parts without elements left out."""
    rank = len(call.shape)
    axis %= rank
    kept = [part for part in parts if call.rank(part) == rank and shape_of(part)[axis] > 0] or list(parts[:1])
    if len(kept) == 1:
        return call.touch(kept[0])
    known = [call.known(part) for part in kept]
    if all(value is not None for value in known):
        return call.constant(np.concatenate([value for value in known if value is not None], axis), call.type().dtype)
    return call.draft("Concat", kept, {"axis": axis})


def stack(call: Call, parts: Sequence[Edge], axis: int) -> Edge:
    """Concat of the parts with a new axis."""
    shape = list(call.shape)
    axis %= len(shape)
    shape[axis] = 1
    return concat(call, [reshape(part, shape) for part in parts], axis)


def pieces(call: Call, edge: Edge, axis: int, sizes: Sequence[int]) -> list[Edge | None]:
    """Consecutive slices of an axis."""
    found: list[Edge | None] = []
    at = 0
    for size in sizes:
        found.append(call.take(edge, axis, range(at, at + size)))
        at += size
    return found


def unbound(call: Call, edge: Edge, axis: int) -> list[Edge | None]:
    """Every coordinate of an axis by itself."""
    axis %= call.rank(edge)
    shape = shape_of(edge)
    rest = (*shape[:axis], *shape[axis + 1 :])
    return [reshape(call.take(edge, axis, range(at, at + 1)), rest) for at in range(shape[axis])]


def tiled(call: Call, edge: Edge, times: Sequence[int]) -> Edge:
    """Whole copies along each axis."""
    return repeat(edge, [int(count) for count in times], call.by)


def gather(call: Call, edge: Edge, index: Edge, axis: int, padding_idx: int = -1) -> Edge:
    """Rows of an axis: movement where the index is known, Gather where it is data."""
    axis %= call.rank(edge)
    shape = shape_of(edge)
    known = call.known(index)
    if known is not None and known.dtype.kind in "iu" and known.size:
        whole = shape_of(index)
        known = reduced(known)
        rows = [int(row) + shape[axis] if row < 0 else int(row) for row in known.reshape(-1)]
        if all(0 <= row < shape[axis] for row in rows):
            steps = {after - before for before, after in zip(rows, rows[1:])} or {1}
            even = len(steps) == 1 and 0 not in steps
            chosen: Sequence[int] | range = range(rows[0], rows[-1] + (1 if (step := steps.pop()) > 0 else -1), step) if even else rows
            found = reshape(call.take(edge, axis, chosen), (*shape[:axis], *known.shape, *shape[axis + 1 :]))
            return expand(found, (*shape[:axis], *whole, *shape[axis + 1 :]))
    kind = call.typed(edge, (*shape[:axis], *shape_of(index), *shape[axis + 1 :]))
    return reshape(call.draft("Gather", [edge, index], {"axis": axis, "padding_idx": padding_idx}, kind), call.shape)


def lookup(call: Call, table: Edge, index: Edge, padding_idx: int | None) -> Edge:
    """An embedding: rows of a table. The row of `padding_idx` gets no gradient."""
    row = -1 if padding_idx is None else int(padding_idx)
    if row < -1:
        row += shape_of(table)[0]
    if row >= 0 and call.known(index) is not None:
        return call.draft("Gather", [table, index], {"axis": 0, "padding_idx": row})
    return gather(call, table, index, 0, row)


def pad(call: Call, edge: Edge, widths: Sequence[tuple[int, int]], mode: str, value: float) -> Edge:
    """Padding; negative widths cut. `widths` for every axis."""
    for axis, (before, after) in enumerate(widths):
        if before < 0 or after < 0:
            edge = call.take(edge, axis, range(max(-before, 0), shape_of(edge)[axis] - max(-after, 0)))
    widths = [(max(before, 0), max(after, 0)) for before, after in widths]
    if not any(before or after for before, after in widths):
        return call.touch(edge)
    attrs = {"mode": mode, "pads": (*(before for before, _ in widths), *(after for _, after in widths)), "value": float(value) if mode == "constant" else None}
    return call.draft("Pad", [edge], attrs)


def where(call: Call, condition: Edge, yes: Edge, no: Edge) -> Edge:
    """Where, with operands in their least shapes."""
    return call.draft("Where", [broadcast(edge, call.shape) for edge in (condition, yes, no)])


def assign_box(call: Call, edge: Edge, box: Sequence[tuple[int, int, int]], values: Edge) -> Edge:
    """The operand with x[a:b, c:d] = values, as nested Concat. `box`: (axis, start, stop)."""
    region = list(shape_of(edge))
    for axis, start, stop in box:
        region[axis] = stop - start
    if any(extent == 0 for extent in region):
        return edge
    values = expand(values, region)

    def written(part: Edge, left: Sequence[tuple[int, int, int]]) -> Edge:
        if not left:
            return values
        (axis, start, stop), *further = left
        extent = shape_of(part)[axis]
        inner = written(call.take(part, axis, range(start, stop)), further)
        parts = [inner]
        if start > 0:
            parts.insert(0, call.take(part, axis, range(start)))
        if stop < extent:
            parts.append(call.take(part, axis, range(stop, extent)))
        if len(parts) == 1:
            return inner
        return call.draft("Concat", parts, {"axis": axis}, call.typed(edge, shape_of(part)))

    whole = [(axis, start, stop) for axis, start, stop in box if (start, stop) != (0, shape_of(edge)[axis])]
    return call.touch(written(edge, whole))


def resize(call: Call, x: Edge, mode: str, coordinates: str, scales: Sequence[float] | None, *, channels_last: bool = False) -> Edge:
    """Resize of the spatial axes to those of the native result.

    `scales`: the factors that coordinates are computed with; told only where they are not the ratio
    of the sizes.
    """
    x = channels_first(call, x, channels_last)
    shape = call.shape
    if channels_last:
        shape = (shape[0], shape[-1], *shape[1:-1])
    sizes, extents = shape[2:], shape_of(x)[2:]
    if sizes == extents and (not scales or all(abs(scale - 1.0) < 1e-6 for scale in scales)):
        return channels_back(call, call.touch(x), channels_last)
    told = None
    if scales and coordinates != "align_corners":
        factors = tuple(float(scale) for scale in scales) * (len(sizes) if len(scales) == 1 else 1)
        if any(abs(factor * extent - size) > 1e-4 * size for factor, extent, size in zip(factors, extents, sizes, strict=True)):
            told = factors
    attrs = {"mode": mode, "coordinates": coordinates, "sizes": tuple(sizes), "scales": told}
    return channels_back(call, call.draft("Resize", [x], attrs, TensorType(shape, call.type().dtype)), channels_last)


def slope(call: Call, weight: Edge) -> Edge:
    """PRelu's slope along the channels of the result."""
    count = shape_of(weight)
    rank = len(call.shape)
    if math.prod(count) == 1 or len(count) == rank:
        return broadcast(reshape(weight, (1,) * rank) if math.prod(count) == 1 else weight, call.shape)
    return reshape(weight, (1, math.prod(count)) + (1,) * (rank - 2))


def root_of_squares(call: Call, edge: Edge, axes: Sequence[int]) -> Edge:
    """The 2-norm over axes."""
    rank = call.rank(edge)
    over = sorted({int(axis) % rank for axis in axes}) if axes else list(range(rank))
    rest = [axis for axis in range(rank) if axis not in over]
    shape, dtype = shape_of(edge), call.type().dtype
    lead = tuple(shape[axis] for axis in rest)
    square = transpose(fixed_power(call, edge, 2.0), [*rest, *over])
    total = call.draft("ReduceSum", [reshape(square, (*lead, math.prod(shape[axis] for axis in over)))], {"axes": tuple(axis - rank for axis in over)}, TensorType(lead, dtype))
    return reshape(fixed_power(call, total, 0.5), call.shape)


def argument(call: Call, op: str, edge: Edge, axis: int) -> Edge:
    """ArgMax or ArgMin along an axis, which the view puts last."""
    rank = call.rank(edge)
    axis %= rank
    order = [*(at for at in range(rank) if at != axis), axis]
    shape = tuple(shape_of(edge)[at] for at in order[:-1])
    return reshape(call.draft(op, [transpose(edge, order)], {"axis": axis - rank}, TensorType(shape, call.type().dtype)), call.shape)


def known_index(call: Call, edge: Edge, axis: int, indices: Sequence[np.ndarray[Any, Any]]) -> Edge:
    """Adjacent axes indexed by known arrays: one axis, gathered by the flat position."""
    if any(value.dtype == np.bool_ for value in indices):
        if len(indices) > 1:
            raise Unsupported("several boolean indices")
        indices = list(np.nonzero(indices[0]))
    shape = shape_of(edge)
    extents = shape[axis : axis + len(indices)]
    wrapped = [np.where(value < 0, value + extent, value) for value, extent in zip(np.broadcast_arrays(*indices), extents, strict=True)]
    flat = np.ravel_multi_index(tuple(wrapped), extents)
    merged = reshape(edge, (*shape[:axis], math.prod(extents), *shape[axis + len(indices) :]))
    return reshape(call.take(merged, axis, flat.reshape(-1).tolist()), call.shape)


def einsum(call: Call, equation: str, operands: Sequence[Edge]) -> Edge:
    """A product of two operands as MatMul: letters of both and of the result are its batch, letters of
    both only are summed. Anything else stays Einsum."""
    equation = equation.replace(" ", "")
    left, _, right = equation.partition("->")
    terms = left.split(",")
    simple = len(operands) == 2 == len(terms) and "->" in equation and "." not in equation
    if not simple or any(len(set(term)) != len(term) for term in (*terms, right)):
        return call.draft("Einsum", list(operands), {"equation": equation})
    first, second = terms
    extent = {letter: size for term, edge in zip(terms, operands, strict=True) for letter, size in zip(term, shape_of(edge), strict=True)}
    batch = [letter for letter in right if letter in first and letter in second]
    summed = [letter for letter in first if letter in second and letter not in right]
    rows_, columns = [letter for letter in right if letter not in second], [letter for letter in right if letter not in first]
    if len(batch) + len(summed) + len(rows_) != len(first) or len(batch) + len(summed) + len(columns) != len(second):
        return call.draft("Einsum", list(operands), {"equation": equation})

    def arranged(edge: Edge, term: str, *groups: list[str]) -> Edge:
        order = [term.index(letter) for group in groups for letter in group]
        sizes = [extent[letter] for letter in groups[0]] + [math.prod(extent[letter] for letter in group) for group in groups[1:]]
        return reshape(transpose(edge, order), sizes)

    kind = TensorType((*(extent[letter] for letter in batch), math.prod(extent[letter] for letter in rows_), math.prod(extent[letter] for letter in columns)), call.type().dtype)
    result = call.draft("MatMul", [arranged(operands[0], first, batch, rows_, summed), arranged(operands[1], second, batch, summed, columns)], None, kind)
    letters = [*batch, *rows_, *columns]
    return call.transpose(reshape(result, [extent[letter] for letter in letters]), [letters.index(letter) for letter in right])
