"""A normal form under construction.

Drafts are nodes that may still change. A rewrite replaces the value of a draft by an edge from
others (`replace`); readers follow lazily, when `refresh` is called for them, so that a pass over
the graph in topological order stays linear.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from padiff_graph.capture.graph import ComputationGraph, Node, TensorType, Value
from padiff_graph.capture.normal.draft import Draft
from padiff_graph.capture.normal.edges import read_through, shape_of, unscaled, view_of
from padiff_graph.capture.normal.form import HELD, Edge, Location
from padiff_graph.capture.normal.index_map import View
from padiff_graph.capture.normal.operator_traits import Array

__all__ = ["KNOWN", "Builder", "reduced"]

KNOWN = 1 << 20
"""Constants of at most this many elements are computed: chosen so that masks and position tables of
long sequences are (1024 x 1024), and weights are not."""
CARRIED = HELD | {"no_grad"}
"""Marks that a movement or a scaling cannot carry: such an operation stays a node."""
WRITTEN = frozenset({"inplace"})
"""Marks of the native operation alone: a draft yields a value of its own."""
ALIASES = 4
"""Most further tensors noted that hold a multiple of one result: chosen so that scalings chained by
many operations cost no time."""
INTEGERS = 1 << 31
"""Below this a scale and a shift of integers keep them integers: int32's range."""


