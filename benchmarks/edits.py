"""Random edits of a normal-form graph, with the right answer known.

What damage and scale benchmarks use.
"""

from __future__ import annotations

import dataclasses
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from padiff_graph.capture.normal.form import Edge, NormalGraph, NormalNode
from padiff_graph.capture.normal.index_map import View
from padiff_graph.matching.tree.module_paths import split_path

LEAVES = ("Input", "Parameter", "Constant")


class Edit(NamedTuple):
    """What was done: its kind, the touched nodes (ids of the graph before), and in words."""

    kind: str
    touched: tuple[int, ...]
    words: str


class Draft:
    """A graph under edit: nodes by their original id.

    Attributes:
        pool: the nodes where edits are looked for; all that compute where it is None.
    """

    def __init__(self, graph: NormalGraph) -> None:
        self.graph = graph
        self.nodes: dict[int, NormalNode] = {}
        self.outputs: dict[str, Edge] = dict(graph.outputs)
        self.edits: list[Edit] = []
        self.used: set[int] = set()
        self.pool: Sequence[int] | None = None
        self._readers: dict[int, set[int]] = defaultdict(set)
        for node in graph.nodes:
            self.put(node)

    def put(self, node: NormalNode) -> None:
        """The node in place of the one with its id."""
        self._forget(node.id)
        self.nodes[node.id] = node
        for edge in node.inputs:
            if edge is not None:
                self._readers[edge.source].add(node.id)

    def remove(self, at: int) -> None:
        """Takes a node out."""
        self._forget(at)
        del self.nodes[at]

    def _forget(self, at: int) -> None:
        for edge in self.nodes[at].inputs if at in self.nodes else ():
            if edge is not None:
                self._readers[edge.source].discard(at)

    def users(self, at: int) -> list[tuple[int, int]]:
        """The consumers of a node, as (node, operand position)."""
        return [
            (user, position)
            for user in sorted(self._readers[at])
            for position, edge in enumerate(self.nodes[user].inputs)
            if edge is not None and edge.source == at
        ]

    def redirect(self, old: int, new: Edge) -> None:
        """Every reader of node `old` reads the edge `new` instead, through its own view where sizes
        allow."""
        for at in sorted(self._readers[old]):
            node = self.nodes[at]
            inputs = tuple(
                _reread(edge, new) if edge is not None and edge.source == old else edge
                for edge in node.inputs
            )
            self.put(dataclasses.replace(node, inputs=inputs))
        for name, edge in self.outputs.items():
            if edge.source == old:
                self.outputs[name] = _reread(edge, new)

    def finish(self) -> tuple[NormalGraph, dict[int, int]]:
        """The graph without what nothing needs any more, and original id -> new id."""
        needed: set[int] = set()
        todo = [edge.source for edge in self.outputs.values()]
        while todo:
            at = todo.pop()
            if at in needed:
                continue
            needed.add(at)
            todo.extend(edge.source for edge in self.nodes[at].inputs if edge is not None)
        needed |= {node.id for node in self.nodes.values() if node.op == "Input"}
        order: list[int] = []
        placed: set[int] = set()
        for root in sorted(needed):
            stack = [root]
            while stack:
                at = stack[-1]
                if at in placed:
                    stack.pop()
                    continue
                before = [
                    edge.source
                    for edge in self.nodes[at].inputs
                    if edge is not None and edge.source not in placed
                ]
                if before:
                    stack.extend(before)
                else:
                    placed.add(at)
                    order.append(at)
                    stack.pop()
        new = {old: place for place, old in enumerate(order)}
        nodes = tuple(
            dataclasses.replace(
                self.nodes[old],
                id=new[old],
                inputs=tuple(
                    edge and edge._replace(source=new[edge.source])
                    for edge in self.nodes[old].inputs
                ),
            )
            for old in order
        )
        outputs = {
            name: edge._replace(source=new[edge.source]) for name, edge in self.outputs.items()
        }
        return NormalGraph(self.graph.graph, nodes, outputs), new


