"""A matched pair of operations as layout rules see it, and how rules take relations apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from padiff_graph.capture.normal.form import NormalNode
from padiff_graph.capture.normal.index_map import View
from padiff_graph.matching.parameters.relations import identity, parts, squeezed

__all__ = ["Call", "Rule", "Shape", "Shapes", "channels_apart", "rows_apart", "same_order"]

Shape = tuple[int, ...]
Shapes = tuple[Shape, Shape]
"""Of one tensor on each side."""


@dataclass
class Call:
    """A matched pair of operations with what is known of its operands.

    Attributes:
        first, second: the two nodes.
        first_shapes, second_shapes: of the paired operands.
        relations: of the paired operands, None where unknown (parameters, or a source without
            relation).
        roles: the first side's operand position of each pair.
        features: the relation of the output features, where the consumers decided on one.
        parameters: filled in: relations of operands by pair.
    """

    first: NormalNode
    second: NormalNode
    first_shapes: list[Shape]
    second_shapes: list[Shape]
    relations: list[View | None]
    roles: list[int]
    features: View | None = None
    parameters: dict[int, View] = field(default_factory=dict)

    @property
    def asked(self) -> Hashable:
        """All that the answer of a rule follows from; attributes by identity, as blocks that are
        stamped out share them."""
        return (
            *((node.op, id(node.attrs), node.outputs, len(node.inputs)) for node in self.nodes),
            *self.first_shapes,
            *self.second_shapes,
            *self.relations,
            *self.roles,
            self.features,
        )

    @property
    def nodes(self) -> tuple[NormalNode, NormalNode]:
        """Both nodes."""
        return self.first, self.second

    def at(self, role: int) -> int | None:
        """The pair whose first side stands at an operand position."""
        return self.roles.index(role) if role in self.roles else None

    def relation(self, role: int) -> View | None:
        """The relation of the operands at a position."""
        pair = self.at(role)
        return None if pair is None else self.relations[pair]

    def shapes(self, role: int) -> Shapes | None:
        """The shapes of the operands at a position."""
        pair = self.at(role)
        return None if pair is None else (self.first_shapes[pair], self.second_shapes[pair])

    def result(self, output: int = 0) -> Shapes | None:
        """The shapes of a result on both sides."""
        if output >= len(self.first.outputs) or output >= len(self.second.outputs):
            return None
        return self.first.outputs[output].shape, self.second.outputs[output].shape

    def say(self, role: int, relation: View | None) -> None:
        """Notes the relation of a parameter operand; one that does not fit its shapes says
        nothing."""
        pair = self.at(role)
        if pair is None or relation is None:
            return
        counts = math.prod(self.first_shapes[pair]), math.prod(self.second_shapes[pair])
        if (relation.source, relation.size) == counts:
            self.parameters[pair] = relation.reshape(self.second_shapes[pair])

    def wanted_features(self, count: int) -> View:
        """The relation of output features: what the consumers decided on, or the same order."""
        return View.of((count,)) if self.features is None else self.features


Rule = Callable[[Call], "View | None"]
"""The relation of the first result, None where none can be told; fills `Call.parameters`."""


def same_order(call: Call) -> View | None:
    """Any operator: operands that are the same in the same order give a result that is."""
    shapes = call.result()
    if shapes is None:
        return None
    for pair, operands in enumerate(zip(call.first_shapes, call.second_shapes, strict=True)):
        if call.relations[pair] is None and squeezed(operands[0]) == squeezed(operands[1]):
            whole = identity(*operands)
            if whole is not None:
                call.parameters[pair] = whole
    known = [relation for relation in call.relations if relation is not None]
    if not known or any(relation.stages for relation in known):
        return None
    return identity(*shapes) if squeezed(shapes[0]) == squeezed(shapes[1]) else None


def rows_apart(relation: View, shapes: Shapes, trailing: int = 1) -> tuple[View, View] | None:
    """A relation as one of leading positions and one along the trailing axes."""
    first, second = shapes
    inner = math.prod(first[len(first) - trailing :])
    lead = len(second) - trailing
    if lead < 0 or math.prod(second[lead:]) != inner or inner == 0:
        return None
    axes = range(lead), range(lead, len(second))
    pieces = parts(relation, (relation.source // inner, inner), axes)
    return None if pieces is None else (pieces[0], pieces[1])


def channels_apart(relation: View | None, shapes: Shapes) -> list[View] | None:
    """A relation of [N, C, ...] tensors taken apart into batch, channels and space."""
    first, second = shapes
    if relation is None or len(first) < 2 or len(second) < 2:
        return None
    extents = first[0], first[1], math.prod(first[2:])
    return parts(relation, extents, ((0,), (1,), range(2, len(second))))
