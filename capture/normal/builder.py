"""A normal form under construction.

Drafts are nodes that may still change. A rewrite replaces the value of a draft by an edge from others
(`replace`); readers follow lazily, when `refresh` is called for them, so that a pass over the graph in
topological order stays linear.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from padiff_graph.capture.graph import ComputationGraph, Node, TensorType, Value
from padiff_graph.capture.normal.edges import read_through, shape_of, view_of
from padiff_graph.capture.normal.form import Edge, Location
from padiff_graph.capture.normal.index_map import View
from padiff_graph.capture.normal.traits import LEAVES

__all__ = ["FLOATS", "KNOWN", "Builder", "Draft", "reduced"]

KNOWN = 1 << 20
"""Constants of at most this many elements are computed."""
FLOATS = frozenset({"float16", "bfloat16", "float32", "float64", "complex64", "complex128"})
CARRIED = frozenset({"no_grad", "gradient_hook", "custom_function"})
"""Marks that a movement or a scaling cannot carry: such an operation stays a node."""


class Draft:
    """A normal-form node that may still change; fields as of `NormalNode`."""

    __slots__ = (
        "aliases",
        "attrs",
        "constant",
        "gradient",
        "id",
        "inputs",
        "locations",
        "marks",
        "name",
        "native",
        "op",
        "opaque",
        "outputs",
        "path",
        "replaced",
        "source",
        "varies",
    )

    def __init__(
        self,
        id: int,
        op: str,
        inputs: list[Edge | None],
        attrs: dict[str, Any],
        outputs: tuple[TensorType, ...],
        native: tuple[int, ...],
    ) -> None:
        self.id = id
        self.op = op
        self.inputs = inputs
        self.attrs = attrs
        self.outputs = outputs
        self.native = native
        self.locations: list[Location | None] = [None] * len(outputs)
        self.aliases: list[Location] = []
        """Further native tensors that hold the first result, scaled or shifted."""
        self.name = ""
        self.path = ""
        self.source = ""
        self.marks: frozenset[str] = frozenset()
        self.constant: np.ndarray[Any, Any] | None = None
        self.opaque = False
        self.gradient = False
        """Whether a gradient passes from its result to an input or a trainable parameter."""
        self.varies = False
        """Whether it depends on an input or a random draw, not on parameters and constants only."""
        self.replaced: dict[int, Edge] = {}

    @property
    def leaf(self) -> bool:
        """Whether it computes nothing."""
        return self.op in LEAVES

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the first result."""
        return self.outputs[0].shape


