"""Captured nodes in their final order: hooks behind what they hook, needless ones dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from padiff_graph.capture.graph import Node, Value
from padiff_graph.capture.torch.captured_nodes import CapturedNodes

__all__ = ["Ordered", "ordered"]


@dataclass(frozen=True)
class Ordered:
    """Nodes in their final order, and what refers to them, under the final numbers.

    Attributes:
        nodes: numbered by their place.
        updates: the values that parameters and buffers hold after the run, by name.
        tensors: the leaves' own tensors by node.
    """

    nodes: list[Node]
    updates: dict[str, Value]
    tensors: dict[int, Any]


def ordered(captured: CapturedNodes, updates: Mapping[str, Value]) -> Ordered:
    """Puts every gradient hook behind what it hooks, drops what writes added and nobody reads."""
    # The hook registered first sees the gradient first: value, last hook, ..., first hook, readers.
    chains = {
        value: [Value(hook) for hook in reversed(hooks)] for value, hooks in captured.hooks.items()
    }
    feeds = {
        hook.node: source
        for value, chain in chains.items()
        for hook, source in zip(chain, [value, *chain], strict=False)
    }
    order = _order(captured.nodes, chains, _read(captured, [*updates.values(), *chains]))
    number_of = {old: new for new, old in enumerate(order)}

    def final(value: Value, reader: int | None = None) -> Value:
        if reader in feeds:
            value = feeds[reader]
        elif value in chains:
            value = chains[value][-1]
        return Value(number_of[value.node], value.output)

    nodes = []
    for old in order:
        node = captured.nodes[old]
        inputs = tuple(None if value is None else final(value, old) for value in node.inputs)
        nodes.append(replace(node, id=number_of[old], inputs=inputs))
    return Ordered(
        nodes,
        {name: final(value) for name, value in updates.items()},
        {number_of[old]: tensor for old, tensor in captured.tensors.items()},
    )


def _read(captured: CapturedNodes, values: Sequence[Value]) -> set[int]:
    """Nodes that stay: all that the program asked for, and what these values and they read."""
    read = {value.node for value in values}
    for node in reversed(captured.nodes):
        if node.id in read or node.id not in captured.added:
            read.add(node.id)
            read.update(value.node for value in node.inputs if value is not None)
    return read


def _order(
    nodes: Sequence[Node], chains: Mapping[Value, Sequence[Value]], read: set[int]
) -> list[int]:
    """Program order, hooks right behind the node whose value they hook."""
    behind: dict[int, list[int]] = {}
    for value, chain in chains.items():
        behind.setdefault(value.node, []).extend(hook.node for hook in chain)
    hooks = {hook for chain in behind.values() for hook in chain}
    order: list[int] = []
    for number in range(len(nodes)):
        if number not in hooks and number in read:
            order += [number, *behind.get(number, ())]
    return order
