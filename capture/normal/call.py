"""A native operation as the rows of the operator tables see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from padiff_graph.capture.graph import Node, TensorType, Value
from padiff_graph.capture.normal import edges
from padiff_graph.capture.normal.builder import Builder
from padiff_graph.capture.normal.folding import fold
from padiff_graph.capture.normal.form import Edge

__all__ = ["Call", "Result", "Row", "Unsupported"]


@lru_cache(maxsize=1 << 12)
def _positions(roles: tuple[str, ...]) -> Mapping[str, int]:
    return {role: position for position, role in enumerate(roles)}


Result = Edge | Sequence[Edge | None] | None
"""What a row returns: the edge of the result; edges for several results or a list; None for no
tensor."""


class Unsupported(Exception):
    """A row does not cover this use of its operator; the operation stays opaque."""


class Call:
    """One native operation with its operands as edges.

    `call["x"]` is the operand of that role, which must be there; `call.get("axis")` answers an
    attribute, whether the framework holds it as one or passes it as a constant operand.

    Attributes:
        asked: names of the attributes that were asked for.
    """

    __slots__ = ("_positions", "asked", "builder", "record")

    def __init__(self, builder: Builder, record: Node) -> None:
        self.builder = builder
        self.record = record
        self.asked: set[str] = set()
        self._positions = _positions(record.roles)

    # -- operands and attributes

    def operand(self, role: str) -> Edge | None:
        """The operand of a role, None where it is absent."""
        position = self._positions.get(role)
        if position is None:
            return None
        value = self.record.inputs[position]
        return self.builder.lookup(value)

    def __getitem__(self, role: str) -> Edge:
        found = self.operand(role)
        if found is None:
            raise Unsupported(f"{self.record.op} has no tensor operand {role!r}")
        return found

    def members(self, role: str) -> list[Edge | None]:
        """The members of a tensor list, in order; empty where the list is absent."""
        position = self._positions.get(role)
        if position is not None:
            value = self.record.inputs[position]
            if value is None:
                return []
            if value in self.builder.lists:
                return list(self.builder.lists[value])
            return [self.builder.lookup(value)]
        found: list[Edge | None] = []
        while (position := self._positions.get(f"{role}[{len(found)}]")) is not None:
            value = self.record.inputs[position]
            found.append(self.builder.lookup(value))
        return found

    def tensors(self, role: str) -> list[Edge]:
        """The members of a tensor list, all of which must be there."""
        found = self.members(role)
        if not found or any(edge is None for edge in found):
            raise Unsupported(f"{self.record.op} lacks members of its list {role!r}")
        return [edge for edge in found if edge is not None]

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute, or a constant operand as a number or a tuple; `default` where it is
        neither.

        Raises:
            Unsupported: where the operand is there but its value is not known.
        """
        attrs = self.record.attrs
        self.asked.add(name)
        if name in attrs and attrs[name] is not None:
            value = attrs[name]
            return tuple(value) if isinstance(value, list) else value
        members = [edge for edge in self.members(name) if edge is not None]
        if not members:
            return default
        known = [self.builder.known(edge) for edge in members]
        if any(value is None for value in known):
            raise Unsupported(f"{self.record.op} computes its {name!r}")
        if name in self._positions and len(known) == 1:
            value = known[0]
            return (
                value.reshape(-1)[0].item()
                if value is not None and value.size == 1 and value.ndim == 0
                else tuple(np.asarray(value).reshape(-1).tolist())
            )
        return tuple(np.asarray(value).reshape(-1)[0].item() for value in known)

    def number(self, name: str, default: Any = None) -> Any:
        """An attribute or constant operand that is one number."""
        value = self.get(name, default)
        if isinstance(value, tuple):
            if len(value) != 1:
                raise Unsupported(f"{self.record.op} has {len(value)} numbers for {name!r}")
            return value[0]
        return value

    def numbers(self, name: str, default: Sequence[Any] | None = None) -> tuple[Any, ...]:
        """An attribute or constant operand that is a list of numbers."""
        value = self.get(name, default)
        if value is None:
            return ()
        return tuple(value) if isinstance(value, (tuple, list)) else (value,)

    # -- results

    def type(self, output: int = 0) -> TensorType:
        """Type of a native result."""
        outputs = self.record.outputs
        found = outputs[output] if output < len(outputs) else None
        if found is None:
            raise Unsupported(f"the type of result {output} of {self.record.op} is unknown")
        return found

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the first native result."""
        return self.type().shape

    @property
    def by(self) -> int:
        """Id of the native operation."""
        return self.record.id

    def draft(
        self,
        op: str,
        inputs: Sequence[Edge | None],
        attrs: Mapping[str, Any] | None = None,
        *types: TensorType,
    ) -> Edge:
        """Adds a node and reads its first result; its type is the native result's unless given."""
        draft = self.builder.add(
            op, inputs, attrs, types or (self.type(),), native=(self.record.id,), like=self.record
        )
        fold(self.builder, draft)
        return self.builder.resolve(self.builder.read(draft))

    def results(
        self,
        op: str,
        inputs: Sequence[Edge | None],
        attrs: Mapping[str, Any] | None,
        *types: TensorType,
    ) -> list[Edge]:
        """Adds a node and reads all its results."""
        draft = self.builder.add(
            op, inputs, attrs, types, native=(self.record.id,), like=self.record
        )
        fold(self.builder, draft)
        return [
            self.builder.resolve(self.builder.read(draft, output)) for output in range(len(types))
        ]

    def list_result(self, output: int, members: Sequence[Edge | None]) -> None:
        """Notes the members of a native result that is a tensor list."""
        self.builder.lists[Value(self.record.id, output)] = list(members)

    def typed(self, edge: Edge, shape: Sequence[int], dtype: str | None = None) -> TensorType:
        """A type like an operand's, of another shape."""
        return TensorType(tuple(shape), dtype or self.builder.dtype(edge))

    def constant(self, value: Any, dtype: str | None = None) -> Edge:
        """A constant made by this operation."""
        array = np.asarray(value)
        return self.builder.constant(
            array, dtype or array.dtype.name, (self.record.id,), self.record
        )

    def scalar(self, edge: Edge | None) -> float | int | bool | None:
        """The operand's value where it is a constant holding one number."""
        return self.builder.scalar(edge)

    def known(self, edge: Edge | None) -> np.ndarray[Any, Any] | None:
        """The operand's value where it is a known constant."""
        return self.builder.known(edge)

    # -- movement, noted as done by this operation

    def touch(self, edge: Edge) -> Edge:
        """The operand itself, handed on by this operation."""
        return edges.moved(edge, edges.view_of(edge), self.record.id)

    def reshape(self, edge: Edge, shape: Sequence[int]) -> Edge:
        """See `edges.reshape`."""
        return edges.reshape(edge, shape, self.record.id)

    def transpose(self, edge: Edge, axes: Sequence[int]) -> Edge:
        """See `edges.transpose`."""
        return edges.transpose(edge, axes, self.record.id)

    def swap(self, edge: Edge, first: int = -2, second: int = -1) -> Edge:
        """Two axes exchanged."""
        order = list(range(len(edges.shape_of(edge))))
        order[first], order[second] = order[second], order[first]
        return edges.transpose(edge, order, self.record.id)

    def take(self, edge: Edge, axis: int, coordinates: Sequence[int] | range) -> Edge:
        """See `edges.take`."""
        return edges.take(edge, axis, coordinates, self.record.id)

    def slice(
        self, edge: Edge, axis: int, start: int | None, stop: int | None, step: int = 1
    ) -> Edge:
        """See `edges.slice_axis`."""
        return edges.slice_axis(edge, axis, start, stop, step, self.record.id)

    def expand(self, edge: Edge, shape: Sequence[int]) -> Edge:
        """See `edges.expand`."""
        return edges.expand(edge, shape, self.record.id)

    def affine(self, edge: Edge, scale: float = 1.0, shift: float = 0.0) -> Edge:
        """See `edges.affine`."""
        return edges.affine(edge, scale, shift, self.record.id)

    def rank(self, edge: Edge) -> int:
        """Number of axes of an operand."""
        return len(edges.shape_of(edge))


Row = Callable[[Call], Result]
"""One row of an operator table."""