class Builder:
    """The normal form of one graph, while it is being made.

    Attributes:
        drafts: all drafts, by id; replaced ones stay until the end.
        values: the edge that reads each native tensor.
        lists: the edges of native tensor lists.
        outputs: edges of the model's outputs by leaf name.
        rewrites: how often each rewrite was used.
        constants: native operations and leaves that constants alone decide.
        factors: native operations that multiply their operand by a constant, and by what.
    """

    def __init__(self, graph: ComputationGraph) -> None:
        self.graph = graph
        self.drafts: list[Draft] = []
        self.values: dict[Value, Edge] = {}
        self.lists: dict[Value, list[Edge | None]] = {}
        self.outputs: dict[str, Edge] = {}
        self.updates: dict[str, Edge] = {}
        self.rewrites: Counter[str] = Counter()
        self.constants: set[int] = set()
        self.factors: dict[int, float] = {}

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
            draft.path, draft.source, draft.marks = like.path, like.source, like.marks - {"inplace"}
        self.drafts.append(draft)
        self.derive(draft)
        return draft

    def derive(self, draft: Draft) -> None:
        """Works out from the operands whether the draft varies and passes gradients."""
        gradient = False
        for edge in draft.inputs:
            if edge is not None:
                source = self.drafts[edge.source]
                draft.varies = draft.varies or source.varies
                gradient = gradient or source.gradient
        if draft.leaf:
            return
        draft.varies = draft.varies or "random" in draft.marks
        draft.gradient = (
            gradient
            and draft.op != "Detach"
            and "no_grad" not in draft.marks
            and any(kind.dtype in FLOATS for kind in draft.outputs)
        )
        if not gradient and "no_grad" in draft.marks:
            draft.marks -= {"no_grad"}

    def read(self, draft: Draft, output: int = 0) -> Edge:
        """The edge that reads a whole result of a draft."""
        return Edge(draft.id, output, View.of(draft.outputs[output].shape), 1.0, 0.0, ())

    def constant(
        self, value: Any, dtype: str, native: tuple[int, ...], like: Node | None = None
    ) -> Edge:
        """A constant of known value, held without the axes along which it does not change."""
        array = np.asarray(value)
        least = reduced(array)
        draft = self.add(
            "Constant", (), None, (TensorType(least.shape, dtype),), native=native, like=like
        )
        draft.constant = least
        draft.marks = frozenset()
        edge = self.read(draft)
        return (
            edge
            if least.shape == array.shape
            else Edge(draft.id, 0, view_of(edge).expand(array.shape))
        )

    def reduce(self, draft: Draft) -> None:
        """Drops the axes along which a known Constant does not change; its readers expand it again."""
        array = draft.constant
        if array is None or array.size > KNOWN or array.shape != draft.shape:
            return
        least = reduced(array)
        if least.shape == array.shape:
            return
        held = self.add(
            "Constant",
            (),
            None,
            (TensorType(least.shape, draft.outputs[0].dtype),),
            native=draft.native,
            like=draft,
        )
        held.constant, held.name = least, draft.name
        self.replace(draft, Edge(held.id, 0, View.of(least.shape).expand(array.shape)))

    def lookup(self, value: Value | None) -> Edge | None:
        """The edge of a native tensor. A result that its operator's row does not speak of is a node of
        its own, so that nothing that is read can get lost."""
        if value is None or value in self.lists:
            return None
        found = self.values.get(value)
        if found is None:
            record = self.graph.record(value.node)
            kind = self.graph.type_of(value)
            if kind is None:
                return None
            operands = [edge for edge in map(self.lookup, record.inputs) if edge is not None]
            draft = self.add(
                f"{record.op}:{value.output}",
                operands,
                None,
                (kind,),
                native=(record.id,),
                like=record,
            )
            draft.opaque = True
            draft.locations[0] = Location(value, View.of(kind.shape))
            found = self.values[value] = self.read(draft)
        return found

    # -- asking

    def source(self, edge: Edge) -> Draft:
        """The draft that an edge reads."""
        return self.drafts[edge.source]

    def dtype(self, edge: Edge) -> str:
        """Element type of the tensor that the edge reads (casts that change no value are left out)."""
        return self.drafts[edge.source].outputs[edge.output].dtype

    def known(self, edge: Edge | None) -> np.ndarray[Any, Any] | None:
        """The operand's value where it is a known constant of moderate size."""
        if edge is None:
            return None
        draft = self.drafts[edge.source]
        if draft.constant is None or draft.op != "Constant" or edge.output != 0:
            return None
        view = view_of(edge)
        if view.size > KNOWN:
            return None
        if not view.stages:
            value = np.asarray(draft.constant).reshape(view.shape)
        elif draft.constant.size == 1 and not view.padded:
            value = np.broadcast_to(draft.constant.reshape(()), view.shape)
        else:
            value = view.apply(np.asarray(draft.constant))
        if edge.scale != 1.0 or edge.shift != 0.0:
            whole = value.dtype.kind in "iub" and all(
                float(number).is_integer() and abs(number) < 1 << 31
                for number in (edge.scale, edge.shift)
            )
            scaled = value * (int(edge.scale) if whole else edge.scale) + (
                int(edge.shift) if whole else edge.shift
            )
            value = np.asarray(scaled)
        return value

    def scalar(self, edge: Edge | None) -> float | int | bool | None:
        """The operand's value where it is a constant that holds one number only, everywhere."""
        if edge is None:
            return None
        draft = self.drafts[edge.source]
        if draft.constant is None or draft.op != "Constant":
            return None
        if draft.constant.size == 1 and not view_of(edge).padded:
            number: float | int | bool = draft.constant.reshape(-1)[0].item()
            return (
                number
                if edge.scale == 1.0 and edge.shift == 0.0
                else number * edge.scale + edge.shift
            )
        value = self.known(edge)
        if value is None or value.size == 0 or value.dtype.kind not in "iufb":
            return None
        first: Any = value.reshape(-1)[0]
        held: float | int | bool | None = first.item() if bool(np.all(value == first)) else None
        return held

    def users(self) -> list[list[tuple[int, int]]]:
        """For every draft that is alive its readers as (draft, operand position); outputs as (-1, 0)."""
        users: list[list[tuple[int, int]]] = [[] for _ in self.drafts]
        for draft in self.order():
            for position, edge in enumerate(draft.inputs):
                if edge is not None:
                    users[edge.source].append((draft.id, position))
        for edge in (*self.outputs.values(), *self.updates.values()):
            users[edge.source].append((-1, 0))
        return users

    # -- changing

    def replace(self, draft: Draft, edge: Edge, output: int = 0) -> None:
        """From now on readers of the draft's result read `edge`, which must yield the same elements."""
        draft.replaced[output] = edge

    def follow(self, edge: Edge) -> Edge | None:
        """The edge behind all replacements; None where padding forbids to say it in one edge."""
        found: Edge | None = edge
        while found is not None:
            further = self.drafts[found.source].replaced.get(found.output)
            if further is None:
                return found
            found = read_through(further, found)
        return None

    def refresh(self, draft: Draft) -> None:
        """Lets the draft's operands follow the replacements of their sources."""
        drafts = self.drafts
        for position, edge in enumerate(draft.inputs):
            if edge is not None and drafts[edge.source].replaced:
                draft.inputs[position] = self.resolve(edge)

    def resolve(self, edge: Edge) -> Edge:
        """The edge behind all replacements; a copy of what was replaced where one edge cannot say it."""
        while True:
            draft = self.drafts[edge.source]
            further = draft.replaced.get(edge.output)
            if further is None:
                return edge
            through = read_through(further, edge)
            if through is None:
                kept = self.add(
                    "Identity",
                    [self.resolve(further)],
                    None,
                    (draft.outputs[edge.output],),
                    native=(),
                    like=draft,
                )
                return Edge(kept.id, 0, edge.view, edge.scale, edge.shift, edge.through)
            edge = through

    def order(self) -> list[Draft]:
        """All drafts that outputs and updates need, operands first; their operands refreshed."""
        for names in (self.outputs, self.updates):
            for name, end in names.items():
                names[name] = self.resolve(end)
        drafts = self.drafts
        # 0: not seen, 1: operands on the way, 2: placed.
        state = bytearray(len(drafts))
        found: list[Draft] = []
        stack = [edge.source for edge in (*self.updates.values(), *self.outputs.values())]
        while stack:
            at = stack[-1]
            if state[at]:
                stack.pop()
                if state[at] == 1:
                    state[at] = 2
                    found.append(drafts[at])
                continue
            draft = drafts[at]
            if not draft.inputs:
                state[at] = 2
                found.append(draft)
                stack.pop()
                continue
            state[at] = 1
            for position, edge in enumerate(draft.inputs):
                if edge is None:
                    continue
                source = edge.source
                if drafts[source].replaced:
                    edge = draft.inputs[position] = self.resolve(edge)
                    source = edge.source
                    state.extend(bytes(len(drafts) - len(state)))
                if state[source]:
                    continue
                if drafts[source].inputs:
                    stack.append(source)
                else:
                    state[source] = 2
                    found.append(drafts[source])
        return found

    def program_order(self) -> list[Draft]:
        """The same in the order of the program, a leaf before its first reader."""
        found = self.order()
        rank = {draft.id: draft.native[-1] if draft.native else -1 for draft in found}
        placed: list[Draft] = []
        done: set[int] = set()
        for root in sorted(
            (draft for draft in found if not draft.leaf),
            key=lambda draft: (rank[draft.id], draft.id),
        ):
            if root.id in done:
                continue
            stack = [root]
            while stack:
                draft = stack[-1]
                if draft.id in done:
                    stack.pop()
                    continue
                waiting = [
                    self.drafts[edge.source]
                    for edge in draft.inputs
                    if edge is not None and edge.source not in done
                ]
                if waiting:
                    stack.extend(reversed(waiting))
                    continue
                done.add(draft.id)
                stack.pop()
                placed.append(draft)
        # Leaves that are outputs themselves.
        return placed + [draft for draft in found if draft.id not in done]

    # -- finishing a native operation

    def settle(self, record: Node, edges: Sequence[Edge | None], first: int) -> None:
        """Notes the edges of a native operation's results. `first`: number of drafts before it.

        Results that are whole, unscaled drafts of this operation get their location. A movement that
        cuts or hooks the gradient becomes a node.
        """
        for output, edge in enumerate(edges):
            if edge is None:
                continue
            if record.marks & CARRIED and edge.source < first:
                edge = self._carried(record, edge)
            elif edge.source >= first:
                draft = self.drafts[edge.source]
                if (
                    draft.op != "Constant"
                    and edge.scale == 1.0
                    and edge.shift == 0.0
                    and draft.locations[edge.output] is None
                ):
                    back = view_of(edge).inverse(draft.outputs[edge.output].shape)
                    if back is not None:
                        draft.locations[edge.output] = Location(Value(record.id, output), back)
            if (edge.scale != 1.0 or edge.shift != 0.0) and edge.scale != 0.0 and edge.output == 0:
                draft = self.drafts[edge.source]
                if not draft.leaf and len(draft.aliases) < 4:
                    back = view_of(edge).inverse(draft.shape)
                    if back is not None:
                        draft.aliases.append(
                            Location(Value(record.id, output), back, edge.scale, edge.shift)
                        )
            if edge.scale != 0.0 and edge.source < first:
                self._scaling(record, edge)
            self.values[Value(record.id, output)] = edge

    def _scaling(self, record: Node, edge: Edge) -> None:
        """Notes by what an operation multiplies the operand that its result is."""
        for value in record.inputs:
            operand = None if value is None else self.values.get(value)
            if (
                operand is not None
                and (operand.source, operand.output) == (edge.source, edge.output)
                and operand.scale not in (0.0, edge.scale)
            ):
                self.factors[record.id] = edge.scale / operand.scale

    def _carried(self, record: Node, edge: Edge) -> Edge:
        hooks = record.marks & {"gradient_hook", "custom_function"}
        if not self.drafts[edge.source].gradient:
            return edge
        if "no_grad" in record.marks:
            return self.detach(edge, record)
        shape = shape_of(edge)
        kept = self.add(
            "Identity",
            [edge],
            None,
            (TensorType(shape, self.dtype(edge)),),
            native=(record.id,),
            like=record,
        )
        kept.marks = hooks
        kept.locations[0] = Location(Value(record.id, 0), View.of(shape))
        return self.read(kept)

    def detach(self, edge: Edge, record: Node) -> Edge:
        """The operand without its gradient; itself where no gradient would pass anyway."""
        if not self.drafts[edge.source].gradient:
            return edge
        shape = shape_of(edge)
        cut = self.add(
            "Detach",
            [edge],
            None,
            (TensorType(shape, self.dtype(edge)),),
            native=(record.id,),
            like=record,
        )
        cut.marks -= {"no_grad"}
        cut.locations[0] = Location(Value(record.id, 0), View.of(shape))
        return self.read(cut)


def reduced(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """One element along every axis over which an array does not change."""
    if array.size > KNOWN or array.size == 0:
        return array
    for axis, extent in enumerate(array.shape):
        if extent > 1:
            first = array.take([0], axis)
            if bool(np.all(array == first)):
                array = first
    return array