class Builder:
    """The normal form of one graph, while it is being made.

    Attributes:
        records: what was captured, in program order.
        drafts: all drafts, by id; replaced ones stay until the end.
        values: the edge that reads each native tensor.
        lists: the edges of native tensor lists.
        outputs: edges of the model's outputs by leaf name.
        updates: edges of the new values of buffers by name.
        rewritten: for each use of a rewrite its name, and the native operation it was used at.
        constants: native operations and leaves that constants alone decide.
        factors: native operations that multiply their operand by a constant, and by what.
        unasked: native operations -> the attributes that their row did not ask for.
    """

    def __init__(self, graph: ComputationGraph) -> None:
        self.graph = graph
        self.records = graph.records()
        self.drafts: list[Draft] = []
        self.values: dict[Value, Edge] = {}
        self.lists: dict[Value, list[Edge | None]] = {}
        self.outputs: dict[str, Edge] = {}
        self.updates: dict[str, Edge] = {}
        self.rewritten: list[tuple[str, int]] = []
        self.constants: set[int] = set()
        self.factors: dict[int, float] = {}
        self.unasked: dict[int, tuple[str, ...]] = {}

    # -- making

    def add(
        self,
        op: str,
        inputs: Sequence[Edge | None],
        attrs: Mapping[str, Any] | None = None,
        types: Sequence[TensorType] = (),
        *,
        native: tuple[int, ...] = (),
        like: Draft | Node | None = None,
    ) -> Draft:
        """Adds a draft; path, source and marks are those of `like`."""
        draft = Draft(len(self.drafts), op, list(inputs), dict(attrs or {}), tuple(types), native)
        if like is not None:
            draft.path, draft.source = like.path, like.source
            draft.marks = like.marks - WRITTEN if like.marks else like.marks
        self.drafts.append(draft)
        self.derive(draft)
        return draft

    def derive(self, draft: Draft) -> None:
        """Works out from the operands whether the draft varies and passes gradients."""
        drafts, varies, gradient = self.drafts, draft.varies, False
        for edge in draft.inputs:
            if edge is not None:
                source = drafts[edge.source]
                varies = varies or source.varies
                gradient = gradient or source.gradient
        draft.varies = varies
        if draft.leaf:
            return
        draft.varies = varies or "random" in draft.marks
        draft.gradient = gradient and draft.differentiable
        if not gradient and draft.marks:
            draft.marks -= {"no_grad"}  # says nothing where no gradient would pass

    def read(self, draft: Draft, output: int = 0) -> Edge:
        """The edge that reads a whole result of a draft."""
        return Edge(draft.id, output, View.of(draft.outputs[output].shape))

    def constant(
        self, value: Any, dtype: str, native: tuple[int, ...], like: Node | None = None
    ) -> Edge:
        """A constant of known value, held without the axes along which it does not change."""
        array = np.asarray(value)
        least = reduced(array)
        kind = TensorType(least.shape, dtype)
        draft = self.add("Constant", (), None, (kind,), native=native, like=like)
        draft.constant = least
        draft.marks = frozenset()
        return self._expanded(draft, array.shape)

    def reduce(self, draft: Draft) -> None:
        """Drops the axes along which a known Constant does not change; its readers expand it
        again."""
        array = draft.constant
        if array is None or array.size > KNOWN or array.shape != draft.shape:
            return
        least = reduced(array)
        if least.shape == array.shape:
            return
        kind = TensorType(least.shape, draft.outputs[0].dtype)
        held = self.add("Constant", (), None, (kind,), native=draft.native, like=draft)
        held.constant, held.name = least, draft.name
        self.replace(draft, self._expanded(held, array.shape))

    def _expanded(self, draft: Draft, shape: tuple[int, ...]) -> Edge:
        whole = self.read(draft)
        return whole if draft.shape == shape else Edge(draft.id, 0, view_of(whole).expand(shape))

    def lookup(self, value: Value | None) -> Edge | None:
        """The edge of a native tensor; None for none, for a list, and for what has no type.

        A result that its operator's row does not speak of becomes a node of its own, so that
        nothing that is read can get lost.
        """
        if value is None or (self.lists and value in self.lists):
            return None
        edge = self.values.get(value)
        kind = self.graph.type_of(value) if edge is None else None
        if edge is not None or kind is None:
            return edge
        record = self.graph.record(value.node)
        operands = [operand for operand in map(self.lookup, record.inputs) if operand is not None]
        op = f"{record.op}:{value.output}"
        draft = self.add(op, operands, None, (kind,), native=(record.id,), like=record)
        draft.opaque = True
        draft.locations[0] = Location(value, View.of(kind.shape))
        edge = self.values[value] = self.read(draft)
        return edge

    # -- asking

    def source(self, edge: Edge) -> Draft:
        """The draft that an edge reads."""
        return self.drafts[edge.source]

    def dtype(self, edge: Edge) -> str:
        """Element type of the tensor that the edge reads (casts that change no value are left
        out)."""
        return self.drafts[edge.source].outputs[edge.output].dtype

    def held(self, edge: Edge | None) -> Array | None:
        """The value of the Constant behind an operand, as that holds it."""
        if edge is None or edge.output != 0:
            return None
        draft = self.drafts[edge.source]
        return draft.constant if draft.op == "Constant" else None

    def known(self, edge: Edge | None) -> Array | None:
        """The operand's value where it is a known constant of moderate size."""
        constant = self.held(edge)
        if edge is None or constant is None or view_of(edge).size > KNOWN:
            return None
        value = _read(constant, view_of(edge))
        return value if unscaled(edge) else _scaled(value, edge.scale, edge.shift)

    def scalar(self, edge: Edge | None) -> float | int | bool | None:
        """The operand's value where it is a constant that holds one number only, everywhere."""
        constant = self.held(edge)
        if edge is None or constant is None or constant.dtype.kind == "O":  # None in a mask's place
            return None
        number: float | int | bool
        if constant.size == 1 and not view_of(edge).padded:
            number = constant.reshape(-1)[0].item()
            return number if unscaled(edge) else number * edge.scale + edge.shift
        value = self.known(edge)
        if value is None or value.size == 0 or value.dtype.kind not in "iufb":
            return None
        first: Any = value.reshape(-1)[0]
        if not bool(np.all(value == first)):
            return None
        number = first.item()
        return number

    # -- changing

    def note(self, rewrite: str, draft: Draft) -> None:
        """Notes that a rewrite was used at a draft."""
        self.rewritten.append((rewrite, draft.native[-1] if draft.native else -1))

    def replace(self, draft: Draft, edge: Edge, output: int = 0) -> None:
        """From now on readers of the draft's result read `edge`, which must yield the same
        elements."""
        draft.replaced[output] = edge

    def refresh(self, draft: Draft) -> None:
        """Lets the draft's operands follow the replacements of their sources."""
        drafts = self.drafts
        for position, edge in enumerate(draft.inputs):
            if edge is not None and drafts[edge.source].replaced:
                draft.inputs[position] = self.resolve(edge)

    def resolve(self, edge: Edge) -> Edge:
        """The edge behind all replacements; a copy of what was replaced where one edge cannot say
        it."""
        while True:
            draft = self.drafts[edge.source]
            further = draft.replaced.get(edge.output)
            if further is None:
                return edge
            through = read_through(further, edge)
            if through is None:
                kind = draft.outputs[edge.output]
                kept = self.add("Identity", [self.resolve(further)], None, (kind,), like=draft)
                return edge._replace(source=kept.id, output=0)
            edge = through

    # -- order

    def order(self) -> list[Draft]:
        """All drafts that outputs and updates need, operands first; their operands refreshed."""
        for names in (self.outputs, self.updates):
            for name, end in names.items():
                names[name] = self.resolve(end)
        drafts = self.drafts
        placed: list[Draft] = []
        seen: set[int] = set()
        # ~at: the operands of draft `at` are placed
        stack = [edge.source for edge in (*self.updates.values(), *self.outputs.values())]
        while stack:
            at = stack.pop()
            if at < 0:
                placed.append(drafts[~at])
                continue
            if at in seen:
                continue
            seen.add(at)
            stack.append(~at)
            self.refresh(drafts[at])
            for edge in drafts[at].inputs:
                if edge is None or edge.source in seen:
                    continue
                if drafts[edge.source].inputs:
                    stack.append(edge.source)
                else:  # a leaf waits for nothing
                    seen.add(edge.source)
                    placed.append(drafts[edge.source])
        return placed

    def program_order(self) -> list[Draft]:
        """The same in the order of the program, a leaf before its first reader."""
        needed = self.order()
        computing = [draft for draft in needed if not draft.leaf]
        computing.sort(key=lambda draft: (draft.native[-1] if draft.native else -1, draft.id))
        placed: dict[int, Draft] = {}
        for draft in computing:
            self._place(draft, placed)
        for draft in needed:
            placed.setdefault(draft.id, draft)  # leaves that are outputs themselves
        return list(placed.values())

    def _place(self, root: Draft, placed: dict[int, Draft]) -> None:
        """Places a draft behind its operands, these in order."""
        stack = [root]
        while stack:
            draft = stack[-1]
            edges = () if draft.id in placed else draft.inputs
            waiting = [
                self.drafts[edge.source]
                for edge in reversed(edges)
                if edge is not None and edge.source not in placed
            ]
            stack.extend(waiting)
            if not waiting:
                placed.setdefault(draft.id, draft)
                stack.pop()

    # -- finishing a native operation

    def settle(self, record: Node, edges: Sequence[Edge | None], first: int) -> None:
        """Notes the edges of a native operation's results. `first`: number of drafts before it.

        Results that are whole drafts of this operation get their location. A movement that cuts or
        hooks the gradient becomes a node.
        """
        for output, edge in enumerate(edges):
            if edge is None:
                continue
            value = Value(record.id, output)
            if record.marks and edge.source < first and not CARRIED.isdisjoint(record.marks):
                edge = self._carried(record, edge)
            elif edge.source >= first and unscaled(edge):
                self._locate(value, edge)
            if not unscaled(edge) and edge.scale != 0.0:
                self._alias(value, edge)
            if edge.scale != 0.0 and edge.source < first:
                self._scaling(record, edge)
            self.values[value] = edge

    def _locate(self, value: Value, edge: Edge) -> None:
        """Notes that a draft's result lives on a native tensor."""
        draft = self.drafts[edge.source]
        if draft.op == "Constant" or draft.locations[edge.output] is not None:
            return
        back = view_of(edge).inverse(draft.outputs[edge.output].shape)
        if back is not None:
            draft.locations[edge.output] = Location(value, back)

    def _alias(self, value: Value, edge: Edge) -> None:
        """Notes that a native tensor holds a multiple of a draft's first result."""
        draft = self.drafts[edge.source]
        if edge.output != 0 or draft.leaf or len(draft.aliases) >= ALIASES:
            return
        back = view_of(edge).inverse(draft.shape)
        if back is not None:
            draft.aliases.append(Location(value, back, edge.scale, edge.shift))

    def _scaling(self, record: Node, edge: Edge) -> None:
        """Notes by what an operation multiplies the operand that its result is."""
        for value in record.inputs:
            operand = None if value is None else self.values.get(value)
            if operand is None or operand.scale in (0.0, edge.scale):
                continue
            if (operand.source, operand.output) == (edge.source, edge.output):
                self.factors[record.id] = edge.scale / operand.scale

    def _carried(self, record: Node, edge: Edge) -> Edge:
        """A movement with marks, as a node; as it is where no gradient would pass anyway."""
        if not self.drafts[edge.source].gradient:
            return edge
        if "no_grad" in record.marks:
            return self.detach(edge, record)
        kept = self._copy("Identity", edge, record)
        kept.marks = record.marks & HELD
        return self.read(kept)

    def detach(self, edge: Edge, record: Node) -> Edge:
        """The operand without its gradient; itself where no gradient would pass anyway."""
        if not self.drafts[edge.source].gradient:
            return edge
        cut = self._copy("Detach", edge, record)
        cut.marks -= {"no_grad"}
        return self.read(cut)

    def _copy(self, op: str, edge: Edge, record: Node) -> Draft:
        """A node that hands on an operand, which lives on the operation's result."""
        kind = TensorType(shape_of(edge), self.dtype(edge))
        copy = self.add(op, [edge], None, (kind,), native=(record.id,), like=record)
        copy.locations[0] = Location(Value(record.id, 0), View.of(kind.shape))
        return copy


def reduced(array: Array) -> Array:
    """One element along every axis over which an array does not change."""
    if array.size > KNOWN or array.size == 0:
        return array
    for axis, extent in enumerate(array.shape):
        if extent > 1:
            first = array.take([0], axis)
            if bool(np.all(array == first)):
                array = first
    return array


def _read(constant: Array, view: View) -> Array:
    """What a view reads of a constant."""
    if not view.stages:
        return np.asarray(constant).reshape(view.shape)
    if constant.size == 1 and not view.padded:
        return np.broadcast_to(constant.reshape(()), view.shape)
    return view.apply(np.asarray(constant))


def _scaled(value: Array, scale: float, shift: float) -> Array:
    """scale * value + shift; integers stay integers where both are whole."""
    if value.dtype.kind in "iub" and _whole(scale) and _whole(shift):
        return np.asarray(value * int(scale) + int(shift))
    return np.asarray(value * scale + shift)


def _whole(number: float) -> bool:
    return float(number).is_integer() and abs(number) < INTEGERS
