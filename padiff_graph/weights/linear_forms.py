"""What a stretch of convolutions or linear layers, norms in evaluation mode and sums computes, as
one convolution of its source: a kernel, where it lies, and a shift.

Worked out from the weights, not run: y[i] = sum over j of K[j] x[i * stride - lead + j], plus a
shift for every channel. A linear layer has a kernel without places.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.capture.normal.form import Edge, NormalGraph, NormalNode
from padiff_graph.executor.transfer import read

__all__ = ["KERNELS", "Form", "Stretch", "spread"]

KERNELS = ("Conv", "Linear")
"""Operators with a kernel."""


@dataclass(frozen=True)
class Form:
    """One convolution of the source.

    Attributes:
        kernel: [out, in, *places].
        lead: how many places in front of the source's first one it begins, by axis.
        strides: by axis.
        shift: one number a channel.
        space: how many places the result has, by axis.
        kernels: operations with a kernel that it is made of.
    """

    kernel: Array
    lead: tuple[int, ...]
    strides: tuple[int, ...]
    shift: Array
    space: tuple[int, ...]
    kernels: frozenset[int] = frozenset()

    def scaled(self, factor: Array | float, shift: Array | float = 0.0) -> Form:
        """By one factor a channel, and a shift."""
        by_channel = np.broadcast_to(np.asarray(factor, np.float64), self.shift.shape)
        kernel = self.kernel * by_channel.reshape(-1, *[1] * (self.kernel.ndim - 1))
        return replace(self, kernel=kernel, shift=self.shift * by_channel + shift)

    @property
    def pointwise(self) -> bool:
        """Whether each place of the result is made of one place, and none lies outside."""
        return math.prod(self.kernel.shape[2:]) == 1 and not any(self.lead)


def spread(kernel: Array, dilations: tuple[int, ...], group: int) -> Array:
    """A kernel [out, in / group, *places] of all channels, its places next to each other."""
    out, inside, *places = kernel.shape
    wide = np.zeros((out, inside * group, *places))
    for one in range(group):
        rows = slice(one * out // group, (one + 1) * out // group)
        wide[rows, one * inside : (one + 1) * inside] = kernel[rows]
    size = [(count - 1) * step + 1 for count, step in zip(places, dilations, strict=True)]
    apart = np.zeros((out, inside * group, *size))
    window = [slice(None, None, step) for step in dilations]
    apart[tuple([slice(None), slice(None), *window])] = wide
    return apart


@dataclass
class Stretch:
    """The forms of the operations behind one value.

    Attributes:
        normal: the graph.
        source: the node whose result is the source.
        weights: numbers of parameters and buffers, by name.
        linear: whether channels stand last, and not behind the batch.
    """

    normal: NormalGraph
    source: int
    weights: Mapping[str, Array]
    linear: bool

    def __post_init__(self) -> None:
        self._known: dict[int, Form | None] = {self.source: self._itself()}

    def form(self, node: int) -> Form | None:
        """What a node computes of the source; None where it is no such thing."""
        if node not in self._known:
            behind = node > self.source
            self._known[node] = self.made(self.normal.nodes[node]) if behind else None
        return self._known[node]

    def made(self, node: NormalNode) -> Form | None:
        """The same of an operation that need not be the graph's."""
        rule = RULES.get(node.op)
        return None if rule is None else rule(self, node)

    def _itself(self) -> Form:
        shape = self.normal.nodes[self.source].outputs[0].shape
        channels = shape[-1] if self.linear else shape[1]
        space = () if self.linear else tuple(shape[2:])
        none = (0,) * len(space)
        kernel = np.eye(channels).reshape(channels, channels, *[1] * len(space))
        return Form(kernel, none, (1,) * len(space), np.zeros(channels), space)

    # -- operands

    def operand(self, edge: Edge | None) -> Form | None:
        """An operand as it is read."""
        if edge is None or edge.output or edge.view is None or not edge.view.identity:
            return None
        form = self.form(edge.source)
        return None if form is None else form.scaled(edge.scale, edge.shift)

    def numbers(self, edge: Edge | None) -> Array | None:
        """An operand that is a weight or a constant."""
        if edge is None or edge.view is None:
            return None
        node = self.normal.nodes[edge.source]
        held = self.weights.get(node.name) if node.op == "Parameter" else node.constant
        if held is None or node.op not in ("Parameter", "Constant"):
            return None
        return edge.scale * np.asarray(read(edge.view, np.asarray(held)), np.float64) + edge.shift

    def by_channel(self, edge: Edge | None, node: NormalNode) -> Array | None:
        """Such an operand, broadcast, as one number a channel."""
        numbers = self.numbers(edge)
        rank = len(node.outputs[0].shape)
        axis = rank - 1 if self.linear else 1
        if numbers is None or numbers.ndim > rank:
            return None
        shape = (1,) * (rank - numbers.ndim) + numbers.shape
        if math.prod(shape) != shape[axis]:
            return None
        return np.broadcast_to(numbers.reshape(-1), (node.outputs[0].shape[axis],))