def _reread(edge: Edge, new: Edge) -> Edge:
    size = new.view.size if new.view is not None else 0
    if edge.view is not None and new.view is not None and edge.view.source == size:
        return Edge(
            new.source,
            new.output,
            new.view.then(edge.view),
            new.scale * edge.scale,
            new.shift * edge.scale + edge.shift,
            edge.through,
        )
    return new


def _data(node: NormalNode, draft: Draft) -> list[tuple[int, Edge]]:
    """Operands that are computed from inputs."""
    return [
        (at, edge)
        for at, edge in enumerate(node.inputs)
        if edge is not None and draft.nodes[edge.source].op not in ("Parameter", "Constant")
    ]


def _plain(edge: Edge) -> bool:
    return edge.view is not None and edge.view.identity and edge.scale == 1.0 and edge.shift == 0.0


def bypass(draft: Draft, rng: random.Random) -> Edit | None:
    """An operation with one data operand of its own size is left out."""
    for node in _shuffled(draft, rng):
        data = _data(node, draft)
        if (
            len(data) == 1
            and node.outputs
            and len(node.outputs) == 1
            and data[0][1].view is not None
            and data[0][1].view.size == node.outputs[0].size
            and node.id not in draft.used
        ):
            draft.redirect(node.id, data[0][1])
            draft.remove(node.id)
            draft.used.add(node.id)
            return Edit("bypassed", (node.id,), f"{node.op} at {node.path} left out")
    return None


def exchange(draft: Draft, rng: random.Random) -> Edit | None:
    """Two operations in a row, of different kind and one data operand each, change places."""
    for lower in _shuffled(draft, rng):
        data = _data(lower, draft)
        if len(data) != 1 or not _plain(data[0][1]) or lower.id in draft.used:
            continue
        upper = draft.nodes[data[0][1].source]
        above = _data(upper, draft)
        if (
            upper.op in LEAVES
            or upper.id in draft.used
            or len(above) != 1
            or not _plain(above[0][1])
            or upper.op == lower.op
            or len(draft.users(upper.id)) != 1
        ):
            continue
        if (
            any(edge.source == upper.id for edge in draft.outputs.values())
            or len(upper.outputs) != 1
            or len(lower.outputs) != 1
        ):
            continue
        if not upper.outputs[0].size == lower.outputs[0].size == above[0][1].view.size:  # type: ignore[union-attr]
            continue
        draft.redirect(lower.id, Edge(-1, 0, View.of(lower.outputs[0].shape)))
        place, edge = above[0]
        draft.put(dataclasses.replace(lower, inputs=_put(lower.inputs, data[0][0], edge)))
        draft.put(
            dataclasses.replace(
                upper,
                inputs=_put(
                    upper.inputs, place, Edge(lower.id, 0, View.of(lower.outputs[0].shape))
                ),
            )
        )
        draft.redirect(-1, Edge(upper.id, 0, View.of(upper.outputs[0].shape)))
        draft.used |= {upper.id, lower.id}
        return Edit(
            "exchanged",
            (upper.id, lower.id),
            f"{upper.op} and {lower.op} at {lower.path} exchanged",
        )
    return None


def drop_branch(draft: Draft, rng: random.Random) -> Edit | None:
    """An Add or Mul of two computed operands keeps one of them."""
    for node in _shuffled(draft, rng):
        data = _data(node, draft)
        if (
            node.op not in ("Add", "Mul")
            or len(data) != 2
            or len(node.inputs) != 2
            or node.id in draft.used
        ):
            continue
        kept = [
            edge
            for _, edge in data
            if edge.view is not None and edge.view.size == node.outputs[0].size
        ]
        if len(kept) < 1:
            continue
        draft.redirect(node.id, rng.choice(kept))
        draft.remove(node.id)
        draft.used.add(node.id)
        return Edit("branch", (node.id,), f"a branch into {node.op} at {node.path} dropped")
    return None


