"""A traced fx graph walked from top to bottom, its calls made into nodes.

`getitem` becomes an output number, sub-graphs of `no_grad`, `autocast` and checkpointing are
inlined and marked, what only steers the tracer is left out; the rest are operations
(`fx_operation`).
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import fx

from padiff_graph.capture.graph import Value
from padiff_graph.capture.torch import effects, internals
from padiff_graph.capture.torch.aliases import Aliases, Slot, Untold
from padiff_graph.capture.torch.aten_schema import dtype_name, operator_name
from padiff_graph.capture.torch.captured_nodes import CapturedNodes, Leaf
from padiff_graph.capture.torch.fx_operation import Operations
from padiff_graph.capture.torch.fx_places import Places

__all__ = ["Conversion"]

CHECKS = ("aten._assert", "aten.sym_", "aten._guard", "aten._functional_assert")
"""Beginnings of the names of operators that compute nothing."""

DECISIONS = {"aten.item.default", "aten._local_scalar_dense.default", "aten.is_nonzero.default"}
"""Operators that hand a number to Python."""

SAME_TENSOR = ("aten.lift_fresh", "aten.requires_grad_")
"""Beginnings of the names of operators that return their operand as it is."""


class Conversion:
    """One conversion; `captured` grows in program order.

    Attributes:
        decisions: what Python took from a tensor, by source line.
    """

    def __init__(self, places: Places, captured: CapturedNodes) -> None:
        self.places = places
        self.captured = captured
        self.aliases = Aliases(captured.add, captured.type_of, captured.differentiable)
        self.operations = Operations(captured, self.aliases)
        self.slots: dict[tuple[str, str], Slot] = {}
        self.decisions: dict[str, Any] = {}
        self._outer_autocasts: list[tuple[str, str] | None] = []

    def leaf(self, leaf: Leaf) -> Slot:
        """The slot of a leaf; its node is made when it is first asked for."""
        key = (leaf.kind, leaf.name)
        if key not in self.slots:
            self.slots[key] = Slot(self.captured.leaf(leaf))
        return self.slots[key]

    def output(self, name: str, slot: Any) -> None:
        """Appends an output of the model."""
        if not isinstance(slot, Slot):
            raise Untold(f"the output {name} is {slot!r} in the trace and not a tensor")
        self.captured.output(name, self.aliases.read(slot))

    def updates(self) -> dict[str, Value]:
        """The values of parameters and buffers that the program has written, by name."""
        written = {}
        for (kind, name), slot in self.slots.items():
            if kind in ("parameter", "buffer"):
                value = self.aliases.read(slot)
                node = self.captured.nodes[value.node]
                if node.kind == "operation" or node.name != name:
                    written[name] = value
        return written

    def run(
        self, module: fx.GraphModule, leaves: Mapping[str, Leaf], bound: Sequence[Any] = ()
    ) -> Any:
        """Converts a graph and returns what it returns, in slots.

        Args:
            module: the traced graph.
            leaves: what its placeholders and attributes stand for, by their names.
            bound: slots for its placeholders, in order, where it is a sub-graph.
        """
        held: dict[fx.Node, Any] = {}
        given = iter(bound)
        for node in module.graph.nodes:
            if node.op == "placeholder":
                held[node] = next(given) if bound else self._placeholder(node, leaves)
            elif node.op == "get_attr":
                held[node] = self._attribute(module, node.target, leaves)
            elif node.op == "call_function":
                held[node] = self._call(node, held, leaves)
            elif node.op == "output":
                return fx.node.map_arg(node.args[0], lambda n: held[n])
            else:
                raise Untold(f"{node.op} {node.target} is no ATen operator")
        return None

    def _placeholder(self, node: fx.Node, leaves: Mapping[str, Leaf]) -> Slot | None:
        if node.target in leaves and node.users:
            return self.leaf(leaves[node.target])
        return None

    def _attribute(self, module: Any, target: str, leaves: Mapping[str, Leaf]) -> Any:
        if target in leaves:
            return self.leaf(leaves[target])
        for part in target.split("."):
            module = getattr(module, part)
        if isinstance(module, torch.Tensor):
            return self.leaf(Leaf("constant", target, module))
        return module

    # -- calls

    def _call(self, node: fx.Node, held: Mapping[fx.Node, Any], leaves: Mapping[str, Leaf]) -> Any:
        args, kwargs = _held(node.args, held), _held(node.kwargs, held)
        target = node.target
        if target is operator.getitem:
            return args[0][args[1]]
        if internals.is_region(target):
            return self._region(node, args, leaves)
        if target is internals.SET_GRAD_ENABLED:
            self.captured.recording = bool(args[0])
        elif target is internals.AUTOCAST_ENTER:
            self._outer_autocasts.append(self.operations.autocast)
            self.operations.autocast = _autocast(*args[:3])
        elif target is internals.AUTOCAST_EXIT:
            self.operations.autocast = self._outer_autocasts.pop()
        elif internals.is_operator(target):
            return self._operator(node, args, kwargs)
        else:
            raise Untold(
                f"a Python value depends on the numbers that are computed ({target})",
                self.places.place(node.meta).source,
            )
        return None

    def _operator(self, node: fx.Node, args: Any, kwargs: Any) -> Any:
        name = operator_name(node.target)
        if name.startswith(CHECKS):
            return None
        if name in DECISIONS:
            return self._decision(node)
        if name == effects.GRADIENT_HOOK:
            return self._hook(node, *args)
        if name.startswith(SAME_TENSOR) or self._is_wrappers_clone(name, node, args):
            return args[0]
        return self.operations.call(node, args, kwargs, self.places.place(node.meta))

    def _decision(self, node: fx.Node) -> Any:
        source = self.places.place(node.meta).source
        value = node.meta.get("decided")
        if value is None:
            raise Untold("a Python value is taken from a tensor", source)
        self.decisions[source] = value
        return value

    def _hook(self, node: fx.Node, slot: Slot, token: int) -> None:
        if self.captured.recorded.entries[token] is not None:
            self.captured.hook(self.aliases.read(slot), token, self.places.place(node.meta))

    def _is_wrappers_clone(self, name: str, node: fx.Node, args: Any) -> bool:
        """Whether this is the wrapper's copy of an input, made so that a model may write to it."""
        if name != "aten.clone.default" or not isinstance(args[0], Slot):
            return False
        of_input = self.captured.nodes[args[0].value.node].kind == "input"
        return of_input and not self.places.inside(node.meta)

    def _region(self, node: fx.Node, args: Any, leaves: Mapping[str, Leaf]) -> Any:
        """A sub-graph, inlined."""
        kind = internals.region_kind(node.target)
        before = self.captured.recording, self.operations.autocast
        if kind == "grad":
            self.captured.recording = bool(args[0])
            args = args[1:]
        elif kind == "autocast":
            self.operations.autocast = _autocast(*args[:3])
            args = args[4:]
        elif kind != "plain":
            raise Untold(
                f"{internals.region_name(node.target)} has branches or loops inside",
                self.places.place(node.meta).source,
            )
        try:
            return self.run(args[0], leaves, args[1:] or (None,))
        finally:
            self.captured.recording, self.operations.autocast = before


def _autocast(device: str, dtype: Any, enabled: bool) -> tuple[str, str] | None:
    if not enabled:
        return None
    return device, dtype_name(dtype or torch.get_autocast_dtype(device))


def _held(arguments: Any, held: Mapping[fx.Node, Any]) -> Any:
    """fx arguments with every node replaced by what it stands for."""
    if isinstance(arguments, fx.Node):
        return held[arguments]
    if isinstance(arguments, (list, tuple)):
        return tuple(_held(member, held) for member in arguments)
    if isinstance(arguments, dict):
        return {key: _held(member, held) for key, member in arguments.items()}
    return arguments