def _kernel(stretch: Stretch, node: NormalNode) -> Form | None:
    """A convolution or linear layer of a form."""
    inner = stretch.operand(node.inputs[0])
    weight = stretch.numbers(node.inputs[1])
    bias = stretch.numbers(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else None
    if inner is None or weight is None or stretch.linear != (node.op == "Linear"):
        return None
    if len(node.inputs) > 2 and node.inputs[2] is not None and bias is None:
        return None
    axes = len(inner.space)
    if node.op == "Linear":
        kernel, lead, strides = weight.T, (), ()
    else:
        kernel = spread(weight, tuple(node.attrs["dilations"]), int(node.attrs["group"]))
        lead, strides = tuple(node.attrs["pads"][:axes]), tuple(node.attrs["strides"])
    space = () if stretch.linear else tuple(node.outputs[0].shape[2:])
    own = Form(kernel, lead, strides, np.zeros(len(kernel)), space)
    return _composed(inner, own, node, 0.0 if bias is None else bias.reshape(-1))


def _composed(inner: Form, own: Form, node: NormalNode, bias: Array | float) -> Form | None:
    """A kernel of what a kernel yields. Outside of its values the inner one's result is zero, and
    not what its formula gives there: so one of both has to be of single places, and an inner
    shift needs a window that never leaves them."""
    if not own.pointwise and not (inner.pointwise and set(inner.strides) <= {1}):
        return None
    leaves = any(own.lead) or any(node.attrs.get("pads", ()))
    if leaves and inner.shift.any():
        return None
    flat = tuple(range(2, own.kernel.ndim))
    one = own.kernel if own.pointwise else inner.kernel
    one = one.reshape(one.shape[:2])
    if own.pointwise:
        kernel = np.tensordot(one, inner.kernel, (1, 0))
    else:
        kernel = np.moveaxis(np.tensordot(own.kernel, one, (1, 0)), -1, 1)
    shift = own.kernel.sum(flat) @ inner.shift + bias
    return Form(
        kernel,
        tuple(a + b for a, b in zip(inner.lead, own.lead, strict=True)),
        tuple(a * b for a, b in zip(inner.strides, own.strides, strict=True)),
        shift,
        own.space,
        inner.kernels | {node.id},
    )


def _norm(stretch: Stretch, node: NormalNode) -> Form | None:
    """A norm with the statistics that it keeps."""
    inner = stretch.operand(node.inputs[0])
    numbers = [stretch.numbers(edge) for edge in node.inputs[1:]]
    if inner is None or node.attrs["training"] or len(numbers) != 4:
        return None
    if stretch.linear and len(node.outputs[0].shape) != 2:
        return None
    if any(own is None for own, edge in zip(numbers, node.inputs[1:], strict=True) if edge):
        return None
    scale, bias, mean, variance = numbers
    if mean is None or variance is None:
        return None
    factor = 1 / np.sqrt(variance.reshape(-1) + float(node.attrs["epsilon"]))
    factor = factor if scale is None else factor * scale.reshape(-1)
    shift = -mean.reshape(-1) * factor + (0.0 if bias is None else bias.reshape(-1))
    return inner.scaled(factor, shift)


def _sum(stretch: Stretch, node: NormalNode) -> Form | None:
    """A sum of forms and vectors."""
    total: Form | None = None
    shift: Array | float = 0.0
    for edge in node.inputs:
        part = stretch.operand(edge)
        if part is None:
            vector = stretch.by_channel(edge, node)
            if vector is None:
                return None
            shift = shift + vector
        else:
            total = part if total is None else _added(total, part)
            if total is None:
                return None
    return None if total is None else total.scaled(1.0, shift)


def _added(first: Form, second: Form) -> Form | None:
    if first.strides != second.strides or first.space != second.space:
        return None
    lead = tuple(map(max, first.lead, second.lead))
    ends = [
        [top - own + count for top, own, count in zip(lead, part.lead, counts, strict=True)]
        for part, counts in ((first, first.kernel.shape[2:]), (second, second.kernel.shape[2:]))
    ]
    size = map(max, *ends) if lead else ()
    kernel = np.zeros((*first.kernel.shape[:2], *size))
    for part in (first, second):
        starts = [top - own for top, own in zip(lead, part.lead, strict=True)]
        window = [
            slice(start, start + count)
            for start, count in zip(starts, part.kernel.shape[2:], strict=True)
        ]
        kernel[tuple([slice(None), slice(None), *window])] += part.kernel
    return Form(
        kernel,
        lead,
        first.strides,
        first.shift + second.shift,
        first.space,
        first.kernels | second.kernels,
    )


def _product(stretch: Stretch, node: NormalNode) -> Form | None:
    """One form times vectors."""
    forms = [(edge, stretch.operand(edge)) for edge in node.inputs]
    found = [form for _, form in forms if form is not None]
    if len(found) != 1:
        return None
    factor = np.ones(len(found[0].shift))
    for edge, form in forms:
        vector = factor if form is not None else stretch.by_channel(edge, node)
        if vector is None:
            return None
        factor = factor if form is not None else factor * vector
    return found[0].scaled(factor)


RULES = {
    "Conv": _kernel,
    "Linear": _kernel,
    "BatchNormalization": _norm,
    "Add": _sum,
    "Mul": _product,
}
"""What each operator makes of forms; others make none."""