def change_attribute(draft: Draft, rng: random.Random) -> Edit | None:
    """A number among the attributes is another."""
    for node in _shuffled(draft, rng):
        if node.id in draft.used:
            continue
        names = [
            name
            for name, value in node.attrs.items()
            if isinstance(value, float) and name not in ("axis", "axes")
        ]
        if names:
            name = rng.choice(sorted(names))
            attrs: dict[str, Any] = {**node.attrs, name: node.attrs[name] * 10 + 0.001}
            draft.put(dataclasses.replace(node, attrs=attrs))
            draft.used.add(node.id)
            return Edit("attribute", (node.id,), f"{node.op}.{name} at {node.path} changed")
    return None


def remove_block(draft: Draft, rng: random.Random) -> Edit | None:
    """All operations of one numbered module that reads one value and yields one of its size."""
    blocks: dict[str, list[int]] = {}
    for node in draft.nodes.values():
        parts = node.path.split(".")
        for depth in range(1, len(parts) + 1):
            if parts[depth - 1].isdigit() and node.op not in LEAVES:
                blocks.setdefault(".".join(parts[:depth]), []).append(node.id)
    names = sorted(blocks)
    rng.shuffle(names)
    for name in names:
        members = set(blocks[name])
        siblings = [other for other in names if split_path(other)[0] == split_path(name)[0]]
        if len(members) < 3 or len(siblings) < 3 or members & draft.used:
            continue
        entering = {
            (edge.source, edge.output)
            for at in members
            for edge in draft.nodes[at].inputs
            if edge is not None
            and edge.source not in members
            and draft.nodes[edge.source].op not in ("Parameter", "Constant")
        }
        leaving = {
            at
            for at in members
            if any(user not in members for user, _ in draft.users(at))
            or any(edge.source == at for edge in draft.outputs.values())
        }
        if len(leaving) != 1:
            continue
        end = draft.nodes[next(iter(leaving))]
        sources = [
            draft.nodes[at]
            for at, _ in entering
            if draft.nodes[at].op not in LEAVES
            and draft.nodes[at].outputs[0].size == end.outputs[0].size
        ]
        if len(sources) != 1 or len(end.outputs) != 1:
            continue
        draft.redirect(end.id, Edge(sources[0].id, 0, View.of(sources[0].outputs[0].shape)))
        for at in members:
            if at != end.id:
                draft.used.add(at)
        draft.remove(end.id)
        draft.used.add(end.id)
        # What only the block's end needed disappears in finish(); nothing else reads the members.
        return Edit("block", tuple(sorted(members)), f"block {name} removed")
    return None


EDITS: Mapping[str, Callable[[Draft, random.Random], Edit | None]] = {
    "bypassed": bypass,
    "exchanged": exchange,
    "block": remove_block,
    "branch": drop_branch,
    "attribute": change_attribute,
}


def damage(
    graph: NormalGraph, count: int, rng: random.Random, pool: Sequence[int] | None = None
) -> tuple[NormalGraph, dict[int, int], list[Edit]]:
    """A damaged copy, original id -> new id of what is left, and the edits.

    `pool` as of `Draft`.
    """
    draft = Draft(graph)
    draft.pool = pool
    edits: list[Edit] = []
    for _ in range(count * 8):
        if len(edits) == count:
            break
        edit = EDITS[rng.choice(sorted(EDITS))](draft, rng)
        if edit is not None:
            edits.append(edit)
    damaged, ids = draft.finish()
    return damaged, ids, edits


def _shuffled(draft: Draft, rng: random.Random) -> list[NormalNode]:
    among = (
        draft.nodes.values()
        if draft.pool is None
        else [draft.nodes[at] for at in draft.pool if at in draft.nodes]
    )
    nodes = [node for node in among if node.op not in LEAVES]
    rng.shuffle(nodes)
    return nodes


def _put(inputs: tuple[Edge | None, ...], position: int, edge: Edge) -> tuple[Edge | None, ...]:
    return (*inputs[:position], edge, *inputs[position + 1 :])
